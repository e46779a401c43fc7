package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"time"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/commit"
	"threescale.dev/backup/fn/mover"
	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/publish"
)

// restoreCommand restores into directories what a ThreeScaleRestore restores
// into a cluster.
type restoreCommand struct {
	treeFlags `embed:""`

	Repository  string `required:"" type:"existingdir" help:"Git repository on this machine that the tree is committed to; it is not pushed from there."`
	Branch      string `help:"Branch to commit to; the one that is checked out by default."`
	Path        string `default:"." help:"Folder of the repository below which the tree lies."`
	Author      string `default:"threescale-backup" help:"Name of the commit's author."`
	Email       string `default:"threescale-backup@localhost" help:"E-mail address of the commit's author."`
	FileStorage string `type:"path" help:"Directory to write the System file storage to; without it, it is left out."`
	Existing    string `enum:"Fail,Overwrite,Mirror,Skip" default:"Fail" help:"What to do when that is not empty: ${enum}."`
}

// restored is the answer in JSON.
type restored struct {
	Run         string            `json:"run"`
	Commit      string            `json:"commit,omitempty"`
	Committed   bool              `json:"committed"`
	FileStorage *job.RefillResult `json:"fileStorage,omitempty"`
	Rewritten   []string          `json:"rewritten,omitempty"`
	Warnings    []string          `json:"warnings,omitempty"`
}

// Run makes the edit of the commit, fills the file storage, and commits: no
// file is written before it is known that Secrets can be encrypted, and a
// commit says that the files are there.
func (r *restoreCommand) Run(ctx context.Context, c *console) error {
	tree, inspection, err := r.build(ctx, "")
	if err != nil {
		return err
	}
	answer := restored{Run: inspection.Run, Warnings: inspection.Warnings}
	for _, place := range tree.Rewritten {
		answer.Rewritten = append(answer.Rewritten, place.String())
	}
	root := path.Clean(r.Path)
	folders := []string{path.Join(root, overlay.BaseDir(r.Name)), path.Join(root, overlay.Dir(r.Name))}
	made := publish.Commit{
		AuthorName: r.Author, AuthorEmail: r.Email,
		Message: fmt.Sprintf("Restore 3scale into %s\n\nRun %s.\n", r.Namespace, answer.Run),
	}
	result, err := publish.Local(ctx, publish.Repository{Directory: r.Repository, Branch: r.Branch}, folders, made, func(ctx context.Context, files fs.FS) (publish.Edit, error) {
		encrypter, err := commit.Encrypter(files, r.Recipient)
		if err != nil {
			return publish.Edit{}, usage(err)
		}
		edit, err := commit.Edit(files, root, tree, encrypter)
		if err != nil {
			return publish.Edit{}, encryption(err)
		}
		answer.FileStorage, err = r.refill(ctx, c, inspection)
		return edit, err
	})
	if err != nil {
		return err
	}
	answer.Commit, answer.Committed = result.Commit, result.Pushed
	if c.json {
		return c.encode(answer)
	}
	r.print(c, &answer)
	return nil
}

// refill writes the file storage; nil if there is none to write.
func (r *restoreCommand) refill(ctx context.Context, c *console, inspection *job.Inspection) (*job.RefillResult, error) {
	if r.FileStorage == "" || !inspection.FileStorage.Stored {
		return nil, nil
	}
	if err := os.MkdirAll(r.FileStorage, 0o750); err != nil {
		return nil, fmt.Errorf("cannot make the directory of the file storage: %w", err)
	}
	draw, end := c.progress()
	result, err := mover.Refill(ctx, job.RefillOptions{
		Run: inspection.Run, Volume: r.Volume, FileStorage: r.FileStorage, Existing: r.Existing,
		ManifestSHA256: inspection.ManifestSHA256, Identities: r.Identities,
	}, mover.Env{Now: time.Now, Progress: draw})
	end()
	if err != nil {
		return nil, &exitError{mover.ExitCode(err), err}
	}
	return &result, nil
}

func (r *restoreCommand) print(c *console, answer *restored) {
	if files := answer.FileStorage; files != nil {
		c.sayf("File storage: %d files, %s, of which %d were written", files.Files, size(files.Bytes), files.WrittenFiles)
	}
	c.sayf("Run %s is commit %s of %s", answer.Run, answer.Commit, r.Repository)
	for _, place := range answer.Rewritten {
		c.sayf("domain replaced: %s", place)
	}
	for _, warning := range answer.Warnings {
		c.sayf("warning: %s", warning)
	}
}
