package dirfd

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// SetXattr sets an extended attribute of an entry that is no symlink, also of one that may not be opened.
func (d *Dir) SetXattr(name, attribute string, value []byte) error {
	return d.Fail("setxattr", name, d.byPath(name, func(path string) error { return unix.Setxattr(path, attribute, value, 0) }))
}

// RemoveXattr removes an extended attribute likewise.
func (d *Dir) RemoveXattr(name, attribute string) error {
	return d.Fail("removexattr", name, d.byPath(name, func(path string) error { return unix.Removexattr(path, attribute) }))
}

// HasXattr tells if an entry that is no symlink has an extended attribute of that value.
func (d *Dir) HasXattr(name, attribute, value string) bool {
	buf := make([]byte, len(value)+1)
	err := d.byPath(name, func(path string) error {
		n, err := unix.Getxattr(path, attribute, buf)
		buf = buf[:max(0, n)]
		return err
	})
	return err == nil && string(buf) == value
}

// byPath calls back with a path of an entry by which nobody can put another in its place.
func (d *Dir) byPath(name string, call func(path string) error) error {
	fd, err := Retry(func() (int, error) {
		return unix.Openat(d.FD, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		err = unix.ELOOP
	}
	if err != nil {
		return err
	}
	return call("/proc/self/fd/" + strconv.Itoa(fd))
}
