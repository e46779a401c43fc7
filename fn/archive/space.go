package archive

import (
	"errors"
	"math"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// available returns the room that the file system of a directory has left, no limit if the file system reports none.
func available(d *dirfd.Dir) (dirfd.Room, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(d.FD, &st); err != nil {
		return dirfd.Room{}, d.Fail("statfs", "", err)
	}
	unit := st.Frsize
	if unit == 0 {
		unit = st.Bsize
	}
	left := dirfd.Room{Bytes: st.Bavail * uint64(unit), Inodes: st.Ffree}
	if st.Files == 0 {
		left.Inodes = math.MaxUint64
	}
	if st.Blocks == 0 {
		left.Bytes = math.MaxUint64
	}
	return left, nil
}

// requireRoom returns a NoSpaceError if the file system of a directory has less than what is needed.
func requireRoom(d *dirfd.Dir, need dirfd.Room) error {
	left, err := available(d)
	if err != nil {
		return err
	}
	if need.Bytes <= left.Bytes && need.Inodes <= left.Inodes {
		return nil
	}
	return &NoSpaceError{NeededBytes: need.Bytes, AvailableBytes: left.Bytes, NeededInodes: need.Inodes, AvailableInodes: left.Inodes}
}

// explainFull turns the error of a write into a NoSpaceError if the volume is full.
func explainFull(d *dirfd.Dir, err error) error {
	if _, known := errors.AsType[*NoSpaceError](err); known || !isFull(err) {
		return err
	}
	left, _ := available(d) // a figure less in the message is no reason to lose the error
	return &NoSpaceError{AvailableBytes: left.Bytes, AvailableInodes: left.Inodes, Err: err}
}

// isFull reports whether an error says that a volume, or what somebody may use of it, is full.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// checkSpace fails if the volume has no room for the objects and for what is missing of trees.
func (w *writer) checkSpace(trees ...*walk.List) error {
	var need dirfd.Room
	list := int64(0)
	for _, o := range w.objects {
		need.AddFile(w.sealer.StoredSize(int64(len(o.Data))))
		list += listBytes + int64(len(o.Path))
	}
	need.AddFile(list)
	for range objectDirs() {
		need.AddFile(dirfd.BlockSize)
	}
	for _, tree := range trees {
		w.addTree(&need, tree)
	}
	return requireRoom(w.volume.root, need)
}

// addTree adds what is missing of a tree.
func (w *writer) addTree(need *dirfd.Room, tree *walk.List) {
	list := tree.Count.Total() * listBytes
	for e, flags := range tree.All() {
		if *flags != 0 {
			continue // the previous or the partial tree has it
		}
		list += pathLists * int64(len(e.Path)+len(e.Link))
		switch e.Kind {
		case lists.File:
			need.AddFile(w.sealer.StoredSize(e.Size))
		case lists.Directory:
			need.AddFile(dirfd.BlockSize)
		default:
			need.AddFile(0)
		}
	}
	need.AddFile(list)
}

const (
	listBytes = 300 // of all lists for an entry, besides its path
	pathLists = 3   // how often a path is listed: in MTREE, SHA256SUMS and the journal
)

// isFUSE reports whether one sync of the file system may not reach the disk: the kernel passes it on to no FUSE server.
func isFUSE(d *dirfd.Dir) (bool, error) {
	var st unix.Statfs_t
	err := unix.Fstatfs(d.FD, &st)
	return st.Type == unix.FUSE_SUPER_MAGIC, d.Fail("statfs", "", err)
}
