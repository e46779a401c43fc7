//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// commandOf returns the command that a condition tells the user to run: from
// "kubectl" to the end of its last quoted argument.
func (w *tenant) commandOf(u *unstructured.Unstructured, conditionType string) string {
	w.t.Helper()
	text := message(u, conditionType)
	from, to := strings.Index(text, "kubectl "), strings.LastIndexByte(text, '\'')+1
	require.True(w.t, 0 < from && from < to, "condition %s has no command: %s", conditionType, text)
	return text[from:to]
}

// untilReleased deletes the namespace and waits until its volume has no PVC.
func (w *tenant) untilReleased(volume string) {
	w.t.Helper()
	_, err := w.c.Kubectl(w.t.Context(), "", "delete", "namespace", w.namespace, "--timeout", patience.String())
	require.NoError(w.t, err)
	w.eventually("the volume to be released", func(ctx context.Context) error {
		pv := &corev1.PersistentVolume{}
		if err := shared.Client().Get(ctx, types.NamespacedName{Name: volume}, pv); err != nil {
			return err
		}
		if pv.Status.Phase != corev1.VolumeReleased {
			return fmt.Errorf("volume is %s", pv.Status.Phase)
		}
		return nil
	})
}

// TestWayBackFromDeletedNamespace: the warning says that deleting the namespace
// would delete the backups, and its own command makes that untrue; in another
// namespace, the refusal's own command makes the volume usable again, with all
// runs on it.
func TestWayBackFromDeletedNamespace(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	done := w.untilCompleted(nightly)
	w.assertCondition(done, "Warning", "True", "ReclaimPolicyDelete", "deletes the backups", "kubectl patch pv")
	volume := w.persistentVolume(nightlyVolume)
	dir := w.persistentVolumeDir(volume)

	w.shell(w.commandOf(done, "Warning"))
	w.untilReason(nightly, "Warning", "NoWarnings")
	w.untilReleased(volume)

	other := newTenant(t, second)
	wanted := claim(nightly, fmt.Sprintf(`{backupDestination: {persistentVolumeClaim: {volumeName: %s}}}`, volume))
	require.NoError(t, other.apply(wanted))
	refused := other.untilReason(nightly, "PreflightPassed", "VolumeNotAvailable")
	other.assertCondition(refused, "PreflightPassed", "False", "VolumeNotAvailable", "was released by a PersistentVolumeClaim of another namespace;")
	assert.NotContains(t, message(refused, "PreflightPassed"), `"`+w.namespace+`"`, "whose volume it was is not for this namespace to know")
	other.shell(other.commandOf(refused, "PreflightPassed"))
	again := other.untilCompleted(nightly)
	assert.Equal(t, volume, other.persistentVolume(nightlyVolume))
	assert.Equal(t, []string{lastRun(done), lastRun(again)}, other.verified(dir))
}

// TestRetainedVolumeOfDeletedNamespace: with a class that retains there is
// nothing to warn of, and nothing to run before the namespace goes.
func TestRetainedVolumeOfDeletedNamespace(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	require.NoError(t, w.apply(claim(nightly, `{backupDestination: {persistentVolumeClaim: {storageClass: retain, resources: {requests: 10Gi}}}}`)))
	done := w.untilCompleted(nightly)
	w.assertCondition(done, "Warning", "False", "NoWarnings")
	volume := w.persistentVolume(nightlyVolume)
	dir := w.persistentVolumeDir(volume)
	w.untilReleased(volume)
	assert.Equal(t, []string{lastRun(done)}, w.verified(dir))
}
