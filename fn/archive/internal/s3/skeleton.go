package s3

import (
	"context"
	"errors"
	"io"
	"iter"
)

// Client speaks to one bucket. Any number of goroutines may use it.
type Client struct{}

// New makes no request.
func New(Options) (*Client, error) { return nil, errors.ErrUnsupported }

// Close ends idle connections.
func (c *Client) Close() error { return nil }

// Requests is how many requests were made so far.
func (c *Client) Requests() int64 { return 0 }

// Check asks for a list of one key.
func (c *Client) Check(context.Context, string) error { return errors.ErrUnsupported }

// Get reads an object. It is fs.ErrNotExist (wrapped) if there is none. What breaks in the middle goes on where it ended,
// of the same object.
func (c *Client) Get(context.Context, string) (io.ReadCloser, error) {
	return nil, errors.ErrUnsupported
}

// Read reads an object of at most limit bytes.
func (c *Client) Read(_ context.Context, _ string, _ int64) ([]byte, error) {
	return nil, errors.ErrUnsupported
}

// Stat says what there is. It is fs.ErrNotExist (wrapped) if there is none.
func (c *Client) Stat(context.Context, string) (Object, error) {
	return Object{}, errors.ErrUnsupported
}

// Create writes an object that there is not yet. It is fs.ErrExist (wrapped) if there is one.
func (c *Client) Create(_ context.Context, _ string, _ []byte, _ *Lock) error {
	return errors.ErrUnsupported
}

// Put writes an object, whose SHA-256 in hexadecimal is sum. It is ErrDigest (wrapped) if the bytes have another.
func (c *Client) Put(_ context.Context, _ string, _ io.ReaderAt, _ int64, _ string, _ *Lock) error {
	return errors.ErrUnsupported
}

// List lists objects in the order of their keys. With a delimiter, keys that have it after the prefix are one common
// prefix. It ends with the first error.
func (c *Client) List(_ context.Context, _, _ string) iter.Seq2[Object, error] {
	return func(func(Object, error) bool) {}
}

// Delete deletes objects; what is not there is no error. In a bucket with versions they stay below a delete marker.
func (c *Client) Delete(context.Context, []string) ([]Refused, error) {
	return nil, errors.ErrUnsupported
}

// Retain locks an object that there is; a lock can only be extended.
func (c *Client) Retain(context.Context, string, Lock) error { return errors.ErrUnsupported }

// Retention returns the lock of an object, nil if it has none.
func (c *Client) Retention(context.Context, string) (*Lock, error) {
	return nil, errors.ErrUnsupported
}
