package controller

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/restore"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

// handoverParts is the number of hand-over Secrets. They have room for 7 MiB.
const handoverParts = 8

// owners have the garbage collector delete what the restore made after the restore. None of it blocks
// the restore's deletion.
func (w *work) owners() []metav1.OwnerReference {
	return []metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(),
		Kind:       v1alpha1.KindRestore,
		Name:       w.restore.Name,
		UID:        w.restore.UID,
		Controller: new(true),
	}}
}

func (w *work) startInspect(ctx context.Context) error {
	in := specs.InspectInput{HandoverParts: handoverParts, Databases: cmp.Or(w.restore.Spec.Databases.Policy, v1alpha1.DatabasesSkip)}
	var err error
	if in.StepInput, err = w.stepInput(ctx, specs.Inspecting); err != nil {
		return err
	}
	if in.Connections, err = w.connections(ctx); err != nil {
		return err
	}
	if in.FileBucket, err = w.fileBucket(ctx); err != nil {
		return err
	}
	in.Run = restore.WantedRun(&w.state)
	in.ManifestSHA256 = restore.WantedManifest(&w.state, in.Run)
	objects := helpers(in.Step, handoverParts)
	for part := range handoverParts {
		objects = append(objects, specs.HandoverSecret(in.Step, part))
	}
	return w.create(ctx, append(objects, specs.InspectJob(in))...)
}

func (w *work) startRefill(ctx context.Context) error {
	in := specs.RefillInput{Existing: restore.Existing(w.restore.Status.Plan)}
	var err error
	if in.StepInput, err = w.stepInput(ctx, specs.Refilling); err != nil {
		return err
	}
	in.Run = w.restore.Status.Plan.Run
	in.ManifestSHA256 = w.restore.Status.ManifestSHA256
	in.FileStoragePVC = threescale.FileStoragePVCName
	if pvc := w.state.FileStorage; pvc != nil {
		in.FileStorageUID = pvc.UID
	}
	if w.restore.Status.Plan.FileStorage.Bucket {
		if in.FileBucket, err = w.fileBucket(ctx); err != nil {
			return err
		}
	}
	return w.create(ctx, append(helpers(in.Step, 0), specs.RefillJob(in))...)
}

func (w *work) startLoad(ctx context.Context) error {
	spec := w.restore.Spec.Databases
	in := specs.LoadInput{Policy: spec.Policy, Scratch: spec.Scratch}
	var err error
	if in.StepInput, err = w.stepInput(ctx, specs.Loading); err != nil {
		return err
	}
	if in.Connections, err = w.connections(ctx); err != nil {
		return err
	}
	in.Run = w.restore.Status.Plan.Run
	in.ManifestSHA256 = w.restore.Status.ManifestSHA256
	for _, d := range restore.Loads(w.restore) {
		in.Databases = append(in.Databases, specs.LoadDatabase{
			Name: d.Name, Image: restore.ImageOf(w.restore, d.Name), Encrypted: restore.Encrypted(&w.state, d.Name),
			Loaded: slices.Contains(w.restore.Status.LoadedDatabases, d.Name),
		})
	}
	return w.create(ctx, append(helpers(in.Step, 0), specs.LoadJob(in))...)
}

// fileBucket is what a pod is given to log in to the bucket of the file storage, as far as the run has told what it needs.
// Where a token is exchanged for a role, the mover sends it to Amazon alone, whatever the run says.
func (w *work) fileBucket(ctx context.Context) (*specs.FileBucket, error) {
	out := &specs.FileBucket{Live: w.restore.OmitsBucketSecret()}
	known := w.restore.Status.FileBucket
	if known == nil {
		return out, nil
	}
	out.Audience = known.Audience
	if known.SecretName == "" {
		return out, nil
	}
	out.Secret, out.Keys = known.SecretName, threescale.FileStorageKeys()
	_, err := w.tenantSecret(ctx, out.Secret, v1alpha1.ReasonFileStorageUnusable, "spec.fileStorage.bucketSecret")
	return out, err
}

// connections are the Secrets of the namespace that lead to its databases, if the restored ones do not.
func (w *work) connections(ctx context.Context) (specs.Connections, error) {
	if w.restore.Spec.DatabaseSecrets != v1alpha1.DatabaseSecretsOmit {
		return specs.Connections{}, nil
	}
	out := specs.Connections{Live: true}
	for _, name := range threescale.Databases() {
		secretName, keys := threescale.ConnectionKeys(name)
		secret, err := find[corev1.Secret](ctx, w.tenant, w.restore.Namespace, secretName)
		if err != nil {
			return out, err
		}
		if secret == nil {
			continue // the mover says so of a database that it needs
		}
		keys = slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
			_, ok := secret.Data[key]
			return !ok
		})
		out.Secrets = append(out.Secrets, specs.Connection{Database: string(name), Secret: secretName, Keys: keys})
	}
	return out, nil
}

// helpers are the objects that a Job needs, in the order in which they are made: the API server looks
// up the Role of a RoleBinding.
func helpers(step specs.Step, parts int) []client.Object {
	return []client.Object{specs.StepServiceAccount(step), specs.StepRole(step, parts), specs.StepRoleBinding(step), specs.StepReport(step)}
}

// stepInput is the common part of the Jobs that read the backup.
func (w *work) stepInput(ctx context.Context, action specs.Action) (specs.StepInput, error) {
	in := specs.StepInput{
		Mover:          specs.Mover{Image: w.Image, VolumePVC: restore.SourcePVCName(w.restore, w.state.Backup), Settings: w.restore.Spec.Job},
		Step:           w.step(action),
		Bucket:         w.restore.Spec.RestoreSource.Bucket,
		VolumeReadOnly: restore.SourceReadOnly(w.restore, w.state.SourcePVC),
	}
	if pvc := w.state.FileStorage; pvc != nil {
		in.FileStoragePVC = pvc.Name
		if specs.SingleNode(pvc.Spec.AccessModes) {
			var err error
			if in.FileStorageBeside, err = w.mounting(ctx); err != nil {
				return in, err
			}
		}
	}
	namespace := &corev1.Namespace{}
	if _, err := get(ctx, w.Client, "", w.restore.Namespace, namespace); err != nil {
		return in, err
	}
	in.AssignsUID = namespace.Annotations[specs.UIDRangeAnnotation] != ""
	if w.accountName() == "" { // nobody else's rights bound what is asked for
		if p := cmp.Or(restore.CheckJob(w.restore, in.AssignsUID), restore.CheckDatabaseImages(w.restore, w.DatabaseImages)); p != nil {
			return in, p
		}
	}
	err := w.identities(ctx, &in)
	return in, err
}

// identities sets the Secret that decrypts the backup, and its keys.
func (w *work) identities(ctx context.Context, in *specs.StepInput) error {
	if w.restore.Spec.Decryption == nil {
		return nil
	}
	secret, err := w.tenantSecret(ctx, w.restore.Spec.Decryption.SecretRef.Name, v1alpha1.ReasonDecryptionFailed, "spec.decryption.secretRef")
	if err != nil {
		return err
	}
	in.Identities.Secret, in.Identities.Keys = secret.Name, slices.Sorted(maps.Keys(secret.Data))
	return nil
}

// mounting selects the pods that mount the file storage. It returns nil if there are none, for example
// if the installation is lost: then the Job may run on any node.
func (w *work) mounting(ctx context.Context) (*metav1.LabelSelector, error) {
	for _, version := range []string{"", "2.14"} { // the label was another one up to there
		selector := threescale.FileStoragePodSelector(version)
		labelled, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil {
			return nil, err
		}
		placed := fields.ParseSelectorOrDie("spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed")
		found, err := w.list(ctx, corev1.SchemeGroupVersion.WithKind("Pod"), 1, client.MatchingLabelsSelector{Selector: labelled}, client.MatchingFieldsSelector{Selector: placed})
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			return selector, nil
		}
	}
	return nil, nil
}

// list lists the metadata of objects in the namespace, up to a number: a tenant may have made many
// large ones.
func (w *work) list(ctx context.Context, kind schema.GroupVersionKind, most client.Limit, which ...client.ListOption) ([]metav1.PartialObjectMetadata, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kind)
	if err := w.tenant.List(ctx, list, append(which, client.InNamespace(w.restore.Namespace), most)...); err != nil {
		return nil, fmt.Errorf("cannot list %ss: %w", kind.Kind, err)
	}
	return list.Items, nil
}

// tenantSecret reads a Secret that the spec names in a field.
func (w *work) tenantSecret(ctx context.Context, name, reason, field string) (*corev1.Secret, error) {
	secret, err := find[corev1.Secret](ctx, w.tenant, w.restore.Namespace, name)
	if secret == nil && err == nil {
		err = restore.Failing(reason, "Secret %q does not exist in namespace %q; create it, or correct %s", name, w.restore.Namespace, field)
	}
	return secret, err
}

// create makes objects that do not exist. One that exists and does not belong to the restore is a
// problem.
func (w *work) create(ctx context.Context, objects ...client.Object) error {
	for _, object := range objects {
		err := w.tenant.Create(ctx, object, client.FieldOwner(ControllerName))
		if apierrors.IsAlreadyExists(err) {
			err = w.checkOwn(ctx, object)
		}
		if err != nil {
			return fmt.Errorf("cannot create %s %q: %w", kindOf(object), object.GetName(), err)
		}
	}
	return nil
}

// checkOwn fails if an object exists that does not belong to the restore.
func (w *work) checkOwn(ctx context.Context, object client.Object) error {
	found := object.DeepCopyObject().(client.Object) //nolint:forcetypeassert // a copy is of the same type
	if err := w.tenant.Get(ctx, client.ObjectKeyFromObject(object), found); err != nil {
		return err
	}
	if !metav1.IsControlledBy(found, w.restore) {
		return restore.Stalled(v1alpha1.ReasonObjectConflict, "%s %q exists and is not of this restore; rename the restore, or delete the %s if nobody needs it", kindOf(object), object.GetName(), kindOf(object))
	}
	return nil
}

func kindOf(object client.Object) string { return object.GetObjectKind().GroupVersionKind().Kind }

// drop deletes a Job with its helpers and its report, which is about the try that failed.
func (w *work) drop(ctx context.Context, action specs.Action) error {
	step := w.step(action)
	objects := append([]client.Object{&batchv1.Job{TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}, ObjectMeta: metav1.ObjectMeta{Name: step.Name(), Namespace: step.Namespace}}},
		helpers(step, 0)...)
	if action == specs.Inspecting {
		for part := range handoverParts {
			objects = append(objects, specs.HandoverSecret(step, part))
		}
	}
	for _, object := range objects {
		err := w.tenant.Delete(ctx, object, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("cannot delete %s %q: %w", kindOf(object), object.GetName(), err)
		}
	}
	return nil
}

// cleanUp deletes all Jobs, helpers and hand-over Secrets.
func (w *work) cleanUp(ctx context.Context) error {
	for _, action := range []specs.Action{specs.Resyncing, specs.Loading, specs.Refilling, specs.Inspecting} {
		if err := w.drop(ctx, action); err != nil {
			return err
		}
	}
	return nil
}

// observeLeftovers finds out whether helpers exist whose Job is gone. It lists the metadata of one
// object of each kind: a hand-over Secret is large, and others may use the same label.
func (w *work) observeLeftovers(ctx context.Context) error {
	for _, kind := range []schema.GroupVersionKind{corev1.SchemeGroupVersion.WithKind("Secret"), rbacv1.SchemeGroupVersion.WithKind("Role")} {
		found, err := w.list(ctx, kind, 1, client.MatchingLabels{v1alpha1.LabelRestore: specs.LabelValue(w.restore.Name)})
		if err != nil {
			return err
		}
		w.state.Leftovers = w.state.Leftovers || len(found) > 0
	}
	return nil
}
