package archive

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"strconv"
	"time"

	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/progress"
	"threescale.dev/backup/fn/archive/internal/refill"
	"threescale.dev/backup/fn/archive/internal/s3"
	"threescale.dev/backup/fn/archive/internal/tree"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// fileBucketWorkers is how many objects of a file storage are read or written at a time, beside what 3scale does there.
const fileBucketWorkers = 32

// fileBucketPart is what is written to a file storage by one request: as good as everything, since a condition that
// there is no object holds only for one request, and since what is read of a run comes in one piece.
const fileBucketPart = 4 << 30

// fileBucket is a file storage in an object store.
type fileBucket struct {
	client *s3.Client
	name   string // s3://<bucket>/<prefix>
	prefix string // of keys: empty, or with a slash at its end

	leaveOut func(path string) bool // nil: nothing
}

// openFileBucket makes no request.
func openFileBucket(opts BucketOptions) (*fileBucket, error) {
	name, err := bucketName(opts)
	if err != nil {
		return nil, err
	}
	client, err := newClient(opts, fileBucketWorkers, fileBucketPart)
	if err != nil {
		return nil, err
	}
	b := &fileBucket{client: client, name: name}
	if opts.Prefix != "" {
		b.prefix = opts.Prefix + "/"
	}
	return b, nil
}

// Close may be called on nil.
func (b *fileBucket) Close() error {
	if b == nil {
		return nil
	}
	return b.client.Close()
}

func (b *fileBucket) open(ctx context.Context, path string) (*s3.Content, error) {
	return b.client.Open(ctx, b.prefix+path)
}

// backups finds the runs of a [Bucket] in a list of keys.
type backups struct{ owned map[string]bool }

// hold reports whether a key shows that there is a run. Keys come in order: the name of the owner is before those of runs.
func (b *backups) hold(key string) bool {
	dir, name := path.Split(key)
	if name == ownerName {
		if b.owned == nil {
			b.owned = make(map[string]bool)
		}
		b.owned[dir] = true
	}
	if name != manifestName {
		return false
	}
	above, runs := path.Split(path.Dir(path.Clean(dir)))
	return runs == runsDir && b.owned[above]
}

// scan lists all objects. Where backups are, no file storage is: it is an error.
func (b *fileBucket) scan(ctx context.Context, stamps objectStamps, meter *progress.Meter) (*walk.Found, error) {
	const often = 1000 // keys in a page
	keys := walk.NewKeyLister()
	count := int64(0)
	var own backups
	for o, err := range b.client.List(ctx, b.prefix, true) {
		if err != nil {
			return nil, b.explain("list", err)
		}
		if own.hold(o.Key) {
			return nil, &UsageError{Err: fmt.Errorf("cannot use %q as file storage: there are backups in it, such as %q: name the prefix or the bucket that only the file storage has", b.name, o.Key)}
		}
		if b.leaveOut != nil && b.leaveOut(o.Key[len(b.prefix):]) {
			continue
		}
		keys.Add(o.Key[len(b.prefix):], o.Size, o.Modified, stamps.stamp(o))
		if count++; count%often == 0 {
			meter.Add(often, 0)
		}
	}
	meter.Add(count%often, 0)
	return keys.Found(), nil
}

// explain tells which right is missing, where that is all that is wrong.
func (b *fileBucket) explain(verb string, err error) error {
	if store, ok := errors.AsType[*s3.Error](err); ok && store.Problem == s3.Denied && verb == "list" {
		return bucketError(fmt.Errorf("cannot list the objects of file storage %q, which needs the right s3:ListBucket: %w", b.name, err))
	}
	return bucketError(fmt.Errorf("cannot %s the objects of file storage %q: %w", verb, b.name, err))
}

// objectStamps makes stamps of ETags. The ETag of an object may be a digest of its content, which an encrypted run tells
// to nobody: there the stamp needs a key. Where there is none, the time of the last change is all that counts.
type objectStamps struct {
	key    []byte
	byTime bool
	before time.Time // a later change may have the same time
}

// clockSkew is how wrong a clock may be that an object store accepts requests of.
const clockSkew = 15 * time.Minute

func newObjectStamps(opts BucketOptions, encrypted bool, now time.Time) objectStamps {
	s := objectStamps{before: now.Add(-clockSkew - time.Second)}
	if encrypted {
		s.key = []byte(opts.Credentials.SecretKey)
		s.byTime = len(s.key) == 0
	}
	return s
}

// stamp stands for what tells that an object was written: 0 where nothing does.
func (s objectStamps) stamp(o s3.Object) uint64 {
	text := o.ETag
	if s.byTime {
		text = ""
		if o.Modified.Before(s.before) {
			text = strconv.FormatInt(o.Modified.Unix(), 10)
		}
	}
	if text == "" {
		return 0
	}
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte(text))
	return max(1, binary.BigEndian.Uint64(h.Sum(nil)))
}

// scanBucket lists the file storage where it is in an object store.
func (t *treeWriter) scanBucket(ctx context.Context) (err error) {
	opts := *t.opts.FilesBucket
	if t.bucket, err = openFileBucket(opts); err != nil {
		return &UsageError{Err: err}
	}
	t.bucket.leaveOut = func(path string) bool {
		isMarker := refill.IsMarkerName(path)
		if isMarker {
			t.warn(fmt.Sprintf("object %q was left out: a restore into this bucket is under way, or was interrupted and has to be made again", lists.Escape(t.bucket.prefix+path)))
		}
		return isMarker
	}
	t.progress.Begin(progress.Scan, 0, 0)
	stamps := newObjectStamps(opts, t.sealer != nil, t.opts.Now())
	if t.scanned, err = t.bucket.scan(ctx, stamps, t.progress); err != nil {
		return err
	}
	if len(t.scanned.Unreadable) > 0 {
		return t.unreadable(t.scanned.Unreadable)
	}
	t.inBucket = &tree.Objects{Open: t.bucket.open, Stamp: stamps.stamp}
	return nil
}
