package walk

import (
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
)

// lister reads one directory at a time. Its fields after the first seven hold the result of the last read.
type lister struct {
	dirs    *dirfd.Stack
	source  bool
	bare    bool
	outside *unix.Stat_t
	stamps  Stamper
	xattrs  XattrReader
	buf     []byte

	names   dirfd.NameList
	data    []byte
	full    [][]byte // what data held before
	subdirs []string
	skipped []Skipped
	count   Counts
	own     Xattrs // of the directory
}

func (l *lister) read(path string) error {
	l.data, l.full, l.subdirs, l.skipped, l.count = l.data[:0], nil, l.subdirs[:0], nil, Counts{}
	fd, err := l.dirs.Open(path)
	if err != nil {
		return err
	}
	if l.own, err = l.xattrs.Read(fd); err != nil {
		return err
	}
	if err := l.names.Read(fd, l.buf); err != nil {
		return err
	}
	for name := range l.names.Sorted() {
		if l.source && path == "." && notData(name) {
			continue
		}
		if err := l.add(fd, path, name); err != nil && !Gone(l.dirs.Root, lists.JoinPath(path, name), err) {
			return err
		}
	}
	return nil
}

const recordsSize = 256 << 10 // of data, above which a directory gets another

// records returns the records of the last read, in slices without slack.
func (l *lister) records() (data []byte, more [][]byte) {
	if len(l.full) == 0 {
		return slices.Clone(l.data), nil
	}
	return l.full[0], append(l.full[1:], slices.Clone(l.data))
}

// notData reports whether an entry at the root of a volume belongs to the volume's file system.
func notData(name string) bool { return name == "lost+found" || name == ".snapshot" }

func (l *lister) add(fd int, parent, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	e := StatEntry("", &st)
	switch e.Kind {
	case "":
		path := lists.Escape(lists.JoinPath(parent, name))
		l.skipped = append(l.skipped, Skipped{Path: path, Type: specialType(st.Mode)})
		return nil
	case lists.Symlink:
		target, err := dirfd.Readlinkat(fd, name, l.buf)
		if errors.Is(err, unix.EINVAL) {
			return unix.ENOENT // it is no symlink any more
		}
		if err != nil {
			return err
		}
		e.Link = target
	case lists.Directory:
		if dirfd.SameFile(&st, l.outside) {
			return ErrInside
		}
		l.subdirs = append(l.subdirs, name)
	}
	if e.Kind == lists.File {
		e.Stamp = l.stamps.Stamp(&st)
	}
	if l.bare {
		Strip(&e)
	}
	l.count.Add(&e)
	l.data = appendRecord(l.data, name, &e)
	if len(l.data) >= recordsSize {
		l.full = append(l.full, slices.Clone(l.data))
		l.data = l.data[:0]
	}
	return nil
}

// StatEntry turns a stat into an entry, with no kind if it is none of ours.
func StatEntry(path string, st *unix.Stat_t) lists.Entry {
	e := lists.Entry{Path: path, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid}
	e.ModTime = time.Unix(st.Mtim.Unix()).UTC()
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		e.Kind, e.Size = lists.File, st.Size
	case unix.S_IFDIR:
		e.Kind = lists.Directory
	case unix.S_IFLNK:
		e.Kind = lists.Symlink
	}
	return e
}

// Strip leaves of an entry its name, its type and what it holds. Mode, owner and time become the same for all, so that
// what is made anew with the same content is the same.
func Strip(e *lists.Entry) {
	const fileMode, dirMode = 0o640, 0o750
	e.Mode, e.UID, e.GID, e.ModTime = fileMode, 0, 0, time.Unix(0, 0).UTC()
	if e.Kind == lists.Directory {
		e.Mode = dirMode
	}
}

// specialType names the type of what is not backed up.
func specialType(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return "fifo"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFCHR:
		return "char"
	case unix.S_IFBLK:
		return "block"
	}
	return "unknown"
}
