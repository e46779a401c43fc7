package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"
)

// Store is where runs are read from: a [Volume] or a [Bucket].
type Store interface {
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
type BucketProblem string

// Why an object store fails.
const (
	BucketNotFound     BucketProblem = "NotFound"     // no such bucket
	BucketDenied       BucketProblem = "Denied"       // wrong or expired credentials, or a right is missing
	BucketClockSkew    BucketProblem = "ClockSkew"    // the clock of this machine or of the object store is wrong
	BucketUntrusted    BucketProblem = "Untrusted"    // its certificate is not that of a known authority, or of another host
	BucketUnreachable  BucketProblem = "Unreachable"  // no connection, or one that ended, or 5xx for too long
	BucketFull         BucketProblem = "Full"         // a quota
	BucketIncompatible BucketProblem = "Incompatible" // it does not support what is needed, such as object lock or conditional requests
)

// BucketError says that an object store did not do what it was asked for. It holds no credentials.
type BucketError struct {
	Problem BucketProblem
	Err     error
}

func (e *BucketError) Error() string { return e.Err.Error() }
func (e *BucketError) Unwrap() error { return e.Err }

// Bucket holds copies of the runs of one volume. Any number of goroutines and processes may read it; one process at a
// time writes.
type Bucket struct{}

var _ Store = &Bucket{}

// OpenBucket opens a place in an object store. It makes one request, and writes nothing. Errors are BucketError and
// UsageError.
func OpenBucket(context.Context, BucketOptions) (*Bucket, error) { return nil, errors.ErrUnsupported }

func (b *Bucket) String() string { return "" }

// Close releases the bucket.
func (b *Bucket) Close() error { return nil }

// Requests is how many requests were made so far.
func (b *Bucket) Requests() int64 { return 0 }

// Runs lists the runs, oldest first, as Volume.Runs does.
func (b *Bucket) Runs(context.Context) ([]RunInfo, error) { return nil, errors.ErrUnsupported }

// Pointed returns nil: nothing in a bucket points to a run.
func (b *Bucket) Pointed(context.Context) (*RunInfo, error) { return nil, nil }

// OpenRun opens a run, as Volume.OpenRun does.
func (b *Bucket) OpenRun(context.Context, string) (*Run, error) { return nil, errors.ErrUnsupported }

// Verify reads a run again, as Volume.Verify does.
func (b *Bucket) Verify(context.Context, string, VerifyOptions) (*VerifyReport, error) {
	return nil, errors.ErrUnsupported
}

// VerifyRuns reads all runs again, as Volume.VerifyRuns does.
func (b *Bucket) VerifyRuns(context.Context, VerifyRunsOptions) (*VolumeReport, error) {
	return nil, errors.ErrUnsupported
}

// CopyOptions says what to copy.
type CopyOptions struct {
	Runs     []string       // IDs, in the order in which they are copied
	Owner    string         // identifies the volume, see ErrOwned; at most 1 KiB of printable text
	Lock     *ObjectLock    // nil: the bucket's own setting counts
	Workers  int            // how many requests at a time; 0: as many as suit
	Progress func(Progress) // as in WriteOptions
}

// ObjectLock keeps objects from being deleted or replaced.
type ObjectLock struct {
	Compliance bool // nobody may; else those may whom the object store allows it
	For        time.Duration
}

// CopyResult says what was copied.
type CopyResult struct {
	Runs     []string // those that are in the bucket by now and were not before
	Files    int64    // objects that were sent, lists and manifests included
	Bytes    int64    // of them
	Warnings []string
}

// Copy copies runs of a volume into the bucket. What the bucket has is not sent again, so that a copy that was
// interrupted goes on. A run is there once its manifest is, which is sent last. A run that cannot be read, or is not
// what its lists say, is an IntegrityError, and is not copied. Errors are also ErrRunNotFound, ErrOwned, BucketError and
// ctx's; the result is valid with an error, too.
func (b *Bucket) Copy(context.Context, *Volume, CopyOptions) (CopyResult, error) {
	return CopyResult{}, errors.ErrUnsupported
}

// Fetch copies runs of the bucket onto a volume, where each becomes a run like any other, with its sequence. A run that
// the volume has already is proven to be the same and left alone. Holder is as in WriteOptions. Errors are also
// IntegrityError, LockedError and NoSpaceError.
func (b *Bucket) Fetch(_ context.Context, _ *Volume, _ CopyOptions, _ string) (CopyResult, error) {
	return CopyResult{}, errors.ErrUnsupported
}

// Remove removes runs, and then what no other run refers to. What an object store refuses to delete, because it is
// locked or this user may not, stays, and a warning says so.
func (b *Bucket) Remove(context.Context, []string) (*RemoveResult, error) {
	return nil, errors.ErrUnsupported
}
