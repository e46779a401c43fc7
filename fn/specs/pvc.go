package specs

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// PVCName returns the name of the PersistentVolumeClaim composed for a backup.
func PVCName(backup string) string {
	const suffix = "-backup"
	return shorten(backup, 253-len(suffix)) + suffix
}

// Volume describes the PersistentVolumeClaim of a backup.
type Volume struct {
	Identity
	Size         resource.Quantity
	VolumeName   string
	StorageClass *string
	AccessModes  []corev1.PersistentVolumeAccessMode
	// NamespaceUID makes the Namespace a second owner, if it is set, so that the PVC
	// outlives its composite. It must be the observed UID: the garbage collector
	// deletes an object whose owner does not exist.
	NamespaceUID types.UID
}

// PVC returns the PersistentVolumeClaim that v describes.
func PVC(v Volume) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"},
		ObjectMeta: metav1.ObjectMeta{
			Name:            PVCName(v.Backup),
			Namespace:       v.Namespace,
			Labels:          map[string]string{v1alpha1.LabelBackup: LabelValue(v.Backup)},
			OwnerReferences: namespaceOwner(v.Namespace, v.NamespaceUID),
		},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      v.AccessModes,
			StorageClassName: v.StorageClass,
			VolumeName:       v.VolumeName,
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: v.Size},
			},
		},
	}
}

func namespaceOwner(namespace string, uid types.UID) []metav1.OwnerReference {
	if uid == "" {
		return nil
	}
	return []metav1.OwnerReference{{APIVersion: "v1", Kind: "Namespace", Name: namespace, UID: uid}}
}

// SingleNode reports whether a PVC with these access modes can be mounted on only
// one node at a time.
func SingleNode(modes []corev1.PersistentVolumeAccessMode) bool {
	return !slices.Contains(modes, corev1.ReadWriteMany) && !slices.Contains(modes, corev1.ReadOnlyMany)
}
