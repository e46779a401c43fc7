package volume_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/text"
	"threescale.dev/backup/fn/compose/internal/volume"
	"threescale.dev/backup/fn/specs"
)

func wants(size string) *facts.Facts {
	home := &corev1.Namespace{}
	home.UID = "ns"
	return &facts.Facts{
		Identity: specs.Identity{Backup: "nightly", Namespace: "3scale"},
		Home:     home,
		Destination: facts.Destination{
			Name:    "nightly-backup",
			Wish:    v1alpha1.BackupVolume{Resources: &v1alpha1.BackupVolumeResources{Requests: resource.MustParse(size)}},
			Classes: []storagev1.StorageClass{class("rigid", false, corev1.PersistentVolumeReclaimRetain), class("elastic", true, corev1.PersistentVolumeReclaimDelete)},
		},
	}
}

func class(name string, expands bool, policy corev1.PersistentVolumeReclaimPolicy) storagev1.StorageClass {
	return storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, AllowVolumeExpansion: &expands, ReclaimPolicy: &policy}
}

// composed is the composed PVC of 10Gi.
func composed(class string, phase corev1.PersistentVolumeClaimPhase) *corev1.PersistentVolumeClaim {
	spec := corev1.PersistentVolumeClaimSpec{StorageClassName: &class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}}
	spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}
	pvc := specs.PVC(specs.Identity{Backup: "nightly", Namespace: "3scale"}, spec, "")
	pvc.Status.Phase = phase
	return pvc
}

func exists(f *facts.Facts, pvc *corev1.PersistentVolumeClaim) {
	f.Destination.Composed, f.Destination.PVC = pvc, pvc
}

func TestRender(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		size   string
		change func(*facts.Facts)
		failed bool
		want   string // size; "": none is composed
		warned []string
	}{
		"New":     {reason: "as the spec wishes", size: "10Gi", want: "10Gi"},
		"Refused": {reason: "nothing is made before preflight has passed", size: "10Gi", failed: true},
		"Users":   {reason: "the user brings one", size: "10Gi", change: func(f *facts.Facts) { f.Destination.Wish.ClaimName = "mine" }},
		"Kept":    {reason: "what is not desired, core deletes", size: "10Gi", failed: true, change: func(f *facts.Facts) { exists(f, composed("rigid", corev1.ClaimBound)) }, want: "10Gi"},
		"Adopted": {reason: "an earlier backup left it", size: "10Gi", change: func(f *facts.Facts) { f.Destination.PVC = composed("rigid", corev1.ClaimBound) }, want: "10Gi"},
		"Grown":   {reason: "its class can", size: "20Gi", change: func(f *facts.Facts) { exists(f, composed("elastic", corev1.ClaimBound)) }, want: "20Gi"},
		"Rigid":   {reason: "its class cannot", size: "20Gi", change: func(f *facts.Facts) { exists(f, composed("rigid", corev1.ClaimBound)) }, want: "10Gi", warned: []string{v1alpha1.ReasonExpansionUnsupported}},
		"Unbound": {reason: "the API server refuses it before", size: "20Gi", change: func(f *facts.Facts) { exists(f, composed("elastic", corev1.ClaimPending)) }, want: "10Gi", warned: []string{v1alpha1.ReasonExpansionUnsupported}},
		"Shrunk":  {reason: "no volume can", size: "5Gi", change: func(f *facts.Facts) { exists(f, composed("elastic", corev1.ClaimBound)) }, want: "10Gi", warned: []string{v1alpha1.ReasonDestinationChangeIgnored}},
		"Elsewhere": {reason: "the runs are on this one", size: "10Gi", change: func(f *facts.Facts) {
			exists(f, composed("rigid", corev1.ClaimBound))
			f.Destination.Wish.ClaimName = "mine"
		}, want: "10Gi", warned: []string{v1alpha1.ReasonDestinationChangeIgnored}},
		"Stays": {reason: "its Namespace owns it", size: "10Gi", change: func(f *facts.Facts) {
			exists(f, composed("rigid", corev1.ClaimBound))
			f.Destination.PVC.OwnerReferences = []metav1.OwnerReference{{Kind: "Namespace", UID: "ns"}}
			f.Spec.DeletionPolicy = v1alpha1.DeletionDelete
		}, want: "10Gi", warned: []string{v1alpha1.ReasonDeletionPolicyNotEffective}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := wants(tc.size)
			if tc.change != nil {
				tc.change(f)
			}
			pvc, warned := volume.Render(f, !tc.failed)
			assert.Equal(t, tc.warned, reasons(warned), tc.reason)
			if tc.want == "" {
				assert.Nil(t, pvc, tc.reason)
				return
			}
			require.NotNil(t, pvc, tc.reason)
			size := pvc.Spec.Resources.Requests[corev1.ResourceStorage]
			assert.Equal(t, tc.want, size.String(), tc.reason)
		})
	}
}

func TestDoomed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		change func(*facts.Facts)
		want   []string
	}{
		"Unknown": {"no class is known", func(*facts.Facts) {}, nil},
		"Class":   {"the class deletes", func(f *facts.Facts) { f.Destination.Wish.StorageClass = new("elastic") }, []string{v1alpha1.ReasonReclaimPolicyDelete}},
		"Retained": {"the volume itself does not", func(f *facts.Facts) {
			exists(f, composed("elastic", corev1.ClaimBound))
			f.Destination.PV = &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain}}
		}, nil},
		"Absent": {"the user's is not there yet", func(f *facts.Facts) { f.Destination.Wish = v1alpha1.BackupVolume{ClaimName: "mine"} }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := wants("10Gi")
			tc.change(f)
			assert.Equal(t, tc.want, reasons(volume.Doomed(f)), tc.reason)
		})
	}
}

func reasons(findings []text.Finding) []string {
	var out []string
	for _, f := range findings {
		out = append(out, f.Reason)
	}
	return out
}
