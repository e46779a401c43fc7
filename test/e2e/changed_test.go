//go:build e2e

package e2e

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"

	"threescale.dev/backup/fn/archive"
)

// TestClaimChangedWhileJobRuns: a run goes on as it was started; the next one
// is as the claim says now.
func TestClaimChangedWhileJobRuns(t *testing.T) {
	parallel(t)
	w, first, g := held(t)
	before := w.untilJob("the Job", func(*batchv1.Job) bool { return true })
	changed := func(trigger string) string {
		return claim(nightly, `{trigger: `+trigger+`, fileStorage: Skip, job: {activeDeadlineSeconds: 600, backoffLimit: 1},
			backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}}}}`)
	}
	require.NoError(t, w.apply(changed("second")))
	w.untilReconciled(nightly, "changed")
	xr, err := w.composite(t.Context(), nightly)
	require.NoError(t, err)
	w.assertCondition(xr, "Synced", "True", "ReconcileSuccess")
	after := w.untilJob("the Job", func(*batchv1.Job) bool { return true })
	assert.Equal(t, before.UID, after.UID)
	assert.Equal(t, before.Spec, after.Spec)
	g.open()
	second := lastRun(w.untilCompleted(nightly, first))
	dir := w.volumeDir(nightlyVolume)
	w.assertSameFiles(dir, second)

	require.NoError(t, w.apply(changed("third")))
	third := lastRun(w.untilCompleted(nightly, first, second))
	assert.Equal(t, []string{first, second, third}, w.verified(dir))
	assert.Equal(t, archive.Skipped, w.runs(dir)[2].Manifest.FileStorage)
}

// TestTriggerWhileJobRuns: a trigger that comes while a run goes is the next run.
func TestTriggerWhileJobRuns(t *testing.T) {
	parallel(t)
	w, first, g := held(t)
	require.NoError(t, w.apply(withTrigger(nightly, "third")))
	w.untilReconciled(nightly, "triggered")
	jobs, err := w.jobs(t.Context())
	require.NoError(t, err)
	assert.Len(t, jobs, 1, "one run at a time")
	g.open()
	second := lastRun(w.untilCompleted(nightly, first))
	third := w.untilCompleted(nightly, first, second)
	assert.Equal(t, "third", status(third, "lastHandledTrigger"))
	assert.Equal(t, []string{first, second, lastRun(third)}, w.verified(w.volumeDir(nightlyVolume)))
}

// TestClaimDeletedWhileJobRuns: the run goes with the claim, the earlier ones
// and the volume stay, and a new claim begins as if nothing had been.
func TestClaimDeletedWhileJobRuns(t *testing.T) {
	parallel(t)
	w, first, g := held(t)
	dir := w.volumeDir(nightlyVolume)
	w.remove(nightly)
	g.open()
	w.untilOnly("persistentvolumeclaim/" + nightlyVolume + "\n")
	w.eventually("the mover to end", func(context.Context) error {
		if _, err := w.mover(); err == nil {
			return errNotYet
		}
		return nil
	})
	w.verifyRun(dir, first)

	require.NoError(t, w.apply(claim(nightly, tenGi)))
	again := lastRun(w.untilCompleted(nightly, first))
	ids := w.verified(dir)
	assert.Contains(t, ids, first)
	assert.Equal(t, again, ids[len(ids)-1])
}
