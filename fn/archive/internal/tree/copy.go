package tree

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/seal"
	"threescale.dev/backup/fn/archive/internal/walk"
)

const (
	copyBuffer = 32 << 10
	maxTries   = 3 // readings of a file that keeps changing
)

// errGone says that an entry vanished, or became something else, after it was scanned.
var errGone = errors.New("no longer there")

// sourceError is an error of reading the file storage, as opposed to writing the volume.
type sourceError struct{ error }

func (e *sourceError) Unwrap() error { return e.error }

// copier copies one file at a time and computes the digest of what it stores.
type copier struct {
	sealer *seal.Sealer
	bare   bool
	secret *Contents
	stamps walk.Stamper
	xattrs walk.XattrReader
	fsync  bool // after each file, where one sync of the file system does not reach the server
	buf    []byte
	hash   hash.Hash     // of what is stored
	plain  hash.Hash     // of the plaintext
	out    *bufio.Writer // of an age stream
}

func newCopier(o *Options) *copier {
	c := &copier{
		sealer: o.Sealer, bare: o.Bare, secret: o.Contents, stamps: o.Stamper, xattrs: walk.XattrReader{Keep: o.Keep}, fsync: o.Fsync,
		buf: make([]byte, copyBuffer), hash: sha256.New(), plain: sha256.New(),
	}
	if o.Sealer != nil {
		c.out = bufio.NewWriterSize(nil, copyBuffer)
	}
	return c
}

// copy stores a file of the open directory src in dst, under the same name, and brings the entry up to date with what
// was stored. It returns false if the file kept changing while it was read. With an error it leaves nothing.
func (c *copier) copy(ctx context.Context, src, dst int, name string, e *lists.Entry) (stable bool, err error) {
	in, err := openSource(src, name)
	if err != nil {
		return false, err
	}
	defer unix.Close(in)
	out, err := dirfd.OpenAt(dst, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return false, dirfd.Taken(err)
	}
	for try := 1; !stable && try <= maxTries && err == nil; try++ {
		if try > 1 {
			err = restart(in, out)
		}
		if err == nil {
			stable, err = c.attempt(ctx, in, out, e)
		}
	}
	if err == nil {
		err = c.finish(out, dst, name, e)
	}
	if err = errors.Join(err, unix.Close(out)); err != nil {
		err = errors.Join(err, unix.Unlinkat(dst, name, 0))
	}
	return stable, err
}

func openSource(dir int, name string) (int, error) {
	fd, err := dirfd.OpenAt(dir, name, unix.O_RDONLY, 0)
	if err != nil {
		return -1, sourceFailure(err)
	}
	return fd, nil
}

// sourceFailure tells vanished files from unreadable ones. A socket or a FIFO's other end shows as ENXIO.
func sourceFailure(err error) error {
	if walk.Vanished(err) || errors.Is(err, unix.ENXIO) {
		return errGone
	}
	return &sourceError{err}
}

// attempt reads a file once, at most as much as it had at the start: it may grow for ever.
func (c *copier) attempt(ctx context.Context, in, out int, e *lists.Entry) (bool, error) {
	before, began, err := statSource(in, e.Path)
	if err != nil {
		return false, err
	}
	c.hash.Reset()
	n, err := c.transfer(ctx, descriptor(in), out, before.Size)
	if err != nil {
		return false, err
	}
	after, ended, err := statSource(in, e.Path)
	if err != nil {
		return false, err
	}
	xattrs, err := c.xattrs.Read(in)
	if err != nil {
		return false, &sourceError{err}
	}
	after.Xattrs, after.Lost = xattrs.Kept, xattrs.Lost
	after.Mode &= xattrs.Most
	stable := after.Size == n && before.Size == n && after.ModTime.Equal(before.ModTime) && began.Ctim == ended.Ctim
	*e = after
	if c.bare {
		walk.Strip(e)
	}
	e.Size, e.SHA256, e.Stamp = n, dirfd.SumOf(c.hash), c.stamps.Stamp(&ended)
	if c.secret != nil {
		e.Stamp = c.secret.stamp(e.SHA256, dirfd.SumOf(c.plain))
	}
	return stable, nil
}

func statSource(fd int, path string) (e lists.Entry, st unix.Stat_t, err error) {
	if err := unix.Fstat(fd, &st); err != nil {
		return e, st, &sourceError{err}
	}
	e = walk.StatEntry(path, &st)
	if e.Kind != lists.File {
		return e, st, errGone
	}
	return e, st, nil
}

// restart goes back to the start of both files and empties the stored one.
func restart(in, out int) error {
	if _, err := unix.Seek(in, 0, unix.SEEK_SET); err != nil {
		return &sourceError{err}
	}
	return restartAt(out)
}

// restartAt empties the stored file.
func restartAt(out int) error {
	if _, err := unix.Seek(out, 0, unix.SEEK_SET); err != nil {
		return err
	}
	return unix.Ftruncate(out, 0)
}

// descriptor reads an open file.
type descriptor int

func (d descriptor) Read(p []byte) (int, error) {
	n, err := dirfd.Retry(func() (int, error) { return unix.Read(int(d), p) })
	if err == nil && n == 0 {
		err = io.EOF
	}
	return max(0, n), err
}

// transfer stores at most size bytes of the source and returns how many it read.
func (c *copier) transfer(ctx context.Context, in io.Reader, out int, size int64) (int64, error) {
	if c.sealer == nil {
		return c.pump(ctx, in, &hashingWriter{out, c.hash}, size)
	}
	c.out.Reset(&hashingWriter{out, c.hash})
	w, err := c.sealer.Encrypt(c.out)
	if err != nil {
		return 0, err
	}
	var to io.Writer = w
	if c.plain.Reset(); c.secret != nil {
		to = io.MultiWriter(w, c.plain)
	}
	n, err := c.pump(ctx, in, to, size)
	if err != nil {
		return 0, err
	}
	if err := w.Close(); err != nil {
		return 0, err
	}
	return n, c.out.Flush()
}

// pump reads at most size bytes; negative: all of them.
func (c *copier) pump(ctx context.Context, in io.Reader, w io.Writer, size int64) (int64, error) {
	var total int64
	for total < size || size < 0 {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		buf := c.buf
		if size >= 0 {
			buf = buf[:min(int64(len(buf)), size-total)]
		}
		n, err := in.Read(buf)
		if _, err := w.Write(buf[:n]); err != nil {
			return total, err
		}
		total += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return total, &sourceError{err}
		}
	}
	return total, nil
}

// hashingWriter writes to a descriptor and to a hash.
type hashingWriter struct {
	fd   int
	hash hash.Hash
}

func (w *hashingWriter) Write(p []byte) (int, error) {
	w.hash.Write(p)
	return len(p), dirfd.WriteAll(w.fd, p)
}

// finish gives a stored file its mode and time.
func (c *copier) finish(out, dst int, name string, e *lists.Entry) error {
	if c.fsync {
		if err := unix.Fsync(out); err != nil {
			return err
		}
	}
	if err := tolerate(unix.Fchmod(out, StoredMode(e))); err != nil {
		return err
	}
	return setTime(dst, name, e)
}

// StoredMode is the mode that a file or directory is stored with.
func StoredMode(e *lists.Entry) uint32 {
	if e.Kind == lists.Directory {
		return e.Mode&0o3777 | 0o500
	}
	return e.Mode&0o777 | 0o400
}

// setTime sets the time of an entry in an open directory, if the file system can hold it.
func setTime(dir int, name string, e *lists.Entry) error {
	return tolerate(dirfd.SetTime(dir, name, e.ModTime))
}

// tolerate drops an error of a file system that cannot hold a mode or a time: MTREE has both, and Verify warns.
func tolerate(err error) error {
	if dirfd.Unsupported(err) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}
