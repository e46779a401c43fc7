//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	batchv1 "k8s.io/api/batch/v1"

	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/test/cluster"
)

// held starts a second run after a complete one, and holds it in the middle of
// the file storage.
func held(t *testing.T) (w *tenant, first string, g *gate) {
	t.Helper()
	w = newTenant(t)
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	first = lastRun(w.untilCompleted(nightly))
	g = newGate(t, w.writeFile("gate.txt", []byte("held here")))
	require.NoError(t, w.apply(withTrigger(nightly, "second")))
	g.reached()
	return w, first, g
}

// TestPodKilledInTheMiddle: the next pod of the Job completes the run, and the
// earlier one is as it was all the time.
func TestPodKilledInTheMiddle(t *testing.T) {
	parallel(t)
	w, first, g := held(t)
	w.killMover()
	dir := w.volumeDir(nightlyVolume)
	w.verifyRun(dir, first)
	g.open()
	w.untilJob("one failed pod", func(j *batchv1.Job) bool { return j.Status.Failed == 1 })
	second := w.untilCompleted(nightly, first)
	assert.Equal(t, []string{first, lastRun(second)}, w.verified(dir))
	w.assertSameFiles(dir, lastRun(second))
}

// TestPodDeletedInTheMiddle: likewise when a node is drained, or somebody
// deletes the pod: the mover is told to stop.
func TestPodDeletedInTheMiddle(t *testing.T) {
	parallel(t)
	w, first, g := held(t)
	w.admin("delete", "pods", "--all", "--wait=false")
	g.open()
	second := w.untilCompleted(nightly, first)
	dir := w.volumeDir(nightlyVolume)
	assert.Equal(t, []string{first, lastRun(second)}, w.verified(dir))
	w.assertSameFiles(dir, lastRun(second))
}

// isResult tells whether a request writes a run's result into its report.
func isResult(r *admissionv1.AdmissionRequest) bool {
	return r.Kind.Kind == "ConfigMap" && strings.HasSuffix(r.Name, "-report") && strings.Contains(string(r.Object.Raw), `"result"`)
}

// TestPodKilledBeforeItReported: the run is on the volume, but nobody was told;
// the next pod verifies it and tells.
func TestPodKilledBeforeItReported(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	var mute atomic.Bool
	mute.Store(true)
	h := w.newWebhook(func(r *admissionv1.AdmissionRequest) string {
		if mute.Load() && isResult(r) {
			return "no reports now"
		}
		return ""
	})
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	w.eventually("the report to be refused", func(context.Context) error {
		if h.denied.Load() == 0 {
			return errNotYet
		}
		return nil
	})
	dir := w.volumeDir(nightlyVolume)
	runs := w.runs(dir)
	require.Len(t, runs, 1)
	require.Equal(t, archive.Complete, runs[0].State)
	w.killMover()
	mute.Store(false)
	done := w.untilCompleted(nightly)
	assert.Equal(t, runs[0].ID, lastRun(done))
	assert.Equal(t, runs[0].ManifestSHA256, status(done, "lastRun", "manifestSHA256"), "it is the run of the first pod")
	assert.Equal(t, []string{runs[0].ID}, w.verified(dir))
}

// TestReportThatCannotBeWritten: the mover gives up after a while so that the
// Job tries again, and in the end the claim says what happened.
func TestReportThatCannotBeWritten(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	h := w.newWebhook(func(r *admissionv1.AdmissionRequest) string {
		if isResult(r) {
			return "no reports at all"
		}
		return ""
	})
	require.NoError(t, w.apply(claim(nightly, `{job: {backoffLimit: 1}, backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}}}}`)))
	ended := w.untilTerminated(75)
	assert.Contains(t, ended.Message, "cannot report the result", "kubectl describe shows why")
	const twice = 6 * time.Minute
	require.NoError(t, cluster.Eventually(t.Context(), twice, "the backup to fail", func(ctx context.Context) error {
		u, err := w.get(ctx, nightly)
		if err == nil && condition(u, "BackupCompleted")["reason"] != "Failed" {
			err = fmt.Errorf("BackupCompleted is %v", condition(u, "BackupCompleted"))
		}
		return err
	}))
	failed := w.untilReason(nightly, "BackupCompleted", "Failed")
	t.Log(message(failed, "BackupCompleted"))
	w.assertCondition(failed, "BackupCompleted", "False", "Failed", "describe job,pod", "spec.trigger")
	assert.Equal(t, false, status(failed, "completed"))
	jobs, err := w.jobs(t.Context())
	require.NoError(t, err)
	require.Len(t, jobs, 1, "a failed Job stays, for its log")
	assert.EqualValues(t, 2, jobs[0].Status.Failed)

	h.remove()
	dir := w.volumeDir(nightlyVolume)
	ids := w.verified(dir)
	require.NoError(t, w.apply(withTrigger(nightly, "again")))
	again := w.untilCompleted(nightly)
	assert.Equal(t, append(ids, lastRun(again)), w.verified(dir))
}

// TestJobThatFailsForGood: the claim says so and what to do, and the next run
// works with what was changed.
func TestJobThatFailsForGood(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	require.NoError(t, w.apply(claim(nightly, `{job: {activeDeadlineSeconds: 5, nodeSelector: {no-node: has-this}}, backupDestination: {persistentVolumeClaim: {storageClass: retain, resources: {requests: 10Gi}}}}`)))
	failed := w.untilReason(nightly, "BackupCompleted", "Failed")
	t.Log(message(failed, "BackupCompleted"))
	w.assertCondition(failed, "BackupCompleted", "False", "Failed", "activeDeadlineSeconds", "kubectl -n "+w.namespace+" describe job,pod", "spec.trigger")
	w.assertCondition(failed, "Ready", "True", "Available")
	jobs, err := w.jobs(t.Context())
	require.NoError(t, err)
	require.Len(t, jobs, 1)

	require.NoError(t, w.apply(claim(nightly, `{trigger: again, backupDestination: {persistentVolumeClaim: {storageClass: retain, resources: {requests: 10Gi}}}}`)))
	done := w.untilCompleted(nightly)
	assert.Equal(t, []string{lastRun(done)}, w.verified(w.volumeDir(nightlyVolume)))
	w.eventually("the failed Job to go", func(ctx context.Context) error {
		jobs, err := w.jobs(ctx)
		if len(jobs) > 0 {
			err = errors.Join(err, fmt.Errorf("there are %d Jobs", len(jobs)))
		}
		return err
	})
}
