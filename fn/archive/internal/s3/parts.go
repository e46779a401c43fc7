package s3

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // see its use
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
)

const (
	maxParts    = 10_000
	partsAtOnce = 4
	abortTime   = 30 * time.Second
)

// upload is one object that is sent in parts. Parts are read where they are, twice: for their digest and to be sent. So
// no part is ever in memory.
type upload struct {
	c      *Client
	key    string
	id     string
	r      io.ReaderAt
	size   int64
	how    manner
	parts  []minio.CompletePart
	length int64                    // of a part
	there  map[int]minio.ObjectPart // of an upload that an earlier call left; nil: it is a new one
}

func (c *Client) putParts(ctx context.Context, key string, r io.ReaderAt, size int64, digest []byte, how manner) error {
	if how.fresh { // a request that completes an upload cannot ask for it: minio-go drops the condition
		switch _, err := c.stat(ctx, key); {
		case err == nil:
			return errPrecondition
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		how.fresh = false
	}
	u := &upload{c: c, key: key, r: r, size: size, how: how, length: partLength(size, c.opts.PartSize)}
	u.parts = make([]minio.CompletePart, (size+u.length-1)/u.length)
	if !u.resume(ctx) {
		if err := u.begin(ctx); err != nil {
			return err
		}
	}
	err := u.send(ctx, digest)
	if err == nil {
		err = u.complete(ctx)
	}
	if err == nil || u.stays(ctx, err) {
		return err
	}
	u.abort(ctx)
	if u.there != nil && ctx.Err() == nil && !errors.Is(err, ErrDigest) {
		return c.putParts(ctx, key, r, size, digest, how) // somebody ended it, or it was begun in another way
	}
	return err
}

// partLength is the usual one unless there were too many.
func partLength(size, usual int64) int64 {
	const unit = 1 << 20
	least := (size + maxParts - 1) / maxParts
	return max(usual, (least+unit-1)/unit*unit)
}

func (u *upload) begin(ctx context.Context) error {
	var opts minio.PutObjectOptions
	if !u.c.opts.NoChecksums {
		opts.UserMetadata = map[string]string{"X-Amz-Checksum-Algorithm": "SHA256"}
	}
	u.how.apply(&opts)
	return u.c.do(u.how.headers.sent(ctx), "write object", u.key, func(ctx context.Context, core *minio.Core, _ int) (err error) {
		u.id, err = core.NewMultipartUpload(ctx, u.c.opts.Bucket, u.key, opts)
		return err
	})
}

// send sends all parts, and proves that together they are what was asked for: the object store knows only the digests
// of parts.
func (u *upload) send(ctx context.Context, digest []byte) error {
	g, parts := errgroup.WithContext(ctx)
	g.SetLimit(partsAtOnce)
	whole := sha256.New()
	for i := range u.parts {
		from := int64(i) * u.length
		size := min(u.length, u.size-from)
		part, named := sha256.New(), md5.New() //nolint:gosec // what object stores name parts by
		digests := io.MultiWriter(whole, part)
		if u.there != nil {
			digests = io.MultiWriter(whole, part, named)
		}
		if err := u.sum(from, size, digests); err != nil {
			g.Go(func() error { return err })
		}
		if parts.Err() != nil {
			break
		}
		if u.has(i, size, part.Sum(nil), named.Sum(nil)) {
			continue
		}
		g.Go(func() error { return u.part(parts, i, from, size, part.Sum(nil)) })
	}
	if err := errors.Join(g.Wait(), context.Cause(ctx)); err != nil {
		return err
	}
	if !bytes.Equal(whole.Sum(nil), digest) {
		return fmt.Errorf("cannot write object %q: %w", u.key, ErrDigest)
	}
	return nil
}

func (u *upload) sum(from, size int64, digests io.Writer) error {
	n, err := io.Copy(digests, section(u.r, from, size))
	if err == nil && n < size {
		err = fmt.Errorf("%w: it ends at byte %d of %d", ErrDigest, from+n, u.size)
	}
	if err != nil {
		return fmt.Errorf("cannot write object %q: %w", u.key, err)
	}
	return nil
}

func (u *upload) part(ctx context.Context, i int, from, size int64, digest []byte) error {
	select {
	case u.c.parts <- struct{}{}:
		defer func() { <-u.c.parts }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return u.c.do(ctx, "write object", u.key, func(ctx context.Context, core *minio.Core, _ int) error {
		opts, err := u.partOptions(from, size, digest)
		if err != nil {
			return &localError{err}
		}
		body, err := newChecked(section(u.r, from, size), digest)
		if err != nil {
			return err
		}
		sent, err := core.PutObjectPart(ctx, u.c.opts.Bucket, u.key, u.id, i+1, body, size, opts)
		u.parts[i] = u.completed(i, sent.ETag, digest)
		return body.failure(err)
	})
}

func (u *upload) completed(i int, etag string, digest []byte) minio.CompletePart {
	part := minio.CompletePart{PartNumber: i + 1, ETag: etag}
	if !u.c.opts.NoChecksums {
		part.ChecksumSHA256 = base64.StdEncoding.EncodeToString(digest)
	}
	return part
}

func (u *upload) partOptions(from, size int64, digest []byte) (minio.PutObjectPartOptions, error) {
	opts := minio.PutObjectPartOptions{Sha256Hex: hex.EncodeToString(digest), DisableContentSha256: true}
	if !u.c.opts.NoChecksums {
		opts.CustomHeader = http.Header{"X-Amz-Checksum-Sha256": {base64.StdEncoding.EncodeToString(digest)}}
	}
	var err error
	if u.c.needsMD5(u.how.lock) {
		opts.Md5Base64, err = sumMD5(section(u.r, from, size))
	}
	return opts, err
}

func (u *upload) complete(ctx context.Context) error {
	tries := 0
	err := u.c.do(ctx, "write object", u.key, func(ctx context.Context, core *minio.Core, attempt int) error {
		tries = attempt
		_, err := core.CompleteMultipartUpload(ctx, u.c.opts.Bucket, u.key, u.id, u.parts, minio.PutObjectOptions{})
		return err
	})
	if tries > 0 && errors.Is(err, errNoUpload) { // an attempt that got no answer succeeded
		if o, err := u.c.Stat(ctx, u.key); err == nil && o.Size == u.size {
			return nil
		}
	}
	return err
}

// abort frees what parts take. It outlives a context that is done, and is tried once: buckets have rules for what is left.
func (u *upload) abort(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	if core, err := u.c.connected(ctx); err == nil {
		_ = core.AbortMultipartUpload(ctx, u.c.opts.Bucket, u.key, u.id)
	}
}
