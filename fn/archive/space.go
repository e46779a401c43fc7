package archive

import (
	"errors"
	"math"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/tree"
)

// room is what a volume has left for an unprivileged writer, or what a run needs.
type room struct {
	bytes  uint64
	inodes uint64
}

// available returns what the file system of a directory has left: no limit if the file system reports none.
func available(d *dirfd.Dir) (room, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(d.FD, &st); err != nil {
		return room{}, d.Fail("statfs", "", err)
	}
	unit := st.Frsize
	if unit == 0 {
		unit = st.Bsize
	}
	left := room{bytes: st.Bavail * uint64(unit), inodes: st.Ffree}
	if st.Files == 0 {
		left.inodes = math.MaxUint64
	}
	if st.Blocks == 0 {
		left.bytes = math.MaxUint64
	}
	return left, nil
}

// requireRoom returns a NoSpaceError if the file system of a directory has less than what is needed.
func requireRoom(d *dirfd.Dir, need room) error {
	left, err := available(d)
	if err != nil {
		return err
	}
	if need.bytes <= left.bytes && need.inodes <= left.inodes {
		return nil
	}
	return &NoSpaceError{NeededBytes: need.bytes, AvailableBytes: left.bytes, NeededInodes: need.inodes, AvailableInodes: left.inodes}
}

// explainFull turns the error of a write into a NoSpaceError if that is why it failed.
func explainFull(d *dirfd.Dir, err error) error {
	var known *NoSpaceError
	if errors.As(err, &known) || !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) {
		return err
	}
	left, _ := available(d) // a figure less in the message is no reason to lose the error
	return &NoSpaceError{AvailableBytes: left.bytes, AvailableInodes: left.inodes, Err: err}
}

// checkSpace fails if the volume has no room for the objects and what of the tree is still to be written.
func (w *writer) checkSpace(b *tree.Builder) error {
	var need spaceFor
	list := int64(0)
	for _, o := range w.objects {
		need.file(w.sealer.StoredSize(int64(len(o.Data))))
		list += listBytes + int64(len(o.Path))
	}
	need.file(list)
	for range objectDirs() {
		need.file(blockSize)
	}
	if b != nil {
		w.addMissing(&need, b)
	}
	return requireRoom(w.volume.root, need.room)
}

const (
	listBytes = 300 // of all lists for an entry, besides its path
	pathLists = 3   // how often a path is listed: in MTREE, SHA256SUMS and the journal

	// blockSize is what a file's size is rounded up to. What file systems over a network tell of their blocks is how
	// much they transfer at a time, up to megabytes.
	blockSize = 4096
)

// spaceFor adds up what files take on a volume.
type spaceFor struct{ room }

func (s *spaceFor) file(size int64) {
	s.bytes += uint64((size + blockSize - 1) / blockSize * blockSize)
	s.inodes++
}

// addMissing adds what of the tree is in neither the previous nor the partial tree.
func (w *writer) addMissing(need *spaceFor, b *tree.Builder) {
	list := b.Entries.Count.Total() * listBytes
	for e := range b.Missing() {
		list += pathLists * int64(len(e.Path)+len(e.Link))
		switch e.Kind {
		case File:
			need.file(w.sealer.StoredSize(e.Size))
		case Directory:
			need.file(blockSize)
		default:
			need.file(0)
		}
	}
	need.file(list)
}

// isFUSE reports whether one sync of the file system may not reach the disk: the kernel passes it on to no FUSE server.
func isFUSE(d *dirfd.Dir) (bool, error) {
	var st unix.Statfs_t
	err := unix.Fstatfs(d.FD, &st)
	return st.Type == unix.FUSE_SUPER_MAGIC, d.Fail("statfs", "", err)
}
