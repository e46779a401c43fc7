package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// fruitless is how many connections in a row may end without a byte before an object counts as unreadable.
const fruitless = 5

// Check asks for a list of one key below a prefix.
func (c *Client) Check(ctx context.Context, prefix string) error {
	return c.do(ctx, "list objects of bucket", c.opts.Bucket, func(ctx context.Context, core *minio.Core, _ int) error {
		for o := range core.ListObjectsIter(ctx, c.opts.Bucket, listOptions(prefix, true, "", 1)) {
			return o.Err
		}
		return ctx.Err()
	})
}

// List lists objects. Recursive lists all below a prefix, in the order of their keys; else what has a slash after the
// prefix is one common prefix, and the order is any. It ends with the first error.
func (c *Client) List(ctx context.Context, prefix string, recursive bool) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		l := &listing{c: c, prefix: prefix, recursive: recursive, yield: yield}
		for l.again = true; l.again; {
			l.again = false
			if err := c.do(ctx, "list objects below", prefix, l.pages); err != nil {
				yield(Object{}, err)
				return
			}
		}
	}
}

// listing is one list, over as many attempts as it takes.
type listing struct {
	c         *Client
	prefix    string
	recursive bool
	yield     func(Object, error) bool
	last      string // key that was listed
	again     bool   // it broke after something came, and is tried with all patience again
}

func (l *listing) pages(ctx context.Context, core *minio.Core, _ int) error {
	from := l.last
	var order inOrder
	for o := range core.ListObjectsIter(ctx, l.c.opts.Bucket, listOptions(l.prefix, l.recursive, from, 0)) {
		if o.Err != nil {
			if l.last == from {
				return o.Err
			}
			l.again = true
			return nil
		}
		if err := order.next(o.Key, l.recursive); err != nil {
			return &localError{err}
		}
		if from != "" && o.Key <= from {
			continue
		}
		l.last = max(l.last, o.Key)
		if !l.yield(Object{Key: o.Key, Size: o.Size, ETag: o.ETag, Modified: o.LastModified}, nil) {
			return nil
		}
	}
	return ctx.Err()
}

// inOrder is what was listed last. A list that goes back may never end.
type inOrder struct{ key, prefix string }

func (i *inOrder) next(key string, recursive bool) error {
	last := &i.key
	if !recursive && strings.HasSuffix(key, "/") { // common prefixes come after the keys of each page
		last = &i.prefix
	}
	if *last != "" && key <= *last {
		return &Error{Incompatible, fmt.Errorf("it lists %q after %q", key, *last)}
	}
	*last = key
	return nil
}

func listOptions(prefix string, recursive bool, after string, limit int) minio.ListObjectsOptions {
	return minio.ListObjectsOptions{Prefix: prefix, Recursive: recursive, StartAfter: after, MaxKeys: limit, FetchOwner: new(bool)}
}

// Stat says what there is. It is fs.ErrNotExist (wrapped) if there is none.
func (c *Client) Stat(ctx context.Context, key string) (Object, error) {
	o, err := c.stat(ctx, key)
	return Object{Key: key, Size: o.Size, ETag: o.ETag, Modified: o.LastModified}, err
}

func (c *Client) stat(ctx context.Context, key string) (o minio.ObjectInfo, err error) {
	err = c.do(ctx, "look at object", key, func(ctx context.Context, core *minio.Core, _ int) (err error) {
		o, err = core.StatObject(ctx, c.opts.Bucket, key, minio.StatObjectOptions{})
		return c.reason(ctx, core, key, err)
	})
	return o, err
}

// reason asks with a request whose answer has a body for what the header alone did not tell: whether the object is not
// there, or the bucket, or the clock is wrong, or credentials expired, or a right is missing.
func (c *Client) reason(ctx context.Context, core *minio.Core, key string, err error) error {
	status := minio.ToErrorResponse(err).StatusCode
	if status < http.StatusMultipleChoices || status >= http.StatusInternalServerError || status == http.StatusTooManyRequests {
		return err
	}
	var first minio.GetObjectOptions
	if err := first.SetRange(0, 1); err != nil {
		return err
	}
	body, _, _, reason := core.GetObject(ctx, c.opts.Bucket, key, first)
	if reason != nil {
		return reason
	}
	body.Close()
	return err
}

// Read reads an object of at most limit bytes.
func (c *Client) Read(ctx context.Context, key string, limit int64) ([]byte, error) {
	r, err := c.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("cannot read object %q: it has more than %d bytes", key, limit)
	}
	return data, err
}

// ErrReplaced is returned (wrapped) when an object was written anew while it was read.
var ErrReplaced = errors.New("it was replaced meanwhile")

// Get reads an object. It is fs.ErrNotExist (wrapped) if there is none. What breaks in the middle goes on where it ended,
// of the same object.
func (c *Client) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	r := &reader{c: c, ctx: ctx, key: key, size: -1}
	if err := r.open(); err != nil {
		return nil, err
	}
	return r, nil
}

// Content is an object that is read. All of it is of one request, or of further ones for the same object.
type Content struct {
	io.ReadCloser
	Object
	Headers Headers
}

// Open reads an object as Get does, and tells what it is: as of the answer, which may be later than a list.
func (c *Client) Open(ctx context.Context, key string) (*Content, error) {
	r := &reader{c: c, ctx: ctx, key: key, size: -1}
	if err := r.open(); err != nil {
		return nil, err
	}
	return &Content{ReadCloser: r, Object: Object{Key: key, Size: r.size, ETag: r.etag, Modified: r.modified}, Headers: r.headers}, nil
}

// reader is the content of an object, over as many connections as it takes.
type reader struct {
	c        *Client
	ctx      context.Context
	key      string
	body     io.ReadCloser
	etag     string
	modified time.Time
	headers  Headers
	offset   int64
	size     int64 // -1 if the server does not tell
	vain     int   // connections that ended without a byte
}

func (r *reader) open() error {
	var o minio.GetObjectOptions
	if r.offset > 0 {
		if err := o.SetRange(r.offset, 0); err != nil {
			return err
		}
	}
	if r.etag != "" {
		if err := o.SetMatchETag(r.etag); err != nil {
			return err
		}
	}
	err := r.c.do(r.ctx, "read object", r.key, func(ctx context.Context, core *minio.Core, _ int) error {
		body, info, header, err := core.GetObject(ctx, r.c.opts.Bucket, r.key, o)
		if err != nil {
			return err
		}
		return r.start(body, info, header)
	})
	if errors.Is(err, errPrecondition) {
		return fmt.Errorf("cannot read object %q: %w", r.key, ErrReplaced)
	}
	return err
}

func (r *reader) start(body io.ReadCloser, info minio.ObjectInfo, header http.Header) error {
	switch {
	case r.body == nil:
		r.etag, r.size, r.modified, r.headers = info.ETag, info.Size, info.LastModified, headersOf(header)
	case info.ETag != r.etag: // the server does not know If-Match
		body.Close()
		return &localError{errPrecondition}
	}
	r.body = body
	if r.offset > 0 && !strings.HasPrefix(header.Get("Content-Range"), fmt.Sprintf("bytes %d-", r.offset)) {
		if _, err := io.CopyN(io.Discard, body, r.offset); err != nil { // the server knows no ranges
			body.Close()
			return err
		}
	}
	return nil
}

func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if r.size >= 0 && r.offset >= r.size {
			return 0, io.EOF
		}
		n, err := r.body.Read(p)
		r.offset += int64(n)
		if n > 0 {
			r.vain = 0
			return n, nil // what is wrong comes again
		}
		if err == nil || r.ctx.Err() == nil && errors.Is(err, io.EOF) && r.size < 0 {
			return 0, err
		}
		if err := r.resume(err); err != nil {
			return 0, err
		}
	}
}

func (r *reader) resume(cause error) error {
	r.body.Close()
	if r.ctx.Err() != nil {
		return fmt.Errorf("cannot read object %q: %w", r.key, context.Cause(r.ctx))
	}
	if r.vain++; r.vain > fruitless {
		return fmt.Errorf("cannot read object %q after byte %d of %d: %w", r.key, r.offset, r.size, &Error{Unreachable, notEnd(cause)})
	}
	select {
	case <-r.ctx.Done():
	case <-time.After(r.c.opts.Backoff.wait(r.vain - 1)):
	}
	return r.open()
}

func (r *reader) Close() error { return r.body.Close() }
