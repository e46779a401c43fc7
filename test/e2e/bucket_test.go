//go:build e2e

package e2e

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"threescale.dev/backup/test/cluster"
)

// What is in an object store, and the way to it.

// store is the object store of all tests.
var store struct {
	sync.Once
	*cluster.ObjectStore
	err error
	mu  sync.Mutex
	// keys are those of all users that tests have made.
	keys []cluster.Keys
}

// withObjectStore starts it the first time.
func withObjectStore(t *testing.T) {
	t.Helper()
	store.Do(func() {
		store.ObjectStore, store.err = shared.StartObjectStore(context.WithoutCancel(t.Context()), filepath.Join(shared.Dir(), "object-store"))
	})
	require.NoError(t, store.err)
}

// keyForms are the keys of all users, in the forms in which they could stand in a text.
func keyForms() []string {
	store.mu.Lock()
	defer store.mu.Unlock()
	var forms []string
	for _, keys := range store.keys {
		for _, key := range []string{keys.Access, keys.Secret} {
			forms = append(forms, key, base64.StdEncoding.EncodeToString([]byte(key)))
		}
	}
	return forms
}

// know has the search for leaks know keys.
func know(keys cluster.Keys) cluster.Keys {
	store.mu.Lock()
	defer store.mu.Unlock()
	store.keys = append(store.keys, keys)
	return keys
}

// readRights are those that a restore and a verification need, and copyRights
// those of a copy, which removes what the retention does not keep.
func readRights() []cluster.BucketRight {
	return []cluster.BucketRight{"s3:ListBucket", "s3:GetObject"}
}

func copyRights() []cluster.BucketRight {
	return append(readRights(), "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")
}

// A bucket is a tenant's, who has two Secrets to reach it with: bucket with the
// keys, and bucket-ca.
type bucket struct {
	*cluster.Bucket
	t      *testing.T
	prefix string
	// endpoint is the server's, or another way to it.
	endpoint string
}

// newBucket makes a bucket that is called like the namespace.
func (w *tenant) newBucket(change ...func(*cluster.BucketOptions)) *bucket {
	w.t.Helper()
	withObjectStore(w.t)
	o := cluster.BucketOptions{Name: w.namespace, Rights: copyRights()}
	for _, f := range change {
		f(&o)
	}
	made, err := store.MakeBucket(w.t.Context(), o)
	require.NoError(w.t, err)
	know(made.Keys)
	b := &bucket{Bucket: made, t: w.t, prefix: w.namespace + "/" + nightly + "/", endpoint: store.Endpoint}
	b.tell(w)
	return b
}

// tell gives a tenant the Secrets.
func (b *bucket) tell(w *tenant) {
	b.t.Helper()
	w.makeSecret("bucket", secretOf(b.Keys))
	w.makeSecret("bucket-ca", map[string][]byte{"ca.crt": store.CA})
}

// secretOf are keys as Flux names them in a Secret.
func secretOf(keys cluster.Keys) map[string][]byte {
	return map[string][]byte{"accesskey": []byte(keys.Access), "secretkey": []byte(keys.Secret)}
}

// spec names the bucket in a claim or a restore.
func (b *bucket) spec() string {
	return fmt.Sprintf(`{endpoint: "%s", bucketName: %s, region: us-east-1, secretRef: {name: bucket}, certSecretRef: {name: bucket-ca}}`, b.endpoint, b.Name)
}

// offsite is the field of a claim that has runs copied there, with more of it.
func (b *bucket) offsite(more string) string { return "offsite: " + merge("bucket: "+b.spec(), more) }

// list returns the keys below the prefix, without the prefix.
func (b *bucket) list(below string) []string {
	b.t.Helper()
	keys, err := b.List(b.t.Context(), b.prefix+below)
	require.NoError(b.t, err)
	for i := range keys {
		keys[i] = strings.TrimPrefix(keys[i], b.prefix)
	}
	return keys
}

// runs are the IDs of the runs that are in the bucket, oldest first.
func (b *bucket) runs() []string {
	b.t.Helper()
	var ids []string
	for _, key := range b.list("runs/") {
		if id, ok := strings.CutSuffix(strings.TrimPrefix(key, "runs/"), "/manifest.json"); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// read returns the content of an object, by its key below the prefix.
func (b *bucket) read(key string) []byte {
	b.t.Helper()
	data, err := b.Read(b.t.Context(), b.prefix+key)
	require.NoError(b.t, err)
	return data
}

// answered returns the keys of those operations that succeeded, and were not
// among the first so many.
func (b *bucket) answered(operation, below string, after int) []string {
	b.t.Helper()
	requests, err := b.Requests()
	require.NoError(b.t, err)
	var keys []string
	for _, request := range requests[after:] {
		key, ok := strings.CutPrefix(request.Key, b.prefix)
		if ok && request.Operation == operation && request.Status < 300 && strings.HasPrefix(key, below) {
			keys = append(keys, key)
		}
	}
	return keys
}

// soFar is how many requests the bucket's user has made.
func (b *bucket) soFar() int {
	b.t.Helper()
	requests, err := b.Requests()
	require.NoError(b.t, err)
	return len(requests)
}

// A passage stands before the object store, at an address that its certificate is
// good for. What passes is not looked at.
type passage struct {
	t *testing.T
	// passes is false while connections get no answer.
	passes bool
	// held tells of a connection that gets none.
	held chan struct{}
}

// unreachable is an address that the certificate of the object store is good for,
// at which nobody listens.
func (b *bucket) unreachable() string {
	b.t.Helper()
	listener := b.listen("0")
	require.NoError(b.t, listener.Close())
	return listener.Addr().String()
}

func (b *bucket) listen(port string) net.Listener {
	b.t.Helper()
	host, _, err := net.SplitHostPort(store.Endpoint)
	require.NoError(b.t, err)
	var listen net.ListenConfig
	listener, err := listen.Listen(b.t.Context(), "tcp", net.JoinHostPort(host, port))
	require.NoError(b.t, err)
	return listener
}

// open lets everything pass from now on at an address that was unreachable.
func (b *bucket) open(address string) {
	b.t.Helper()
	_, port, err := net.SplitHostPort(address)
	require.NoError(b.t, err)
	(&passage{t: b.t, passes: true}).serve(b.listen(port))
}

// stuck returns a way to the object store on which nothing is answered, and has
// the bucket's name lead there.
func (b *bucket) stuck() *passage {
	b.t.Helper()
	listener := b.listen("0")
	b.endpoint = listener.Addr().String()
	p := &passage{t: b.t, held: make(chan struct{}, 1)}
	p.serve(listener)
	return p
}

// serve goes on until the test ends.
func (p *passage) serve(listener net.Listener) {
	p.t.Helper()
	p.t.Cleanup(func() { _ = listener.Close() })
	ctx := p.t.Context()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // the test has ended
			}
			go p.pass(ctx, conn)
		}
	}()
}

func (p *passage) pass(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	if !p.passes {
		select {
		case p.held <- struct{}{}:
		default:
		}
		<-ctx.Done()
		return
	}
	var dialer net.Dialer
	server, err := dialer.DialContext(ctx, "tcp", store.Endpoint)
	if err != nil {
		return
	}
	defer server.Close()
	var both errgroup.Group
	for _, way := range [][2]net.Conn{{conn, server}, {server, conn}} {
		both.Go(func() error {
			_, err := io.Copy(way[0], way[1])
			return errors.Join(err, way[0].Close())
		})
	}
	_ = both.Wait() // either side may end a connection at any time
}
