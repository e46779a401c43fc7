package walk

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
)

// granularity is how coarse the times of a file system may be: those of FAT are the coarsest.
const granularity = 2 * time.Second

// Stamper stamps the files of a file system. The zero value does not.
type Stamper struct {
	before time.Time
	inodes bool
}

// NewStamper returns a stamper for what is read of a directory from now on.
func NewStamper(d *dirfd.Dir, now time.Time) (Stamper, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(d.FD, &st); err != nil {
		return Stamper{}, d.Fail("statfs", "", err)
	}
	return Stamper{before: now.Add(-granularity), inodes: numbersInodes(uint32(st.Type))}, nil
}

// numbersInodes reports whether files keep their inode numbers when a file system of that type is mounted again.
func numbersInodes(magic uint32) bool {
	switch magic {
	case unix.MSDOS_SUPER_MAGIC, unix.EXFAT_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC,
		unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.SMB_SUPER_MAGIC:
		return false
	}
	return true
}

// Stamp stands for the ctime and the inode of a file, neither of which its users can choose. Two equal stamps mean that
// nothing was written to the file in between, whatever its size and mtime say. It is 0 for a file that was changed so
// recently that another change could have the same times. A file system without inode numbers may make ctimes of
// mtimes.
func (s Stamper) Stamp(st *unix.Stat_t) uint64 {
	ctime, mtime := time.Unix(st.Ctim.Unix()), time.Unix(st.Mtim.Unix())
	if !ctime.Before(s.before) || !s.inodes && !mtime.Before(s.before) {
		return 0
	}
	var b [24]byte
	if s.inodes {
		binary.LittleEndian.PutUint64(b[:], st.Ino)
	}
	binary.LittleEndian.PutUint64(b[8:], uint64(ctime.Unix()))
	binary.LittleEndian.PutUint64(b[16:], uint64(ctime.Nanosecond()))
	hash := uint64(14695981039346656037) // FNV-1a, which costs far less than the stat
	for _, c := range b {
		hash = (hash ^ uint64(c)) * 1099511628211
	}
	return max(1, hash)
}
