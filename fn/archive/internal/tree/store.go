package tree

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// produce makes the directories and hands out the entries, with the digests of those that are stored already.
func (b *Builder) produce(_ context.Context, add func(item, int64) error) (err error) {
	var listed *lists.Reader
	if b.Previous != nil {
		if listed, err = b.Previous.open(); err != nil {
			return err
		}
		defer listed.Close()
	}
	journal, err := openJournal(b.Into, journalName, b.Sealer)
	if err != nil {
		return err
	}
	defer journal.close()
	old, stored := lists.NewSeeker(listed), lists.NewSeeker(journal)
	for e, f := range b.Entries.All() {
		it := item{entry: *e, flags: *f}
		if err := b.prepare(&it, old, stored); err != nil {
			return err
		}
		if err := add(it, it.entry.Size); err != nil {
			return err
		}
	}
	return old.Drain()
}

// prepare makes a directory, or finds the digest of a file that is stored in the previous tree or in the partial one.
func (b *Builder) prepare(it *item, old, stored *lists.Seeker) error {
	e := &it.entry
	if e.Kind == lists.Directory && it.flags&walk.Kept == 0 && e.Path != "." {
		return b.mkdir(e.Path)
	}
	from := old
	switch {
	case e.Kind != lists.File || it.flags == 0:
		return nil
	case it.flags&walk.Kept != 0:
		from = stored
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
	if b.Contents != nil {
		it.entry.Stamp = found.Stamp
	}
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

// storeWorker stores entries, one at a time.
type storeWorker struct {
	b      *Builder
	src    *dirfd.Stack
	dst    *dirfd.Stack
	old    *dirfd.Stack
	copier *copier
}

func (b *Builder) worker() (work func(context.Context, *item) error, done func()) {
	w := &storeWorker{
		b:      b,
		src:    &dirfd.Stack{Root: b.Source},
		dst:    &dirfd.Stack{Root: b.files},
		old:    &dirfd.Stack{Root: b.oldFiles},
		copier: newCopier(&b.Options),
	}
	return w.one, func() {
		w.src.Close()
		w.dst.Close()
		w.old.Close()
	}
}

// one stores an entry, unless it is stored already. It returns errors of the volume only.
func (w *storeWorker) one(ctx context.Context, it *item) error {
	if it.entry.Kind == lists.Directory {
		return nil
	}
	if it.flags&walk.Kept != 0 {
		it.entry.SHA256 = it.digest
		return nil
	}
	parent, name := dirfd.Split(it.entry.Path)
	dst, err := w.dst.Open(parent)
	if err != nil {
		return err
	}
	if it.entry.Kind == lists.Symlink {
		return w.symlink(dst, name, it)
	}
	if it.flags&walk.SameFile != 0 && w.link(parent, name, dst, it) {
		return nil
	}
	return w.copy(ctx, parent, name, dst, it)
}

func (w *storeWorker) symlink(dst int, name string, it *item) error {
	if !w.b.symlinks {
		return nil
	}
	if err := unix.Symlinkat(it.entry.Link, dst, name); err != nil {
		return w.dst.Wrap("make symlink", it.entry.Path, err)
	}
	if err := setTime(dst, name, &it.entry); err != nil {
		return w.dst.Wrap("set time of", it.entry.Path, err)
	}
	return nil
}

// link links a file from the previous tree, if the stored file has the right type and size.
func (w *storeWorker) link(parent, name string, dst int, it *item) bool {
	old, err := w.old.Open(parent)
	if err != nil {
		return false
	}
	st, err := dirfd.LstatAt(old, name)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size != w.b.Sealer.StoredSize(it.entry.Size) {
		return false
	}
	it.linked = unix.Linkat(old, name, dst, name, 0) == nil
	it.entry.SHA256 = it.digest
	return it.linked
}

// copy copies a file and tells errors of its source from errors of the volume.
func (w *storeWorker) copy(ctx context.Context, parent, name string, dst int, it *item) (err error) {
	stable := true
	if w.b.Objects != nil {
		err = w.copier.copyObject(ctx, w.b.Objects, dst, name, &it.entry)
	} else if src, failure := w.src.Open(parent); failure == nil {
		stable, err = w.copier.copy(ctx, src, dst, name, &it.entry)
	} else {
		err = sourceFailure(failure)
	}
	unread, isSource := errors.AsType[*sourceError](err)
	switch {
	case errors.Is(err, errGone), isSource && w.b.Objects == nil && walk.Gone(w.b.Source, it.entry.Path, unread.error):
		it.gone = true
	case isSource:
		it.err = unread.error
	case err != nil:
		return w.dst.Wrap("store", it.entry.Path, err)
	case !stable:
		it.warning = fmt.Sprintf("file %s kept changing: it is stored as it was last read", lists.Escape(it.entry.Path))
	}
	return nil
}
