package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/commit"
	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/restore"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

// makePlan compares the objects of the commit with the live ones.
func (w *work) makePlan(ctx context.Context) (*v1alpha1.Plan, error) {
	if err := w.build(ctx); err != nil {
		return nil, err
	}
	desired := w.tree.Sorted()
	judged := make([]v1alpha1.PlannedObject, 0, len(desired))
	for _, object := range desired { // of the live ones, one at a time is held
		live, err := w.live(ctx, object.GroupVersionKind(), object.GetName())
		if err != nil {
			return nil, err
		}
		judged = append(judged, restore.Judge(&w.state, object, live))
	}
	var notes restore.Notes
	for _, place := range w.tree.Rewritten {
		notes.Rewritten = append(notes.Rewritten, place.String())
	}
	for _, place := range w.tree.LeftWithDomain {
		notes.Warnings = append(notes.Warnings, fmt.Sprintf("%s holds the former domain and is not rewritten", place))
	}
	for _, place := range w.tree.Dropped {
		notes.Warnings = append(notes.Warnings, fmt.Sprintf("%s names a PersistentVolume and is left out", place))
	}
	return restore.PlanOf(&w.state, desired, judged, notes), nil
}

// build has a child process make the tree of the objects that were handed over, once in a call.
func (w *work) build(ctx context.Context) error {
	if w.tree != nil {
		return nil
	}
	if err := w.takeTurn(); err != nil { // before it is read: it may be large
		return err
	}
	input, err := w.treeInput(ctx)
	if err != nil {
		return err
	}
	answer, err := w.ask(ctx, "build the tree of the backup's objects", commit.Request{Build: input})
	if err != nil {
		return w.failed(err)
	}
	w.tree, err = built(answer.Tree)
	return err
}

// input says how the tree is made.
func (w *work) input() overlay.Input {
	spec, recorded := w.restore.Spec, w.state.Inspection
	return overlay.Input{
		Name:                w.restore.Name,
		Namespace:           w.restore.Namespace,
		WildcardDomain:      spec.Target.WildcardDomain,
		StorageClass:        spec.Target.StorageClass,
		OmitDatabaseSecrets: spec.DatabaseSecrets == v1alpha1.DatabaseSecretsOmit,
		OmitBucketSecret:    w.restore.OmitsBucketSecret(),
		Quiet:               spec.Target.Quiet,
		FileStorage:         w.fileStorage(),
		Former:              &overlay.FormerStorage{PVC: recorded.Source.FileStorage, Bytes: recorded.FileStorage.Bytes},
	}
}

// fileStorage is the existing PersistentVolumeClaim of the file storage; nil without one. It is
// committed as it is, since it is immutable.
func (w *work) fileStorage() *overlay.FileStorage {
	pvc := w.state.FileStorage
	if pvc == nil {
		return nil
	}
	return &overlay.FileStorage{
		StorageClass: pvc.Spec.StorageClassName,
		Size:         pvc.Spec.Resources.Requests[corev1.ResourceStorage],
		AccessModes:  pvc.Spec.AccessModes,
	}
}

// treeInput is what the tree is made of: of what the inspect Job handed over, exactly the objects that
// its report lists.
func (w *work) treeInput(ctx context.Context) (*commit.TreeInput, error) {
	parts, err := w.handover(ctx)
	if err != nil {
		return nil, err
	}
	input := &commit.TreeInput{Input: w.input()}
	left := 0 // a report that lists an object again and again would have it copied as often
	for _, part := range parts {
		for _, data := range part {
			left += len(data)
		}
	}
	for _, handed := range w.state.Inspection.Objects {
		data, err := handed.Handed(parts)
		if err != nil {
			return nil, err
		}
		if left -= len(data); left < 0 {
			return nil, restore.Stalled(v1alpha1.ReasonUnexpectedObject, "The report of the inspect Job lists more than was handed over; find out who may write ConfigMaps in this namespace")
		}
		if !json.Valid(data) {
			return nil, fmt.Errorf("cannot decode %s %q of the hand-over", handed.Kind, handed.Name)
		}
		input.Objects = append(input.Objects, data)
		input.Input.Admitted = append(input.Input.Admitted, overlay.Key{Kind: handed.Kind, Name: handed.Name})
	}
	return input, nil
}

// handover returns the data of the hand-over Secrets. If it is not what the report has the digest of,
// the backup is read again.
func (w *work) handover(ctx context.Context) ([]map[string][]byte, error) {
	step := w.step(specs.Inspecting)
	again := func(format string, args ...any) error {
		return errors.Join(restore.Failing(v1alpha1.ReasonHandoverFailed, format+"; the restore reads the backup again", args...), w.drop(ctx, step.Action))
	}
	parts := make([]map[string][]byte, handoverParts)
	for part := range parts {
		name := specs.HandoverName(step, part)
		secret, err := find[corev1.Secret](ctx, w.tenant, step.Namespace, name)
		switch {
		case err != nil:
			return nil, err
		case secret == nil:
			return nil, again("Hand-over Secret %q is gone", name)
		case !metav1.IsControlledBy(secret, w.restore):
			return nil, restore.Stalled(v1alpha1.ReasonObjectConflict, "Secret %q exists and is not of this restore; rename the restore, or delete the Secret if nobody needs it", name)
		}
		parts[part] = secret.Data
	}
	if job.HandoverDigest(parts) != w.state.Inspection.HandoverSHA256 {
		return nil, again("The hand-over Secrets were changed since the backup was read; find out who may write Secrets in this namespace")
	}
	return parts, nil
}

// compareLive reports whether the live objects hold the commit. The commit's objects come from the
// hand-over: if that is gone, nothing is compared, and the answer is yes.
func (w *work) compareLive(ctx context.Context) (bool, error) {
	if w.state.Inspection == nil || !w.state.Inspection.Completed {
		return true, nil
	}
	err := w.build(ctx)
	var problem *restore.Problem
	if errors.As(err, &problem) && problem.Reason == v1alpha1.ReasonHandoverFailed {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	for _, want := range w.tree.Sorted() {
		if threescale.IsRewritten(want.GetKind(), want.GetName()) {
			continue
		}
		live, err := w.live(ctx, want.GroupVersionKind(), want.GetName())
		if err != nil || live == nil || !restore.Holds(want, live) {
			return false, err
		}
	}
	return true, nil
}
