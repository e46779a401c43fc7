package tree

import (
	"context"
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// produce makes the directories and hands out the entries, with the digests of those that are stored already.
func (b *Builder) produce(_ context.Context, add func(item, int64) error) error {
	from, err := b.openSources()
	if err != nil {
		return err
	}
	defer from.close()
	for c := b.Entries.Cursor(); ; {
		it := item{}
		f := c.Next(&it.entry)
		if f == nil {
			break
		}
		it.flags = *f
		if err := b.prepare(&it, from); err != nil {
			return err
		}
		if err := add(it, it.entry.Size); err != nil {
			return err
		}
	}
	return from.old.Drain()
}

// sources knows the digests of the files that need not be copied.
type sources struct {
	lists   *lists.Reader  // of the previous tree; nil without one
	journal *journalReader // of the partial tree; nil without one
	old     *lists.Seeker
	stored  *lists.Seeker
}

// openSources opens the lists of the previous tree and the journal of the partial one.
func (b *Builder) openSources() (*sources, error) {
	none := &lists.SliceSource{}
	from := &sources{old: lists.NewSeeker(none), stored: lists.NewSeeker(none)}
	var err error
	if b.Previous != nil {
		if from.lists, err = b.Previous.open(); err != nil {
			return nil, err
		}
		from.old = lists.NewSeeker(from.lists)
	}
	from.journal, err = openJournal(b.Into, journalName, b.Sealer)
	if errors.Is(err, fs.ErrNotExist) {
		return from, nil
	}
	if err != nil {
		from.close()
		return nil, err
	}
	from.stored = lists.NewSeeker(from.journal)
	return from, nil
}

// close drops the errors: the files were only read.
func (s *sources) close() {
	if s.lists != nil {
		_ = s.lists.Close()
	}
	if s.journal != nil {
		_ = s.journal.close()
	}
}

// prepare makes a directory, or finds the digest of a file that is stored already.
func (b *Builder) prepare(it *item, sources *sources) error {
	e := &it.entry
	if e.Kind == lists.Directory && it.flags&walk.Kept == 0 && e.Path != "." {
		return b.mkdir(e.Path)
	}
	from := sources.old
	switch {
	case e.Kind != lists.File || it.flags == 0:
		return nil
	case it.flags&walk.Kept != 0:
		from = sources.stored
	}
	found, err := from.Find(e.Path)
	if err != nil {
		return err
	}
	if found == nil {
		it.flags = 0
		return nil
	}
	it.digest, it.entry.Mode, it.entry.Xattrs, it.entry.Lost = found.SHA256, found.Mode, found.Xattrs, found.Lost
	return nil
}

// mkdir makes a directory that must not be there yet.
func (b *Builder) mkdir(path string) error {
	parent, name := dirfd.Split(path)
	fd, err := b.made.Open(parent)
	if err != nil {
		return err
	}
	if err := unix.Mkdirat(fd, name, 0o700); err != nil {
		return b.made.Wrap("make directory", path, err)
	}
	return nil
}
