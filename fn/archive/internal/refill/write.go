package refill

import (
	"context"
	"errors"
	"io"
	"sync"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// writer makes files and symlinks, one at a time.
type writer struct {
	t         *Target
	temporary string // the name of what it is making
	dst       *dirfd.Stack
	comparer  *comparer
	opener    Opener
}

// buffers are for files that are read. Most workers wait for one to come from afar, and need none.
var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

func (t *Target) newWriter(temporary string) *writer {
	return &writer{
		t:         t,
		temporary: temporary,
		dst:       &dirfd.Stack{Root: t.Root},
		comparer:  t.newComparer(),
		opener:    t.Source.Opener(),
	}
}

func (w *writer) close() {
	w.dst.Close()
	w.comparer.close()
	w.opener.Close()
}

// one makes an entry, unless the directory has it already.
func (w *writer) one(ctx context.Context, it *item) error {
	parent, name := dirfd.Split(it.want.Path)
	fd, err := w.dst.Open(parent)
	if err != nil {
		return err
	}
	there, err := w.isThere(ctx, it)
	if err != nil {
		return err
	}
	if there {
		there, err = w.touchUp(fd, name, it)
	}
	if there || err != nil {
		return w.dst.Wrap("set mode and time of", it.want.Path, err)
	}
	err = w.make(ctx, fd, name, it)
	if errors.Is(err, errNoSymlinks) {
		w.t.refused.symlinks.Add(1)
		return nil
	}
	it.written = err == nil
	return w.dst.Wrap("write", it.want.Path, err)
}

// isThere reports whether the directory has the entry with its content.
func (w *writer) isThere(ctx context.Context, it *item) (bool, error) {
	if it.got.Kind != it.want.Kind || it.got.Size != it.want.Size && it.want.Kind == lists.File || it.got.Link != it.want.Link {
		return false, nil
	}
	if it.want.Kind == lists.Symlink {
		return true, nil
	}
	return w.comparer.same(ctx, &it.want)
}

// touchUp gives an entry that is there its owner, mode and time. It returns false if the entry is somebody else's and
// has to be made anew.
func (w *writer) touchUp(dir int, name string, it *item) (bool, error) {
	ours := w.t.owners.isOurs(it.got.UID)
	if !ours && len(foreignLists(&dirfd.Dir{FD: dir}, name, &it.want, nil)) > 0 {
		return false, nil
	}
	changed, err := w.t.settle(dir, name, &it.want, &it.got)
	it.written = changed
	if errors.Is(err, unix.EPERM) && !ours {
		return false, nil
	}
	return true, w.t.refused.note(err)
}

// settle gives an entry its owner, mode, time and extended attributes; got is what it has.
func (t *Target) settle(dir int, name string, want, got *lists.Entry) (changed bool, err error) {
	uid, gid, changed := t.owners.give(dir, name, want, got.UID, got.GID)
	mode := want.Mode
	if want.Kind == lists.File {
		mode = grantedMode(want, uid, gid)
	}
	parent := &dirfd.Dir{FD: dir, Path: t.Root.Path}
	listed, has := len(want.Xattrs) > 0, hasXattrs(parent, name, want)
	if listed && has && !changed && got.Mode == want.StatMode() {
		mode, listed = got.Mode, false
	}
	if want.Kind != lists.Symlink && (changed || got.Mode != mode) {
		changed = true
		if err = parent.Chmod(name, mode); err != nil {
			return changed, err
		}
	}
	if listed || !has {
		changed = true
		if err = t.giveXattrs(parent, name, want); err != nil {
			return changed, err
		}
	}
	if !got.ModTime.Equal(want.ModTime) {
		changed = true
		err = dirfd.SetTime(dir, name, want.ModTime)
	}
	return changed, err
}

var errNoSymlinks = errors.New("volume cannot hold symlinks")

// make makes an entry under the temporary name, and then gives it its own.
func (w *writer) make(ctx context.Context, dir int, name string, it *item) (err error) {
	switch it.want.Kind {
	case lists.Symlink:
		err = w.symlink(dir, &it.want)
	default:
		err = w.file(ctx, dir, &it.want)
	}
	if err == nil {
		err = rename(dir, w.temporary, name, it.got.Kind != "")
	}
	if err != nil && !errors.Is(err, errNoSymlinks) {
		removeErr := unix.Unlinkat(dir, w.temporary, 0)
		if errors.Is(removeErr, unix.ENOENT) {
			removeErr = nil
		}
		err = errors.Join(err, removeErr)
	}
	return err
}

// rename puts an entry in its place. Where there was nothing, there must still be nothing: on a volume that ignores
// case, two entries of the run may have one name.
func rename(dir int, from, to string, replace bool) error {
	if replace {
		return unix.Renameat(dir, from, dir, to)
	}
	err := unix.Renameat2(dir, from, dir, to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.ENOTSUP) {
		return dirfd.Taken(err)
	}
	if _, err := dirfd.LstatAt(dir, to); err == nil { // the file system has no such call
		return dirfd.Taken(unix.EEXIST)
	}
	return unix.Renameat(dir, from, dir, to)
}

func (w *writer) symlink(dir int, want *lists.Entry) error {
	err := unix.Symlinkat(want.Link, dir, w.temporary)
	if dirfd.Unsupported(err) {
		return errNoSymlinks
	}
	if err != nil {
		return err
	}
	st, err := dirfd.LstatAt(dir, w.temporary)
	if err != nil {
		return err
	}
	w.t.owners.give(dir, w.temporary, want, st.Uid, st.Gid)
	return w.t.refused.note(dirfd.SetTime(dir, w.temporary, want.ModTime))
}

func (w *writer) file(ctx context.Context, dir int, want *lists.Entry) (err error) {
	in, err := w.opener.Open(want)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := dirfd.OpenAt(dir, w.temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Close(out)) }()
	if err := copyAll(ctx, out, in); err != nil {
		return err
	}
	return w.complete(dir, out, want)
}

// copyAll copies a file to its end. The reader returns io.EOF only for a proven file.
func copyAll(ctx context.Context, out int, in io.Reader) error {
	buf := buffers.Get().(*[64 << 10]byte) //nolint:forcetypeassert // of no other type
	defer buffers.Put(buf)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := in.Read(buf[:])
		if err := dirfd.WriteAll(out, buf[:n]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// complete gives a written file its owner, mode and time.
func (w *writer) complete(dir, out int, want *lists.Entry) error {
	var st unix.Stat_t
	if err := unix.Fstat(out, &st); err != nil {
		return err
	}
	uid, gid, _ := w.t.owners.give(dir, w.temporary, want, st.Uid, st.Gid)
	if err := w.t.refused.note(unix.Fchmod(out, grantedMode(want, uid, gid))); err != nil {
		return err
	}
	parent := &dirfd.Dir{FD: dir, Path: w.t.Root.Path}
	if err := w.t.refused.note(w.t.giveXattrs(parent, w.temporary, want)); err != nil {
		return err
	}
	if w.t.Fsync {
		if err := unix.Fsync(out); err != nil {
			return err
		}
	}
	return w.t.refused.note(dirfd.SetTime(dir, w.temporary, want.ModTime))
}

// grantedMode is the mode of a file that belongs to the given user and group: it must not give its source's privilege
// to another.
func grantedMode(want *lists.Entry, uid, gid uint32) uint32 {
	mode := want.Mode
	if uid != want.UID {
		mode &^= unix.S_ISUID
	}
	if gid != want.GID {
		mode &^= unix.S_ISGID
	}
	return mode
}

// finishDirs gives the directories but the root their owners, modes and times, once nothing more is made in them. What
// lies in a directory comes before it: its mode may be one that forbids to enter it.
func (t *Target) finishDirs(ctx context.Context) error {
	source, done, err := t.Source.Entries(ctx)
	if err != nil {
		return err
	}
	defer done()
	dirs := &dirfd.Stack{Root: t.Root}
	defer dirs.Close()
	var open []lists.Entry // the directories that lead to the last one, outermost first
	finishUpTo := func(path string) error {
		for len(open) > 0 && !lists.Below(path, open[len(open)-1].Path) {
			if err := t.finishDir(dirs, &open[len(open)-1]); err != nil {
				return err
			}
			open = open[:len(open)-1]
		}
		return nil
	}
	for {
		e, err := source.Next()
		if errors.Is(err, io.EOF) {
			return finishUpTo("")
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.Kind != lists.Directory || e.Path == "." {
			continue
		}
		if err := finishUpTo(e.Path); err != nil {
			return err
		}
		open = append(open, e)
	}
}

func (t *Target) finishDir(dirs *dirfd.Stack, e *lists.Entry) error {
	parent, name := dirfd.Split(e.Path)
	fd, err := dirs.Open(parent)
	if err != nil {
		return err
	}
	st, err := dirfd.LstatAt(fd, name)
	if err != nil {
		return dirs.Wrap("read", e.Path, err)
	}
	got := walk.StatEntry(e.Path, &st)
	_, err = t.settle(fd, name, e, &got)
	return dirs.Wrap("set mode and time of", e.Path, t.refused.note(err))
}

// finishRoot gives the root its mode and time, if it is ours: the root of a volume may be its provisioner's. Its owner
// stays, since the volume's group is what lets others in.
func (t *Target) finishRoot() error {
	var st unix.Stat_t
	if err := unix.Fstat(t.Root.FD, &st); err != nil {
		return t.Root.Fail("fstat", "", err)
	}
	got := walk.StatEntry(".", &st)
	listed := len(t.root.Xattrs) > 0 && (got.Mode != t.root.StatMode() || !hasXattrs(t.Root, ".", &t.root))
	bounds := !t.root.HasXattr(lists.ACLAccess) && hasList(t.Root, ".", lists.ACLAccess) // the mode is a mask of the volume's list
	if got.Mode != t.root.Mode && !bounds && (listed || len(t.root.Xattrs) == 0) {
		if err := t.refused.note(unix.Fchmod(t.Root.FD, t.root.Mode)); err != nil {
			return t.Root.Fail("chmod", "", err)
		}
	}
	if listed {
		if err := t.giveXattrs(t.Root, ".", &t.root); err != nil {
			return err
		}
	}
	if !got.ModTime.Equal(t.root.ModTime) {
		if err := t.refused.note(dirfd.SetTime(t.Root.FD, ".", t.root.ModTime)); err != nil {
			return t.Root.Fail("set time of", "", err)
		}
	}
	return t.Root.Sync()
}
