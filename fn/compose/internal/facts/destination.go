package facts

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// Destination is where runs are written to.
type Destination struct {
	// Wish is what the spec asks for.
	Wish v1alpha1.BackupVolume
	// Composed is the composed PVC; nil without one.
	Composed *corev1.PersistentVolumeClaim
	// Name is that of the PVC that the next run is written to, and PVC the PVC
	// itself; nil: it does not exist. A composed one that exists stays in use
	// whatever the spec says now.
	Name string
	PVC  *corev1.PersistentVolumeClaim
	// JobName is the PVC that the Job of an unfinished run writes to; "" without
	// one. The spec may name another since it started. JobPVC is that PVC, where
	// it is not the one of Name.
	JobName string
	JobPVC  *corev1.PersistentVolumeClaim
	// JobRetains: a Job at work may remove runs, whatever the spec says now.
	JobRetains bool
	// PVName is the volume that the PVC is, or shall be, bound to; "" without one.
	// PV is that volume; nil: it was not found.
	PVName  string
	PV      *corev1.PersistentVolume
	Classes []storagev1.StorageClass
}

// IsUsers reports whether runs go to a PVC that the user made.
func (d *Destination) IsUsers() bool { return d.Composed == nil && d.Wish.ClaimName != "" }

// InUse is the PVC of the run in flight, else the one that the next run is
// written to.
func (d *Destination) InUse() (string, *corev1.PersistentVolumeClaim) {
	if d.JobName != "" && d.JobName != d.Name {
		return d.JobName, d.JobPVC
	}
	return d.Name, d.PVC
}

// Requested is the size that the spec requests; nil without one.
func (d *Destination) Requested() *resource.Quantity {
	if d.Wish.Resources == nil {
		return nil
	}
	return &d.Wish.Resources.Requests
}

// Class returns the StorageClass of a name; nil without one, and without a name.
func (d *Destination) Class(name *string) *storagev1.StorageClass {
	i := slices.IndexFunc(d.Classes, func(class storagev1.StorageClass) bool { return name != nil && class.Name == *name })
	if i < 0 {
		return nil
	}
	return &d.Classes[i]
}

// Writable reports whether one of the access modes allows writing.
func Writable(modes []corev1.PersistentVolumeAccessMode) bool {
	return slices.ContainsFunc(modes, func(mode corev1.PersistentVolumeAccessMode) bool {
		return mode != corev1.ReadOnlyMany
	})
}
