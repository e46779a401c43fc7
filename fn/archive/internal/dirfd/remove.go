package dirfd

import (
	"context"
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Remove unlinks anything but a directory. That there is nothing is no error.
func (d *Dir) Remove(name string) error {
	err := unix.Unlinkat(d.FD, name, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return d.Fail("remove", name, err)
}

// RemoveAll removes an entry and what is below it, whatever its modes. That there is nothing is no error.
func (d *Dir) RemoveAll(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := d.Remove(name)
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return err
	}
	sub, openErr := d.Sub(name)
	if errors.Is(openErr, fs.ErrPermission) {
		_ = d.Chmod(name, 0o700) // the next open tells if it helped
		sub, openErr = d.Sub(name)
	}
	if errors.Is(openErr, unix.ENOTDIR) || errors.Is(openErr, unix.ELOOP) {
		return err
	}
	if openErr != nil {
		return openErr
	}
	if err := errors.Join(sub.Empty(ctx), sub.Close()); err != nil {
		return err
	}
	return d.Fail("rmdir", name, unix.Unlinkat(d.FD, name, unix.AT_REMOVEDIR))
}

// RemoveAt is RemoveAll for an entry by its path, in a directory of the stack.
func (s *Stack) RemoveAt(ctx context.Context, path string) error {
	parent, name, err := s.Parent(path)
	if err != nil {
		return err
	}
	return parent.RemoveAll(ctx, name)
}

// Empty removes all that is in the directory.
func (d *Dir) Empty(ctx context.Context) error {
	_ = unix.Fchmod(d.FD, 0o700) // the removals tell if it was needed
	return d.RemoveMatching(ctx, func(string) bool { return true })
}

// RemoveMatching removes the entries of the directory that match, with what is below them.
func (d *Dir) RemoveMatching(ctx context.Context, match func(name string) bool) error {
	names, err := d.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !match(name) {
			continue
		}
		if err := d.RemoveAll(ctx, name); err != nil {
			return err
		}
	}
	return nil
}
