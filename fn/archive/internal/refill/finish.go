package refill

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/walk"
)

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
