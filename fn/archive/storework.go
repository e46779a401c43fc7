package archive

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// storeWorker stores entries, one at a time.
type storeWorker struct {
	store  *store
	src    *dirStack
	dst    *dirStack
	old    *dirStack
	copier *copier
}

func (s *store) worker() (work func(context.Context, []item) error, done func()) {
	w := &storeWorker{
		store:  s,
		src:    &dirStack{root: s.src, flags: unix.O_PATH},
		dst:    &dirStack{root: s.files, flags: unix.O_PATH},
		old:    &dirStack{root: s.oldFiles, flags: unix.O_PATH},
		copier: newCopier(s.w.sealer, s.w.fsync),
	}
	return w.work, func() {
		w.src.close()
		w.dst.close()
		w.old.close()
	}
}

func (w *storeWorker) work(ctx context.Context, items []item) error {
	for i := range items {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.one(ctx, &items[i]); err != nil {
			return err
		}
	}
	return nil
}

// one stores an entry, unless it is stored already. Only an error of the volume is returned.
func (w *storeWorker) one(ctx context.Context, it *item) error {
	if it.entry.Kind == Directory {
		return nil
	}
	if it.flags&kept != 0 {
		it.entry.SHA256 = it.digest
		return nil
	}
	parent, name := splitPath(it.entry.Path)
	dst, err := w.dst.open(parent)
	if err != nil {
		return err
	}
	if it.entry.Kind == Symlink {
		return w.symlink(dst, name, it)
	}
	if it.flags&sameFile != 0 && w.link(parent, name, dst, it) {
		return nil
	}
	return w.copy(ctx, parent, name, dst, it)
}

func (w *storeWorker) symlink(dst int, name string, it *item) error {
	if !w.store.symlinks {
		return nil
	}
	if err := unix.Symlinkat(it.entry.Link, dst, name); err != nil {
		return w.dst.wrap("make symlink", it.entry.Path, err)
	}
	if err := setTime(dst, name, &it.entry); err != nil {
		return w.dst.wrap("set time of", it.entry.Path, err)
	}
	return nil
}

// link links a file from the previous tree, if what is stored there looks as it should.
func (w *storeWorker) link(parent, name string, dst int, it *item) bool {
	old, err := w.old.open(parent)
	if err != nil {
		return false
	}
	var st unix.Stat_t
	err = unix.Fstatat(old, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size != w.store.w.sealer.storedSize(it.entry.Size) {
		return false
	}
	it.linked = unix.Linkat(old, name, dst, name, 0) == nil
	it.entry.SHA256 = it.digest
	return it.linked
}

// copy copies a file and sorts out what can go wrong with its source.
func (w *storeWorker) copy(ctx context.Context, parent, name string, dst int, it *item) error {
	src, err := w.src.open(parent)
	if err != nil {
		return it.fail(sourceFailure(err))
	}
	stable, err := w.copier.copy(ctx, src, dst, name, &it.entry)
	var unread *sourceError
	switch {
	case errors.Is(err, errGone), errors.As(err, &unread):
		if undo := unix.Unlinkat(dst, name, 0); undo != nil && !errors.Is(undo, unix.ENOENT) {
			return w.dst.wrap("remove", it.entry.Path, undo)
		}
		return it.fail(err)
	case err != nil:
		return w.dst.wrap("store", it.entry.Path, err)
	case !stable:
		it.warning = fmt.Sprintf("%s kept changing: it is stored as it was last read", visPath(it.entry.Path))
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
