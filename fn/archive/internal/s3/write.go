package s3

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // object stores with object lock and without checksums ask for it
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"sync/atomic"

	"github.com/minio/minio-go/v7"
)

// Create writes an object that there is not yet. It is fs.ErrExist (wrapped) if there is one.
func (c *Client) Create(ctx context.Context, key string, data []byte, lock *Lock) error {
	sum := sha256.Sum256(data)
	tries := 0
	err := c.do(ctx, "create object", key, func(ctx context.Context, core *minio.Core, attempt int) error {
		tries = attempt
		opts, md5sum, err := c.putOptions(sum[:], manner{lock: lock}, bytes.NewReader(data))
		if err != nil {
			return &localError{err}
		}
		opts.SetMatchETagExcept("*")
		_, err = core.PutObject(ctx, c.opts.Bucket, key, bytes.NewReader(data), int64(len(data)), md5sum, hex.EncodeToString(sum[:]), opts)
		return err
	})
	if !errors.Is(err, errPrecondition) {
		return err
	}
	// An attempt that got no answer may have succeeded.
	if tries > 0 {
		if stored, err := c.Read(ctx, key, int64(len(data))); err == nil && bytes.Equal(stored, data) {
			return nil
		}
	}
	return fmt.Errorf("cannot create object %q: %w", key, fs.ErrExist)
}

// Put writes an object, whose SHA-256 in hexadecimal is sum. It is ErrDigest (wrapped) if the bytes have another; then
// nothing is written.
func (c *Client) Put(ctx context.Context, key string, r io.ReaderAt, size int64, sum string, lock *Lock) error {
	return c.put(ctx, key, r, size, sum, manner{lock: lock})
}

// PutWith is Put with headers of the object. Fresh, it is fs.ErrExist (wrapped) if there is an object with other content;
// two writers of one object that is sent in parts may miss each other.
func (c *Client) PutWith(ctx context.Context, key string, r io.ReaderAt, size int64, sum string, headers Headers, fresh bool) error {
	err := c.put(ctx, key, r, size, sum, manner{headers: headers, fresh: fresh})
	if !errors.Is(err, errPrecondition) {
		return err
	}
	// An attempt that got no answer may have succeeded.
	if there, err := c.holds(ctx, key, size, sum); there || err != nil {
		return err
	}
	return fmt.Errorf("cannot write object %q: %w", key, fs.ErrExist)
}

// holds reports whether there is an object with that content.
func (c *Client) holds(ctx context.Context, key string, size int64, sum string) (bool, error) {
	r, err := c.Open(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer r.Close()
	if r.Size != size {
		return false, nil
	}
	h := sha256.New()
	_, err = io.Copy(h, r)
	return err == nil && hex.EncodeToString(h.Sum(nil)) == sum, err
}

// manner is how an object is written.
type manner struct {
	lock    *Lock
	headers Headers
	fresh   bool // there must be none
}

func (m manner) apply(opts *minio.PutObjectOptions) {
	m.lock.apply(opts)
	m.headers.apply(opts)
	if m.fresh {
		opts.SetMatchETagExcept("*")
	}
}

func (c *Client) put(ctx context.Context, key string, r io.ReaderAt, size int64, sum string, how manner) error {
	digest, err := hex.DecodeString(sum)
	if err != nil || len(digest) != sha256.Size {
		return fmt.Errorf("cannot write object %q: %q is no SHA-256", key, sum)
	}
	if size > c.opts.PartSize {
		return c.putParts(ctx, key, r, size, digest, how)
	}
	return c.do(how.headers.sent(ctx), "write object", key, func(ctx context.Context, core *minio.Core, _ int) error {
		opts, md5sum, err := c.putOptions(digest, how, section(r, 0, size))
		if err != nil {
			return &localError{err}
		}
		body, err := newChecked(section(r, 0, size), digest)
		if err != nil {
			return err
		}
		_, err = core.PutObject(ctx, c.opts.Bucket, key, body, size, md5sum, sum, opts)
		return body.failure(err)
	})
}

func section(r io.ReaderAt, from, size int64) *io.SectionReader {
	return io.NewSectionReader(r, from, size)
}

// putOptions has the payload signed as a whole, in one request that any object store understands: minio-go would cut it
// into signed chunks else.
func (c *Client) putOptions(digest []byte, how manner, content io.Reader) (opts minio.PutObjectOptions, md5sum string, err error) {
	opts.DisableContentSha256 = true
	if !c.opts.NoChecksums {
		opts.UserMetadata = map[string]string{"X-Amz-Checksum-Sha256": base64.StdEncoding.EncodeToString(digest)}
	}
	if c.needsMD5(how.lock) {
		md5sum, err = sumMD5(content)
	}
	how.apply(&opts)
	return opts, md5sum, err
}

// needsMD5 reports whether a request needs a digest that is not the checksum: one with a lock needs either.
func (c *Client) needsMD5(lock *Lock) bool { return lock != nil && c.opts.NoChecksums }

func (l *Lock) apply(opts *minio.PutObjectOptions) {
	if l != nil {
		opts.Mode, opts.RetainUntilDate = l.mode(), l.Until
	}
}

func (l *Lock) mode() minio.RetentionMode {
	if l.Compliance {
		return minio.Compliance
	}
	return minio.Governance
}

func sumMD5(r io.Reader) (string, error) {
	h := md5.New() //nolint:gosec // see the import
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil)), nil
}

// checked is content that is sent to its end only if it has a digest. A request whose body ends early writes nothing.
type checked struct {
	r    io.Reader
	left int64
	hash hash.Hash
	want []byte
	err  atomic.Pointer[localError] // why it ended early; a transport may read on when a request has failed
}

func newChecked(content *io.SectionReader, digest []byte) (*checked, error) {
	b := &checked{r: content, left: content.Size(), hash: sha256.New(), want: digest}
	if b.left > 0 {
		return b, nil
	}
	return b, b.check() // nobody reads what has no bytes
}

func (b *checked) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.hash.Write(p[:n])
	b.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF) && b.left > 0:
		return 0, b.end(fmt.Errorf("%w: it is %d bytes shorter", ErrDigest, b.left))
	case err != nil && !errors.Is(err, io.EOF):
		return 0, b.end(err)
	case b.left <= 0:
		if err := b.check(); err != nil {
			return 0, err
		}
	}
	return n, err
}

func (b *checked) check() error {
	if bytes.Equal(b.hash.Sum(nil), b.want) {
		return nil
	}
	return b.end(ErrDigest)
}

func (b *checked) end(err error) error {
	local := &localError{err}
	b.err.Store(local)
	return local
}

// failure prefers why the content ended to what became of the request.
func (b *checked) failure(err error) error {
	if local := b.err.Load(); local != nil {
		return local
	}
	return err
}
