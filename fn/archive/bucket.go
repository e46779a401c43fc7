package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"strings"
	"time"

	"threescale.dev/backup/fn/archive/internal/s3"
)

// Store is where runs are read from: a [Volume] or a [Bucket].
type Store interface { //nolint:interfacebloat // what both have, as one
	fmt.Stringer // a path, or s3://<bucket>/<prefix>
	io.Closer

	Runs(ctx context.Context) ([]RunInfo, error)
	Pointed(ctx context.Context) (*RunInfo, error)
	OpenRun(ctx context.Context, id string) (*Run, error)
	Verify(ctx context.Context, run string, opts VerifyOptions) (*VerifyReport, error)
	VerifyRuns(ctx context.Context, opts VerifyRunsOptions) (*VolumeReport, error)
}

// BucketOptions names a place in an object store that speaks S3.
type BucketOptions struct {
	Endpoint    string // host, with a port if it is not the usual one
	Bucket      string
	Prefix      string // without a slash at either end; empty: all of the bucket
	Region      string // empty: the object store is asked
	Insecure    bool   // HTTP without TLS
	PathStyle   bool   // the bucket is in the path of URLs, not in the name of the host
	NoChecksums bool   // requests carry no checksums, for an object store that refuses them
	CA          []byte // PEM of certificates that are trusted beside the usual ones
	Proxy       *url.URL
	Credentials Credentials
}

// Credentials are what requests are signed with: static keys, or those of a role that a token is exchanged for. With
// neither, requests are not signed.
type Credentials struct {
	AccessKey, SecretKey, SessionToken string

	RoleARN     string
	TokenFile   string // is read again before the credentials expire
	STSEndpoint string // URL; empty: that of AWS
}

// ErrOwned is returned (wrapped) when the prefix of a bucket holds the runs of another volume.
var ErrOwned = errors.New("holds the runs of another volume")

// BucketProblem is why an object store did not do what it was asked for.
type BucketProblem = s3.Problem

// Why an object store fails.
const (
	BucketNotFound     = s3.NotFound     // no such bucket
	BucketDenied       = s3.Denied       // wrong or expired credentials, or a right is missing
	BucketClockSkew    = s3.ClockSkew    // the clock of this machine or of the object store is wrong
	BucketUntrusted    = s3.Untrusted    // its certificate is not that of a known authority, or of another host
	BucketUnreachable  = s3.Unreachable  // no connection, or one that ended, or 5xx for too long
	BucketFull         = s3.Full         // a quota
	BucketIncompatible = s3.Incompatible // it does not support what is needed, such as object lock or conditional requests
)

// BucketError says that an object store did not do what it was asked for. It holds no credentials.
type BucketError struct {
	Problem BucketProblem
	Err     error
}

func (e *BucketError) Error() string { return e.Err.Error() }
func (e *BucketError) Unwrap() error { return e.Err }

// Bucket holds copies of the runs of one volume. Any number of goroutines and processes may read it. One at a time
// writes: if two do, the one that began first stops with ErrTakenOver.
type Bucket struct {
	objects objects
	at      location
	name    string // s3://<bucket>/<prefix>
	prefix  string // of keys: empty, or with a slash at its end
	writer  string // what takeOver wrote last; empty: nothing
}

var (
	_ Store  = &Bucket{}
	_ medium = &Bucket{}
)

// objects is what a bucket must do: see package s3.
type objects interface {
	io.Closer
	objectReader
	objectWriter
	objectLocker

	Requests() int64
}

type objectReader interface {
	Check(ctx context.Context, prefix string) error
	Get(ctx context.Context, key string) (io.ReadCloser, error)
	Read(ctx context.Context, key string, limit int64) ([]byte, error)
	Stat(ctx context.Context, key string) (s3.Object, error)
	List(ctx context.Context, prefix string, recursive bool) iter.Seq2[s3.Object, error]
}

type objectWriter interface {
	Create(ctx context.Context, key string, data []byte, lock *s3.Lock) error
	Put(ctx context.Context, key string, data io.ReaderAt, size int64, sum string, lock *s3.Lock) error
	Delete(ctx context.Context, keys []string) ([]s3.Refused, error)
	FindUploads(ctx context.Context, prefix string, ours func(key string) bool) error
	AbandonUploads(ctx context.Context) error
}

type objectLocker interface {
	Retain(ctx context.Context, key string, lock s3.Lock) error
	Retention(ctx context.Context, key string) (*s3.Lock, error)
}

// OpenBucket opens a place in an object store. It makes one request, and writes nothing. Errors are BucketError and
// UsageError.
func OpenBucket(ctx context.Context, opts BucketOptions) (*Bucket, error) {
	name, err := bucketName(opts)
	if err != nil {
		return nil, &UsageError{Err: err}
	}
	client, err := newClient(opts, bucketWorkers, 0)
	if err != nil {
		return nil, &UsageError{Err: err}
	}
	b := newBucket(client, name, opts.Prefix)
	b.at = locationOf(opts)
	if err := client.Check(ctx, b.prefix); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open bucket %q: %w", name, bucketError(err)), client.Close())
	}
	return b, nil
}

// bucketName checks the prefix, and returns s3://<bucket>/<prefix>.
func bucketName(opts BucketOptions) (string, error) {
	name := "s3://" + opts.Bucket
	if opts.Prefix != "" {
		name += "/" + opts.Prefix
	}
	if err := validPrefix(opts.Prefix); err != nil {
		return "", fmt.Errorf("cannot open bucket %q: %w", name, err)
	}
	return name, nil
}

// location is where a bucket is, as far as names tell: one object store may have several.
type location struct {
	endpoint, bucket string
	prefix           string // of keys: empty, or with a slash at its end
}

func locationOf(opts BucketOptions) location {
	usualPort := ":443"
	if opts.Insecure {
		usualPort = ":80"
	}
	l := location{endpoint: strings.TrimSuffix(strings.ToLower(opts.Endpoint), usualPort), bucket: opts.Bucket}
	for _, amazon := range []string{"amazonaws.com", "amazonaws.com.cn"} { // which has one bucket of a name, and many endpoints
		if strings.HasSuffix(l.endpoint, "."+amazon) {
			l.endpoint = amazon
		}
	}
	if opts.Prefix != "" {
		l.prefix = opts.Prefix + "/"
	}
	return l
}

// overlaps reports whether a key can be in both.
func (l location) overlaps(other location) bool {
	return l.endpoint == other.endpoint && l.bucket == other.bucket &&
		(strings.HasPrefix(l.prefix, other.prefix) || strings.HasPrefix(other.prefix, l.prefix))
}

// newClient makes no request. With a part size of 0, parts are as large as suits.
func newClient(opts BucketOptions, connections int, partSize int64) (*s3.Client, error) {
	client, err := s3.New(s3.Options{
		Endpoint: opts.Endpoint, Bucket: opts.Bucket, Region: opts.Region, Insecure: opts.Insecure,
		PathStyle: opts.PathStyle, NoChecksums: opts.NoChecksums, CA: opts.CA, Proxy: opts.Proxy,
		Credentials: s3.Credentials(opts.Credentials), Connections: connections, PartSize: partSize,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot open bucket %q: %w", opts.Bucket, err)
	}
	return client, nil
}

func newBucket(o objects, name, prefix string) *Bucket {
	if prefix != "" {
		prefix += "/"
	}
	return &Bucket{objects: o, name: name, prefix: prefix}
}

// validPrefix accepts what tools for object stores, and those that copy to a file system, take alike.
func validPrefix(prefix string) error {
	const maxLen = 512 // a key has at most 1024 bytes
	if prefix == "" {
		return nil
	}
	if !fs.ValidPath(prefix) || prefix == "." || len(prefix) > maxLen || strings.ContainsFunc(prefix, isControl) {
		return fmt.Errorf("prefix %q is not a path of at most %d bytes without a slash at either end", prefix, maxLen)
	}
	return nil
}

// bucketError turns the error of an object store into a BucketError.
func bucketError(err error) error {
	if e, ok := errors.AsType[*s3.Error](err); ok {
		return &BucketError{Problem: e.Problem, Err: err}
	}
	return err
}

func (b *Bucket) String() string { return b.name }

// Close releases the bucket.
func (b *Bucket) Close() error { return b.objects.Close() }

// Requests is how many requests were made so far.
func (b *Bucket) Requests() int64 { return b.objects.Requests() }

// CopyOptions says what to copy.
type CopyOptions struct {
	Runs     []string       // IDs, in the order in which they are copied
	Owner    string         // identifies the volume, see ErrOwned; at most 1 KiB of printable text
	Lock     *ObjectLock    // nil: the bucket's own setting counts
	Mend     bool           // also send what the bucket has lost of runs that it has; damaged objects have to be deleted before
	Workers  int            // how many requests at a time; 0: as many as suit
	Progress func(Progress) // as in WriteOptions
}

// ObjectLock keeps objects from being deleted or replaced.
type ObjectLock struct {
	Compliance bool          // nobody may; else those may whom the object store allows it
	For        time.Duration // at least: see package archive
}

// CopyResult says what was copied.
type CopyResult struct {
	Runs     []string // those that are in the bucket by now and were not before
	Files    int64    // objects that were sent, lists and manifests included
	Bytes    int64    // of them
	Warnings []string
}
