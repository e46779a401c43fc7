package publish

import (
	"context"
	"errors"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"threescale.dev/backup/fn/publish/internal/remote"
)

// try is one Publish, of which each attempt starts from a fresh clone.
type try struct {
	connection *remote.Connection
	target     Target
	folders    []string
	commit     Commit
	change     Change
	from, to   plumbing.ReferenceName
	timeout    time.Duration
	hasFiles   bool // the last look brought the files too
}

func newTry(target Target, folders []string, commit Commit, change Change) (*try, error) {
	t := &try{target: target, folders: folders, commit: commit, change: change, timeout: target.Timeout}
	if t.timeout == 0 {
		t.timeout = defaultTimeout
	}
	t.from = plumbing.NewBranchReferenceName(target.Branch)
	t.to = t.from
	if target.PushBranch != "" {
		t.to = plumbing.NewBranchReferenceName(target.PushBranch)
	}
	for _, name := range []plumbing.ReferenceName{t.from, t.to} {
		if err := name.Validate(); err != nil || name.Short() == "HEAD" {
			return nil, fail(InvalidInput, "cannot use the branch %q: Git allows no such name", name.Short())
		}
	}
	for _, folder := range folders {
		if err := checkPath(folder); err != nil {
			return nil, err
		}
	}
	if _, err := t.refspec(); err != nil {
		return nil, err
	}
	var err error
	t.connection, err = remote.Connect(target.URL, target.Auth, target.ProxyURL)
	return t, err
}

// once is one attempt.
func (t *try) once(ctx context.Context) (result Result, err error) {
	copied, result, err := t.look(ctx)
	if err != nil {
		return result, err
	}
	defer func() {
		if failed := copied.Close(); failed != nil && err == nil && !result.Pushed {
			err = fail(Internal, "cannot remove the clone: %v", failed)
		}
	}()
	if result.Found {
		return result, nil
	}
	files, err := t.files(ctx, copied)
	if err != nil {
		return result, err
	}
	head := plumbing.NewHash(result.Head)
	made, objects, err := t.make(ctx, files, head)
	if err != nil || made.IsZero() {
		return result, err
	}
	updates, err := t.updates(ctx, copied, head)
	if err != nil {
		return result, err
	}
	pushing, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	if err := copied.Push(pushing, made, objects, updates, t.target.PushOptions); err != nil {
		return result, err
	}
	result.at(t.to, made)
	result.Pushed = true
	return result, nil
}

func (r *Result) at(branch plumbing.ReferenceName, commit plumbing.Hash) {
	r.Branch, r.Commit = branch.Short(), commit.String()
}

// look clones what is needed to find the trailer, and looks for it. The caller closes the clone.
func (t *try) look(ctx context.Context) (_ *remote.Clone, result Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	copied, err := remote.Open(ctx, t.connection)
	if err != nil {
		return nil, result, err
	}
	kept := false
	defer func() {
		if !kept { // also in a panic
			err = errors.Join(err, copied.Close())
		}
	}()
	result.Whole = true
	head := copied.References[t.from.String()]
	if head.IsZero() {
		if len(copied.References) == 0 && t.from == t.to {
			kept = true
			return copied, result, nil
		}
		return nil, result, fail(BranchNotFound, "cannot clone %q: it has no branch %q; push one, or correct the branch", t.connection.URL, t.from.Short())
	}
	tips := []plumbing.Hash{head}
	if pushed := copied.References[t.to.String()]; t.to != t.from && !pushed.IsZero() {
		tips = append(tips, pushed)
	}
	if t.hasFiles, err = copied.FetchCommits(ctx, tips); err != nil {
		return nil, result, err
	}
	result.Head = head.String()
	result.at(t.from, head)
	if err := t.search(ctx, copied, tips, &result); err != nil {
		return nil, result, err
	}
	kept = true
	return copied, result, nil
}

// search looks for the trailer below the tips, the branch's own first.
func (t *try) search(ctx context.Context, copied *remote.Clone, tips []plumbing.Hash, result *Result) error {
	found, err := result.search(ctx, copied.Storer, t.commit.Trailer, tips...)
	if err != nil {
		return t.connection.Explain(ctx, "read the history of", err)
	}
	if !result.Found {
		return nil
	}
	merged, err := t.reaches(ctx, copied, found, tips[0])
	if merged {
		result.at(t.from, found)
	} else {
		result.at(t.to, found)
	}
	return err
}

// files returns the files of the newest commit.
func (t *try) files(ctx context.Context, copied *remote.Clone) (*tree, error) {
	files := &tree{ctx: ctx, storer: copied.Storer}
	head := copied.References[t.from.String()]
	if head.IsZero() {
		return files, nil
	}
	cloning, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	if !t.hasFiles {
		if err := copied.FetchFiles(cloning, head); err != nil {
			return nil, err
		}
	}
	if copied.Lazy {
		files.fetch = func(ctx context.Context, hash plumbing.Hash) error {
			ctx, cancel := context.WithTimeout(ctx, t.timeout)
			defer cancel()
			return copied.FetchObject(ctx, hash)
		}
	}
	commit, err := object.GetCommit(copied.Storer, head)
	if err != nil {
		return nil, fail(Internal, "cannot read commit %s of %q: %v", head, t.connection.URL, err)
	}
	files.root = commit.TreeHash
	return files, nil
}

// make makes the commit, checks it, and returns its name with the objects to
// push; the zero hash when there is nothing to change.
func (t *try) make(ctx context.Context, files *tree, head plumbing.Hash) (plumbing.Hash, []plumbing.Hash, error) {
	none := plumbing.ZeroHash
	if err := checkFolders(files, t.folders); err != nil {
		return none, nil, err
	}
	edit, err := t.change(ctx, files)
	if err != nil {
		return none, nil, err
	}
	wanted, err := plan(t.folders, edit)
	if err != nil {
		return none, nil, err
	}
	b := &builder{tree: files}
	root, err := b.apply(files.root, wanted, "")
	if err != nil {
		return none, nil, internal(err)
	}
	if root == files.root {
		return none, nil, nil
	}
	if root.IsZero() { // the last files of the repository are removed
		if root, err = b.store(&object.Tree{}); err != nil {
			return none, nil, internal(err)
		}
	}
	if err := checkDiff(ctx, files.storer, files.root, root, t.folders, edit); err != nil {
		return none, nil, err
	}
	var parents []plumbing.Hash
	if !head.IsZero() {
		parents = append(parents, head)
	}
	made, err := b.commit(t.commit, root, parents)
	return made, b.made, internal(err)
}

// internal makes an error of this package of one that no user can do something about.
func internal(err error) error {
	var done *Error
	if err == nil || errors.As(err, &done) {
		return err
	}
	return fail(Internal, "cannot make the commit: %v", err)
}
