// Package volume renders the PersistentVolumeClaim of the backup, and reports which
// edits of the spec an existing one cannot follow.
package volume

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/text"
	"threescale.dev/backup/fn/specs"
)

// Render returns the PVC to compose; nil where the user brings one, or nothing may
// be made. A composed one that exists is kept whatever else is wrong: core deletes what
// is not desired.
func Render(f *facts.Facts, passed bool) (*corev1.PersistentVolumeClaim, []text.Finding) {
	d := f.Destination
	switch {
	case d.Composed != nil:
		return Keep(f, d.Composed)
	case !passed || d.IsUsers():
		return nil, nil
	case d.PVC != nil:
		return Keep(f, d.PVC)
	}
	return specs.PVC(f.Identity, wished(d), survivalUID(f)), nil
}

func wished(d facts.Destination) corev1.PersistentVolumeClaimSpec {
	if d.Wish.VolumeName != "" {
		pv := d.PV.Spec
		return pvcSpec(d.Wish.VolumeName, &pv.StorageClassName, pv.AccessModes, *pv.Capacity.Storage())
	}
	modes := d.Wish.AccessModes
	if len(modes) == 0 {
		modes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	}
	return pvcSpec("", d.Wish.StorageClass, modes, *d.Requested())
}

func pvcSpec(volume string, class *string, modes []corev1.PersistentVolumeAccessMode, size resource.Quantity) corev1.PersistentVolumeClaimSpec {
	requests := corev1.ResourceList{corev1.ResourceStorage: size}
	return corev1.PersistentVolumeClaimSpec{
		VolumeName: volume, StorageClassName: class, AccessModes: modes, Resources: corev1.VolumeResourceRequirements{Requests: requests},
	}
}

// survivalUID is the UID of the Namespace if the PVC is to outlive its composite.
func survivalUID(f *facts.Facts) types.UID {
	if f.Spec.DeletionPolicy == v1alpha1.DeletionDelete || f.Home == nil {
		return ""
	}
	return f.Home.UID
}

// Keep returns a PVC as it exists, grown if that is possible. The API server
// refuses every other change, and core would drop the whole answer.
func Keep(f *facts.Facts, existing *corev1.PersistentVolumeClaim) (*corev1.PersistentVolumeClaim, []text.Finding) {
	owner, survival := namespaceOwner(existing), survivalUID(f)
	if f.Home == nil {
		survival = owner
	}
	size, grown := grow(f.Destination, existing)
	warnings := slices.Concat(ignoredEdits(f.Destination.Wish, existing), grown)
	if f.Spec.DeletionPolicy == v1alpha1.DeletionDelete && owner != "" {
		warnings = append(warnings, text.Findingf(v1alpha1.ReasonDeletionPolicyNotEffective, text.OwnedByNamespace, existing.Name)...)
	}
	has := existing.Spec
	return specs.PVC(f.Identity, pvcSpec(has.VolumeName, has.StorageClassName, has.AccessModes, size), survival), warnings
}

func namespaceOwner(pvc *corev1.PersistentVolumeClaim) types.UID {
	for _, owner := range pvc.OwnerReferences {
		if owner.Kind == "Namespace" {
			return owner.UID
		}
	}
	return ""
}

// ignoredEdits reports what of the spec an existing PVC cannot follow.
func ignoredEdits(wish v1alpha1.BackupVolume, existing *corev1.PersistentVolumeClaim) []text.Finding {
	var out []text.Finding
	ignored := func(field, is string, args ...any) {
		out = append(out, text.Findingf(v1alpha1.ReasonDestinationChangeIgnored, text.EditIgnored, field, existing.Name, fmt.Sprintf(is, args...))...)
	}
	has := existing.Spec
	switch {
	case wish.ClaimName != "" && wish.ClaimName != existing.Name:
		ignored("claimName", text.IsComposed)
		return out
	case wish.VolumeName != "" && has.VolumeName != "" && wish.VolumeName != has.VolumeName:
		ignored("volumeName", text.IsBound, has.VolumeName)
	}
	if wish.VolumeName != "" {
		return out // size, class and access modes are the volume's
	}
	if wish.StorageClass != nil && has.StorageClassName != nil && *wish.StorageClass != *has.StorageClassName {
		ignored("storageClass", text.IsOfClass, *has.StorageClassName)
	}
	if len(wish.AccessModes) > 0 && !sets.New(wish.AccessModes...).Equal(sets.New(has.AccessModes...)) {
		ignored("accessModes", text.HasOtherModes)
	}
	return out
}

// grow returns the size that is requested where the API server would allow it, and
// else says why the size stays.
func grow(d facts.Destination, existing *corev1.PersistentVolumeClaim) (resource.Quantity, []text.Finding) {
	has, want := *existing.Spec.Resources.Requests.Storage(), d.Requested()
	if want == nil || d.Wish.VolumeName != "" || want.Sign() <= 0 || want.Cmp(has) == 0 {
		return has, nil
	}
	switch {
	case want.Cmp(has) < 0:
		return has, text.Findingf(v1alpha1.ReasonDestinationChangeIgnored, text.CannotShrink, existing.Name, has.String(), want.String())
	case existing.Status.Phase != corev1.ClaimBound:
		return has, text.Findingf(v1alpha1.ReasonExpansionUnsupported, text.GrowsOnceBound, existing.Name, want.String())
	case !expandable(d.Class(existing.Spec.StorageClassName)):
		return has, text.Findingf(v1alpha1.ReasonExpansionUnsupported, text.CannotExpand, existing.Name, has.String(), want.String())
	}
	return *want, nil
}

func expandable(class *storagev1.StorageClass) bool {
	return class != nil && class.AllowVolumeExpansion != nil && *class.AllowVolumeExpansion
}

// Doomed warns of a volume that goes with its PVC: deleting the PVC or the
// namespace then deletes the backups. The message is the same before and after the
// PVC is bound.
func Doomed(f *facts.Facts) []text.Finding {
	d := f.Destination
	if d.IsUsers() && d.PVC == nil {
		return nil
	}
	var policy corev1.PersistentVolumeReclaimPolicy
	if class := classOf(d); class != nil && class.ReclaimPolicy != nil {
		policy = *class.ReclaimPolicy
	}
	if d.PV != nil {
		policy = d.PV.Spec.PersistentVolumeReclaimPolicy
	}
	if policy != corev1.PersistentVolumeReclaimDelete {
		return nil
	}
	return text.Findingf(v1alpha1.ReasonReclaimPolicyDelete, text.ReclaimDelete, d.Name, f.Namespace, d.Name)
}

// classOf is the class that the backup's PVC has, or will get; nil: none is known.
func classOf(d facts.Destination) *storagev1.StorageClass {
	if d.PVC != nil && d.PVC.Spec.StorageClassName != nil && *d.PVC.Spec.StorageClassName != "" {
		return d.Class(d.PVC.Spec.StorageClassName)
	}
	if d.PVC == nil && d.Wish.StorageClass != nil {
		return d.Class(d.Wish.StorageClass)
	}
	for i := range d.Classes {
		if d.Classes[i].Annotations["storageclass.kubernetes.io/is-default-class"] == "true" {
			return &d.Classes[i]
		}
	}
	return nil
}
