package archive

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	dirPerm  = 0o770 // less the umask: a volume's group may continue where another user of it began
	filePerm = 0o640

	openDirFlags  = unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	openFileFlags = unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
)

// dir is an open directory. The names given to its methods are single path elements below it, so that nothing that
// somebody put on the volume leads out of it: a symlink is an entry, never followed, and a FIFO never blocks.
type dir struct {
	fd   int
	path string // for messages
}

// openRoot opens a directory by a path of the caller's, whose symlinks are followed.
func openRoot(path string) (*dir, error) {
	fd, err := retry(func() (int, error) { return unix.Open(path, unix.O_DIRECTORY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &dir{fd: fd, path: path}, nil
}

// retry repeats a system call that a signal interrupted.
func retry[T any](call func() (T, error)) (T, error) {
	for {
		v, err := call()
		if !errors.Is(err, unix.EINTR) {
			return v, err
		}
	}
}

func (d *dir) fail(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: filepath.Join(d.path, name), Err: err}
}

func (d *dir) close() error { return d.fail("close", "", unix.Close(d.fd)) }

func (d *dir) sub(name string) (*dir, error) {
	fd, err := retry(func() (int, error) { return unix.Openat(d.fd, name, openDirFlags, 0) })
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	return &dir{fd: fd, path: filepath.Join(d.path, name)}, nil
}

// ensure opens a directory and makes it if there is none.
func (d *dir) ensure(name string) (*dir, error) {
	if err := unix.Mkdirat(d.fd, name, dirPerm); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, d.fail("mkdir", name, err)
	}
	return d.sub(name)
}

// names lists the directory, unsorted.
func (d *dir) names() ([]string, error) {
	if _, err := unix.Seek(d.fd, 0, unix.SEEK_SET); err != nil {
		return nil, d.fail("seek", "", err)
	}
	names, err := readNames(d.fd, make([]byte, 8<<10))
	return names, d.fail("readdirent", "", err)
}

// readNames reads the names of an open directory from where it is.
func readNames(fd int, buf []byte) ([]string, error) {
	var names []string
	for {
		n, err := retry(func() (int, error) { return unix.ReadDirent(fd, buf) })
		if err != nil || n <= 0 {
			return names, err
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

func (d *dir) lstat(name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, d.fail("lstat", name, err)
}

// kind returns the type bits of an entry, or 0 if there is none.
func (d *dir) kind(name string) (uint32, error) {
	st, err := d.lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return st.Mode & unix.S_IFMT, err
}

// open opens a regular file for reading.
func (d *dir) open(name string) (*os.File, error) {
	fd, err := retry(func() (int, error) { return unix.Openat(d.fd, name, openFileFlags, 0) })
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errNotRegular
	}
	if err != nil {
		_ = unix.Close(fd) // nothing was read from it
		return nil, d.fail("open", name, err)
	}
	return os.NewFile(uintptr(fd), filepath.Join(d.path, name)), nil
}

var errNotRegular = errors.New("not a regular file")

// create makes a regular file that must not be there yet.
func (d *dir) create(name string) (*os.File, error) {
	flags := unix.O_RDWR | unix.O_CREAT | unix.O_EXCL | openFileFlags
	fd, err := retry(func() (int, error) { return unix.Openat(d.fd, name, flags, filePerm) })
	if err != nil {
		return nil, d.fail("create", name, err)
	}
	return os.NewFile(uintptr(fd), filepath.Join(d.path, name)), nil
}

// readFile reads a regular file of at most limit bytes.
func (d *dir) readFile(name string, limit int64) (data []byte, err error) {
	f, err := d.open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return readAtMost(f, limit)
}

// writeFile makes a regular file with the given content.
func (d *dir) writeFile(name string, data []byte) error {
	f, err := d.create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// syncFile makes a file of the directory durable.
func (d *dir) syncFile(name string) error {
	f, err := d.open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// writeDurable is writeFile, and the content is on disk when it returns.
func (d *dir) writeDurable(name string, data []byte) error {
	f, err := d.create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func (d *dir) symlink(target, name string) error {
	return d.fail("symlink", name, unix.Symlinkat(target, d.fd, name))
}

func (d *dir) readlink(name string) (string, error) {
	target, err := readlinkat(d.fd, name)
	return target, d.fail("readlink", name, err)
}

func readlinkat(fd int, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// rename moves an entry of the directory to another directory of the volume, in place of what is there.
func (d *dir) rename(name string, to *dir, newName string) error {
	return d.fail("rename", name, unix.Renameat(d.fd, name, to.fd, newName))
}

// exchange swaps two entries of the directory in one step, so that neither name is ever missing.
func (d *dir) exchange(a, b string) error {
	err := unix.Renameat2(d.fd, a, d.fd, b, unix.RENAME_EXCHANGE)
	return d.fail("exchange", a, err)
}

// remove unlinks anything but a directory. That there is nothing is no error.
func (d *dir) remove(name string) error {
	err := unix.Unlinkat(d.fd, name, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return d.fail("remove", name, err)
}

// removeAll removes an entry and what is below it, whatever its modes. That there is nothing is no error.
func (d *dir) removeAll(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := d.remove(name)
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return err
	}
	sub, openErr := d.sub(name)
	if errors.Is(openErr, fs.ErrPermission) {
		_ = unix.Fchmodat(d.fd, name, 0o700, 0) // the next open tells if it helped
		sub, openErr = d.sub(name)
	}
	if errors.Is(openErr, unix.ENOTDIR) || errors.Is(openErr, unix.ELOOP) {
		return err
	}
	if openErr != nil {
		return openErr
	}
	if err := errors.Join(sub.empty(ctx), sub.close()); err != nil {
		return err
	}
	return d.fail("rmdir", name, unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR))
}

// empty removes all that is in the directory.
func (d *dir) empty(ctx context.Context) error {
	names, err := d.names()
	if err != nil {
		return err
	}
	_ = unix.Fchmod(d.fd, 0o700) // the removals tell if it was needed
	for _, name := range names {
		if err := d.removeAll(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// sync makes the directory's own entries durable.
func (d *dir) sync() error {
	err := unix.Fsync(d.fd)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		return nil // a file system that cannot sync a directory
	}
	return d.fail("fsync", "", err)
}

// syncFS makes all that was written to the volume durable.
func (d *dir) syncFS() error { return d.fail("syncfs", "", unix.Syncfs(d.fd)) }

const probeName = temporaryPrefix + "probe"

// holdsSymlinks finds out if the file system has symlinks.
func (d *dir) holdsSymlinks() (bool, error) {
	if err := d.remove(probeName); err != nil {
		return false, err
	}
	err := d.symlink(probeName, probeName)
	if linkless(err) {
		return false, nil
	}
	return true, errors.Join(err, d.remove(probeName))
}

// holdsHardLinks finds out if the file system has hard links.
func (d *dir) holdsHardLinks() (bool, error) {
	const second = probeName + "-link"
	if err := errors.Join(d.remove(probeName), d.remove(second)); err != nil {
		return false, err
	}
	if err := d.writeFile(probeName, nil); err != nil {
		return false, err
	}
	err := unix.Linkat(d.fd, probeName, d.fd, second, 0)
	if linkless(err) {
		return false, d.remove(probeName)
	}
	return true, errors.Join(d.fail("link", second, err), d.remove(probeName), d.remove(second))
}
