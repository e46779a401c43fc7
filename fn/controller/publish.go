package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/commit"
	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/publish"
	"threescale.dev/backup/fn/restore"
	"threescale.dev/backup/fn/threescale"
)

// The author of commits if the restore names none.
const (
	defaultAuthor = "threescale-backup"
	defaultEmail  = "threescale-backup@localhost"
)

// defaultMessage is the default template of a commit message.
const defaultMessage = `Restore 3scale {{ .Source.APIManager }} into {{ .Restore.Namespace }}

Run {{ .Run }} of namespace {{ .Source.Namespace }}, by ThreeScaleRestore {{ .Restore.Namespace }}/{{ .Restore.Name }}.
`

// readBranch finds out whether this attempt is on the branch already, and whether a commit could be
// made and would be seen by Flux.
func (w *work) readBranch(ctx context.Context) (*restore.Branch, error) {
	place, err := w.place(ctx)
	if err != nil {
		return nil, err
	}
	signing, unsigned := w.signing(ctx)
	var problem *restore.Problem
	if unsigned != nil && !errors.As(unsigned, &problem) {
		return nil, unsigned
	}
	place.Signing = signing
	answer, err := w.ask(ctx, w.doing("read"), commit.Request{Inspect: place})
	if err != nil {
		return nil, w.failed(err)
	}
	branch := answer.Branch
	read := &restore.Branch{Problem: w.problemOf(branch.Problem)}
	switch {
	case branch.Found:
		read.Commit, read.Run = branch.Commit, branch.Note
	case branch.Written && !branch.Whole && !restore.Forced(w.restore) && read.Problem == nil:
		read.Problem = restore.Stalled(v1alpha1.ReasonRepositoryUnusable, "GitRepository %q has the folders of this restore, but none of its newest %d commits records the restore, and its server does not send older commits without their files; to restore in any case: %s",
			w.state.Repository.Name, branch.Looked, restore.ForceAgain(w.restore))
	}
	read.Problem = cmp.Or(read.Problem, problem, w.problemOf(branch.Unsigned))
	return read, nil
}

// doing says what is done to the repository, for messages.
func (w *work) doing(verb string) string {
	return fmt.Sprintf("%s branch %q of GitRepository %q", verb, restore.BranchOf(w.restore, w.state.Repository), w.state.Repository.Name)
}

// place is where the commit goes, with what is known of its files beforehand.
func (w *work) place(ctx context.Context) (*commit.Place, error) {
	place := &commit.Place{
		Root: restore.Root(w.restore), Name: w.restore.Name, Namespace: w.restore.Namespace,
		Ignore: w.state.Repository.Spec.Ignore,
	}
	if e := w.restore.Spec.Encryption; e != nil {
		place.Recipients = e.Age.Recipients
	}
	for _, object := range slices.Concat(threescale.Secrets(nil), threescale.ConfigMaps()) {
		key := overlay.Key{Kind: object.Kind, Name: object.Name}
		if threescale.IsSensitive(object.Kind, object.Name) {
			place.Sensitive = append(place.Sensitive, key)
		} else {
			place.Plain = append(place.Plain, key)
		}
	}
	place.Plain = append(place.Plain, overlay.Key{Kind: threescale.APIManagerKind})
	place.Trailer = publish.Trailer{Key: restore.TrailerKey, Subject: w.restore.Namespace + "/" + w.restore.Name, Value: restore.RecordOf(w.restore), Note: w.restore.Status.RestoredRun}
	return place, w.reach(ctx, place)
}

// problemOf makes a problem of a failure; nil of nil.
func (w *work) problemOf(failure *commit.Failure) *restore.Problem {
	if failure == nil {
		return nil
	}
	name := w.state.Repository.Name
	problem := restore.Stalled(v1alpha1.ReasonEncryptionRefused, "%s", job.Sentence(failure.Message))
	switch failure.Kind {
	case commit.NoRecipients:
		problem.Reason = v1alpha1.ReasonNoRecipients
	case commit.FolderTaken:
		problem.Reason, problem.Message = v1alpha1.ReasonFolderTaken, fmt.Sprintf("In GitRepository %q, %s", name, failure.Message)
	case commit.FileIgnored:
		problem.Reason = v1alpha1.ReasonRepositoryUnusable
		problem.Message = fmt.Sprintf("Flux ignores %q in GitRepository %q (spec.ignore, or .sourceignore in the repository); change that, or spec.path", failure.Message, name)
	case commit.TreeRefused:
		problem.Reason = v1alpha1.ReasonUnexpectedObject
	case commit.TextUnsupported:
		problem.Reason = v1alpha1.ReasonUnsupportedText
	case commit.GitFailed:
		return w.gitProblem(failure)
	}
	return problem
}

// failed makes a problem of a failure. Other errors stay what they are.
func (w *work) failed(err error) error {
	if failure, ok := errors.AsType[*commit.Failure](err); ok {
		return w.problemOf(failure)
	}
	return err
}

// gitProblem makes a problem of a failure of Git.
func (w *work) gitProblem(failed *commit.Failure) *restore.Problem {
	reason := v1alpha1.ReasonGitFailed
	if failed.Reason == publish.PushRejected {
		reason = v1alpha1.ReasonPushRejected
	}
	problem := &restore.Problem{Reason: reason, Message: fmt.Sprintf("GitRepository %q: %s", w.state.Repository.Name, failed.Message), Terminal: failed.Reason.Terminal()}
	if failed.Reason == publish.Timeout {
		problem.Message += fmt.Sprintf(" (spec.timeout of the GitRepository, and at most %s)", w.Children.Limits.Time)
	}
	if ref := w.state.Repository.Spec.SecretRef; ref != nil && failed.Reason.Login() && w.state.Repository.Namespace == w.restore.Namespace {
		problem.Message += fmt.Sprintf(" (its Secret is %q)", ref.Name)
	}
	if problem.Terminal {
		problem.Message += "; then ask again: " + restore.AskAgain(w.restore)
	}
	return problem
}

// signing reads the key that the restore names; nil if it names none.
func (w *work) signing(ctx context.Context) (*commit.SigningKey, error) {
	key := w.restore.Spec.Git.Commit.SigningKey
	if key == nil {
		return nil, nil
	}
	secret, err := w.tenantSecret(ctx, key.SecretRef.Name, v1alpha1.ReasonGitFailed, "spec.git.commit.signingKey.secretRef")
	if err != nil {
		return nil, err
	}
	return &commit.SigningKey{SSH: key.Type == "ssh", Data: secret.Data}, nil
}

// publish encrypts, commits and pushes.
func (w *work) publish(ctx context.Context) (*restore.Push, error) {
	if err := w.build(ctx); err != nil {
		return nil, err
	}
	publication, err := w.publication(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := w.ask(ctx, w.doing("commit to"), commit.Request{Publish: publication})
	if err != nil {
		return nil, w.failed(err)
	}
	push := &restore.Push{Commit: answer.Published.Commit, Found: answer.Published.Found}
	for _, object := range w.tree.Sorted() {
		push.Inventory = append(push.Inventory, restore.ReferenceOf(object))
	}
	return push, nil
}

// askFlux has source-controller look at the repository now instead of at its next interval.
func (w *work) askFlux(ctx context.Context) error {
	repository := w.state.Repository.DeepCopy()
	body := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, restore.FluxRequest(w.Now()))
	err := w.Patch(ctx, repository, client.RawPatch(types.MergePatchType, []byte(body)), client.FieldOwner(ControllerName))
	if err != nil {
		return fmt.Errorf("cannot ask Flux to look at GitRepository %q: %w", repository.Name, err)
	}
	return nil
}

// publication is all that a commit is made of.
func (w *work) publication(ctx context.Context) (*commit.Publication, error) {
	place, err := w.place(ctx)
	if err != nil {
		return nil, err
	}
	if place.Signing, err = w.signing(ctx); err != nil {
		return nil, err
	}
	input, err := w.treeInput(ctx)
	if err != nil {
		return nil, err
	}
	spec, plan := w.restore.Spec.Git.Commit, w.restore.Status.Plan
	return &commit.Publication{
		Place: *place, TreeInput: *input,
		AuthorName:  cmp.Or(spec.Author.Name, defaultAuthor),
		AuthorEmail: cmp.Or(spec.Author.Email, defaultEmail),
		Template:    cmp.Or(spec.MessageTemplate, defaultMessage),
		Message: commit.Message{
			Restore: map[string]string{"Namespace": w.restore.Namespace, "Name": w.restore.Name},
			Run:     plan.Run,
			Source:  map[string]string{"Namespace": plan.Source.Namespace, "APIManager": plan.Source.APIManager},
			Objects: len(plan.Objects),
			Values:  spec.MessageTemplateValues,
		},
	}, nil
}
