package tree

import (
	"context"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/parallel"
	"threescale.dev/backup/fn/archive/internal/progress"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// resume marks the files that the partial tree holds already, by their digests, and removes the rest of the tree.
func (b *Builder) resume(ctx context.Context) error {
	found, err := compactJournals(b.Into, b.Sealer)
	if err != nil {
		return err
	}
	if !found {
		return b.startAnew(ctx)
	}
	stored, err := walk.Scan(ctx, b.files, walk.Options{Workers: b.Workers})
	if err != nil {
		return err
	}
	if stored.SkippedCount > 0 || len(stored.Unreadable) > 0 {
		return b.startAnew(ctx) // not what an attempt of ours leaves
	}
	journal, err := openJournal(b.Into, journalName, b.Sealer)
	if err != nil || journal == nil {
		return b.startAnew(ctx)
	}
	defer journal.close()
	b.Progress.Begin(progress.Resume, stored.List.Count.Files, stored.List.Count.Bytes)
	return parallel.Pipeline[proof]{
		Workers: b.Workers,
		Produce: func(ctx context.Context, add func(proof, int64) error) error {
			return b.sift(ctx, stored.List, lists.NewSeeker(journal), add)
		},
		Worker: func() (func(context.Context, *proof) error, func()) {
			return proveWith(dirfd.NewHasher(b.files), nil)
		},
		Collect: b.keep,
	}.Run(ctx)
}

// startAnew empties the partial tree.
func (b *Builder) startAnew(ctx context.Context) error {
	if err := b.files.Empty(ctx); err != nil {
		return err
	}
	return b.Into.RemoveMatching(ctx, func(name string) bool { return name != lists.FilesDir })
}

// sift removes what is stored but not wanted, and hands out the files that the journal knows.
func (b *Builder) sift(ctx context.Context, stored *walk.List, journal *lists.Seeker, add func(proof, int64) error) error {
	wanted := &wantedEntries{cursor: b.Entries.Cursor()}
	dirs := &dirfd.Stack{Root: b.files, Readable: true}
	defer dirs.Close()
	removed := ""
	for e := range stored.All() {
		if removed != "" && lists.Below(e.Path, removed) {
			continue
		}
		want, f := wanted.find(e.Path)
		if want == nil || want.Kind != e.Kind || e.Kind == lists.Symlink {
			if err := dirs.RemoveAt(ctx, e.Path); err != nil {
				return err
			}
			removed = e.Path
			continue
		}
		if e.Kind == lists.Directory {
			*f |= walk.Kept
			if err := makeWritable(dirs, e.Path); err != nil {
				return err
			}
			continue
		}
		was, err := journal.Find(e.Path)
		if err != nil {
			return err
		}
		l := proof{path: e.Path, size: e.Size, flags: f} // without a digest it is not kept
		asStored := e.ModTime.Equal(want.ModTime) && e.Mode == StoredMode(want)
		if was != nil && was.SameContent(want) && was.Stamp != 0 && was.Stamp == want.Stamp && asStored {
			l.want = was.SHA256
		}
		if err := add(l, e.Size); err != nil {
			return err
		}
	}
	return nil
}

// wantedEntries finds entries of a list, asked for in increasing order.
type wantedEntries struct {
	cursor *walk.Cursor
	entry  lists.Entry
	flags  *walk.Flags
}

func (w *wantedEntries) find(path string) (*lists.Entry, *walk.Flags) {
	for w.flags == nil || lists.ComparePaths(w.entry.Path, path) < 0 {
		if w.flags = w.cursor.Next(&w.entry); w.flags == nil {
			return nil, nil
		}
	}
	if w.entry.Path != path {
		return nil, nil
	}
	return &w.entry, w.flags
}

// makeWritable undoes the mode that an earlier attempt may have set.
func makeWritable(dirs *dirfd.Stack, path string) error {
	fd, err := dirs.Open(path)
	if err != nil {
		return err
	}
	return dirs.Wrap("make writable", path, tolerate(unix.Fchmod(fd, 0o700)))
}

// keep keeps the files whose digests agree and removes the others.
func (b *Builder) keep(items []proof) error {
	for _, l := range items {
		b.Progress.Add(1, l.size)
		if l.err == nil {
			*l.flags |= walk.Kept
			continue
		}
		parent, name, err := b.made.Parent(l.path)
		if err == nil {
			err = parent.Remove(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
