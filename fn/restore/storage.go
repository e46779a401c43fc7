package restore

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
)

// What a plan does to the file storage.
const (
	storageFill      = "Fill"
	storageOverwrite = string(v1alpha1.ExistingOverwrite)
	storageMirror    = string(v1alpha1.ExistingMirror)
	storageSkip      = string(v1alpha1.ExistingSkip)
	storageUnchanged = "Unchanged"
	storageConflict  = "Conflict"
)

// plannedStorage returns what the restore does to the file storage of an APIManager, which is the one of the commit.
func plannedStorage(o *State, apiManager *unstructured.Unstructured) v1alpha1.PlannedFileStorage {
	files := o.Inspection.FileStorage
	planned := v1alpha1.PlannedFileStorage{Bucket: threescale.UsesS3(apiManager), Files: files.Files, Bytes: files.Bytes}
	planned.Action = storageAction(o, planned.Bucket)
	return planned
}

// storageAction returns what the restore does to the PersistentVolumeClaim of the file storage, or to its bucket.
func storageAction(o *State, bucket bool) string {
	existing, policy := o.Inspection.Existing, string(o.Restore.Spec.FileStorage.Existing) // Overwrite, Mirror and Skip are actions too
	if bucket != (o.Inspection.FileBucket != nil) {
		existing = job.ExistingStorage{} // the report is about something else: the refill looks for itself, and leaves alone what it finds
	}
	switch {
	case !o.Inspection.FileStorage.Stored:
		return storageSkip
	case existing.Same:
		return storageUnchanged
	case !existing.Present, existing.Empty:
		return storageFill
	case bucket && o.Restore.Status.FoundCommit != "":
		// It was restored before, and 3scale has written to it since. Also if it looks interrupted: whoever may
		// not delete the marker leaves it.
		return storageSkip
	case existing.Interrupted && !replaces(policy):
		return storageFill
	case bucket && replaces(policy) && !o.Restore.OmitsBucketSecret() && beside(o.Restore, o.Inspection.Source):
		return storageConflict
	case existing.Interrupted:
		// Beside the files that the interrupted refill wrote there may be those that it was to replace
		// or remove.
		return policy
	case o.Restore.Status.FoundCommit != "":
		// It was restored before, and 3scale has written to it since.
		return storageSkip
	case replaces(policy), policy == storageSkip:
		return policy
	}
	return storageConflict
}

// beside reports whether the restored installation has another namespace or another domain than the one that was backed
// up, which may still run then. On another cluster only the domain may tell.
func beside(r *v1alpha1.ThreeScaleRestore, backedUp job.Source) bool {
	domain := r.Spec.Target.WildcardDomain
	return r.Namespace != backedUp.Namespace || domain != "" && domain != backedUp.WildcardDomain
}

// original names the installation that was backed up, if it may still run.
func original(r *v1alpha1.ThreeScaleRestore, backedUp string) string {
	if r.Namespace == backedUp {
		return "the installation that was backed up, which has another domain"
	}
	return fmt.Sprintf("the installation in namespace %q", backedUp)
}

// checkStorage returns why the plan leaves the files alone, and stops; nil if it does not.
func checkStorage(o *State) *Problem {
	r, plan := o.Restore, o.Restore.Status.Plan
	const choices = "Skip leaves them alone, Overwrite replaces those that the run has too, Mirror also deletes all others"
	whose := original(r, plan.Source.Namespace)
	moved := r.Spec.Target.WildcardDomain != "" && len(plan.Rewritten) > 0
	switch {
	case plan.FileStorage.Action != storageConflict:
		return nil
	case !plan.FileStorage.Bucket:
		return Stalled(v1alpha1.ReasonNotEmpty, "PersistentVolumeClaim %q holds other files; restore into another namespace, or set spec.fileStorage.existing: %s", threescale.FileStoragePVCName, choices)
	case r.OmitsBucketSecret():
		return Stalled(v1alpha1.ReasonNotEmpty, "The bucket of the file storage holds other files than the run; nothing was written. Set spec.fileStorage.existing: %s", choices)
	case replaces(string(r.Spec.FileStorage.Existing)): // which stop only there
		return Stalled(v1alpha1.ReasonFileStorageOfOthers, "The bucket of the file storage holds other files than the run, and the restored Secret leads to the bucket of %s, whose files fileStorage.existing %s would take; nothing was written. %s", whose, r.Spec.FileStorage.Existing, anotherBucket)
	case r.Namespace != plan.Source.Namespace, moved:
		return Stalled(v1alpha1.ReasonNotEmpty, "The bucket of the file storage holds other files than the run, and the restored Secret leads to the bucket of %s; nothing was written. %s", whose, anotherBucket)
	}
	return Stalled(v1alpha1.ReasonNotEmpty, "The bucket of the file storage holds other files than the run; it may be that of the installation that was backed up; nothing was written. If that still runs, as on another cluster, set spec.fileStorage.bucketSecret to Omit, and make a Secret that leads to another bucket. Else set spec.fileStorage.existing: %s", choices)
}

// anotherBucket says how a copy goes on whose Secret leads to the bucket of the original.
const anotherBucket = "Set spec.fileStorage.existing to Skip, which leaves them alone; or set spec.fileStorage.bucketSecret to Omit, and make the Secret that spec.system.fileStorage.simpleStorageService of the APIManager names lead to a bucket of this namespace"

// bucketLogin is what the pods must be given to log in to the bucket of the file storage, as the APIManager of the run
// says; nil if the Secret in the run is enough.
func bucketLogin(o *State) *v1alpha1.FileBucketLogin {
	if o.Inspection == nil || o.Inspection.FileBucket == nil {
		return nil
	}
	login := &v1alpha1.FileBucketLogin{Audience: o.Inspection.FileBucket.Audience}
	if o.Restore.OmitsBucketSecret() {
		login.SecretName = o.Inspection.FileBucket.Secret
	}
	if *login == (v1alpha1.FileBucketLogin{}) {
		return nil
	}
	return login
}

// replaces reports whether an action writes to a file storage that holds other files.
func replaces(action string) bool { return action == storageOverwrite || action == storageMirror }

// Existing is what the refill Job does with files that exist. If the plan fills an empty storage, no
// file may have appeared since.
func Existing(p *v1alpha1.Plan) v1alpha1.ExistingPolicy {
	if replaces(p.FileStorage.Action) {
		return v1alpha1.ExistingPolicy(p.FileStorage.Action)
	}
	return v1alpha1.ExistingFail
}

// fills reports whether the plan writes the file storage.
func fills(o *State) bool {
	action := o.Restore.Status.Plan.FileStorage.Action
	return action == storageFill || replaces(action)
}

// fileStorage makes the PersistentVolumeClaim of the file storage, unless there is one.
func fileStorage(o *State) Decision {
	if pushed(o) || o.Restore.Status.Plan.FileStorage.Bucket {
		return nil
	}
	if p := checkDoomed(o); p != nil {
		return Stop{Problem: p, Retry: doomedRetry}
	}
	pvc := o.FileStorage
	if i := o.Inspection; pvc == nil && !fills(o) && i != nil && i.FileStorage.Stored && i.Existing.Present {
		return Act{DropInspect} // the PVC is gone since the backup was read
	}
	if !fills(o) {
		return nil
	}
	if pvc == nil {
		return Act{MakeFileStorage}
	}
	switch {
	case pvc.DeletionTimestamp != nil:
		return Stop{Problem: Failing(v1alpha1.ReasonFileStorageUnusable, "PersistentVolumeClaim %q is being deleted; the restore creates another one once it is gone", pvc.Name)}
	case pvc.Status.Phase == corev1.ClaimLost:
		return Stop{Problem: Stalled(v1alpha1.ReasonFileStorageUnusable, "PersistentVolumeClaim %q has lost its PersistentVolume %q; create that again for the same disk, or, if nobody needs the files on it, delete the PersistentVolumeClaim", pvc.Name, pvc.Spec.VolumeName)}
	}
	if p := checkCapacity(pvc, o.Restore.Status.Plan.FileStorage.Bytes); p != nil {
		return Stop{Problem: p}
	}
	return nil
}

// doomedRetry is how soon to look whether the garbage collector has deleted it.
const doomedRetry = 5 * time.Second

// checkDoomed returns a problem if the garbage collector is about to delete the file storage's
// PersistentVolumeClaim, because its owner, an APIManager, is gone. What is written to it would be
// lost.
func checkDoomed(o *State) *Problem {
	if !o.FileStorageDoomed {
		return nil
	}
	const name = threescale.FileStoragePVCName
	if o.Inspection == nil || o.Inspection.FileStorage.Stored {
		return Failing(v1alpha1.ReasonFileStorageUnusable, "PersistentVolumeClaim %q belongs to an APIManager that is gone, so that the garbage collector is about to delete it; the restore goes on when it has", name)
	}
	return Stalled(v1alpha1.ReasonFileStorageUnusable, "PersistentVolumeClaim %q belongs to an APIManager that is gone, so that the garbage collector is about to delete it, and run %q holds no files to fill another one with; to keep it and its files: kubectl -n %s patch persistentvolumeclaim %s --type=json -p '%s'",
		name, o.Inspection.Run, o.Restore.Namespace, name, `[{"op":"remove","path":"/metadata/ownerReferences"}]`)
}

// replaced reports whether the PersistentVolumeClaim that the refill Job fills, or has filled, is not
// the one that exists.
func replaced(o *State) bool {
	filled := o.Refill.FileStorage
	return filled != "" && (o.FileStorage == nil || string(o.FileStorage.UID) != filled)
}

// noteRefilled keeps what the Job that has written the file storage warns of.
func (s *State) noteRefilled() {
	if s.Refilled == nil || s.Restore.Status.Plan == nil {
		return
	}
	for _, warning := range s.Refilled.Warnings { // they are bounded: see job.ParseRefillResult
		s.Restore.Status.Plan.Warnings = append(s.Restore.Status.Plan.Warnings, "file storage: "+warning)
	}
}

// keptFiles checks until the end of the restore that the PersistentVolumeClaim that was filled still
// exists: Flux would make an empty one in its place.
func keptFiles(o *State) Decision {
	if !pushed(o) || !replaced(o) && (o.FileStorage == nil || o.FileStorage.DeletionTimestamp == nil || o.Refill.FileStorage == "") {
		return nil
	}
	return Stop{Problem: Stalled(v1alpha1.ReasonFileStorageUnusable, "PersistentVolumeClaim %q, which this restore filled, was deleted since, with its files; find out what deleted it (the garbage collector does when an APIManager is deleted), then restore again: %s",
		threescale.FileStoragePVCName, ForceAgain(o.Restore))}
}

// checkCapacity returns a problem if the files cannot fit at all. How much space is free is found out
// by the pod.
func checkCapacity(pvc *corev1.PersistentVolumeClaim, bytes int64) *Problem {
	capacity, known := pvc.Status.Capacity[corev1.ResourceStorage]
	if !known || capacity.CmpInt64(bytes) >= 0 {
		return nil
	}
	return Stalled(v1alpha1.ReasonVolumeTooSmall, "PersistentVolumeClaim %q has %s, and the files of the run take %s bytes; expand it (spec.resources.requests.storage)", pvc.Name, &capacity, resource.NewQuantity(bytes, resource.BinarySI))
}
