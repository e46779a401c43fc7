package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

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
	desired := w.desired()
	judged := make([]v1alpha1.PlannedObject, 0, len(desired))
	for _, object := range desired { // of the live ones, one at a time is held
		live, err := w.liveOf(ctx, object)
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

// liveOf reads the live object for one of the commit; nil if there is none.
func (w *work) liveOf(ctx context.Context, want restore.Object) (restore.Object, error) {
	reference := restore.ReferenceOf(want)
	return w.live(ctx, apiVersions()[reference.Kind], reference.Kind, reference.Name)
}

// desired returns the objects of the commit, sorted by kind and name.
func (w *work) desired() []restore.Object {
	keys := slices.SortedFunc(maps.Keys(w.tree.Objects), func(a, b overlay.Key) int {
		return strings.Compare(a.String(), b.String())
	})
	out := make([]restore.Object, 0, len(keys))
	for _, key := range keys {
		out = append(out, w.tree.Objects[key])
	}
	return out
}

// build has a child process make the tree of the objects that were handed over, once in a call.
func (w *work) build(ctx context.Context) error {
	if w.tree != nil {
		return nil
	}
	if err := w.takeTurn(); err != nil { // before it is read: it may be large
		return err
	}
	source, err := w.source(ctx)
	if err != nil {
		return err
	}
	answer, err := w.ask(ctx, "build the tree of the backup's objects", commit.Request{Build: source})
	if err != nil {
		return w.failed(err)
	}
	w.tree, err = built(answer.Tree)
	return err
}

// source is what the tree is made of.
func (w *work) source(ctx context.Context) (*commit.Source, error) {
	objects, admitted, err := w.handedOver(ctx)
	if err != nil {
		return nil, err
	}
	return &commit.Source{Objects: objects, Input: w.input(admitted)}, nil
}

// input says how the tree is made.
func (w *work) input(admitted []overlay.Key) overlay.Input {
	spec, recorded := w.restore.Spec, w.state.Inspection
	return overlay.Input{
		Name:                w.restore.Name,
		Namespace:           w.restore.Namespace,
		Admitted:            admitted,
		WildcardDomain:      spec.Target.WildcardDomain,
		StorageClass:        spec.Target.StorageClass,
		OmitDatabaseSecrets: spec.DatabaseSecrets == v1alpha1.DatabaseSecretsOmit,
		Quiet:               spec.Target.Quiet,
		FileStorage:         w.fileStorage(),
		Former:              &overlay.FormerStorage{Claim: (*overlay.FormerClaim)(recorded.Source.FileStorage), Bytes: recorded.FileStorage.Bytes},
	}
}

// fileStorage is the existing PersistentVolumeClaim of the file storage; nil without one. It is
// committed as it is, since it is immutable.
func (w *work) fileStorage() *overlay.FileStorage {
	claim := w.state.FileStorage
	if claim == nil {
		return nil
	}
	return &overlay.FileStorage{
		StorageClass: claim.Spec.StorageClassName,
		Size:         claim.Spec.Resources.Requests[corev1.ResourceStorage],
		AccessModes:  claim.Spec.AccessModes,
	}
}

// handedOver returns the objects that the inspect Job handed over: exactly those that its report
// lists.
func (w *work) handedOver(ctx context.Context) (objects []json.RawMessage, admitted []overlay.Key, err error) {
	parts, err := w.handover(ctx)
	if err != nil {
		return nil, nil, err
	}
	left := 0 // a report that lists an object again and again would have it copied as often
	for _, part := range parts {
		for _, data := range part {
			left += len(data)
		}
	}
	for _, handed := range w.state.Inspection.Objects {
		data, err := handed.Handed(parts)
		if err != nil {
			return nil, nil, err
		}
		if left -= len(data); left < 0 {
			return nil, nil, &restore.Problem{Reason: v1alpha1.ReasonUnexpectedObject, Message: "The report of the inspect Job lists more than was handed over; find out who may write ConfigMaps in this namespace", Terminal: true}
		}
		if !json.Valid(data) {
			return nil, nil, fmt.Errorf("cannot decode %s %q of the hand-over", handed.Kind, handed.Name)
		}
		objects = append(objects, data)
		admitted = append(admitted, overlay.Key{Kind: handed.Kind, Name: handed.Name})
	}
	return objects, admitted, nil
}

// handover returns the data of the hand-over Secrets. If it is not what the report has the digest of,
// the backup is read again.
func (w *work) handover(ctx context.Context) ([]map[string][]byte, error) {
	step := w.step(specs.Inspecting)
	again := func(format string, args ...any) error {
		return errors.Join(&restore.Problem{Reason: v1alpha1.ReasonHandoverFailed, Message: fmt.Sprintf(format, args...) + "; the backup is read again"}, w.drop(ctx, step.Action))
	}
	parts := make([]map[string][]byte, handoverParts)
	for part := range parts {
		secret := &corev1.Secret{}
		name := specs.HandoverName(step, part)
		ok, err := get(ctx, w.tenant, step.Namespace, name, secret)
		switch {
		case err != nil:
			return nil, err
		case !ok:
			return nil, again("Hand-over Secret %q is gone", name)
		case !metav1.IsControlledBy(secret, w.restore):
			return nil, &restore.Problem{Reason: v1alpha1.ReasonObjectConflict, Message: fmt.Sprintf("Secret %q exists and is not of this restore; delete it, or rename the restore", name), Terminal: true}
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
	for _, want := range w.desired() {
		if reference := restore.ReferenceOf(want); threescale.IsRewritten(reference.Kind, reference.Name) {
			continue
		}
		live, err := w.liveOf(ctx, want)
		if err != nil || live == nil || !restore.Holds(want, live) {
			return false, err
		}
	}
	return true, nil
}
