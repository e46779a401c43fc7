package preflight

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/text"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

func checkDestination(f *facts.Facts) []text.Finding {
	d := f.Destination
	pvc := d.PVC
	switch {
	case d.Name == threescale.FileStoragePVCName:
		return text.Findingf(v1alpha1.ReasonDestinationIsFileStorage, text.DestinationIsSource, d.Name)
	case pvc == nil && d.IsUsers():
		return text.Findingf(v1alpha1.ReasonDestinationNotFound, text.DestinationNotFound, d.Name, f.Namespace)
	case pvc == nil:
		return nil
	case pvc.DeletionTimestamp != nil:
		return text.Findingf(v1alpha1.ReasonDestinationUnusable, text.DestinationDeleted, d.Name)
	case pvc.Status.Phase == corev1.ClaimLost:
		return text.Findingf(v1alpha1.ReasonDestinationUnusable, text.DestinationLost, d.Name)
	case !facts.Writable(pvc.Spec.AccessModes):
		return text.Findingf(v1alpha1.ReasonDestinationNotWritable, text.DestinationNotWritable, d.Name)
	case d.IsUsers() || d.Composed != nil:
		return nil
	}
	return checkAdoption(f, pvc)
}

// checkAdoption looks at a PVC that has the name of the one to compose: an
// earlier ThreeScaleBackup of the same name may have left it behind.
func checkAdoption(f *facts.Facts, pvc *corev1.PersistentVolumeClaim) []text.Finding {
	if pvc.Labels[v1alpha1.LabelBackup] != specs.LabelValue(f.Backup) {
		return text.Findingf(v1alpha1.ReasonDestinationTaken, text.DestinationOfOther, pvc.Name)
	}
	owner := metav1.GetControllerOfNoCopy(pvc)
	if owner == nil || owner.UID == f.UID {
		return nil
	}
	return text.Findingf(v1alpha1.ReasonDestinationTaken, text.DestinationStillOwned, pvc.Name, owner.Kind, owner.Name)
}

// checkNamedVolume looks at the PersistentVolume that the PVC is to bind to, as
// long as it is not bound to it.
func checkNamedVolume(f *facts.Facts) []text.Finding {
	d := f.Destination
	name, pv, files := d.Wish.VolumeName, d.PV, f.Installation.FileStorage
	switch {
	case name == "" || d.IsUsers() || d.PVC != nil && d.PVC.Spec.VolumeName != "":
		return nil
	case files != nil && files.Spec.VolumeName == name:
		return text.Findingf(v1alpha1.ReasonDestinationIsFileStorage, text.VolumeIsSource, name)
	case pv == nil:
		return text.Findingf(v1alpha1.ReasonVolumeNotFound, text.VolumeNotFound, name)
	}
	out := checkVolumeFree(f, pv)
	if len(out) > 0 {
		return out // the size and the access modes of somebody else's volume do not matter
	}
	if !facts.Writable(pv.Spec.AccessModes) {
		out = append(out, text.Findingf(v1alpha1.ReasonDestinationNotWritable, text.VolumeNotWritable, name)...)
	}
	capacity, want := pv.Spec.Capacity.Storage(), d.Requested()
	if want != nil && capacity.Cmp(*want) < 0 {
		out = append(out, text.Findingf(v1alpha1.ReasonVolumeTooSmall, text.VolumeTooSmall, name, capacity.String(), want.String())...)
	}
	return out
}

// checkVolumeFree passes a volume that nobody claims, or that is reserved for
// the very PVC that is to be composed.
func checkVolumeFree(f *facts.Facts, pv *corev1.PersistentVolume) []text.Finding {
	if pv.DeletionTimestamp != nil {
		return text.Findingf(v1alpha1.ReasonVolumeNotAvailable, text.VolumeDeleted, pv.Name)
	}
	ref, own := pv.Spec.ClaimRef, specs.PVCName(f.Backup)
	if ref == nil {
		return nil
	}
	whose := text.PVCElsewhere
	if ref.Namespace == f.Namespace {
		whose = fmt.Sprintf(text.PVC, ref.Name)
	}
	switch {
	case ref.Namespace == f.Namespace && ref.Name == own && ref.UID == "":
		return nil
	case pv.Status.Phase == corev1.VolumeReleased:
		return text.Findingf(v1alpha1.ReasonVolumeNotAvailable, text.VolumeReleased, pv.Name, whose, pv.Name, f.Namespace, own)
	}
	return text.Findingf(v1alpha1.ReasonVolumeNotAvailable, text.VolumeBound, pv.Name, whose)
}
