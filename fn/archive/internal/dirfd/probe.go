package dirfd

import (
	"errors"

	"golang.org/x/sys/unix"
)

// TemporaryPrefix begins the names of what is renamed in place of something else, or removed again.
const TemporaryPrefix = ".new-"

const probeName = TemporaryPrefix + "probe"

// Unsupported reports whether an error says that the file system has no symlinks or hard links.
func Unsupported(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS)
}

// HoldsSymlinks reports whether the file system has symlinks, by making one.
func (d *Dir) HoldsSymlinks() (bool, error) {
	if err := d.Remove(probeName); err != nil {
		return false, err
	}
	err := d.Symlink(probeName, probeName)
	if Unsupported(err) {
		return false, nil
	}
	return true, errors.Join(err, d.Remove(probeName))
}

// HoldsHardLinks reports whether the file system has hard links, by making one.
func (d *Dir) HoldsHardLinks() (bool, error) {
	const second = probeName + "-link"
	if err := errors.Join(d.Remove(probeName), d.Remove(second)); err != nil {
		return false, err
	}
	if err := d.WriteFile(probeName, nil, false); err != nil {
		return false, err
	}
	err := unix.Linkat(d.FD, probeName, d.FD, second, 0)
	if Unsupported(err) {
		return false, d.Remove(probeName)
	}
	return true, errors.Join(d.Fail("link", second, err), d.Remove(probeName), d.Remove(second))
}

// Room is what files take on a volume, or what a volume has left for an unprivileged writer.
type Room struct{ Bytes, Inodes uint64 }

// BlockSize is what the size of a file is rounded up to. File systems over a network report as their block size how
// much they transfer at a time, up to megabytes.
const BlockSize = 4096

// AddFile adds what a file of that size takes.
func (r *Room) AddFile(size int64) {
	r.Bytes += uint64((size + BlockSize - 1) / BlockSize * BlockSize)
	r.Inodes++
}
