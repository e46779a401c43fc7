package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"threescale.dev/backup/fn/cmd/internal/exit"
	"threescale.dev/backup/fn/publish"
)

// exportCommand writes a run's tree into a directory.
type exportCommand struct {
	treeFlags `embed:""`

	Directory string `arg:"" type:"path" help:"Directory to write the tree to. Without --recipient, the .sops.yaml in it names the recipients."`
}

// exported is the answer in JSON.
type exported struct {
	contents

	Files   []string `json:"files"`   // relative to the directory
	Removed []string `json:"removed"` // of an earlier export
}

// Help is what the help text says beyond the flags.
func (*exportCommand) Help() string {
	return `Every digest of the run is verified before anything is written. Files of an earlier export of the same name that the new one
does not have are removed; all other files are left alone. This command does not use Git: restore commits the same files.`
}

// Run writes the tree and lists its files.
func (e *exportCommand) Run(ctx context.Context, c *console) error {
	store, err := e.open(ctx)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // it was only read
	tree, err := e.build(ctx, c, store)
	if err != nil {
		return err
	}
	edit, recipients, err := e.edit(tree)
	if err != nil {
		return err
	}
	answer := exported{contents: contentsOf(tree, recipients), Files: slices.Sorted(maps.Keys(edit.Write)), Removed: []string{}}
	answer.NotIncluded = append(answer.NotIncluded, notFileStorage)
	if err := e.write(edit, &answer); err != nil {
		return err
	}
	if c.json {
		return c.encode(answer)
	}
	c.sayEach("%s", answer.Files)
	c.sayEach("removed: %s", answer.Removed)
	answer.printNotes(c)
	return nil
}

// write writes the files of the tree, and removes those of an earlier export.
func (e *exportCommand) write(edit publish.Edit, answer *exported) error {
	if err := os.MkdirAll(e.Directory, 0o750); err != nil {
		return fmt.Errorf("cannot make directory %q: %w", e.Directory, err)
	}
	root, err := os.OpenRoot(e.Directory)
	if err != nil {
		return fmt.Errorf("cannot open directory %q: %w", e.Directory, err)
	}
	defer root.Close() //nolint:errcheck // each file was closed
	for _, file := range append(slices.Clone(answer.Files), edit.Remove...) {
		if err := checkPlain(root, file); err != nil {
			return err
		}
	}
	for _, file := range answer.Files {
		if err := replace(root, file, edit.Write[file]); err != nil {
			return fmt.Errorf("cannot write %q: %w", file, err)
		}
	}
	for _, gone := range edit.Remove {
		switch err := root.Remove(gone); {
		case err == nil:
			answer.Removed = append(answer.Removed, gone)
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("cannot remove %q: %w", gone, err)
		}
	}
	return nil
}

// edit returns the edit of the directory, which may not exist yet.
func (e *exportCommand) edit(tree *madeTree) (publish.Edit, []string, error) {
	root, err := os.OpenRoot(e.Directory)
	if errors.Is(err, fs.ErrNotExist) {
		return e.encrypt(os.DirFS(e.Directory), ".", tree)
	}
	if err != nil {
		return publish.Edit{}, nil, fmt.Errorf("cannot open directory %q: %w", e.Directory, err)
	}
	defer root.Close() //nolint:errcheck // it was only read
	return e.encrypt(root.FS(), ".", tree)
}

// checkPlain refuses a path that is, or leads through, anything but directories and a
// regular file at its end: a symlink may lead to somebody else's files.
func checkPlain(root *os.Root, name string) error {
	parts := strings.Split(name, "/")
	for i := range parts {
		part := path.Join(parts[:i+1]...)
		found, err := root.Lstat(part)
		switch last := i == len(parts)-1; {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return fmt.Errorf("cannot write %q: %w", name, err)
		case last && !found.Mode().IsRegular(), !last && !found.IsDir():
			return exit.Usage(fmt.Errorf("cannot write %q: %q is a symlink or a special file: remove it, or choose another directory or --name", name, part))
		}
	}
	return nil
}

// replace writes a file whole or not at all.
func replace(root *os.Root, name string, data []byte) error {
	if err := root.MkdirAll(path.Dir(name), 0o750); err != nil {
		return err
	}
	temporary := filepath.Join(path.Dir(name), ".threescale-backup.tmp")
	err := root.WriteFile(temporary, data, 0o640)
	if err == nil {
		err = root.Rename(temporary, name)
	}
	if err != nil {
		_ = root.Remove(temporary) // the error says more
	}
	return err
}
