package controller

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/git/signature"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/commit"
	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/publish"
	"threescale.dev/backup/fn/restore"
	"threescale.dev/backup/fn/sops"
	"threescale.dev/backup/fn/threescale"
)

// Author of commits whose restore names none.
const (
	defaultAuthor = "threescale-backup"
	defaultEmail  = "threescale-backup@localhost"
)

// defaultMessage is the template of a commit message.
const defaultMessage = `Restore 3scale {{ .Source.APIManager }} into {{ .Restore.Namespace }}

Run {{ .Run }} of namespace {{ .Source.Namespace }}, by ThreeScaleRestore {{ .Restore.Namespace }}/{{ .Restore.Name }}.
`

func (w *work) trailer() (publish.Trailer, error) {
	value, err := restore.RecordOf(w.restore)
	return publish.Trailer{Key: restore.TrailerKey, Subject: restore.TrailerSubject(w.restore), Value: value, Note: w.restore.Status.RestoredRun}, err
}

// readBranch looks whether this attempt is on the branch already, and whether
// a commit of it could be made and would be seen.
func (w *work) readBranch(ctx context.Context) error {
	target, err := w.target(ctx)
	if err != nil {
		return err
	}
	trailer, err := w.trailer()
	if err != nil {
		return err
	}
	read, written := &restore.Branch{}, false
	result, err := publish.Inspect(ctx, target, trailer, func(_ context.Context, files fs.FS) error {
		read.Problem = w.checkFiles(files)
		_, err := fs.Stat(files, path.Join(restore.Root(w.restore), overlay.Dir(w.restore.Name)))
		written = err == nil
		return nil
	})
	if err != nil {
		return w.gitProblem(err)
	}
	switch {
	case result.Found:
		read.Commit, read.Run = result.Commit, result.Note
		w.restore.Status.FoundCommit = result.Commit
	case written && !result.Whole && !restore.Forced(w.restore) && read.Problem == nil:
		read.Problem = &restore.Problem{
			Reason: v1alpha1.ReasonRepositoryUnusable, Terminal: true,
			Message: fmt.Sprintf("The folders of this restore are in GitRepository %q, but its newest %d commits do not tell whether by this very restore, and its server does not send older ones alone; to restore in any case, annotate it with the same new value for %s and %s",
				w.observed.Repository.Name, result.Looked, meta.ForceRequestAnnotation, meta.ReconcileRequestAnnotation),
		}
	}
	if read.Problem == nil {
		read.Problem = w.checkSigner(ctx)
	}
	w.observed.Branch = read
	return nil
}

// checkFiles tells what keeps a commit from being made, or from being seen by Flux.
func (w *work) checkFiles(files fs.FS) *restore.Problem {
	encrypter, err := w.encrypter(files)
	if err != nil {
		return encryptionProblem(err)
	}
	if err := commit.CheckOwner(files, restore.Root(w.restore), w.restore.Name, w.restore.Namespace); err != nil {
		return &restore.Problem{Reason: v1alpha1.ReasonFolderTaken, Message: fmt.Sprintf("In GitRepository %q, %v", w.observed.Repository.Name, err), Terminal: true}
	}
	_, kustomized := restore.Folders(w.restore)
	written := []string{path.Join(kustomized, "kustomization.yaml")}
	for _, object := range slices.Concat(threescale.Secrets(nil), threescale.ConfigMaps()) {
		file := path.Join(restore.Root(w.restore), overlay.FilePath(w.restore.Name, overlay.Key{Kind: object.Kind, Name: object.Name}))
		written = append(written, file)
		if !threescale.IsSensitive(object.Kind, object.Name) {
			continue
		}
		recipients, err := encrypter.Recipients(file)
		if err != nil {
			return encryptionProblem(err)
		}
		if len(recipients) == 0 {
			return encryptionProblem(sops.ErrNoRules)
		}
	}
	if file := commit.Ignored(files, w.observed.Repository.Spec.Ignore, written...); file != "" {
		return &restore.Problem{
			Reason:   v1alpha1.ReasonRepositoryUnusable,
			Message:  fmt.Sprintf("Flux ignores %q in GitRepository %q (spec.ignore, or .sourceignore in the repository); change that, or spec.path", file, w.observed.Repository.Name),
			Terminal: true,
		}
	}
	return nil
}

func (w *work) encrypter(files fs.FS) (*sops.Encrypter, error) {
	if w.restore.Spec.Encryption == nil {
		return commit.Encrypter(files, nil)
	}
	return commit.Encrypter(files, w.restore.Spec.Encryption.Age.Recipients)
}

func encryptionProblem(err error) *restore.Problem {
	reason := v1alpha1.ReasonEncryptionRefused
	if errors.Is(err, sops.ErrNoRules) || errors.Is(err, sops.ErrNoMatch) {
		reason = v1alpha1.ReasonNoRecipients
	}
	return &restore.Problem{Reason: reason, Message: err.Error(), Terminal: true}
}

// gitProblem keeps what Git's errors say, and whether trying again can help.
func (w *work) gitProblem(err error) error {
	var failed *publish.Error
	if !errors.As(err, &failed) {
		return err
	}
	reason := v1alpha1.ReasonGitFailed
	if failed.Reason == publish.PushRejected {
		reason = v1alpha1.ReasonPushRejected
	}
	problem := &restore.Problem{Reason: reason, Message: fmt.Sprintf("GitRepository %q: %v", w.observed.Repository.Name, failed), Terminal: failed.Terminal()}
	if ref := w.observed.Repository.Spec.SecretRef; ref != nil && failed.Login() {
		problem.Message += fmt.Sprintf(" (its Secret is %q)", ref.Name)
	}
	if problem.Terminal {
		problem.Message += "; then ask again: " + restore.AskAgain(w.restore)
	}
	return problem
}

// checkSigner tells early that a commit could not be signed.
func (w *work) checkSigner(ctx context.Context) *restore.Problem {
	_, err := w.signer(ctx)
	var problem *restore.Problem
	if err == nil {
		return nil
	}
	if errors.As(err, &problem) {
		return problem
	}
	return &restore.Problem{Reason: v1alpha1.ReasonGitFailed, Message: err.Error()}
}

// signer makes the signer that the restore names; nil without one.
func (w *work) signer(ctx context.Context) (signature.Signer, error) {
	key := w.restore.Spec.Git.Commit.SigningKey
	if key == nil {
		return nil, nil
	}
	secret, err := w.tenantSecret(ctx, key.SecretRef.Name, v1alpha1.ReasonGitFailed, "spec.git.commit.signingKey.secretRef")
	if err != nil {
		return nil, err
	}
	open := publish.OpenPGPSigner
	if key.Type == "ssh" {
		open = publish.SSHSigner
	}
	signer, err := open(secret.Data)
	if err != nil {
		return nil, w.gitProblem(err)
	}
	return signer, nil
}

// publish encrypts, commits and pushes.
func (w *work) publish(ctx context.Context) error {
	if err := w.build(ctx); err != nil {
		return err
	}
	target, err := w.target(ctx)
	if err != nil {
		return err
	}
	made, err := w.commit(ctx)
	if err != nil {
		return err
	}
	base, kustomized := restore.Folders(w.restore)
	result, err := publish.Publish(ctx, target, []string{base, kustomized}, made, w.edit)
	if err != nil {
		return w.gitProblem(err)
	}
	status := &w.restore.Status
	status.LastPushCommit = result.Commit
	status.LastPushTime = w.now()
	status.WaitingSince = w.now()
	status.Inventory = nil
	for _, object := range w.desired() {
		status.Inventory = append(status.Inventory, restore.ReferenceOf(object))
	}
	return nil
}

func (w *work) now() *metav1.Time { return &metav1.Time{Time: w.Now()} }

func (w *work) commit(ctx context.Context) (publish.Commit, error) {
	spec := w.restore.Spec.Git.Commit
	template := spec.MessageTemplate
	if template == "" {
		template = defaultMessage
	}
	plan := w.restore.Status.Plan
	message, err := publish.RenderMessage(template, map[string]any{
		"Restore": map[string]string{"Namespace": w.restore.Namespace, "Name": w.restore.Name},
		"Run":     plan.Run,
		"Source":  map[string]string{"Namespace": plan.Source.Namespace, "APIManager": plan.Source.APIManager},
		"Objects": len(plan.Objects),
		"Values":  spec.MessageTemplateValues,
	})
	if err != nil {
		return publish.Commit{}, w.gitProblem(err)
	}
	signer, err := w.signer(ctx)
	if err != nil {
		return publish.Commit{}, err
	}
	trailer, err := w.trailer()
	if err != nil {
		return publish.Commit{}, err
	}
	c := publish.Commit{AuthorName: spec.Author.Name, AuthorEmail: spec.Author.Email, Message: message, Trailer: trailer, Signer: signer}
	if c.AuthorName == "" {
		c.AuthorName = defaultAuthor
	}
	if c.AuthorEmail == "" {
		c.AuthorEmail = defaultEmail
	}
	return c, nil
}

// edit makes the files of the commit: Secrets are encrypted before they leave
// this process, and the encrypted tree is built once more.
func (w *work) edit(_ context.Context, files fs.FS) (publish.Edit, error) {
	if p := w.checkFiles(files); p != nil {
		return publish.Edit{}, p
	}
	encrypter, err := w.encrypter(files)
	if err != nil {
		return publish.Edit{}, encryptionProblem(err)
	}
	edit, err := commit.Edit(files, restore.Root(w.restore), w.tree, encrypter)
	if err != nil {
		return publish.Edit{}, encryptionProblem(err)
	}
	return edit, nil
}
