package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/cmd/internal/exit"
	"threescale.dev/backup/fn/commit"
	"threescale.dev/backup/fn/mover"
	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/publish"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/sops"
)

// treeFlags are the flags of a command that makes a kustomize tree of a run.
type treeFlags struct {
	storeFlags `embed:""`

	Run_                string   `name:"run" default:"latest" help:"ID of the run, or latest."` //nolint:revive // Run is the method
	ManifestSHA256      string   `name:"manifest-sha256" placeholder:"DIGEST" help:"Fail unless manifest.json of the run has this SHA-256. status.manifests of the ThreeScaleBackup has it."`
	Identities          string   `type:"existingdir" placeholder:"DIR" help:"Directory with files *.agekey: the age identities that decrypt an encrypted run."`
	Name                string   `default:"restored" help:"Name of the restore, and of its folders base/<name> and overlays/<name>."`
	Namespace           string   `short:"n" required:"" help:"Namespace that the installation is restored to."`
	WildcardDomain      string   `help:"Wildcard domain that replaces that of the backup."`
	StorageClass        string   `help:"StorageClass of the file storage, and of the search index where the APIManager names one; by default those of the backup."`
	OmitDatabaseSecrets bool     `help:"Leave out the Secrets that hold the URLs of the external databases."`
	OmitBucketSecret    bool     `help:"Leave out the Secret that leads to the bucket of the file storage, where that is in S3."`
	Quiet               bool     `help:"Write Secret system-smtp with empty values, so that a copy for a rehearsal sends no mail."`
	Recipient           []string `placeholder:"AGE1..." help:"Encrypt Secrets and ConfigMap system for this age recipient; may be repeated. By default, .sops.yaml names the recipients."`
}

// madeTree is the tree of a verified run.
type madeTree struct {
	*overlay.Tree

	inspection job.Inspection
	dumps      []recorded.Dump
	// objects is the digest of the objects of a run that has no manifest.
	objects string
}

// build verifies a run and makes the tree of it.
func (f *treeFlags) build(ctx context.Context, c *console, store archive.Store) (*madeTree, error) {
	handed := &inMemory{}
	draw, end := c.progress()
	inspection, err := mover.Inspect(ctx, job.InspectOptions{Run: f.Run_, ManifestSHA256: f.ManifestSHA256, Identities: f.Identities}, mover.Env{Now: time.Now, Handover: handed, Store: store, Progress: draw})
	end()
	if err != nil {
		return nil, exit.With(mover.ExitCode(err), err)
	}
	in := overlay.Input{
		Name: f.Name, Namespace: f.Namespace, WildcardDomain: f.WildcardDomain, StorageClass: f.StorageClass, OmitDatabaseSecrets: f.OmitDatabaseSecrets,
		OmitBucketSecret: f.OmitBucketSecret, Quiet: f.Quiet, Former: &overlay.FormerStorage{PVC: inspection.Source.FileStorage, Bytes: inspection.FileStorage.Bytes},
	}
	digest := sha256.New()
	for _, object := range inspection.Objects {
		data, err := object.Handed(handed.parts)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(digest, "%s %s %x\n", object.Kind, object.Name, sha256.Sum256(data))
		decoded := &unstructured.Unstructured{}
		if err := json.Unmarshal(data, &decoded.Object); err != nil {
			return nil, fmt.Errorf("cannot decode %s %q of run %q", object.Kind, object.Name, inspection.Run) // its cause may quote a value
		}
		in.Objects = append(in.Objects, decoded)
		in.Admitted = append(in.Admitted, overlay.Key{Kind: object.Kind, Name: object.Name})
	}
	made := &madeTree{inspection: inspection}
	if made.dumps, err = readDumps(ctx, store, inspection.Run); err != nil {
		return nil, err
	}
	if inspection.ManifestSHA256 == "" {
		made.objects = fmt.Sprintf("%x", digest.Sum(nil))
	}
	if made.Tree, err = overlay.Build(in); err != nil {
		return nil, unbuildable(err)
	}
	return made, nil
}

// readDumps returns the databases that a run holds.
func readDumps(ctx context.Context, store archive.Store, id string) ([]recorded.Dump, error) {
	run, err := store.OpenRun(ctx, id)
	if err != nil {
		return nil, err
	}
	defer run.Close() //nolint:errcheck // it was only read
	return run.Dumps(), nil
}

// unbuildable gives an error of overlay.Build its exit code: it is the fault of what the
// volume holds, or else of the command line.
func unbuildable(err error) error {
	var unexpected *overlay.UnexpectedObjectError
	var unsupported *overlay.UnsupportedTextError
	if errors.As(err, &unexpected) || errors.As(err, &unsupported) {
		return exit.With(job.ExitIntegrity, err)
	}
	return exit.Usage(err)
}

// encrypt returns the edit of a repository with the given files, and the recipients for
// whom its Secrets are encrypted.
func (f *treeFlags) encrypt(files fs.FS, root string, tree *madeTree) (edit publish.Edit, recipients []string, err error) {
	encrypter, err := commit.Encrypter(files, f.Recipient)
	if err != nil {
		return publish.Edit{}, nil, exit.Usage(err)
	}
	for _, file := range tree.Files {
		if !file.Secret {
			continue
		}
		may, err := encrypter.Recipients(path.Join(root, file.Path))
		if err != nil {
			return publish.Edit{}, nil, refused(path.Join(root, file.Path), err)
		}
		recipients = append(recipients, may...)
	}
	slices.Sort(recipients)
	edit, err = commit.Edit(files, root, tree.Tree, encrypter)
	if _, taken := errors.AsType[*overlay.TakenError](err); taken {
		err = exit.Usage(err)
	}
	return edit, slices.Compact(recipients), err
}

// refused explains why a file cannot be encrypted, and what to do.
func refused(file string, err error) error {
	if errors.Is(err, sops.ErrNoRules) {
		return exit.Usage(fmt.Errorf("cannot encrypt %q: there is no .sops.yaml beside or above it: add one, and commit it if this is Git, or give --recipient", file))
	}
	return exit.Usage(fmt.Errorf("%w; or give --recipient", err))
}

// inMemory is a hand-over that keeps the objects of a run in memory.
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
