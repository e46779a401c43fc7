package publish

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/go-git/go-billy/v5/util"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/index"
)

// workTree is the work tree of a local repository, with Git's own lock on its index held.
type workTree struct {
	directory string
	root      *os.Root
	lock      string // index.lock
	index     *index.Index
	before    *tree // the newest commit's files
	done      bool
}

// unfinished are what Git keeps while a merge or the like waits for its user.
var unfinished = []string{"MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply"}

func (l *local) openWork(before *tree) (*workTree, error) {
	gitDir := filepath.Join(l.Directory, git.GitDirName)
	for _, name := range unfinished {
		if _, err := os.Lstat(filepath.Join(gitDir, name)); err == nil {
			return nil, fail(WorkTreeDirty, "cannot commit to %q: a merge, rebase or the like is not finished (%s); finish it first", l.Directory, name)
		}
	}
	w := &workTree{directory: l.Directory, lock: filepath.Join(gitDir, "index.lock"), before: before}
	held, err := os.OpenFile(w.lock, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fail(RaceLost, "cannot lock the work tree %q: another Git command is running in it; wait for it, or remove %s if there is none", l.Directory, w.lock)
	}
	if w.index, err = l.storer.Index(); err == nil {
		w.root, err = os.OpenRoot(l.Directory)
	}
	if err = errors.Join(err, held.Close()); err != nil {
		w.close()
		return nil, fail(UnsupportedRepository, "cannot read the work tree %q: %v", l.Directory, err)
	}
	return w, nil
}

// linkedWorkTree finds the one, made by git worktree, that has the branch
// checked out; empty without it.
func (l *local) linkedWorkTree() (string, error) {
	trees := l.storer.Filesystem()
	found, err := trees.ReadDir("worktrees")
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, tree := range found {
		head, err := util.ReadFile(trees, trees.Join("worktrees", tree.Name(), "HEAD"))
		if err != nil || strings.TrimSpace(string(head)) != "ref: "+l.branch.String() {
			continue
		}
		at, err := util.ReadFile(trees, trees.Join("worktrees", tree.Name(), "gitdir"))
		if err != nil {
			return "", err
		}
		return filepath.Dir(strings.TrimSpace(string(at))), nil
	}
	return "", nil
}

// close gives the lock back.
func (w *workTree) close() {
	if w.root != nil {
		_ = w.root.Close() // only a handle of a directory
	}
	if !w.done {
		_ = os.Remove(w.lock) // nothing else can be done about it, and Git tells of it
	}
}

// commit brings the edit into the work tree, moves the branch, and brings it
// into the index. When the branch cannot be moved the files are put back.
func (w *workTree) commit(edit Edit, move func() error) error {
	names := edit.paths()
	if err := w.check(names); err != nil {
		return err
	}
	old := map[string][]byte{}
	for _, name := range names {
		if data, err := w.root.ReadFile(name); err == nil {
			old[name] = data
		}
	}
	err := w.files(names, edit.Write)
	if err == nil {
		err = move()
	}
	if err != nil {
		return errors.Join(err, w.files(names, old))
	}
	return w.saveIndex(names, edit.Write)
}

// check refuses paths with changes that a commit would overwrite.
func (w *workTree) check(names []string) error {
	for _, name := range names {
		if err := w.checkClean(name); err != nil {
			return err
		}
	}
	return nil
}

// checkClean refuses a path where work tree, index and newest commit are not the same.
func (w *workTree) checkClean(name string) error {
	dirty := fail(WorkTreeDirty, "cannot write %q in the work tree %q: it differs from the newest commit; commit it, or put it back, first", name, w.directory)
	committed, err := w.before.lookup(name)
	if err != nil {
		committed.Hash = plumbing.ZeroHash
	}
	var staged plumbing.Hash
	if entry, err := w.index.Entry(name); err == nil {
		staged = entry.Hash
	}
	if staged != committed.Hash {
		return dirty
	}
	parts := strings.Split(name, "/")
	for i := range parts {
		found, err := w.root.Lstat(strings.Join(parts[:i+1], "/"))
		switch last := i == len(parts)-1; {
		case errors.Is(err, fs.ErrNotExist) && committed.Hash.IsZero():
			return nil
		case err != nil, last && !found.Mode().IsRegular(), !last && !found.IsDir():
			return dirty
		}
	}
	data, err := w.root.ReadFile(name)
	if err != nil || !sameText(data, committed.Hash) {
		return dirty
	}
	return nil
}

// sameText reports whether a file of a work tree is a committed one, maybe with the line ends that Git gives it there (eol, core.eol,
// core.autocrlf), of whose loss nobody takes notice: Git takes one for the other.
func sameText(data []byte, committed plumbing.Hash) bool {
	return plumbing.ComputeHash(plumbing.BlobObject, data) == committed ||
		plumbing.ComputeHash(plumbing.BlobObject, bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))) == committed
}

// files makes the named files what they should be; one without data is removed, with the directories that it leaves empty.
func (w *workTree) files(names []string, data map[string][]byte) error {
	for _, name := range names {
		err := w.file(name, data)
		if err != nil {
			return fail(WorkTreeDirty, "cannot write %q in the work tree %q: %v", name, w.directory, err)
		}
	}
	return nil
}

func (w *workTree) file(name string, data map[string][]byte) error {
	content, keep := data[name]
	if keep {
		mode := fs.FileMode(0o644)
		if found, err := w.root.Lstat(name); err == nil {
			mode = found.Mode().Perm()
		}
		if err := w.root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		temporary := path.Join(path.Dir(name), ".threescale-publish.tmp")
		if err := w.root.WriteFile(temporary, content, mode); err != nil {
			return errors.Join(err, w.root.Remove(temporary))
		}
		return w.root.Rename(temporary, name)
	}
	err := w.root.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	for at := path.Dir(name); err == nil && at != "."; at = path.Dir(at) {
		if w.root.Remove(at) != nil {
			break // it is not empty
		}
	}
	return err
}

// saveIndex brings the files into the index, which takes the place of the old one at once.
func (w *workTree) saveIndex(names []string, data map[string][]byte) error {
	for _, name := range names {
		content, keep := data[name]
		if !keep {
			if _, err := w.index.Remove(name); err != nil && !errors.Is(err, index.ErrEntryNotFound) {
				return w.stale(err)
			}
			continue
		}
		entry, err := w.index.Entry(name)
		if err != nil {
			entry = w.index.Add(name)
			entry.Mode = filemode.Regular
		}
		entry.Hash, entry.Size = plumbing.ComputeHash(plumbing.BlobObject, content), uint32(len(content))
		if found, err := w.root.Lstat(name); err == nil {
			entry.ModifiedAt = found.ModTime()
		}
	}
	out, err := os.OpenFile(w.lock, os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return w.stale(err)
	}
	if err = errors.Join(index.NewEncoder(out).Encode(w.index), out.Close()); err != nil {
		return w.stale(err)
	}
	if err := os.Rename(w.lock, strings.TrimSuffix(w.lock, ".lock")); err != nil {
		return w.stale(err)
	}
	w.done = true
	return nil
}

func (w *workTree) stale(err error) error {
	return fail(WorkTreeDirty, "the commit is made, but the index of %q could not be written: %v; run git reset there", w.directory, err)
}
