package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/restore"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

// makeSourcePVC makes a PersistentVolumeClaim that binds to the named PersistentVolume. It outlives
// the restore: deleting it may delete the volume.
func (w *work) makeSourcePVC(ctx context.Context) error {
	volume := w.state.SourceVolume
	return w.createPVC(ctx, metav1.ObjectMeta{
		Name:   restore.SourcePVCName(w.restore, nil),
		Labels: map[string]string{v1alpha1.LabelRestore: specs.LabelValue(w.restore.Name)},
	}, corev1.PersistentVolumeClaimSpec{
		AccessModes:      volume.Spec.AccessModes,
		StorageClassName: &volume.Spec.StorageClassName,
		VolumeName:       volume.Name,
		VolumeMode:       volume.Spec.VolumeMode,
		Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceStorage: volume.Spec.Capacity[corev1.ResourceStorage],
		}},
	})
}

func (w *work) createPVC(ctx context.Context, meta metav1.ObjectMeta, spec corev1.PersistentVolumeClaimSpec) error {
	meta.Namespace = w.restore.Namespace
	if err := w.tenant.Create(ctx, &corev1.PersistentVolumeClaim{ObjectMeta: meta, Spec: spec}); err != nil {
		return fmt.Errorf("cannot create PersistentVolumeClaim %q: %w", meta.Name, err)
	}
	return nil
}

// makeFileStorage makes the PersistentVolumeClaim of the file storage as the commit has it, so that it
// can be filled before Flux applies the commit.
func (w *work) makeFileStorage(ctx context.Context) error {
	if err := w.build(ctx); err != nil {
		return err
	}
	key := overlay.Key{Kind: threescale.KindPVC, Name: threescale.FileStoragePVCName}
	object, ok := w.tree.Objects[key]
	if !ok {
		return restore.Stalled(v1alpha1.ReasonUnexpectedObject, "Run %q holds files of the file storage, but its APIManager has them in S3, where there is no PersistentVolumeClaim %q to fill; name another run in spec.restoreSource.run", w.restore.Status.Plan.Run, key.Name)
	}
	said := &corev1.PersistentVolumeClaim{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, said); err != nil {
		return fmt.Errorf("cannot make PersistentVolumeClaim %q: %w", key.Name, err)
	}
	// What a restore asks for, whatever else a child process says: no volume, no owner.
	return w.createPVC(ctx, metav1.ObjectMeta{Name: key.Name, Annotations: said.Annotations}, corev1.PersistentVolumeClaimSpec{
		AccessModes:      said.Spec.AccessModes,
		StorageClassName: said.Spec.StorageClassName,
		Resources:        said.Spec.Resources,
	})
}
