package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/cmd/internal/exit"
	"threescale.dev/backup/fn/commit"
	"threescale.dev/backup/fn/mover"
	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/publish"
	"threescale.dev/backup/fn/restore"
)

// restoreCommand restores into directories, as a ThreeScaleRestore does into a cluster.
type restoreCommand struct {
	treeFlags `embed:""`

	Repository  string                  `required:"" type:"existingdir" placeholder:"DIR" help:"Git repository on this machine to commit to: a bare one, or the root of a work tree."`
	Branch      string                  `help:"Branch to commit to; by default the one that is checked out."`
	Path        string                  `default:"." help:"Folder of the repository to write base/ and overlays/ into."`
	Author      string                  `default:"threescale-backup" help:"Name of the commit's author."`
	Email       string                  `default:"threescale-backup@localhost" help:"E-mail address of the commit's author."`
	FileStorage place                   `placeholder:"DIR" help:"Directory to write the System file storage to, or s3://BUCKET where it is in S3; without this flag, no files are restored."`
	Existing    v1alpha1.ExistingPolicy `enum:"Fail,Overwrite,Mirror,Skip" default:"Fail" help:"What to do if that place is not empty and differs from the run: ${enum}. Mirror deletes files that the run does not have."`
	Force       bool                    `help:"Commit even if the branch has a commit of the same restore already."`
}

// Help is what the help text says beyond the flags.
func (*restoreCommand) Help() string {
	return `Every digest of the run is verified, and Secrets are encrypted, before anything is written. Then the file storage is written,
then one commit is made. It touches base/<name> and overlays/<name> only. Nothing is pushed, no hook is run, and the commit is
not signed.

If the branch is checked out in the repository, its work tree shows the commit at once: the program git, which must be
installed, updates the files and the index. The command stops if files in base/<name> or overlays/<name> of the work tree differ
from the newest commit, or are not tracked. All other changes in the work tree stay as they are. If the branch is not checked
out, the work tree is not touched. If it is checked out in another work tree, which git worktree made, the command stops.

The commit ends with a trailer that records what was asked for. The same command, run again, finds the trailer, makes no second
commit, and only checks the file storage. With --force it commits once more, as after a git revert.`
}

// Run restores from where the runs are.
func (r *restoreCommand) Run(ctx context.Context, c *console) error {
	if err := r.checkApart(); err != nil {
		return err
	}
	store, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // it was only read
	return r.restore(ctx, c, store)
}

// restore makes the edit of the commit, fills the file storage, and commits, in this order:
// nothing is written unless the Secrets can be encrypted, and a commit means that the
// files are there.
func (r *restoreCommand) restore(ctx context.Context, c *console, store archive.Store) error {
	tree, err := r.build(ctx, c, store)
	if err != nil {
		return err
	}
	about, err := r.commit(tree)
	if err != nil {
		return err
	}
	root := path.Clean(r.Path)
	folders := []string{path.Join(root, overlay.BaseDir(r.Name)), path.Join(root, overlay.Dir(r.Name))}
	answer := restored{Path: folders[1]}
	var recipients []string
	var hidden string // a file that Flux ignores
	result, err := publish.Local(ctx, publish.Repository{Directory: r.Repository, Branch: r.Branch}, folders, about, func(_ context.Context, files fs.FS) (edit publish.Edit, err error) {
		if edit, recipients, err = r.encrypt(files, root, tree); err != nil {
			return publish.Edit{}, err
		}
		hidden = commit.Hidden(files, nil, edit)
		return edit, nil
	}, func(ctx context.Context) (err error) {
		answer.FileStorage, err = r.refill(ctx, c, store, tree)
		return err
	})
	if err != nil {
		return uncommitted(err, answer.FileStorage)
	}
	answer.contents = contentsOf(tree, recipients)
	if hidden != "" {
		answer.Warnings = append(answer.Warnings, fmt.Sprintf("Flux ignores %q, by .sourceignore of the repository or its own defaults, and would not apply it", hidden))
	}
	answer.Commit, answer.Branch, answer.Committed, answer.WorkTree = result.Commit, result.Branch, result.Pushed, result.Shown
	if result.Found {
		if answer.FileStorage, err = r.refill(ctx, c, store, tree); err != nil {
			return fmt.Errorf("%w (branch %q has the restore already, as commit %s)", err, result.Branch, result.Commit)
		}
	}
	return r.tell(c, tree, &answer)
}

// commit returns the message and the trailer of the commit. With --force there is no
// trailer to look for on the branch, so that another commit is made in any case.
func (r *restoreCommand) commit(tree *madeTree) (publish.Commit, error) {
	value, err := r.attempt(tree)
	if err != nil {
		return publish.Commit{}, err
	}
	i := tree.inspection
	about := publish.Commit{
		AuthorName: r.Author, AuthorEmail: r.Email,
		Message: fmt.Sprintf("Restore 3scale %s into %s\n\nRun %s of namespace %s, by threescale-backup restore.\n", i.Source.APIManager, r.Namespace, i.Run, i.Source.Namespace),
		Trailer: publish.Trailer{Key: restore.TrailerKey, Subject: r.Namespace + "/" + r.Name, Value: value, Note: i.Run},
	}
	if r.Force {
		about.Message += "\n" + about.Trailer.String() + "\n"
		about.Trailer = publish.Trailer{}
	}
	return about, nil
}

// asked is what a restore restores, and where to. Commits hold its digest, so a field
// that is added must be omitted while it is unset. Otherwise the same command would make
// a second commit after an upgrade.
type asked struct {
	Path                string   `json:"path"`
	Name                string   `json:"name"`
	Namespace           string   `json:"namespace"`
	WildcardDomain      string   `json:"wildcardDomain,omitempty"`
	StorageClass        string   `json:"storageClass,omitempty"`
	OmitDatabaseSecrets bool     `json:"omitDatabaseSecrets,omitempty"`
	OmitBucketSecret    bool     `json:"omitBucketSecret,omitempty"`
	Quiet               bool     `json:"quiet,omitempty"`
	Recipients          []string `json:"recipients,omitempty"`
	ManifestSHA256      string   `json:"manifestSHA256,omitempty"`
	// Objects is the digest of the objects of a run that has no manifest.
	Objects string `json:"objects,omitempty"`
}

// attempt returns the digest of what is asked for, 64 hex digits.
func (r *restoreCommand) attempt(tree *madeTree) (string, error) {
	recipients := slices.Sorted(slices.Values(r.Recipient))
	data, err := json.Marshal(asked{
		Path: path.Clean(r.Path), Name: r.Name, Namespace: r.Namespace,
		WildcardDomain: r.WildcardDomain, StorageClass: r.StorageClass, OmitDatabaseSecrets: r.OmitDatabaseSecrets, OmitBucketSecret: r.OmitBucketSecret, Quiet: r.Quiet,
		Recipients: slices.Compact(recipients), ManifestSHA256: tree.inspection.ManifestSHA256, Objects: tree.objects,
	})
	if err != nil {
		return "", fmt.Errorf("cannot encode what is asked for: %w", err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(data)), nil
}

// uncommitted gives an error of Git its exit code, and says what was already done.
func uncommitted(err error, filled *job.RefillResult) error {
	var failed *publish.Error
	if !errors.As(err, &failed) {
		return err
	}
	if filled != nil && !filled.Skipped {
		err = fmt.Errorf("%w; the file storage is restored, and is left alone when this is run again", err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return exit.With(job.ExitTemporary, err)
	}
	switch failed.Reason {
	case publish.Internal:
		return exit.With(job.ExitIO, err)
	case publish.RaceLost:
		return exit.With(job.ExitTemporary, err)
	default:
		return exit.Usage(err)
	}
}

// refill writes the file storage; nil if there is none to write.
func (r *restoreCommand) refill(ctx context.Context, c *console, store archive.Store, tree *madeTree) (*job.RefillResult, error) {
	i := tree.inspection
	if r.FileStorage == (place{}) || !i.FileStorage.Stored {
		return nil, nil
	}
	env := mover.Env{Now: time.Now, Store: store}
	if r.FileStorage.bucket != "" {
		bucket, err := r.options(r.FileStorage, os.Getenv)
		if err != nil {
			return nil, exit.Usage(err)
		}
		env.FileBucket = &bucket
	} else if err := os.MkdirAll(r.FileStorage.directory, 0o750); err != nil {
		return nil, fmt.Errorf("cannot make the directory of the file storage: %w", err)
	}
	draw, end := c.progress()
	env.Progress = draw
	result, err := mover.Refill(ctx, job.RefillOptions{
		Run: i.Run, FileStorage: r.FileStorage.directory, Existing: r.Existing,
		ManifestSHA256: i.ManifestSHA256, Identities: r.Identities,
	}, env)
	end()
	if err != nil {
		return nil, exit.With(mover.ExitCode(err), err)
	}
	return &result, nil
}

// checkApart refuses a file storage inside the repository, where it would be committed,
// and a repository inside the file storage, where Mirror would remove it.
func (r *restoreCommand) checkApart() error {
	if r.FileStorage.directory == "" {
		return nil
	}
	files, repository := resolved(r.FileStorage.directory), resolved(r.Repository)
	if within(files, repository) || within(repository, files) {
		return exit.Usage(fmt.Errorf("cannot restore: the file storage %q and the repository %q overlap: choose another --file-storage", r.FileStorage, r.Repository))
	}
	return nil
}

// resolved follows the symlinks in the part of an absolute path that exists.
func resolved(name string) string {
	for at := name; ; at = filepath.Dir(at) {
		if found, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(found, strings.TrimPrefix(name, at))
		}
		if at == filepath.Dir(at) {
			return name
		}
	}
}

// within reports whether a path is another one or below it.
func within(name, other string) bool {
	relative, err := filepath.Rel(other, name)
	return err == nil && filepath.IsLocal(relative)
}
