package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/restore"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

// Labels of the 3scale operator's pods.
const (
	labelSubcomponent     = "rht.subcomp"
	operatorSubcomponent  = "3scale_operator"
	labelComponentVersion = "rht.comp_ver"
)

// observe reads the facts for the next decision.
func (w *work) observe(ctx context.Context) error {
	w.state.Facts = restore.Facts{
		Restore:              w.restore,
		Now:                  w.Now(),
		NoCrossNamespaceRefs: w.NoCrossNamespaceRefs,
		Account:              w.account(),
	}
	for _, read := range []func(context.Context) error{w.observeSource, w.observeFlux, w.observePods, w.observeInstallation} {
		if err := read(ctx); err != nil {
			return err
		}
	}
	return nil
}

// get reads an object; ok is false if there is none.
func get(ctx context.Context, c client.Client, namespace, name string, into client.Object) (ok bool, err error) {
	err = c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, into)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot read %T %q: %w", into, name, err)
	}
	return true, nil
}

// pointer is one to an object of a typed kind.
type pointer[T any] interface {
	*T
	client.Object
}

// find reads an object; nil if there is none.
func find[T any, Object pointer[T]](ctx context.Context, c client.Client, namespace, name string) (Object, error) {
	into := Object(new(T))
	if ok, err := get(ctx, c, namespace, name, into); !ok {
		return nil, err
	}
	return into, nil
}

func (w *work) observeSource(ctx context.Context) (err error) {
	o, source := &w.state, w.restore.Spec.RestoreSource
	if ref := source.BackupRef; ref != nil {
		if o.Backup, err = w.live(ctx, v1alpha1.GroupVersion.WithKind(v1alpha1.KindBackup), ref.Name); err != nil {
			return err
		}
	}
	if volume := source.PersistentVolume; volume != nil {
		if o.SourceVolume, err = find[corev1.PersistentVolume](ctx, w.Client, "", volume.VolumeName); err != nil {
			return err
		}
	}
	if source.Bucket != nil {
		o.BucketSecrets, err = w.bucketSecrets(ctx, *source.Bucket)
		return err
	}
	if name := restore.SourcePVCName(w.restore, o.Backup); name != "" {
		o.SourcePVC, err = find[corev1.PersistentVolumeClaim](ctx, w.tenant, w.restore.Namespace, name)
	}
	return err
}

// bucketSecrets returns the keys of the Secrets that a bucket names, of those that exist; of a key
// without a value, nothing. The values are for the Jobs alone, for whom the kubelet reads them. Nil
// means that nothing is read from the bucket any more.
func (w *work) bucketSecrets(ctx context.Context, bucket v1alpha1.Bucket) (map[string][]string, error) {
	if w.restore.Status.LastPushCommit != "" {
		return nil, nil
	}
	keys := map[string][]string{}
	for _, named := range specs.BucketSecrets(bucket) {
		secret, err := find[corev1.Secret](ctx, w.tenant, w.restore.Namespace, named.Name)
		if err != nil {
			return nil, err
		}
		if secret == nil {
			continue
		}
		maps.DeleteFunc(secret.Data, func(_ string, value []byte) bool { return len(value) == 0 })
		keys[named.Name] = slices.Sorted(maps.Keys(secret.Data))
	}
	return keys, nil
}

func (w *work) observeFlux(ctx context.Context) (err error) {
	spec := w.restore.Spec
	w.state.Repository, err = findFlux[sourcev1.GitRepository](ctx, w, spec.SourceRef.NamespacedReference, v1alpha1.ReasonRepositoryUnusable)
	if err != nil || spec.KustomizationRef == nil {
		return err
	}
	w.state.Kustomization, err = findFlux[kustomizev1.Kustomization](ctx, w, *spec.KustomizationRef, v1alpha1.ReasonKustomizationUnusable)
	return err
}

// findFlux reads an object of Flux; nil if there is none. If it is of another namespace and does not
// decode, it counts as missing: its owner can see what is wrong with it.
func findFlux[T any, Object pointer[T]](ctx context.Context, w *work, ref v1alpha1.NamespacedReference, reason string) (Object, error) {
	namespace, into := restore.NamespaceOf(w.restore, ref), Object(new(T))
	ok, err := read(ctx, w.Client, namespace, ref.Name, into)
	var broken *undecodableError
	switch {
	case ok:
		return into, nil
	case !errors.As(err, &broken):
		return nil, err
	case namespace != w.restore.Namespace:
		return nil, nil
	}
	return nil, restore.Stalled(reason, "%s %q cannot be read: %s; correct the field that it names", broken.object.GetKind(), ref.Name, broken.quoted())
}

// observePods reads the Jobs that there can be by now, and their reports.
func (w *work) observePods(ctx context.Context) error {
	o, status := &w.state, w.restore.Status
	data, err := w.observePod(ctx, specs.Inspecting, &o.Inspect)
	if err != nil {
		return err
	}
	// A report that does not decode counts as missing.
	o.Inspection, _ = job.ParseInspection(data)
	pushed := status.LastPushCommit != ""
	if status.Plan == nil && !pushed {
		return nil
	}
	if err := w.observeWriting(ctx); err != nil {
		return err
	}
	if pushed {
		if _, err = w.observePod(ctx, specs.Resyncing, &o.Resync); err != nil {
			return err
		}
	}
	if pushed || w.restore.Spec.DryRun {
		return w.observeLeftovers(ctx)
	}
	return nil
}

// observeWriting reads the Jobs that do what the plan says.
func (w *work) observeWriting(ctx context.Context) error {
	o, plan := &w.state, w.restore.Status.Plan
	data, err := w.observePod(ctx, specs.Refilling, &o.Refill)
	if err != nil {
		return err
	}
	if o.Refill.Exists && plan != nil {
		o.Refilled, _ = job.ParseRefillResult(data, plan.Run)
	}
	if !w.restore.LoadsDatabases() {
		return nil
	}
	if data, err = w.observePod(ctx, specs.Loading, &o.Load); err != nil {
		return err
	}
	if o.Load.Exists && plan != nil {
		o.Loaded, _ = job.ParseLoadResult(data, plan.Run)
	}
	return nil
}

// observePod reads a Job into pod, and returns its report.
func (w *work) observePod(ctx context.Context, action specs.Action, pod *restore.Pod) (map[string]string, error) {
	step := w.step(action)
	found, err := find[batchv1.Job](ctx, w.tenant, step.Namespace, step.Name())
	if found == nil {
		return nil, err
	}
	report := &corev1.ConfigMap{}
	reported, err := get(ctx, w.tenant, step.Namespace, specs.StepReportName(step), report)
	if err != nil {
		return nil, err
	}
	if !metav1.IsControlledBy(found, w.restore) || reported && !metav1.IsControlledBy(report, w.restore) {
		// The garbage collector deletes that of an earlier restore of this name.
		return nil, restore.Failing(v1alpha1.ReasonObjectConflict, "Job %q or ConfigMap %q exists and is not of this restore; wait until it is gone, delete it, or rename the restore", found.Name, specs.StepReportName(step))
	}
	if !found.DeletionTimestamp.IsZero() {
		pod.Ending = true
		return nil, nil
	}
	pod.Name, pod.Exists, pod.FileStorage = found.Name, true, found.Annotations[v1alpha1.AnnotationFileStorage]
	for _, condition := range found.Status.Conditions {
		if condition.Status != corev1.ConditionTrue {
			continue
		}
		switch condition.Type {
		case batchv1.JobComplete:
			pod.Complete, pod.EndedAt = true, condition.LastTransitionTime.Time
		case batchv1.JobFailed:
			pod.Failed, pod.EndedAt = true, condition.LastTransitionTime.Time
			pod.Message = condition.Reason + ": " + condition.Message
		}
	}
	return report.Data, nil
}

func (w *work) observeInstallation(ctx context.Context) (err error) {
	w.state.FileStorage, err = find[corev1.PersistentVolumeClaim](ctx, w.tenant, w.restore.Namespace, threescale.FileStoragePVCName)
	if err != nil {
		return err
	}
	if w.state.FileStorageDoomed, err = w.doomed(ctx, w.state.FileStorage); err != nil {
		return err
	}
	if name := restore.APIManagerOf(w.restore.Status.Inventory); name != "" {
		if w.state.APIManager, err = w.live(ctx, threescale.APIManagerGVK(), name); err != nil {
			return err
		}
	}
	if w.restore.Status.Plan == nil || w.restore.Status.LastPushCommit != "" {
		return nil
	}
	return w.observeOperator(ctx)
}

// doomed reports whether the APIManager that owns a PVC is gone.
func (w *work) doomed(ctx context.Context, pvc *corev1.PersistentVolumeClaim) (bool, error) {
	if pvc == nil || w.restore.Status.LastPushCommit != "" {
		return false, nil
	}
	at := slices.IndexFunc(pvc.OwnerReferences, func(owner metav1.OwnerReference) bool { return owner.Kind == threescale.APIManagerKind })
	if at < 0 {
		return false, nil
	}
	owner, live := pvc.OwnerReferences[at], &metav1.PartialObjectMetadata{} // one: a tenant may name thousands
	live.SetGroupVersionKind(threescale.APIManagerGVK())
	ok, err := get(ctx, w.tenant, w.restore.Namespace, owner.Name, live)
	return err == nil && (!ok || live.UID != owner.UID), err
}

// observeOperator reads which 3scale version the operator in the namespace installs. An operator that
// watches from another namespace is not found.
func (w *work) observeOperator(ctx context.Context) error {
	const most = 16 // an upgrade runs two
	pods, err := w.list(ctx, corev1.SchemeGroupVersion.WithKind("Pod"), most, client.MatchingLabels{labelSubcomponent: operatorSubcomponent}, client.MatchingFields{"status.phase": string(corev1.PodRunning)})
	if err != nil {
		return err
	}
	w.state.OperatorVersion = operatorVersion(pods)
	return nil
}

// operatorVersion returns the version of the newest running pod: an older one may be on its way out
// during an upgrade of the operator.
func operatorVersion(running []metav1.PartialObjectMetadata) string {
	staying := slices.DeleteFunc(running, func(pod metav1.PartialObjectMetadata) bool { return pod.DeletionTimestamp != nil })
	if len(staying) == 0 {
		return ""
	}
	newest := slices.MaxFunc(staying, func(a, b metav1.PartialObjectMetadata) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	return newest.Labels[labelComponentVersion]
}

// live reads an object of the namespace; nil if there is none.
func (w *work) live(ctx context.Context, gvk schema.GroupVersionKind, name string) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(gvk)
	ok, err := get(ctx, w.tenant, w.restore.Namespace, name, object)
	if !ok {
		return nil, err
	}
	return object, nil
}

// step names a Job of this attempt and its helpers.
func (w *work) step(action specs.Action) specs.Step {
	return specs.Step{
		Restore:   w.restore.Name,
		Namespace: w.restore.Namespace,
		Action:    action,
		ID:        w.restore.Status.Attempt[:8],
		Owners:    w.owners(),
	}
}
