// Package dirfd reaches into directories by descriptors. It never follows a symlink below one, so nothing in a
// directory that somebody else may have written leads out of it, and nothing blocks.
package dirfd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	dirPerm  = 0o770 // less the umask: a volume's group may continue where another user of it began
	filePerm = 0o640
)

// OpenAt opens an entry of an open directory. The entry may be anything: a symlink is not followed, and nothing blocks.
func OpenAt(dir int, name string, flags int, perm uint32) (int, error) {
	const safe = unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	return Retry(func() (int, error) { return unix.Openat(dir, name, flags|safe, perm) })
}

// LstatAt tells what an entry of an open directory is.
func LstatAt(dir int, name string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

// SameFile reports whether two entries are of one file.
func SameFile(a, b *unix.Stat_t) bool { return a.Dev == b.Dev && a.Ino == b.Ino }

// ErrNotRegular says that what should be a regular file is something else.
var ErrNotRegular = errors.New("not a regular file")

// Dir is an open directory. Names given to its methods are single path elements.
type Dir struct {
	FD   int
	Path string // for messages
}

// Open opens a directory by a path of the caller's, whose symlinks are followed.
func Open(path string) (*Dir, error) {
	fd, err := Retry(func() (int, error) { return unix.Open(path, unix.O_DIRECTORY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &Dir{FD: fd, Path: path}, nil
}

// Retry repeats a system call as long as signals interrupt it.
func Retry[T any](call func() (T, error)) (T, error) {
	for {
		v, err := call()
		if !errors.Is(err, unix.EINTR) {
			return v, err
		}
	}
}

// Fail makes an error of a system call on an entry, or on the directory itself; nil stays nil.
func (d *Dir) Fail(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: filepath.Join(d.Path, name), Err: err}
}

// Close closes the directory; nil is none.
func (d *Dir) Close() error {
	if d == nil {
		return nil
	}
	return d.Fail("close", "", unix.Close(d.FD))
}

// Sub opens a directory below the directory by its relative path.
func (d *Dir) Sub(path string) (*Dir, error) {
	dirs := Stack{Root: d}
	defer dirs.Close()
	parent, name, err := dirs.Parent(path)
	if err != nil {
		return nil, err
	}
	fd, err := OpenAt(parent.FD, name, unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, parent.Fail("open", name, err)
	}
	return &Dir{FD: fd, Path: filepath.Join(parent.Path, name)}, nil
}

// Beyond returns an error if the directory is the other one or lies below it, as far as this process may look upwards.
func (d *Dir) Beyond(other *Dir) error {
	var outer, here, last unix.Stat_t
	if err := unix.Fstat(other.FD, &outer); err != nil {
		return other.Fail("fstat", "", err)
	}
	for up := "."; ; up = filepath.Join("..", up) {
		if err := unix.Fstatat(d.FD, up, &here, 0); err != nil || SameFile(&here, &last) {
			return nil //nolint:nilerr // further up this process may not look
		}
		if SameFile(&here, &outer) {
			return d.Fail("use", "", errors.New("it lies in the backup volume"))
		}
		last = here
	}
}

// Taken explains why a name that should be free is not: on a volume that ignores case, another entry may have it.
func Taken(err error) error {
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("another entry has that name on this volume: %w", err)
	}
	return err
}

// Ensure opens a directory and makes it if there is none.
func (d *Dir) Ensure(name string) (*Dir, error) {
	if err := unix.Mkdirat(d.FD, name, dirPerm); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, d.Fail("mkdir", name, err)
	}
	return d.Sub(name)
}

// Kind returns the type bits of an entry, or 0 if there is none.
func (d *Dir) Kind(name string) (uint32, error) {
	st, err := LstatAt(d.FD, name)
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	return st.Mode & unix.S_IFMT, d.Fail("lstat", name, err)
}

// openRegular opens a regular file of an open directory. If an entry was opened, st describes it, even with an error.
func openRegular(dir int, name string, flags int, perm uint32) (fd int, st unix.Stat_t, err error) {
	if fd, err = OpenAt(dir, name, flags, perm); err != nil {
		return -1, st, err
	}
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = ErrNotRegular
	}
	if err != nil {
		_ = unix.Close(fd) // nothing was read or written
	}
	return fd, st, err
}

// OpenFile opens a regular file with flags of open(2).
func (d *Dir) OpenFile(name string, flags int, perm uint32) (*os.File, error) {
	fd, _, err := openRegular(d.FD, name, flags, perm)
	if err != nil {
		return nil, d.Fail("open", name, err)
	}
	return os.NewFile(uintptr(fd), filepath.Join(d.Path, name)), nil
}

// Open opens a regular file for reading.
func (d *Dir) Open(name string) (*os.File, error) { return d.OpenFile(name, unix.O_RDONLY, 0) }

// Create makes a regular file that must not be there yet.
func (d *Dir) Create(name string) (*os.File, error) {
	return d.OpenFile(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, filePerm)
}

// ReadFile reads a regular file below the directory, of at most limit bytes, by its relative path.
func (d *Dir) ReadFile(path string, limit int64) ([]byte, error) {
	dirs := Stack{Root: d}
	defer dirs.Close()
	parent, name, err := dirs.Parent(path)
	if err != nil {
		return nil, err
	}
	f, err := parent.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadAtMost(f, limit)
}

// WriteFile makes a regular file with the given content. If it is to be durable, the content is on disk then.
func (d *Dir) WriteFile(name string, data []byte, durable bool) error {
	f, err := d.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if durable {
		err = errors.Join(err, f.Sync())
	}
	return errors.Join(err, f.Close())
}

// SyncFile makes a file of the directory durable.
func (d *Dir) SyncFile(name string) error {
	f, err := d.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Overwrite replaces the first bytes of a regular file of the directory.
func (d *Dir) Overwrite(name string, data []byte) error {
	f, err := d.OpenFile(name, unix.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	return errors.Join(err, f.Close())
}

// Chmod sets the mode of an entry that is no symlink, also of one that may not be opened. fchmodat(2) would follow a
// symlink that has taken its place.
func (d *Dir) Chmod(name string, mode uint32) error {
	fd, err := OpenAt(d.FD, name, unix.O_PATH, 0)
	if err != nil {
		return d.Fail("chmod", name, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		err = unix.ELOOP
	}
	if err == nil {
		err = unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode)
	}
	return d.Fail("chmod", name, err)
}

// SetTime sets the times of an entry in an open directory, also of a symlink.
func SetTime(dir int, name string, at time.Time) error {
	ts, err := unix.TimeToTimespec(at)
	if err != nil {
		return err
	}
	return unix.UtimesNanoAt(dir, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}

// Symlink makes a symlink.
func (d *Dir) Symlink(target, name string) error {
	return d.Fail("symlink", name, unix.Symlinkat(target, d.FD, name))
}

// Readlink returns the target of a symlink.
func (d *Dir) Readlink(name string) (string, error) {
	target, err := Readlinkat(d.FD, name, make([]byte, unix.PathMax))
	return target, d.Fail("readlink", name, err)
}

// Readlinkat returns the target of a symlink in an open directory, with the help of a buffer of at least PathMax bytes.
func Readlinkat(fd int, name string, buf []byte) (string, error) {
	n, err := unix.Readlinkat(fd, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// Rename moves an entry of the directory to another directory of the volume, in place of what is there.
func (d *Dir) Rename(name string, to *Dir, newName string) error {
	return d.Fail("rename", name, unix.Renameat(d.FD, name, to.FD, newName))
}

// Exchange swaps two entries of the directory in one step, so that neither name is ever missing. Not all file systems
// can.
func (d *Dir) Exchange(a, b string) error {
	return d.Fail("exchange", a, unix.Renameat2(d.FD, a, d.FD, b, unix.RENAME_EXCHANGE))
}

// Sync makes the directory's own entries durable.
func (d *Dir) Sync() error {
	err := unix.Fsync(d.FD)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		return nil // a file system that cannot sync a directory
	}
	return d.Fail("fsync", "", err)
}

// SyncFS makes all that was written to the volume durable.
func (d *Dir) SyncFS() error { return d.Fail("syncfs", "", unix.Syncfs(d.FD)) }
