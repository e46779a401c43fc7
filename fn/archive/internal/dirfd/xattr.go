package dirfd

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// SetXattr sets an extended attribute of an entry that is no symlink, also of one that may not be opened.
func (d *Dir) SetXattr(name, attribute string, value []byte) error {
	return d.Fail("setxattr", name, unix.Lsetxattr(d.procPath(name), attribute, value, 0))
}

// RemoveXattr removes an extended attribute likewise, if there is one.
func (d *Dir) RemoveXattr(name, attribute string) error {
	err := unix.Lremovexattr(d.procPath(name), attribute)
	if errors.Is(err, unix.ENODATA) {
		err = nil
	}
	return d.Fail("removexattr", name, err)
}

// HasXattr reports whether an entry has an extended attribute of that value.
func (d *Dir) HasXattr(name, attribute, value string) bool {
	buf := make([]byte, len(value)+1)
	n, err := unix.Lgetxattr(d.procPath(name), attribute, buf)
	return err == nil && string(buf[:n]) == value
}

// XattrSize returns the length of an extended attribute of an entry; 0 if it has none.
func (d *Dir) XattrSize(name, attribute string) int {
	n, err := unix.Lgetxattr(d.procPath(name), attribute, nil)
	if err != nil {
		return 0
	}
	return n
}

// procPath returns a path of an entry, for system calls that take no descriptor and do not follow symlinks.
func (d *Dir) procPath(name string) string { return "/proc/self/fd/" + strconv.Itoa(d.FD) + "/" + name }
