package restore

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
)

// Actions of a plan for the file storage.
const (
	StorageFill      = "Fill"
	StorageOverwrite = "Overwrite"
	StorageMirror    = "Mirror"
	StorageSkip      = "Skip"
	StorageUnchanged = "Unchanged"
	StorageConflict  = "Conflict"
)

// storageAction says what becomes of the file storage.
func storageAction(o *Observed) string {
	existing := o.Inspection.Existing
	switch {
	case !o.Inspection.FileStorage.Stored:
		return StorageSkip
	case existing.Same:
		return StorageUnchanged
	case !existing.Present, existing.Empty:
		return StorageFill
	case existing.Interrupted:
		// Beside what it left there may be what it was to replace or remove.
		switch o.Restore.Spec.FileStorage.Existing {
		case v1alpha1.ExistingOverwrite:
			return StorageOverwrite
		case v1alpha1.ExistingMirror:
			return StorageMirror
		}
		return StorageFill
	case o.Restore.Status.FoundCommit != "":
		// It was restored before, and 3scale has written to it since.
		return StorageSkip
	}
	switch o.Restore.Spec.FileStorage.Existing {
	case v1alpha1.ExistingOverwrite:
		return StorageOverwrite
	case v1alpha1.ExistingMirror:
		return StorageMirror
	case v1alpha1.ExistingSkip:
		return StorageSkip
	}
	return StorageConflict
}

// fills tells whether the plan has the file storage written.
func fills(o *Observed) bool {
	switch o.Restore.Status.Plan.FileStorage.Action {
	case StorageFill, StorageOverwrite, StorageMirror:
		return true
	}
	return false
}

// plan says what becomes of each object, and stops before a conflict.
func plan(o *Observed) Decision {
	status := o.Restore.Status
	if pushed(o) {
		return done
	}
	if status.Plan == nil {
		return act(MakePlan, "Comparing the backup with the namespace")
	}
	if o.Restore.Spec.DryRun {
		return done
	}
	if p := checkObjects(o); p != nil {
		if p.Reason == v1alpha1.ReasonNotEmpty && RequestedAgain(o.Restore) {
			return act(DropInspect, "Looking at the files again, as requested")
		}
		if !o.Planned {
			return act(MakePlan, "Comparing again: it may have been mended")
		}
		return Decision{Problem: p}
	}
	return done
}

// checkObjects tells what stands in the way of the plan.
func checkObjects(o *Observed) *Problem {
	status := o.Restore.Status
	if p := checkVersion(status.Plan.Source.ThreeScaleVersion, o.OperatorVersion); p != nil {
		return p
	}
	if status.Plan.FileStorage.Action == StorageConflict {
		return stalled(v1alpha1.ReasonNotEmpty, "PersistentVolumeClaim %q holds files already; set spec.fileStorage.existing to Overwrite, Mirror or Skip, or restore into another namespace", threescale.FileStorageClaimName)
	}
	if status.FoundCommit != "" {
		return nil // they are of this restore
	}
	return checkPlan(status.Plan.Objects)
}

// fileStorage makes the claim of the file storage, unless there is one.
func fileStorage(o *Observed) Decision {
	if pushed(o) || !fills(o) {
		return done
	}
	claim := o.FileStorage
	if claim == nil {
		return act(MakeFileStorage, "Making PersistentVolumeClaim %q", threescale.FileStorageClaimName)
	}
	switch {
	case claim.DeletionTimestamp != nil:
		return Decision{Problem: failing(v1alpha1.ReasonFileStorageUnusable, "PersistentVolumeClaim %q is being deleted", claim.Name)}
	case claim.Status.Phase == corev1.ClaimLost:
		return Decision{Problem: stalled(v1alpha1.ReasonFileStorageUnusable, "PersistentVolumeClaim %q has lost its PersistentVolume %q; delete it", claim.Name, claim.Spec.VolumeName)}
	}
	if p := checkCapacity(claim, o.Restore.Status.Plan.FileStorage.Bytes); p != nil {
		return Decision{Problem: p}
	}
	return done
}

// checkCapacity tells whether what is stored can fit at all; how much is free
// the pod finds out.
func checkCapacity(claim *corev1.PersistentVolumeClaim, bytes int64) *Problem {
	capacity, known := claim.Status.Capacity[corev1.ResourceStorage]
	if !known || capacity.CmpInt64(bytes) >= 0 {
		return nil
	}
	return stalled(v1alpha1.ReasonVolumeTooSmall, "PersistentVolumeClaim %q has %s and the run holds %s; make it larger", claim.Name, capacity.String(), sizeOf(bytes))
}

func sizeOf(bytes int64) string {
	q := resource.NewQuantity(bytes, resource.BinarySI)
	return fmt.Sprintf("%s bytes", q.String())
}
