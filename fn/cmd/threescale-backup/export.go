package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/commit"
	"threescale.dev/backup/fn/mover"
	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/restore"
	"threescale.dev/backup/fn/sops"
	"threescale.dev/backup/fn/threescale"
)

// treeFlags say what a tree is made from.
type treeFlags struct {
	Volume              string   `required:"" type:"existingdir" help:"Root of the backup volume."`
	Run_                string   `name:"run" default:"latest" help:"ID of the run, or latest."` //nolint:revive // Run is the method
	Identities          string   `type:"existingdir" help:"Folder of age identities to decrypt an encrypted run with, in files called *.agekey."`
	Name                string   `default:"restored" help:"Name of the folders: base/<name> and overlays/<name>."`
	Namespace           string   `short:"n" required:"" help:"Namespace that the installation is restored to."`
	WildcardDomain      string   `help:"Domain that replaces that of the backup."`
	StorageClass        string   `help:"StorageClass that replaces that of the file storage."`
	OmitDatabaseSecrets bool     `help:"Leave out the Secrets that hold the databases' URLs."`
	Recipient           []string `placeholder:"AGE1..." help:"age recipient to encrypt Secrets for; may be repeated. Without it, the .sops.yaml of the repository says for whom."`
}

// exportCommand writes a run's tree into a directory.
type exportCommand struct {
	treeFlags `embed:""`

	Directory string `arg:"" type:"path" help:"Directory to write the tree to: that of a repository, where it has a .sops.yaml."`
}

// Run writes the tree and lists its files.
func (e *exportCommand) Run(ctx context.Context, c *console) error {
	tree, _, err := e.build(ctx, "")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(e.Directory, 0o750); err != nil {
		return fmt.Errorf("cannot make directory %q: %w", e.Directory, err)
	}
	root, err := os.OpenRoot(e.Directory)
	if err != nil {
		return fmt.Errorf("cannot open directory %q: %w", e.Directory, err)
	}
	defer root.Close() //nolint:errcheck // each file was closed
	encrypter, err := commit.Encrypter(root.FS(), e.Recipient)
	if err != nil {
		return usage(err)
	}
	edit, err := commit.Edit(root.FS(), ".", tree, encrypter)
	if err != nil {
		return encryption(err)
	}
	for _, gone := range edit.Remove {
		if err := root.Remove(filepath.FromSlash(gone)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove %q: %w", gone, err)
		}
	}
	for _, file := range tree.Files {
		path := filepath.FromSlash(file.Path)
		if err := root.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return fmt.Errorf("cannot make the directory of %q: %w", file.Path, err)
		}
		if err := root.WriteFile(path, edit.Write[file.Path], 0o640); err != nil {
			return fmt.Errorf("cannot write %q: %w", file.Path, err)
		}
	}
	if c.json {
		return c.encode(slices.Collect(maps.Keys(edit.Write)))
	}
	for _, file := range tree.Files {
		c.sayf("%s", file.Path)
	}
	return nil
}

// encryption tells rules that must be changed from failures.
func encryption(err error) error {
	var taken *overlay.TakenError
	if errors.As(err, &taken) {
		return usage(err)
	}
	for _, known := range []error{sops.ErrNoRules, sops.ErrNoMatch, sops.ErrKeyService, sops.ErrScope} {
		if errors.Is(err, known) {
			return usage(fmt.Errorf("%w; or give --recipient", err))
		}
	}
	return err
}

// build verifies a run and makes its tree. With the root of a file storage it
// also tells what is in there.
func (f *treeFlags) build(ctx context.Context, fileStorage string) (*overlay.Tree, *job.Inspection, error) {
	handed := &inMemory{}
	inspection, err := mover.Inspect(ctx, job.InspectOptions{Run: f.Run_, Volume: f.Volume, Identities: f.Identities, FileStorage: fileStorage}, mover.Env{Now: time.Now, Handover: handed})
	if err != nil {
		return nil, nil, &exitError{mover.ExitCode(err), err}
	}
	in := overlay.Input{
		Name: f.Name, Namespace: f.Namespace, WildcardDomain: f.WildcardDomain, StorageClass: f.StorageClass, OmitDatabaseSecrets: f.OmitDatabaseSecrets,
	}
	for _, object := range inspection.Objects {
		data, err := object.Handed(handed.parts)
		if err != nil {
			return nil, nil, err
		}
		var decoded map[string]any
		if err := json.Unmarshal(data, &decoded); err != nil {
			return nil, nil, fmt.Errorf("cannot decode %s %q of run %q", object.Kind, object.Name, inspection.Run) // the error may quote a value
		}
		in.Objects = append(in.Objects, decoded)
		in.Admitted = append(in.Admitted, overlay.Key{Kind: object.Kind, Name: object.Name})
		if object.Kind != threescale.APIManagerKind {
			continue
		}
		if storage := restore.StorageOf(decoded, &inspection); storage != nil {
			in.FileStorage = &overlay.FileStorage{StorageClass: storage.Class, Size: storage.Size, AccessModes: storage.AccessModes}
		}
	}
	tree, err := overlay.Build(in)
	return tree, &inspection, err
}

// inMemory takes the objects of a run without writing them anywhere.
type inMemory struct{ parts []map[string][]byte }

// Parts implements mover.Handover.
func (*inMemory) Parts() int { return job.MaxHandoverParts }

// Put implements mover.Handover.
func (h *inMemory) Put(_ context.Context, part int, data map[string][]byte) error {
	if len(h.parts) <= part {
		h.parts = slices.Grow(h.parts, job.MaxHandoverParts)[:part+1]
	}
	h.parts[part] = data
	return nil
}
