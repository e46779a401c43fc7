package tree

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/s3"
	"threescale.dev/backup/fn/archive/internal/seal"
)

// The headers of an object are kept as an extended attribute, encrypted in a run that is.
const (
	HeadersXattr       = "user.s3.headers"
	SealedHeadersXattr = HeadersXattr + ".age"
)

// Objects is a file storage in an object store.
type Objects struct {
	Open  func(ctx context.Context, path string) (*s3.Content, error)
	Stamp func(s3.Object) uint64 // of two answers about one object it is the same if that was not written in between; 0: not known
}

// headerXattrs returns what is kept of the headers of an object, and the name of what is not.
func headerXattrs(h s3.Headers, sealer *seal.Sealer) (kept []lists.Xattr, lost string, err error) {
	text := h.Encode()
	if text == "" {
		return nil, "", nil
	}
	x := lists.Xattr{Name: HeadersXattr, Value: text}
	if sealer != nil {
		sealed, err := sealer.Seal([]byte(text))
		if err != nil {
			return nil, "", err
		}
		x = lists.Xattr{Name: SealedHeadersXattr, Value: string(sealed)}
	}
	if !x.Fits(nil) {
		return nil, x.Name, nil
	}
	return []lists.Xattr{x}, "", nil
}

// copyObject stores an object in dst, and brings the entry up to date with what was stored. With an error it leaves
// nothing.
func (c *copier) copyObject(ctx context.Context, objects *Objects, dst int, name string, e *lists.Entry) error {
	in, err := objects.Open(ctx, e.Path)
	if err != nil {
		return objectFailure(err)
	}
	out, err := dirfd.OpenAt(dst, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return errors.Join(dirfd.Taken(err), in.Close())
	}
	err = c.fetch(ctx, objects, in, out, e)
	for try := 1; errors.Is(err, s3.ErrReplaced) && try < maxTries; try++ {
		if err = restartAt(out); err != nil {
			break
		}
		if in, err = objects.Open(ctx, e.Path); err != nil {
			err = objectFailure(err)
			break
		}
		err = c.fetch(ctx, objects, in, out, e)
	}
	if err == nil {
		err = c.finish(out, dst, name, e)
	}
	if err = errors.Join(err, unix.Close(out)); err != nil {
		err = errors.Join(err, unix.Unlinkat(dst, name, 0))
	}
	return err
}

// fetch stores what is read of an object, and closes it. What was replaced since it was listed is stored as it is now.
func (c *copier) fetch(ctx context.Context, objects *Objects, in *s3.Content, out int, e *lists.Entry) error {
	defer in.Close()
	c.hash.Reset()
	n, err := c.transfer(ctx, in, out, in.Size)
	if unread, ok := errors.AsType[*sourceError](err); ok {
		return objectFailure(unread.error)
	}
	if err != nil {
		return err
	}
	if e.Xattrs, e.Lost, err = headerXattrs(in.Headers, c.sealer); err != nil {
		return err
	}
	stamp := objects.Stamp(in.Object)
	same := stamp == e.Stamp && n == e.Size && (stamp != 0 || in.Modified.Unix() == e.ModTime.Unix())
	if !same { // else the next list tells the time as this one did, which may be more precise
		e.ModTime = in.Modified.UTC()
	}
	e.Size, e.SHA256, e.Stamp = n, dirfd.SumOf(c.hash), stamp
	return nil
}

// objectFailure tells objects that vanished, and those that cannot be read, from an object store that fails.
func objectFailure(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errGone
	}
	store, ok := errors.AsType[*s3.Error](err)
	if ok && (store.Problem == s3.Denied || store.Problem == s3.Incompatible) || errors.Is(err, s3.ErrReplaced) {
		return &sourceError{err}
	}
	return err
}

// proveObjects returns a worker that compares objects with what is stored, their headers too.
func (o *Options) proveObjects() (work func(context.Context, *proof) error, done func()) {
	return func(ctx context.Context, it *proof) error {
		in, err := o.Objects.Open(ctx, it.path)
		if err == nil {
			err = o.proveObject(in, it)
		}
		if err != nil {
			it.err = err // it is read again, and the failure told then
		}
		return ctx.Err()
	}, func() {}
}

func (o *Options) proveObject(in *s3.Content, it *proof) error {
	defer in.Close()
	got := dirfd.NewHashed(in.ReadCloser)
	if _, err := io.Copy(io.Discard, got); err != nil {
		return err
	}
	if err := got.Prove(it.path, it.want); err != nil {
		return err
	}
	kept, lost, err := headerXattrs(in.Headers, nil)
	if err == nil && (!slices.Equal(kept, it.was.Xattrs) || lost != it.was.Lost) {
		err = errOtherXattrs
	}
	return err
}
