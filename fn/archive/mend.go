package archive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
)

// MendResult says what was mended.
type MendResult struct {
	Files    int64    // damaged files of other runs that good ones have replaced
	Warnings []string // what could not be looked at
}

// Mend replaces damaged files of other runs with the same file of a complete run that was just stored or proven: one
// with the same path, content, mode and mtime by both lists, of which the other's is proven first. The given run's file
// is proven before it takes the other's place by one rename. Files that the run does not hold stay as they are, and so
// do encrypted ones: encrypting a file again makes another file. It reads each file that the trees do not share. The
// holder is as in WriteOptions. Errors that callers may tell apart: UsageError, LockedError, ErrRunNotFound,
// IntegrityError, and ctx's.
func (v *Volume) Mend(ctx context.Context, run, holder string) (*MendResult, error) {
	if err := validRunID(run); err != nil {
		return nil, &UsageError{Err: fmt.Errorf("cannot mend from run %q: %w", run, err)}
	}
	lock, err := v.lock(holder)
	if err != nil {
		return nil, err
	}
	defer lock.release()
	result, err := v.mend(ctx, run)
	if err != nil {
		return nil, fmt.Errorf("cannot mend from run %q: %w", run, err)
	}
	return result, nil
}

func (v *Volume) mend(ctx context.Context, id string) (*MendResult, error) {
	run, err := v.OpenRun(ctx, id)
	if err != nil {
		return nil, err
	}
	defer run.Close()
	dumps, err := run.openDatabases()
	if err != nil {
		return nil, err
	}
	defer dumps.close()
	result := &MendResult{}
	for _, from := range []*runTree{&run.runTree, dumps} {
		if err := v.mendFrom(ctx, from, result); err != nil {
			return nil, err
		}
	}
	if result.Files == 0 {
		return result, nil
	}
	return result, v.root.SyncFS()
}

// mendFrom mends the trees of other runs that are of the same kind.
func (v *Volume) mendFrom(ctx context.Context, from *runTree, result *MendResult) error {
	if from.tree == nil || from.files == nil {
		return nil
	}
	trees, err := v.root.Sub(treesDir)
	if err != nil {
		return err
	}
	defer trees.Close()
	others, err := v.otherTrees(from.listed)
	if err != nil {
		return err
	}
	m := &mender{from: from, trees: trees, temporary: partialPrefix + from.run.info.ID + "-mended", result: result}
	if err := trees.RemoveAll(ctx, m.temporary); err != nil { // of an attempt that was killed
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(others)) {
		err := m.tree(ctx, name, others[name])
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			result.Warnings = append(result.Warnings, fmt.Sprintf("tree %s was mended only in part: %v", name, err))
		}
	}
	return nil
}

// otherTrees returns the digests of the lists of all trees like one that complete runs refer to, without it.
func (v *Volume) otherTrees(but storedTree) (map[string]lists.Digests, error) {
	runs, err := v.ownRuns()
	if err != nil {
		return nil, err
	}
	others := map[string]lists.Digests{}
	for _, r := range runs {
		if r.State != Complete {
			continue
		}
		if t := r.Manifest.tree(but.link); t.name != "" && t.name != but.name {
			others[t.name] = t.digests
		}
	}
	return others, nil
}

// mender mends trees from one of a run.
type mender struct {
	from      *runTree
	trees     *dirfd.Dir
	temporary string // name of a link below trees, which a crash leaves to the next writer
	result    *MendResult
}

func (m *mender) tree(ctx context.Context, name string, digests lists.Digests) (err error) {
	dir, err := m.trees.Sub(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := lists.Prove(dir, digests); err != nil {
		return err
	}
	files, err := dir.Sub(lists.FilesDir)
	if err != nil {
		return err
	}
	defer files.Close()
	damaged, err := lists.Open(dir, digests, nil)
	if err != nil {
		return err
	}
	defer damaged.Close()
	good, err := lists.Open(m.from.tree, m.from.listed.digests, nil)
	if err != nil {
		return err
	}
	defer good.Close()
	pair := newPair(m.from.files, files)
	defer pair.close()
	for p, err := range lists.Merge(damaged, good) {
		if err != nil {
			return err
		}
		want, have := p.Want, p.Got
		if want != nil && have != nil && want.Kind == lists.File && want.SameMeta(have) && want.SHA256 == have.SHA256 {
			if err := m.file(ctx, pair, want); err != nil {
				return err
			}
		}
	}
	return nil
}

// file mends one file, if it is damaged.
func (m *mender) file(ctx context.Context, p *pair, want *lists.Entry) error {
	size, shared, err := p.compare(want.Path)
	if err != nil || shared {
		return err
	}
	if digest, err := p.old.Digest(ctx, want.Path, size); err == nil && digest == want.SHA256 || ctx.Err() != nil {
		return ctx.Err()
	}
	digest, err := p.fresh.Digest(ctx, want.Path, size)
	if err != nil {
		return err
	}
	if digest != want.SHA256 {
		return fmt.Errorf("%s is damaged in run %q too", lists.Escape(want.Path), m.from.run.info.ID)
	}
	if err := p.replace(m.trees, m.temporary, want.Path); err != nil {
		return err
	}
	m.result.Files++
	return nil
}

// pair are the files of the good tree and those of one to mend.
type pair struct{ fresh, old *dirfd.Hasher }

func newPair(fresh, old *dirfd.Dir) *pair {
	p := &pair{dirfd.NewHasher(fresh), dirfd.NewHasher(old)}
	p.fresh.Cold, p.old.Cold = true, true
	return p
}

func (p *pair) close() {
	p.fresh.Close()
	p.old.Close()
}

// compare returns the stored size of the good file, and whether both names are of one file.
func (p *pair) compare(path string) (size int64, same bool, err error) {
	parent, name := dirfd.Split(path)
	var stats [2]unix.Stat_t
	for i, dirs := range []*dirfd.Stack{p.fresh.Dirs, p.old.Dirs} {
		fd, err := dirs.Open(parent)
		if err != nil {
			return 0, false, err
		}
		stats[i], err = dirfd.LstatAt(fd, name)
		if err != nil && (dirs == p.fresh.Dirs || !errors.Is(err, unix.ENOENT)) {
			return 0, false, dirs.Wrap("stat", path, err)
		}
	}
	return stats[0].Size, dirfd.SameFile(&stats[0], &stats[1]), nil
}

// replace puts the good file in the place of the other, by a link that is made below trees.
func (p *pair) replace(trees *dirfd.Dir, temporary, path string) error {
	parent, name := dirfd.Split(path)
	from, err := p.fresh.Dirs.Open(parent)
	if err != nil {
		return err
	}
	to, err := p.old.Dirs.Open(parent)
	if err != nil {
		return err
	}
	if err := unix.Linkat(from, name, trees.FD, temporary, 0); err != nil {
		return p.fresh.Dirs.Wrap("link", path, err)
	}
	if err := unix.Renameat(trees.FD, temporary, to, name); err != nil {
		return errors.Join(p.old.Dirs.Wrap("replace", path, err), trees.Remove(temporary))
	}
	return nil
}
