package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"

	"threescale.dev/backup/fn/publish"
)

// checkout is where a branch of a repository is checked out.
type checkout struct {
	branch string
	here   bool   // in the repository's own work tree
	linked string // in this other one, which git worktree made
}

// checkoutOf finds where a branch is checked out; an empty one is that of HEAD.
func checkoutOf(directory, branch string) (checkout, error) {
	repository, err := git.PlainOpen(directory)
	if err != nil {
		return checkout{}, fmt.Errorf("cannot open the repository %q: %w", directory, err)
	}
	head, err := repository.Reference(plumbing.HEAD, false)
	if err != nil {
		return checkout{}, fmt.Errorf("cannot read HEAD of the repository %q: %w", directory, err)
	}
	config, err := repository.Config()
	if err != nil {
		return checkout{}, fmt.Errorf("cannot read the configuration of the repository %q: %w", directory, err)
	}
	reference := plumbing.NewBranchReferenceName(branch)
	if branch == "" {
		reference = head.Target()
	}
	found := checkout{branch: reference.Short(), here: !config.Core.IsBare && head.Target() == reference}
	found.linked, err = linkedWorkTree(directory, reference)
	return found, err
}

// linkedWorkTree finds the one that has a branch checked out; empty without it.
func linkedWorkTree(directory string, branch plumbing.ReferenceName) (string, error) {
	gitDirectory := filepath.Join(directory, git.GitDirName)
	if found, err := os.Stat(gitDirectory); err != nil || !found.IsDir() {
		gitDirectory = directory
	}
	trees, err := os.ReadDir(filepath.Join(gitDirectory, "worktrees"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot list the work trees of the repository %q: %w", directory, err)
	}
	for _, tree := range trees {
		folder := filepath.Join(gitDirectory, "worktrees", tree.Name())
		head, err := os.ReadFile(filepath.Join(folder, "HEAD"))
		if err != nil || strings.TrimSpace(string(head)) != "ref: "+branch.String() {
			continue
		}
		at, err := os.ReadFile(filepath.Join(folder, "gitdir"))
		if err != nil {
			return "", fmt.Errorf("cannot tell where the work tree %q of the repository %q is: %w", tree.Name(), directory, err)
		}
		return filepath.Dir(strings.TrimSpace(string(at))), nil
	}
	return "", nil
}

// check tells, before anything is written, whether work trees could show a
// commit with the edit: one that could not would take it back with its user's
// next commit. Files are those of the branch's newest commit.
func (o checkout) check(directory string, files fs.FS, edit publish.Edit) error {
	if o.linked != "" {
		return usage(fmt.Errorf("cannot commit to branch %q: the work tree %q has it checked out and would not show the commit; check out another branch there, or give another --branch", o.branch, o.linked))
	}
	if !o.here {
		return nil
	}
	root, err := os.OpenRoot(directory)
	if err != nil {
		return fmt.Errorf("cannot open the work tree %q: %w", directory, err)
	}
	defer root.Close() //nolint:errcheck // it was only read
	for _, name := range append(slices.Sorted(maps.Keys(edit.Write)), edit.Remove...) {
		committed, errCommitted := fs.ReadFile(files, name)
		shown, errShown := root.ReadFile(filepath.FromSlash(name))
		same := errCommitted == nil && errShown == nil && bytes.Equal(committed, shown)
		if !same && (!errors.Is(errCommitted, fs.ErrNotExist) || !errors.Is(errShown, fs.ErrNotExist)) {
			return usage(fmt.Errorf("cannot write %q in the work tree %q: it differs from the newest commit; commit it, or put it back, first", name, directory))
		}
	}
	return nil
}
