//go:build linux

package cluster

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"threescale.dev/backup/test/cluster/ports"
	"threescale.dev/backup/test/peers"
)

const (
	objectStore = "versitygw"
	// objectStoreUser owns what the server stores. Root could read and write whatever it does wrong.
	objectStoreUser = 65534
	// objectStoreRegion is the one that clients take where they are told none.
	objectStoreRegion = "us-east-1"
)

// An ObjectStore is a server that speaks S3, with versions and object lock, and
// with a certificate of an authority that nobody trusts by default.
type ObjectStore struct {
	// Endpoint is its host and port, for this machine and for pods.
	Endpoint string
	// CA is the certificate of its authority, PEM.
	CA []byte

	process   *Process
	program   string
	dir       string
	transport *http.Transport
	root      Keys
	admin     *minio.Client
}

// Keys are what a user of an object store signs requests with.
type Keys struct{ Access, Secret string }

// newKeys draws keys whose forms are those of AWS: neither stands in any other text.
func newKeys() Keys {
	return Keys{Access: "AKIA" + rand.Text()[:16], Secret: rand.Text() + rand.Text()[:14]}
}

// StartObjectStore starts an object store without buckets, on this machine, as a
// user without rights. It ends with the cluster. What it stores is in the folder,
// which it makes: one of the cluster goes with the cluster, also when the test is
// killed, and one elsewhere with whoever calls this.
func (c *Cluster) StartObjectStore(ctx context.Context, dir string) (*ObjectStore, error) {
	port, err := ports.Free(ctx)
	if err != nil {
		return nil, err
	}
	s := &ObjectStore{Endpoint: net.JoinHostPort(apiAddress, strconv.Itoa(port)), dir: dir, root: newKeys()}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	if err := s.connect(); err != nil {
		return nil, err
	}
	return s, c.ResumeObjectStore(ctx, s)
}

// ResumeObjectStore starts an object store whose process has ended, perhaps with
// another cluster, with the buckets and the users that it had.
func (c *Cluster) ResumeObjectStore(ctx context.Context, s *ObjectStore) error {
	var err error
	if s.process, err = c.StartProcess(s.command()); err != nil {
		return err
	}
	httpClient := &http.Client{Transport: s.transport}
	return s.process.Await(ctx, "object store", func(ctx context.Context) error {
		return getOK(ctx, httpClient, "https://"+s.Endpoint+"/health")
	})
}

// prepare makes the server's folders, its certificate, and a copy of the program
// where its user can reach it.
func (s *ObjectStore) prepare(ctx context.Context) error {
	binary, err := peers.Binary(ctx, objectStore)
	if err != nil {
		return err
	}
	for _, dir := range []string{"", "data", "versions", "users"} {
		if err := os.Mkdir(s.path(dir), 0o700); err != nil {
			return fmt.Errorf("cannot create folder of object store: %w", err)
		}
	}
	s.program = s.path(objectStore)
	if _, err := run(ctx, "cp", binary, s.program); err != nil {
		return err
	}
	if err := s.certify("object-store"); err != nil {
		return err
	}
	return s.giveAway(ctx)
}

// certify makes the server's certificate, by an authority of its own.
func (s *ObjectStore) certify(name string) error {
	authority, err := newAuthority(name)
	if err != nil {
		return err
	}
	server, err := authority.serve(apiAddress)
	if err != nil {
		return err
	}
	s.CA = authority.pem
	return writeFiles(map[string][]byte{s.path("ca.crt"): s.CA, s.path("tls.crt"): server.cert, s.path("tls.key"): server.key})
}

// giveAway has the server's user own its folder.
func (s *ObjectStore) giveAway(ctx context.Context) error {
	_, err := run(ctx, "chown", "-R", strconv.Itoa(objectStoreUser)+":"+strconv.Itoa(objectStoreUser), s.dir)
	return err
}

// connect makes the client of who may do everything.
func (s *ObjectStore) connect() error {
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(s.CA)
	s.transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12}}
	var err error
	s.admin, err = s.client(s.root)
	return err
}

func (s *ObjectStore) client(keys Keys) (*minio.Client, error) {
	client, err := minio.New(s.Endpoint, &minio.Options{
		Creds:        credentials.NewStaticV4(keys.Access, keys.Secret, ""),
		Secure:       true,
		Transport:    s.transport,
		Region:       objectStoreRegion,
		BucketLookup: minio.BucketLookupPath,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot create client of object store: %w", err)
	}
	return client, nil
}

// command starts the server. Its keys are in its environment, since everybody
// may read a command line.
func (s *ObjectStore) command() ProcessOptions {
	id := strconv.Itoa(objectStoreUser)
	return ProcessOptions{
		Name: objectStore,
		Path: "setpriv",
		Args: []string{
			"--reuid=" + id, "--regid=" + id, "--clear-groups", "--no-new-privs", "--pdeathsig=KILL",
			s.program, "--port=" + s.Endpoint, "--cert=" + s.path("tls.crt"), "--key=" + s.path("tls.key"), "--region=" + objectStoreRegion,
			// A test that takes a user's rights away does not wait for a cache.
			"--iam-dir=" + s.path("users"), "--iam-cache-disable",
			"--quiet", "--health=/health", "--access-log=" + s.accessLog(),
			"posix", "--versioning-dir=" + s.path("versions"), s.path("data"),
		},
		Env: []string{"ROOT_ACCESS_KEY_ID=" + s.root.Access, "ROOT_SECRET_ACCESS_KEY=" + s.root.Secret},
	}
}

// Process is the server's process, for a test that stops it.
func (s *ObjectStore) Process() *Process { return s.process }

func (s *ObjectStore) path(elements ...string) string {
	return filepath.Join(append([]string{s.dir}, elements...)...)
}

func (s *ObjectStore) accessLog() string { return s.path("access.log") }

// AddUser makes a user who may do nothing yet.
func (s *ObjectStore) AddUser(ctx context.Context) (Keys, error) {
	keys := newKeys()
	cmd := exec.CommandContext(ctx, s.program, "admin", "--endpoint-url=https://"+s.Endpoint, "--region="+objectStoreRegion,
		"create-user", "--access="+keys.Access, "--secret="+keys.Secret, "--role=user")
	cmd.Env = append(os.Environ(), "ADMIN_ACCESS_KEY_ID="+s.root.Access, "ADMIN_SECRET_ACCESS_KEY="+s.root.Secret, "SSL_CERT_FILE="+s.path("ca.crt"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return Keys{}, fmt.Errorf("cannot make user of object store: %w: %s", err, out)
	}
	return keys, nil
}

// A BucketRight is an action that a user may do in a bucket, such as
// s3:GetObject.
type BucketRight string

// BucketOptions describe a bucket.
type BucketOptions struct {
	// Name of the bucket.
	Name string
	// ObjectLock lets objects be locked; it turns versions on, too.
	ObjectLock bool
	// Rights of the bucket's user.
	Rights []BucketRight
}

// A Bucket is a bucket of an object store, and a user of it.
type Bucket struct {
	// Name of the bucket.
	Name string
	// Keys of a user who has the rights of the options, and no others.
	Keys Keys

	store *ObjectStore
}

// MakeBucket makes a bucket and its user.
func (s *ObjectStore) MakeBucket(ctx context.Context, o BucketOptions) (*Bucket, error) {
	keys, err := s.AddUser(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.admin.MakeBucket(ctx, o.Name, minio.MakeBucketOptions{ObjectLocking: o.ObjectLock}); err != nil {
		return nil, fmt.Errorf("cannot make bucket %q: %w", o.Name, err)
	}
	b := &Bucket{Name: o.Name, Keys: keys, store: s}
	return b, b.Allow(ctx, o.Rights...)
}

// Allow has the bucket's user have these rights and no others.
func (b *Bucket) Allow(ctx context.Context, rights ...BucketRight) error {
	policy := ""
	if len(rights) > 0 {
		var actions []string
		for _, right := range rights {
			actions = append(actions, strconv.Quote(string(right)))
		}
		arn := "arn:aws:s3:::" + b.Name
		policy = fmt.Sprintf(`{"Version": "2012-10-17", "Statement": [
			{"Effect": "Allow", "Principal": {"AWS": [%q]}, "Action": [%s], "Resource": [%q, %q]}]}`,
			b.Keys.Access, strings.Join(actions, ","), arn, arn+"/*")
	}
	if err := b.store.admin.SetBucketPolicy(ctx, b.Name, policy); err != nil {
		return fmt.Errorf("cannot set policy of bucket %q: %w", b.Name, err)
	}
	return nil
}

// Client is that of the bucket's user.
func (b *Bucket) Client() (*minio.Client, error) { return b.store.client(b.Keys) }

// List returns the keys of all objects below a prefix, in the order of their bytes.
func (b *Bucket) List(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	for object := range b.store.admin.ListObjects(ctx, b.Name, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if object.Err != nil {
			return nil, fmt.Errorf("cannot list bucket %q: %w", b.Name, object.Err)
		}
		keys = append(keys, object.Key)
	}
	slices.Sort(keys)
	return keys, nil
}

// Read returns the content of an object.
func (b *Bucket) Read(ctx context.Context, key string) ([]byte, error) {
	object, err := b.store.admin.GetObject(ctx, b.Name, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, fmt.Errorf("cannot read object %q: %w", key, err)
	}
	data, err := io.ReadAll(object)
	if err := errors.Join(err, object.Close()); err != nil {
		return nil, fmt.Errorf("cannot read object %q: %w", key, err)
	}
	return data, nil
}

// Remove deletes an object.
func (b *Bucket) Remove(ctx context.Context, key string) error {
	if err := b.store.admin.RemoveObject(ctx, b.Name, key, minio.RemoveObjectOptions{}); err != nil {
		return fmt.Errorf("cannot remove object %q: %w", key, err)
	}
	return nil
}

// Path is the file in which the server keeps an object, for a test that damages
// it behind the server's back.
func (b *Bucket) Path(key string) string { return b.store.path("data", b.Name, key) }

// A Request is one that an object store has answered.
type Request struct {
	// Operation of the API, such as GetObject.
	Operation string
	// Key of the object; empty for an operation of the bucket.
	Key string
	// Status is that of HTTP.
	Status int
}

// Requests are those to the bucket that its user has made so far.
func (b *Bucket) Requests() ([]Request, error) {
	data, err := os.ReadFile(b.store.accessLog())
	if err != nil {
		return nil, fmt.Errorf("cannot read log of object store: %w", err)
	}
	var requests []Request
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 12 || fields[1] != b.Name || fields[5] != b.Keys.Access {
			continue
		}
		status, err := strconv.Atoi(fields[10])
		if err != nil {
			return nil, fmt.Errorf("cannot read log of object store: %w", err)
		}
		requests = append(requests, Request{Operation: strings.TrimPrefix(fields[7], "s3_"), Key: strings.TrimPrefix(fields[8], "-"), Status: status})
	}
	return requests, nil
}
