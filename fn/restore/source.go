package restore

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

// sourceSuffix ends the name of the PersistentVolumeClaim that is made for a PersistentVolume.
const sourceSuffix = "-source"

// SourcePVCName is the name of the backup's PersistentVolumeClaim: the one that the spec names, the
// ThreeScaleBackup's, or the one made for a PersistentVolume; "" as long as it is not known, and where
// the backup is in a bucket.
func SourcePVCName(r *v1alpha1.ThreeScaleRestore, backup *unstructured.Unstructured) string {
	source := r.Spec.RestoreSource
	switch {
	case source.PersistentVolumeClaim != nil:
		return source.PersistentVolumeClaim.ClaimSource.ClaimName
	case source.BackupRef != nil:
		return statusText(backup, "backupPersistentVolumeClaimName")
	case source.PersistentVolume != nil:
		return r.Name + sourceSuffix
	}
	return ""
}

// lastRunIn returns the newest successful run in the status of a ThreeScaleBackup; "" without one.
func lastRunIn(backup *unstructured.Unstructured) string {
	if run := statusText(backup, "lastRun", "id"); job.IsRunID(run) {
		return run
	}
	return ""
}

// manifestIn returns the digest of a run's manifest in the status of a ThreeScaleBackup; "" without
// one.
func manifestIn(backup *unstructured.Unstructured, run string) string {
	if backup == nil {
		return ""
	}
	manifests, _, _ := unstructured.NestedSlice(backup.Object, "status", "manifests")
	for _, entry := range manifests {
		m, _ := entry.(map[string]any)
		if m["run"] == run {
			digest, _ := m["sha256"].(string)
			return digest
		}
	}
	if last := statusText(backup, "lastRun", "manifestSHA256"); run == lastRunIn(backup) && job.KnownManifest(run, last) != "" {
		return last
	}
	return ""
}

// statusText returns a string in the status of a ThreeScaleBackup; "" without it.
func statusText(backup *unstructured.Unstructured, path ...string) string {
	if backup == nil {
		return ""
	}
	text, _, _ := unstructured.NestedString(backup.Object, append([]string{"status"}, path...)...)
	return text
}

// SourceReadOnly reports whether the backup's PersistentVolumeClaim is mounted read-only: because it
// allows nothing else, or because the spec says so. The kubelet then changes nothing on the volume
// either.
func SourceReadOnly(r *v1alpha1.ThreeScaleRestore, pvc *corev1.PersistentVolumeClaim) bool {
	if source := r.Spec.RestoreSource.PersistentVolumeClaim; source != nil && source.ClaimSource.ReadOnly {
		return true
	}
	return pvc != nil && !slices.ContainsFunc(pvc.Spec.AccessModes, func(mode corev1.PersistentVolumeAccessMode) bool {
		return mode != corev1.ReadOnlyMany
	})
}

// source waits until the backup can be read, while something is still to be read from it: its
// PersistentVolumeClaim can be mounted, or the Secrets of its bucket are there.
func source(o *State) Decision {
	if pushed(o) || planEnds(o) {
		return nil
	}
	if p := checkSource(o); p != nil {
		return Stop{Problem: p}
	}
	if o.SourcePVC == nil && o.Restore.Spec.RestoreSource.Bucket == nil {
		return Act{MakeSourcePVC}
	}
	return nil
}

func checkSource(o *State) *Problem {
	spec := o.Restore.Spec.RestoreSource
	name := SourcePVCName(o.Restore, o.Backup)
	switch {
	case spec.Bucket != nil:
		return checkBucket(o)
	case spec.BackupRef != nil && o.Backup == nil:
		return Failing(v1alpha1.ReasonSourceNotFound, "ThreeScaleBackup %q does not exist in namespace %q; correct spec.restoreSource.backupRef, or name the PersistentVolumeClaim in spec.restoreSource.persistentVolumeClaim", spec.BackupRef.Name, o.Restore.Namespace)
	case spec.BackupRef != nil && name == "":
		return Failing(v1alpha1.ReasonSourceNotFound, "ThreeScaleBackup %q has no volume yet (status.backupPersistentVolumeClaimName); see why: kubectl -n %s describe threescalebackup %s", spec.BackupRef.Name, o.Restore.Namespace, spec.BackupRef.Name)
	case name == threescale.FileStoragePVCName:
		return Stalled(v1alpha1.ReasonSourceUnusable, "PersistentVolumeClaim %q is the System file storage itself; name that of the backup", name)
	case spec.PersistentVolume != nil:
		return checkSourceVolume(o)
	case o.SourcePVC == nil:
		return Failing(v1alpha1.ReasonSourceNotFound, "PersistentVolumeClaim %q does not exist in namespace %q; to restore from a volume that outlived its namespace, name it in spec.restoreSource.persistentVolume", name, o.Restore.Namespace)
	}
	return checkSourcePVC(o.SourcePVC)
}

// checkBucket returns which Secret of the bucket is missing, or lacks keys; nil if all are there. The
// bucket itself is looked at by the inspect Job, which alone has what opens it.
func checkBucket(o *State) *Problem {
	for _, secret := range specs.BucketSecrets(*o.Restore.Spec.RestoreSource.Bucket) {
		field := "spec.restoreSource.bucket." + secret.Field
		keys, exists := o.BucketSecrets[secret.Name]
		switch {
		case !exists:
			return Failing(v1alpha1.ReasonBucketSecretMissing, "Secret %q does not exist in namespace %q; create it with %s, or correct %s", secret.Name, o.Restore.Namespace, secret.Needs(), field)
		case !secret.HasKeys(keys):
			return Failing(v1alpha1.ReasonBucketSecretMissing, "Secret %q in namespace %q must have %s; add what it lacks, or correct %s", secret.Name, o.Restore.Namespace, secret.Needs(), field)
		}
	}
	return nil
}

func checkSourcePVC(pvc *corev1.PersistentVolumeClaim) *Problem {
	switch {
	case pvc.DeletionTimestamp != nil:
		return Failing(v1alpha1.ReasonSourceUnusable, "PersistentVolumeClaim %q is being deleted; to keep the backup, set persistentVolumeReclaimPolicy of its PersistentVolume %q to Retain now; once the PersistentVolumeClaim is gone, name that volume in spec.restoreSource.persistentVolume", pvc.Name, pvc.Spec.VolumeName)
	case pvc.Status.Phase == corev1.ClaimLost:
		return Stalled(v1alpha1.ReasonSourceUnusable, "PersistentVolumeClaim %q has lost its PersistentVolume %q; create a PersistentVolume for the same disk, as \"Recover a lost cluster\" in examples/restore/README.md shows, and name it in spec.restoreSource.persistentVolume", pvc.Name, pvc.Spec.VolumeName)
	}
	return nil
}

// checkSourceVolume returns why no PersistentVolumeClaim can be bound to the named volume; nil if one
// can.
func checkSourceVolume(o *State) *Problem {
	name := o.Restore.Spec.RestoreSource.PersistentVolume.VolumeName
	volume := o.SourceVolume
	if volume == nil {
		return Failing(v1alpha1.ReasonSourceNotFound, "PersistentVolume %q does not exist; correct spec.restoreSource.persistentVolume.volumeName", name)
	}
	if o.SourcePVC != nil {
		if o.SourcePVC.Spec.VolumeName != name {
			return Stalled(v1alpha1.ReasonSourceUnusable, "PersistentVolumeClaim %q exists and is not for PersistentVolume %q; rename this restore, or delete the PersistentVolumeClaim if nobody needs its volume", o.SourcePVC.Name, name)
		}
		return checkSourcePVC(o.SourcePVC)
	}
	ref := volume.Spec.ClaimRef
	mine := ref != nil && ref.Namespace == o.Restore.Namespace && ref.Name == SourcePVCName(o.Restore, nil) && ref.UID == ""
	switch {
	case volume.Status.Phase == corev1.VolumeReleased:
		return Failing(v1alpha1.ReasonSourceUnusable, "PersistentVolume %q was released by its former PersistentVolumeClaim; give it to this restore: kubectl patch pv %s --type json -p '%s'", name, name, reserve(o.Restore))
	case ref != nil && !mine && ref.Namespace == o.Restore.Namespace:
		return Stalled(v1alpha1.ReasonSourceUnusable, "PersistentVolume %q is bound to PersistentVolumeClaim %q; name that in spec.restoreSource.persistentVolumeClaim", name, ref.Name)
	case ref != nil && !mine:
		return Stalled(v1alpha1.ReasonSourceUnusable, "PersistentVolume %q is bound in another namespace; name another one, or restore there", name)
	}
	return nil
}

// reserve is the patch that reserves a Released PersistentVolume for the restore's own
// PersistentVolumeClaim.
func reserve(r *v1alpha1.ThreeScaleRestore) string {
	return fmt.Sprintf(`[{"op":"replace","path":"/spec/claimRef","value":{"namespace":%q,"name":%q}}]`, r.Namespace, SourcePVCName(r, nil))
}
