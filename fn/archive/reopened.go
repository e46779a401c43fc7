package archive

import (
	"errors"
	"io"
	"io/fs"
	"sync"
)

// reopened reads a file at offsets that mostly follow each other: it is opened again to go back. A request that failed
// may read on while the next one begins.
type reopened struct {
	open func() (io.ReadCloser, error)

	mu     sync.Mutex
	in     io.ReadCloser
	at     int64
	closed bool
}

// ReadAt reads as io.ReaderAt says. After Close it is fs.ErrClosed.
func (r *reopened) ReadAt(p []byte, offset int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, fs.ErrClosed
	}
	if r.in == nil || offset < r.at {
		if err := r.begin(); err != nil {
			return 0, err
		}
	}
	skipped, err := io.CopyN(io.Discard, r.in, offset-r.at)
	r.at += skipped
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(r.in, p)
	r.at += int64(n)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

func (r *reopened) begin() error {
	if r.in != nil {
		_ = r.in.Close() // it was only read
	}
	r.at = 0
	in, err := r.open()
	if err != nil {
		r.in = nil
		return err
	}
	r.in = in
	return nil
}

// Close closes the file.
func (r *reopened) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.in == nil {
		return nil
	}
	in := r.in
	r.in = nil
	return in.Close()
}
