package refill

import (
	"context"
	"errors"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/parallel"
	"threescale.dev/backup/fn/archive/internal/progress"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// item is a file or symlink on its way into the directory.
type item struct {
	want    lists.Entry
	got     lists.Entry // what has the name; no kind: nothing
	written bool
}

// fill makes the entries of the run. Directories have a mode that lets their files be made.
func (t *Target) fill(ctx context.Context) error {
	count := t.entries
	t.Progress.Begin(progress.FileStorage, count.Files, count.Bytes)
	temporary := newTemporary()
	var number atomic.Int64
	syncer := dirfd.NewSyncer(t.Root)
	err := parallel.Pipeline[item]{
		Workers: t.Workers,
		Batch:   t.Batch,
		Produce: t.produce,
		Worker: func() (func(context.Context, *item) error, func()) {
			w := t.newWriter(temporary(int(number.Add(1))))
			return w.one, w.close
		},
		Collect: func(items []item) error {
			before := t.written
			t.collect(items)
			syncer.Wrote(t.written.Files-before.Files, t.written.Bytes-before.Bytes)
			return nil
		},
	}.Run(ctx)
	return errors.Join(err, syncer.Close())
}

// produce makes the directories and hands out the rest.
func (t *Target) produce(ctx context.Context, add func(item, int64) error) error {
	dirs := &dirfd.Stack{Root: t.Root}
	defer dirs.Close()
	return t.merge(ctx, func(p lists.Pair) error {
		if p.Want == nil || p.Want.Path == "." {
			return nil
		}
		if p.Want.Kind == lists.Directory {
			return t.makeDir(ctx, dirs, p)
		}
		it := item{want: *p.Want}
		if p.Got != nil {
			it.got = *p.Got
		}
		if it.got.Kind == lists.Directory {
			if err := dirs.RemoveAt(ctx, p.Want.Path); err != nil {
				return err
			}
			it.got = lists.Entry{}
		}
		return add(it, p.Want.Size)
	})
}

// makeDir makes a directory, if need be in place of another entry.
func (t *Target) makeDir(ctx context.Context, dirs *dirfd.Stack, p lists.Pair) error {
	parent, name, err := dirs.Parent(p.Want.Path)
	if err != nil {
		return err
	}
	if p.Got != nil && p.Got.Kind == lists.Directory {
		if err := dropDefaultList(parent, name); err != nil {
			return err
		}
		const owner = 0o700
		if p.Got.Mode&owner == owner {
			return nil
		}
		err := parent.Chmod(name, p.Got.Mode|owner)
		if errors.Is(err, unix.EPERM) {
			err = nil // it is somebody else's: what is made in it tells if that matters
		}
		return err
	}
	if p.Got != nil {
		if err := parent.RemoveAll(ctx, name); err != nil {
			return err
		}
	}
	if err := unix.Mkdirat(parent.FD, name, 0o700); err != nil {
		return dirs.Wrap("make directory", p.Want.Path, dirfd.Taken(err))
	}
	return dropDefaultList(parent, name)
}

// dropDefaultList keeps what is made in a directory from inheriting its list, which it gets back at the end if its
// source had one.
func dropDefaultList(parent *dirfd.Dir, name string) error {
	if !hasList(parent, name, lists.ACLDefault) {
		return nil
	}
	err := parent.RemoveXattr(name, lists.ACLDefault)
	if mayNotRemove(err) {
		return nil // what is made in it is put right one by one
	}
	return err
}

func (t *Target) collect(items []item) {
	var done walk.Counts
	for i := range items {
		done.Add(&items[i].want)
		if items[i].written {
			t.written.Add(&items[i].want)
		}
	}
	t.Progress.Add(done.Files, done.Bytes)
}

// removeLeftovers removes the files that interrupted tries left, those of other runs too: their markers go as well, and
// without a marker nothing would tell such a file from data.
func (t *Target) removeLeftovers(ctx context.Context) error {
	dirs := &dirfd.Stack{Root: t.Root}
	defer dirs.Close()
	for _, path := range t.plan.leftovers {
		if path == t.marker.name {
			continue
		}
		if err := dirs.RemoveAt(ctx, path); err != nil {
			return err
		}
	}
	return nil
}

func (t *Target) removeForeign(ctx context.Context) error {
	for {
		if err := t.rescan(ctx); err != nil {
			return err
		}
		if err := t.removeUnwanted(ctx); err != nil {
			return err
		}
		if t.found.SkippedCount == int64(len(t.found.Skipped)) {
			return nil // else there are more specials than a scan tells of
		}
	}
}

// removeUnwanted removes what the last scan found and the run does not have.
func (t *Target) removeUnwanted(ctx context.Context) error {
	dirs := &dirfd.Stack{Root: t.Root}
	defer dirs.Close()
	for path := range t.specials {
		if err := dirs.RemoveAt(ctx, path); err != nil {
			return err
		}
		t.result.Removed++
	}
	removed := "" // the directory that was removed last
	return t.merge(ctx, func(p lists.Pair) error {
		if p.Want != nil || p.Got.Path == t.marker.name || removed != "" && lists.Below(p.Got.Path, removed) {
			return nil
		}
		if p.Got.Kind == lists.Directory {
			removed = p.Got.Path
		}
		t.result.Removed++
		return dirs.RemoveAt(ctx, p.Got.Path)
	})
}
