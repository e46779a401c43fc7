package publish

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// Repository is one on this machine.
type Repository struct {
	Directory string // a bare repository, or one with a work tree: its root
	Branch    string // empty: the one that is checked out
}

// local is an open repository.
type local struct {
	Repository

	repository *git.Repository
	storer     *filesystem.Storage
	branch     plumbing.ReferenceName
	head       plumbing.Hash // of the branch; zero before its first commit
	work       bool          // there is a work tree with the branch in it
}

// Local is [Publish] for a repository on this machine. The git program brings
// the commit into a work tree that has the branch checked out, as if it had been
// committed there; files of the edit that differ from the newest commit are not
// overwritten. No hook is run.
// Ready is called, unless it is nil, when nothing that is known stands against
// the commit any more: what cannot be taken back is done there.
func Local(ctx context.Context, where Repository, folders []string, commit Commit, change Change, ready func(context.Context) error) (Result, error) {
	var result Result
	if err := commit.check(); err != nil {
		return result, err
	}
	l, err := openLocal(where)
	if err != nil {
		return result, err
	}
	defer func() { _ = l.storer.Close() }() // only read through
	if !l.head.IsZero() {
		result.Head = l.head.String()
		result.at(l.branch, l.head)
	}
	found, err := result.search(ctx, l.storer, commit.Trailer, l.head)
	if err != nil {
		return result, l.broken(err)
	}
	if result.Found {
		result.at(l.branch, found)
		return result, nil
	}
	made, err := l.publish(ctx, folders, commit, change, ready)
	if err != nil || made.IsZero() {
		return result, err
	}
	result.at(l.branch, made)
	result.Pushed, result.Shown = true, l.work
	return result, nil
}

func openLocal(where Repository) (*local, error) {
	l := &local{Repository: where}
	if kind, err := os.Lstat(filepath.Join(where.Directory, git.GitDirName)); err == nil && !kind.IsDir() {
		return nil, fail(UnsupportedRepository, "cannot open the repository %q: it is a linked work tree or a submodule; use the repository that it belongs to", where.Directory)
	}
	var err error
	if l.repository, err = git.PlainOpen(where.Directory); err != nil {
		reason, advice := UnsupportedRepository, err.Error()
		if errors.Is(err, git.ErrRepositoryNotExists) {
			reason, advice = RepositoryNotFound, "there is none; run git init first, or give the directory that has .git in it"
		}
		return nil, fail(reason, "cannot open the repository %q: %s", where.Directory, advice)
	}
	var isFile bool
	if l.storer, isFile = l.repository.Storer.(*filesystem.Storage); !isFile {
		return nil, fail(Internal, "cannot open the repository %q: it is not on disk", where.Directory)
	}
	config, err := l.repository.Config()
	if err != nil {
		return nil, l.broken(err)
	}
	if format := config.Raw.Section("extensions").Option("objectformat"); strings.EqualFold(format, "sha256") {
		return nil, fail(UnsupportedRepository, "cannot open the repository %q: it names its objects by SHA-256, which Flux cannot read either: use a SHA-1 repository", where.Directory)
	}
	return l, l.resolve(config.Core.IsBare)
}

// resolve finds the branch and its newest commit.
func (l *local) resolve(bare bool) error {
	head, err := l.storer.Reference(plumbing.HEAD)
	if err != nil {
		return l.broken(err)
	}
	l.branch = plumbing.NewBranchReferenceName(l.Branch)
	if l.Branch == "" {
		if l.branch = head.Target(); !l.branch.IsBranch() {
			return fail(InvalidInput, "cannot commit to %q: no branch is checked out; check one out, or name one", l.Directory)
		}
	}
	if err := l.branch.Validate(); err != nil {
		return fail(InvalidInput, "cannot use the branch %q: Git allows no such name", l.Branch)
	}
	l.work = !bare && head.Target() == l.branch
	reference, err := l.storer.Reference(l.branch)
	switch {
	case err == nil:
		l.head = reference.Hash()
	case !errors.Is(err, plumbing.ErrReferenceNotFound):
		return l.broken(err)
	case head.Target() != l.branch: // else it has no commit yet
		return fail(BranchNotFound, "cannot commit to %q: it has no branch %q", l.Directory, l.branch.Short())
	}
	return nil
}

func (l *local) broken(err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fail(UnsupportedRepository, "cannot read the repository %q: there is no program git in PATH; install git, then run the command again", l.Directory).Because(err)
	}
	return fail(UnsupportedRepository, "cannot read the repository %q: %v", l.Directory, err).Because(err)
}

// publish makes the commit and moves the branch; the zero hash when there is nothing to change.
func (l *local) publish(ctx context.Context, folders []string, commit Commit, change Change, ready func(context.Context) error) (plumbing.Hash, error) {
	none := plumbing.ZeroHash
	files := &tree{ctx: ctx, storer: l.storer}
	if !l.head.IsZero() {
		newest, err := object.GetCommit(l.storer, l.head)
		if err != nil {
			return none, l.broken(err)
		}
		files.root = newest.TreeHash
	}
	var edit Edit
	t := &try{folders: folders, commit: commit, change: func(ctx context.Context, files fs.FS) (_ Edit, err error) {
		edit, err = change(ctx, files)
		return edit, err
	}}
	made, _, err := t.make(ctx, files, l.head)
	if err != nil {
		return none, err
	}
	if err := l.check(ctx, edit, made); err != nil {
		return none, err
	}
	if ready != nil {
		if err := ready(ctx); err != nil {
			return none, err
		}
	}
	if made.IsZero() {
		return none, nil
	}
	if !l.work {
		return made, l.move(made)
	}
	ctx = context.WithoutCancel(ctx) // git would leave half of it
	if err := l.show(ctx, l.head, made); err != nil {
		return none, err
	}
	if err := l.move(made); err != nil {
		return none, errors.Join(err, l.show(ctx, made, l.head))
	}
	return made, nil
}

// check fails if a work tree could not show a commit with the edit: it
// would be taken back by its user's next commit.
func (l *local) check(ctx context.Context, edit Edit, made plumbing.Hash) error {
	linked, err := l.linkedWorkTree(ctx)
	if err != nil {
		return l.broken(err)
	}
	if linked != "" {
		return fail(UnsupportedRepository, "cannot commit to branch %q: the linked work tree %q has it checked out and would not show the commit; check out another branch there, or name another one here", l.branch.Short(), linked)
	}
	if !l.work {
		return nil
	}
	return l.checkWork(ctx, edit.paths(), made)
}

// move sets the branch, if nobody else has.
func (l *local) move(to plumbing.Hash) error {
	var old *plumbing.Reference
	if !l.head.IsZero() {
		old = plumbing.NewHashReference(l.branch, l.head)
	}
	if err := l.storer.CheckAndSetReference(plumbing.NewHashReference(l.branch, to), old); err != nil {
		return fail(RaceLost, "cannot set the branch %q of %q: %v; try again", l.branch.Short(), l.Directory, err)
	}
	return nil
}
