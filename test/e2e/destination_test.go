//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/test/cluster"
)

// destination makes a volume to back up to.
func (w *tenant) destination(o cluster.VolumeOptions) *cluster.Volume {
	w.t.Helper()
	o.Name = w.namespace + "-destination"
	volume, err := shared.Volume(w.t.Context(), o)
	require.NoError(w.t, err)
	return volume
}

// onVolume returns a claim that binds to a volume.
func onVolume(v *cluster.Volume, trigger string) string {
	return claim(nightly, fmt.Sprintf(`{trigger: %q, backupDestination: {persistentVolumeClaim: {volumeName: %s}}}`, trigger, v.Name))
}

// TestVolumeTooSmall: a fresh ext4, which belongs to root and has a lost+found,
// works; when it is full, the claim says how much is needed, the earlier run is
// whole, and the next one works as soon as there is room.
func TestVolumeTooSmall(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	volume := w.destination(cluster.VolumeOptions{Filesystem: cluster.Ext4, SizeMiB: 16})
	require.NoError(t, w.apply(onVolume(volume, "")))
	first := lastRun(w.untilCompleted(nightly))
	assert.DirExists(t, filepath.Join(volume.Path, "lost+found"))

	const big = 32 << 20
	large := w.writeFile("large.bin", bytes.Repeat([]byte("x"), big))
	require.NoError(t, w.apply(onVolume(volume, "full")))
	full := w.untilReason(nightly, "BackupCompleted", "NoSpace")
	t.Log(message(full, "BackupCompleted"))
	w.assertCondition(full, "BackupCompleted", "False", "NoSpace", "bytes needed", "available", "spec.trigger")
	assert.Equal(t, false, status(full, "completed"))
	assert.Equal(t, first, lastRun(full), "the newest successful run is still told")
	w.verifyRun(volume.Path, first)
	ended := w.untilTerminated(73)
	assert.NotEmpty(t, ended.Message)
	w.untilJob("the Job to fail at once", jobFailedAfter(1))

	require.NoError(t, os.Remove(large))
	require.NoError(t, w.apply(onVolume(volume, "room")))
	third := w.untilCompleted(nightly, first)
	assert.Equal(t, []string{first, lastRun(third)}, w.verified(volume.Path), "nothing of the failed run is left")
}

// TestVolumeReadOnly: a volume that turned read-only, as a file system with an
// error does, fails the run at once and harms nothing.
func TestVolumeReadOnly(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	volume := w.destination(cluster.VolumeOptions{Filesystem: cluster.Ext4, SizeMiB: 32})
	require.NoError(t, w.apply(onVolume(volume, "")))
	first := lastRun(w.untilCompleted(nightly))

	w.eventually("the volume to be read-only", func(ctx context.Context) error { return volume.Remount(ctx, cluster.ReadOnly) })
	require.NoError(t, w.apply(onVolume(volume, "read-only")))
	failed := w.untilReason(nightly, "BackupCompleted", "VolumeNotWritable")
	t.Log(message(failed, "BackupCompleted"))
	w.assertCondition(failed, "BackupCompleted", "False", "VolumeNotWritable", "read-only file system", "spec.trigger")
	w.untilJob("the Job to fail at once", jobFailedAfter(1))
	assert.Equal(t, []string{first}, w.verified(volume.Path))

	require.NoError(t, volume.Remount(t.Context(), cluster.ReadWrite))
	require.NoError(t, w.apply(onVolume(volume, "writable")))
	again := w.untilCompleted(nightly, first)
	assert.Equal(t, []string{first, lastRun(again)}, w.verified(volume.Path))
}

// TestVolumeWithoutLinks: on an exFAT there are neither hard links nor symbolic
// ones, nor owners; a backup works there and says what it lacks.
func TestVolumeWithoutLinks(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	require.NoError(t, os.Symlink("somewhere", filepath.Join(w.files, "link")))
	volume := w.destination(cluster.VolumeOptions{Filesystem: cluster.Linkless, HostPath: true})
	require.NoError(t, w.apply(onVolume(volume, "")))
	first := w.untilCompleted(nightly)
	w.assertCondition(first, "Warning", "True", "RunWarnings", "Volume cannot hold symlinks", "APIManagerRestore cannot read the volume")
	require.NoError(t, w.apply(onVolume(volume, "again")))
	second := w.untilCompleted(nightly, lastRun(first))
	assert.Equal(t, []string{lastRun(first), lastRun(second)}, w.verified(volume.Path))
}

// TestExistingPVC: claimName uses the user's own PVC, which stays the user's.
func TestExistingPVC(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	volume := w.destination(cluster.VolumeOptions{})
	w.bind("mine", cluster.VolumeOptions{Name: volume.Name, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}})
	require.NoError(t, w.apply(claim(nightly, `{backupDestination: {persistentVolumeClaim: {claimName: mine}}}`)))
	done := w.untilCompleted(nightly)
	assert.Equal(t, "mine", status(done, "backupPersistentVolumeClaimName"))
	assert.Equal(t, []string{lastRun(done)}, w.verified(volume.Path))
	mine, err := w.pvc(t.Context(), "mine")
	require.NoError(t, err)
	assert.Empty(t, mine.OwnerReferences)
	w.remove(nightly)
	w.untilOnly("")
	_, err = w.pvc(t.Context(), "mine")
	assert.NoError(t, err)
}

func sized(class, size string) string {
	return claim(nightly, fmt.Sprintf(`{backupDestination: {persistentVolumeClaim: {storageClass: %s, resources: {requests: %s}}}}`, class, size))
}

// TestVolumeResized: a PVC that cannot grow, or shall shrink, stays as it is
// and says so; Crossplane is not asked for what the API server refuses.
func TestVolumeResized(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	require.NoError(t, w.apply(sized(cluster.RetainClass, "10Gi")))
	w.untilCompleted(nightly)
	for _, change := range []struct{ size, reason, text string }{
		{"20Gi", "ExpansionUnsupported", "its StorageClass does not allow expansion to 20Gi"},
		{"5Gi", "DestinationChangeIgnored", "has 10Gi and cannot shrink to 5Gi"},
	} {
		require.NoError(t, w.apply(sized(cluster.RetainClass, change.size)))
		got := w.untilReason(nightly, "Warning", change.reason)
		w.assertCondition(got, "Warning", "True", change.reason, change.text)
		w.untilReconciled(nightly, change.size)
		xr, err := w.composite(t.Context(), nightly)
		require.NoError(t, err)
		w.assertCondition(xr, "Synced", "True", "ReconcileSuccess")
		w.assertCondition(xr, "Ready", "True", "Available")
		volume, err := w.pvc(t.Context(), nightlyVolume)
		require.NoError(t, err)
		assert.Equal(t, "10Gi", volume.Spec.Resources.Requests.Storage().String())
	}
}

// TestVolumeGrows: where the class allows it, the composed PVC asks for more.
func TestVolumeGrows(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	yes := true
	class := &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: w.namespace}, Provisioner: "example.com/by-hand", AllowVolumeExpansion: &yes,
	}
	require.NoError(t, shared.Client().Create(t.Context(), class))
	w.destination(cluster.VolumeOptions{StorageClass: class.Name, Capacity: "1Gi"})
	require.NoError(t, w.apply(sized(class.Name, "1Gi")))
	w.untilCompleted(nightly)
	require.NoError(t, w.apply(sized(class.Name, "2Gi")))
	w.eventually("the PVC to ask for more", func(ctx context.Context) error {
		volume, err := w.pvc(ctx, nightlyVolume)
		if err == nil && volume.Spec.Resources.Requests.Storage().Cmp(resource.MustParse("2Gi")) != 0 {
			err = errors.New("it asks for " + volume.Spec.Resources.Requests.Storage().String())
		}
		return err
	})
}
