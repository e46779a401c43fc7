package archive

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// leftover is one stored file of an interrupted attempt that may be kept.
type leftover struct {
	path  string
	size  int64
	want  string // digest
	got   string
	flags *flags // of the list's entry
}

// resume marks in the list what the partial tree holds already, checked by its digest, and removes the rest of it.
func (s *store) resume(ctx context.Context) error {
	found, err := compactJournals(s.tree, s.w.sealer)
	if err != nil {
		return err
	}
	if !found {
		return s.startAnew(ctx)
	}
	stored, err := scan(ctx, s.files, scanOptions{Workers: s.w.opts.Workers})
	if err != nil {
		return err
	}
	if stored.skippedCount > 0 || len(stored.unreadable) > 0 {
		return s.startAnew(ctx) // not what an attempt of ours leaves
	}
	journal, err := openJournal(s.tree, journalName, s.w.sealer)
	if err != nil {
		return s.startAnew(ctx)
	}
	defer journal.close()
	s.w.progress.begin(PhaseResume, stored.list.count.files, stored.list.count.bytes)
	return pipeline[leftover]{
		workers: s.w.opts.Workers,
		produce: func(ctx context.Context, emit func([]leftover) error) error {
			return s.sift(ctx, stored.list, &seeker{source: journal}, batcher[leftover]{emit: emit})
		},
		worker:  s.checker,
		collect: s.keep,
	}.run(ctx)
}

// startAnew empties the partial tree.
func (s *store) startAnew(ctx context.Context) error {
	if err := s.files.empty(ctx); err != nil {
		return err
	}
	return removeMatching(ctx, s.tree, func(name string) bool { return name != filesDir })
}

// sift removes what is stored but not wanted, and hands out the files that the journal knows.
func (s *store) sift(ctx context.Context, stored *list, journal *seeker, out batcher[leftover]) error {
	wanted := &wantedEntries{cursor: s.w.scanned.list.cursor()}
	dirs := &dirStack{root: s.files, flags: unix.O_RDONLY}
	defer dirs.close()
	removed := ""
	var e Entry
	for c := stored.cursor(); c.next(&e) != nil; {
		if removed != "" && below(e.Path, removed) {
			continue
		}
		want, f := wanted.find(e.Path)
		if want == nil || want.Kind != e.Kind || e.Kind == Symlink {
			if err := removeStored(ctx, dirs, e.Path); err != nil {
				return err
			}
			removed = e.Path
			continue
		}
		if e.Kind == Directory {
			*f |= kept
			if err := makeWritable(dirs, e.Path); err != nil {
				return err
			}
			continue
		}
		was, err := journal.find(e.Path)
		if err != nil {
			return err
		}
		l := leftover{path: e.Path, size: e.Size, flags: f}
		asStored := e.ModTime.Equal(want.ModTime) && e.Mode == storedMode(want)
		if was != nil && was.sameContent(want) && asStored {
			l.want = was.SHA256
		}
		if err := out.add(l, e.Size); err != nil {
			return err
		}
	}
	return out.flush()
}

// below tells if a path is that of an entry below a directory.
func below(path, dir string) bool {
	return len(path) > len(dir) && path[len(dir)] == '/' && path[:len(dir)] == dir
}

// wantedEntries finds entries of a list, asked for in increasing order.
type wantedEntries struct {
	cursor *cursor
	entry  Entry
	flags  *flags
}

func (w *wantedEntries) find(path string) (*Entry, *flags) {
	for w.flags == nil || comparePaths(w.entry.Path, path) < 0 {
		if w.flags = w.cursor.next(&w.entry); w.flags == nil {
			return nil, nil
		}
	}
	if w.entry.Path != path {
		return nil, nil
	}
	return &w.entry, w.flags
}

func removeStored(ctx context.Context, dirs *dirStack, path string) error {
	parent, name := splitPath(path)
	fd, err := dirs.open(parent)
	if err != nil {
		return err
	}
	return (&dir{fd: fd, path: dirs.describe(parent, "")}).removeAll(ctx, name)
}

// makeWritable undoes the mode that an attempt may have set last.
func makeWritable(dirs *dirStack, path string) error {
	fd, err := dirs.open(path)
	if err != nil {
		return err
	}
	return dirs.wrap("make writable", path, tolerate(unix.Fchmod(fd, 0o700)))
}

// checker recomputes digests.
func (s *store) checker() (work func(context.Context, []leftover) error, done func()) {
	h := newHasher(s.files)
	return func(ctx context.Context, items []leftover) error {
		for i := range items {
			if items[i].want == "" {
				continue
			}
			got, err := h.digest(ctx, items[i].path, items[i].size)
			if err != nil && ctx.Err() != nil {
				return err
			}
			items[i].got = got
		}
		return nil
	}, h.close
}

// keep keeps the files whose digests agree and removes the others.
func (s *store) keep(items []leftover) error {
	for _, l := range items {
		s.w.progress.add(1, l.size)
		if l.want != "" && l.got == l.want {
			*l.flags |= kept
			continue
		}
		parent, name := splitPath(l.path)
		fd, err := s.made.open(parent)
		if err != nil {
			return err
		}
		if err := unix.Unlinkat(fd, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return s.made.wrap("remove", l.path, err)
		}
	}
	return nil
}
