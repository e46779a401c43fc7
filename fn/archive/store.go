package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

const maxUnreadable = 100 // unreadable files after which the rest is not tried

// item is one entry on its way into a tree.
type item struct {
	entry   Entry
	flags   flags
	digest  string // of a file that is stored already
	gone    bool   // vanished since it was scanned
	linked  bool
	warning string
	err     error // why it cannot be read
}

// store builds a tree in the partial directory.
type store struct {
	w        *writer
	src      *dir
	tree     *dir
	files    *dir
	oldFiles *dir     // files of the previous tree; nil without one
	symlinks bool     // the volume has them
	made     dirStack // of files, for one goroutine at a time

	lists      *listsWriter
	journal    *journalWriter
	count      counts
	linked     counts
	unlinked   int64 // unchanged files that had to be copied
	unreadable []UnreadableEntry
}

// storeFiles stores the file storage, or takes over the tree that has it already.
func (w *writer) storeFiles(ctx context.Context) (err error) {
	if w.scanned == nil || w.shared {
		return errors.Join(w.trees.removeAll(ctx, w.partial()), w.checkSpace(nil))
	}
	s, err := w.openStore()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.resume(ctx); err != nil {
		return err
	}
	if err := w.checkSpace(w.scanned.list); err != nil {
		return err
	}
	if err := s.fill(ctx); err != nil {
		return err
	}
	if err := s.finishDirs(ctx); err != nil {
		return err
	}
	return s.finishTree(ctx)
}

// openStore opens the source and the partial tree.
func (w *writer) openStore() (s *store, err error) {
	s = &store{w: w}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
			s = nil
		}
	}()
	if s.src, err = openRoot(w.opts.Files); err != nil {
		return s, err
	}
	if s.tree, err = w.trees.ensure(w.partial()); err != nil {
		return s, err
	}
	if s.files, err = s.tree.ensure(filesDir); err != nil {
		return s, err
	}
	if w.previous != nil {
		if s.oldFiles, err = w.previous.dir.sub(filesDir); err != nil {
			return s, err
		}
	}
	if err := s.probe(); err != nil {
		return s, err
	}
	s.made = dirStack{root: s.files, flags: unix.O_PATH}
	return s, nil
}

func (s *store) close() error {
	s.made.close()
	var errs []error
	for _, d := range []*dir{s.src, s.tree, s.files, s.oldFiles} {
		if d != nil {
			errs = append(errs, d.close())
		}
	}
	return errors.Join(errs...)
}

// probe finds out what the volume has.
func (s *store) probe() error {
	var hardLinks bool
	var err error
	if s.symlinks, err = s.tree.holdsSymlinks(); err != nil {
		return err
	}
	if hardLinks, err = s.tree.holdsHardLinks(); err != nil {
		return err
	}
	if !hardLinks && s.oldFiles != nil {
		s.w.warn("volume cannot hold hard links: unchanged files are stored once for each run")
		s.w.scanned.list.clear(sameFile)
	}
	return nil
}

// fill writes the entries, the lists and the journal.
func (s *store) fill(ctx context.Context) (err error) {
	if s.lists, err = newListsWriter(s.tree, s.w.fsync); err != nil {
		return err
	}
	if s.journal, err = newJournalWriter(s.tree, s.w.sealer); err != nil {
		return errors.Join(err, s.lists.close())
	}
	count := s.w.scanned.list.count
	s.w.progress.begin(PhaseFileStorage, count.files, count.bytes)
	err = pipeline[item]{
		workers: s.w.opts.Workers,
		produce: s.produce,
		worker:  s.worker,
		collect: s.collect,
	}.run(ctx)
	err = errors.Join(err, s.lists.close(), s.journal.close())
	if err != nil {
		return err
	}
	if len(s.unreadable) > 0 {
		return &UnreadableError{Entries: s.unreadable}
	}
	if s.unlinked > 0 {
		s.w.warn(fmt.Sprintf("%d unchanged files could not be linked to the earlier tree and were copied", s.unlinked))
	}
	return nil
}

// produce makes the directories and hands out the entries, with the digests of those that are stored already.
func (s *store) produce(ctx context.Context, emit func([]item) error) error {
	from, err := s.openSources()
	if err != nil {
		return err
	}
	defer from.close()
	out := batcher[item]{emit: emit}
	for c := s.w.scanned.list.cursor(); ; {
		it := item{}
		f := c.next(&it.entry)
		if f == nil {
			break
		}
		it.flags = *f
		if err := s.prepare(&it, from); err != nil {
			return err
		}
		if err := out.add(it, it.entry.Size); err != nil {
			return err
		}
	}
	if err := from.old.drain(); err != nil {
		return err
	}
	return out.flush()
}

// sources knows the digests of the files that need not be copied.
type sources struct {
	lists   *lists         // of the previous tree; nil without one
	journal *journalReader // of the partial tree; nil without one
	old     *seeker
	stored  *seeker
}

// openSources opens the lists of the previous tree and the journal of the partial one.
func (s *store) openSources() (*sources, error) {
	from := &sources{old: &seeker{ended: true}, stored: &seeker{ended: true}}
	var err error
	if s.w.previous != nil {
		if from.lists, err = openLists(s.w.previous.dir, s.w.previous.digests); err != nil {
			return nil, err
		}
		from.old = &seeker{source: from.lists}
	}
	from.journal, err = openJournal(s.tree, journalName, s.w.sealer)
	if errors.Is(err, fs.ErrNotExist) {
		return from, nil
	}
	if err != nil {
		from.close()
		return nil, err
	}
	from.stored = &seeker{source: from.journal}
	return from, nil
}

// close drops the errors: the files were only read.
func (s *sources) close() {
	if s.lists != nil {
		_ = s.lists.close()
	}
	if s.journal != nil {
		_ = s.journal.close()
	}
}

// prepare makes a directory, or finds the digest of a file that is stored already.
func (s *store) prepare(it *item, sources *sources) error {
	e := &it.entry
	if e.Kind == Directory && it.flags&kept == 0 && e.Path != "." {
		return s.mkdir(e.Path)
	}
	from := sources.old
	switch {
	case e.Kind != File || it.flags == 0:
		return nil
	case it.flags&kept != 0:
		from = sources.stored
	}
	found, err := from.find(e.Path)
	if err != nil {
		return err
	}
	if found == nil {
		it.flags = 0
		return nil
	}
	it.digest = found.SHA256
	return nil
}

// mkdir makes a directory that must not be there yet.
func (s *store) mkdir(path string) error {
	parent, name := splitPath(path)
	fd, err := s.made.open(parent)
	if err != nil {
		return err
	}
	if err := unix.Mkdirat(fd, name, 0o700); err != nil {
		return s.made.wrap("make directory", path, err)
	}
	return nil
}

// collect takes finished entries in order.
func (s *store) collect(items []item) error {
	files, bytes := int64(0), int64(0)
	for i := range items {
		it := &items[i]
		if it.entry.Kind == File {
			files, bytes = files+1, bytes+it.entry.Size
		}
		if err := s.record(it); err != nil {
			return err
		}
	}
	s.w.progress.add(files, bytes)
	return s.journal.flush()
}

// record lists one finished entry.
func (s *store) record(it *item) error {
	s.w.warn(it.warning)
	switch {
	case it.err != nil:
		s.unreadable = append(s.unreadable, UnreadableEntry{Path: it.entry.Path, Err: it.err})
		if len(s.unreadable) >= maxUnreadable {
			return &UnreadableError{Entries: s.unreadable}
		}
		return nil
	case it.gone:
		return nil
	}
	s.count.add(&it.entry)
	if it.linked {
		s.linked.add(&it.entry)
	} else if it.flags&sameFile != 0 && it.flags&kept == 0 {
		s.unlinked++
	}
	if err := s.lists.add(&it.entry); err != nil {
		return err
	}
	if it.entry.Kind != File || it.flags&kept != 0 {
		return nil
	}
	return s.journal.add(&it.entry)
}

// finishDirs gives the directories their modes and times, once nothing more is made in them.
func (s *store) finishDirs(ctx context.Context) error {
	var e Entry
	for c := s.w.scanned.list.cursor(); c.next(&e) != nil; {
		if e.Kind != Directory {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		parent, name := splitPath(e.Path)
		fd, err := s.made.open(parent)
		if err != nil {
			return err
		}
		err = tolerate(unix.Fchmodat(fd, name, storedMode(&e), 0))
		if err == nil {
			err = setTime(fd, name, &e)
		}
		if err != nil {
			return s.made.wrap("set mode and time of", e.Path, err)
		}
	}
	return nil
}

// finishTree completes the lists and names the tree.
func (s *store) finishTree(ctx context.Context) error {
	digests, err := s.lists.finish()
	if err != nil {
		return err
	}
	if err := removeMatching(ctx, s.tree, isJournal); err != nil {
		return err
	}
	s.w.setTree(digests, s.count)
	s.w.manifest.Totals.LinkedFiles, s.w.manifest.Totals.LinkedBytes = s.linked.files, s.linked.bytes
	if s.count.symlinks > 0 && !s.symlinks {
		s.w.manifest.LinksOmitted = true
		s.w.warn(fmt.Sprintf("volume cannot hold symlinks: %d symlinks of the file storage are in MTREE only", s.count.symlinks))
	}
	return nil
}
