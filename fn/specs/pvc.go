package specs

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// PVCName returns the name of the PersistentVolumeClaim composed for a backup.
func PVCName(backup string) string {
	const suffix = "-backup"
	return shorten(backup, 253-len(suffix)) + suffix
}

// PVC returns the PersistentVolumeClaim of a backup. If namespaceUID is set, the
// Namespace is a second owner, so that the PVC outlives its composite. It must be the
// observed UID: the garbage collector deletes an object whose owner does not exist.
func PVC(i Identity, spec corev1.PersistentVolumeClaimSpec, namespaceUID types.UID) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"},
		ObjectMeta: metav1.ObjectMeta{
			Name:            PVCName(i.Backup),
			Namespace:       i.Namespace,
			Labels:          map[string]string{v1alpha1.LabelBackup: LabelValue(i.Backup)},
			OwnerReferences: namespaceOwner(i.Namespace, namespaceUID),
		},
		Spec: spec,
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
