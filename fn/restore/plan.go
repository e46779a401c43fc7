package restore

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// Storage describes the claim of the file storage.
type Storage struct {
	// Class is nil for the cluster's default.
	Class       *string
	Size        resource.Quantity
	AccessModes []corev1.PersistentVolumeAccessMode
}

// Where the operator leaves the size and the modes open, it takes these
// (facts/3scale.md section 2).
const defaultStorageSize = "100Mi"

// StorageOf is the claim of the file storage: as it was when the run was made,
// if the run recorded it, else as the operator would make it for the APIManager;
// in any case large enough for what is restored. It is nil where the files are
// not in a claim.
func StorageOf(apiManager Object, i *job.Inspection) *Storage {
	fileStorage := child(apiManager, "spec", "system", "fileStorage")
	if fileStorage["simpleStorageService"] != nil || fileStorage["amazonSimpleStorageService"] != nil {
		return nil
	}
	s := &Storage{Size: resource.MustParse(defaultStorageSize), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}}
	claim := child(fileStorage, "persistentVolumeClaim")
	if class, ok := claim["storageClassName"].(string); ok {
		s.Class = &class
	}
	if size, err := resource.ParseQuantity(text(claim, "resources", "requests")); err == nil {
		s.Size = size
	}
	if recorded := i.Source.FileStorage; recorded != nil {
		s.record(recorded)
	}
	bytes := i.FileStorage.Bytes
	// A file system needs room for itself, and files for their last blocks.
	if least := bytes + bytes/5; s.Size.CmpInt64(least) < 0 {
		s.Size = *resource.NewQuantity(roundUp(least, 64<<20), resource.BinarySI)
	}
	return s
}

// record takes over what a run recorded of its claim. It comes from a volume
// that anybody may have written: what makes no sense counts as not recorded.
func (s *Storage) record(claim *job.Claim) {
	s.Class = claim.StorageClass
	if size, err := resource.ParseQuantity(claim.Size); err == nil && size.Sign() > 0 {
		s.Size = size
	}
	var modes []corev1.PersistentVolumeAccessMode
	for _, mode := range claim.AccessModes {
		switch mode := corev1.PersistentVolumeAccessMode(mode); mode {
		case corev1.ReadWriteOnce, corev1.ReadWriteMany, corev1.ReadWriteOncePod:
			modes = append(modes, mode)
		}
	}
	if len(modes) > 0 {
		s.AccessModes = modes
	}
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

// child is an object within an object; nil without it.
func child(object Object, path ...string) Object {
	for _, field := range path {
		object, _ = object[field].(map[string]any)
	}
	return object
}

// Notes are what the making of the tree tells.
type Notes struct {
	Rewritten []string
	Warnings  []string
}

// PlanOf says what becomes of each object and of the files. Desired and live
// are in the order of the commit; a live one is nil where there is none.
func PlanOf(o *Observed, desired, live []Object, notes Notes) *v1alpha1.Plan {
	i := o.Inspection
	plan := &v1alpha1.Plan{
		Run: i.Run,
		Source: v1alpha1.PlanSource{
			Namespace:         i.Source.Namespace,
			APIManager:        i.Source.APIManager,
			ThreeScaleVersion: i.Source.ThreeScale,
			Verified:          i.Verified,
		},
		Objects:     verdicts(o, desired, live),
		FileStorage: v1alpha1.PlannedFileStorage{Action: storageAction(o), Files: i.FileStorage.Files, Bytes: i.FileStorage.Bytes},
		Rewritten:   notes.Rewritten,
		Warnings:    slices.Concat(i.Warnings, notes.Warnings),
	}
	if !i.StartTime.IsZero() {
		plan.Source.StartTime = &metav1.Time{Time: i.StartTime}
	}
	if !i.Verified {
		plan.Warnings = append(plan.Warnings, "the backup was written by APIManagerBackup and has no digests: nothing proves that it is whole")
	}
	return plan
}
