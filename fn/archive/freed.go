package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
)

// Freed returns how many bytes of files would become free if the given runs were removed: files that they share with
// runs that stay do not count, and files that they share with each other count once. It writes nothing. An ID of no run
// is an ErrRunNotFound.
func (v *Volume) Freed(ctx context.Context, runs []string) (int64, error) {
	runs = slices.Compact(slices.Sorted(slices.Values(runs)))
	bytes, err := v.freed(ctx, runs)
	if err != nil {
		return 0, fmt.Errorf("cannot tell what removing runs of volume %q would free: %w", v.root.Path, err)
	}
	return bytes, nil
}

func (v *Volume) freed(ctx context.Context, runs []string) (int64, error) {
	known, err := v.ownRuns()
	if err != nil {
		return 0, err
	}
	there, going := make(map[string]bool), make(map[string]bool)
	for _, r := range known {
		there[r.ID] = there[r.ID] || r.State != Partial
	}
	for _, id := range runs {
		if !there[id] {
			return 0, fmt.Errorf("run %q: %w", id, ErrRunNotFound)
		}
		going[id] = true
	}
	trees, unknown, err := v.unusedTrees(known, going)
	if err != nil {
		return 0, err
	}
	if unknown != "" {
		trees = nil
	}
	ofRuns, err := v.soleBytes(ctx, runsDir, runs)
	if err != nil {
		return 0, err
	}
	ofTrees, err := v.soleBytes(ctx, treesDir, trees)
	return ofRuns + ofTrees, err
}

// unusedTrees returns the trees that no run of the volume refers to, but perhaps some, sorted. If there are runs whose
// tree is not known, it returns one of them.
func (v *Volume) unusedTrees(runs []RunInfo, but map[string]bool) (trees []string, unknown string, err error) {
	used, unknown, err := v.usedTreesOf(runs, but)
	if err != nil {
		return nil, "", err
	}
	names, err := v.names(treesDir)
	trees = slices.DeleteFunc(names, func(name string) bool { return used[name] || !lists.IsDigest(name) })
	return trees, unknown, err
}

// soleBytes adds up the sizes of the files whose hard links are all in the given directories.
func (v *Volume) soleBytes(ctx context.Context, below string, names []string) (int64, error) {
	if len(names) == 0 {
		return 0, nil
	}
	parent, err := v.root.Sub(below)
	if err != nil {
		return 0, err
	}
	defer parent.Close()
	return soleBytes(ctx, parent, names)
}

// soleBytes is Volume.soleBytes in an open directory. A link to a file has the path in its tree that the file has in
// the tree that it is linked from. So the directories are walked side by side, and the links of a file meet where they
// are counted: what has to be kept is one directory of each at a time, and no inode of the rest.
func soleBytes(ctx context.Context, parent *dirfd.Dir, names []string) (int64, error) {
	w := &soleWalk{stack: dirfd.Stack{Root: parent, Readable: true}, buf: make([]byte, 32<<10)}
	defer w.stack.Close()
	err := w.walk(ctx, names)
	return w.bytes, err
}

// soleWalk is one call of soleBytes.
type soleWalk struct {
	stack dirfd.Stack // of the parent; a walk of several directories opens each chain again, and holds one open
	names dirfd.NameList
	buf   []byte
	bytes int64
}

// fileID tells a file from others of whatever name.
type fileID struct{ dev, ino uint64 }

// walk adds up the files below directories that have the same path in their trees.
func (w *soleWalk) walk(ctx context.Context, dirs []string) error {
	left := make(map[fileID]uint64) // links that were not seen, of files with several
	below := make(map[string][]string)
	for _, dir := range dirs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.read(dir, left, below); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(below)) {
		if err := w.walk(ctx, below[name]); err != nil {
			return err
		}
	}
	return nil
}

// read adds up the files of one directory and notes its directories by name.
func (w *soleWalk) read(dir string, left map[fileID]uint64, below map[string][]string) error {
	fd, err := w.stack.Open(dir)
	if err == nil {
		err = w.names.Read(fd, w.buf)
	}
	if unlisted(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for name := range w.names.Sorted() {
		st, err := dirfd.LstatAt(fd, name)
		if err != nil && !unlisted(err) {
			return w.stack.Wrap("lstat", dir+"/"+name, err)
		}
		switch {
		case err != nil:
		case st.Mode&unix.S_IFMT == unix.S_IFDIR:
			below[name] = append(below[name], dir+"/"+name)
		case st.Mode&unix.S_IFMT == unix.S_IFREG:
			w.file(&st, left)
		}
	}
	return nil
}

// file counts a file when it meets the last of its links.
func (w *soleWalk) file(st *unix.Stat_t, left map[fileID]uint64) {
	links := uint64(st.Nlink) //nolint:unconvert // it has 32 bits on arm64
	key := fileID{st.Dev, st.Ino}
	if links > 1 {
		if seen, ok := left[key]; ok {
			links = seen
		}
		left[key] = links - 1
	}
	if links == 1 {
		w.bytes += st.Size
	}
}

// unlisted reports whether an error says that an entry has gone since it was listed, or may not be looked at: it does
// not count.
func unlisted(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}
