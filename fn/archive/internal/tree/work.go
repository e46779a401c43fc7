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
		src:    &dirfd.Stack{Root: b.Source, Flags: unix.O_PATH},
		dst:    &dirfd.Stack{Root: b.files, Flags: unix.O_PATH},
		old:    &dirfd.Stack{Root: b.oldFiles, Flags: unix.O_PATH},
		copier: newCopier(b.Sealer, b.Stamper, b.Keep, b.Fsync),
	}
	return w.one, func() {
		w.src.Close()
		w.dst.Close()
		w.old.Close()
	}
}

// one stores an entry, unless it is stored already. Only an error of the volume is returned.
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

// link links a file from the previous tree, if what is stored there looks as it should.
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

// copy copies a file and sorts out what can go wrong with its source.
func (w *storeWorker) copy(ctx context.Context, parent, name string, dst int, it *item) error {
	src, err := w.src.Open(parent)
	if err != nil {
		return it.fail(sourceFailure(err))
	}
	stable, err := w.copier.copy(ctx, src, dst, name, &it.entry)
	var unread *sourceError
	switch {
	case errors.Is(err, errGone), errors.As(err, &unread):
		return it.fail(err)
	case err != nil:
		return w.dst.Wrap("store", it.entry.Path, err)
	case !stable:
		it.warning = fmt.Sprintf("file %s kept changing: it is stored as it was last read", lists.Escape(it.entry.Path))
	}
	return nil
}

// fail records what is wrong with the source of an item. Any other error is returned.
func (it *item) fail(err error) error {
	var unread *sourceError
	switch {
	case errors.Is(err, errGone):
		it.gone = true
		return nil
	case errors.As(err, &unread):
		it.err = unread.error
		return nil
	}
	return err
}
