package compose_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// TestStatusAndVerifyReportLost: the Job at work tells that there is a verification.
func TestStatusAndVerifyReportLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(weeklySpec))
	w.backUp()
	w.at("2026-11-29T05:00:01Z")
	j := w.untilVerifying()
	id := j.GetLabels()[v1alpha1.LabelVerification]
	w.Delete("ConfigMap", namespace, w.Composed()["verify-report/"+id].GetName())
	w.wipeStatus()
	w.reconcile()
	assert.Equal(t, j.GetUID(), w.verifyJob().GetUID())
}

// TestVerificationSlotOutlivesLostStatus: a slot waits for the run that will tell
// whether there is anything to verify.
func TestVerificationSlotOutlivesLostStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(`schedule: "0 4 * * *", `+weeklySpec))
	w.reconcile()
	w.runAt("2026-11-28T04:00:00Z")
	w.at("2026-11-29T04:00:00Z")
	w.untilJob()
	w.wipeStatus()
	w.at("2026-11-29T05:00:01Z")
	w.reconcile()
	w.succeedNow()
	w.untilVerifying()
}

// TestReplacedVolumeIsNotVerified: what the old volume held is not expected of a new one.
func TestReplacedVolumeIsNotVerified(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(weeklySpec))
	w.backUp()
	w.reconcile()
	w.edit(w.composedVolume(), set("another-uid", "metadata", "uid"))
	w.reconcile()
	assert.Equal(t, "BackupVolumeReplaced", w.condition("BackupCompleted")["reason"])
	w.at("2026-11-29T05:00:01Z")
	w.reconcileAll()
	if j := w.verifyJob(); j != nil {
		t.Error(argsOf(j))
	}
}

// TestLostVerificationWaitsForTheRun: what is done again waits as the first time.
func TestLostVerificationWaitsForTheRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(`schedule: "0 6 * * 0,1", `+weeklySpec))
	w.reconcile()
	w.runAt("2026-11-23T06:00:00Z")
	w.at("2026-11-29T05:00:01Z")
	w.endJobNamed(w.untilVerifying(), "Failed")
	w.reconcileAll()
	w.Delete("Job", namespace, w.verifyJob().GetName())
	w.at("2026-11-29T06:00:01Z")
	w.untilJob()
	w.wipeStatus()
	w.reconcileAll()
	assert.Nil(t, w.verifyJob(), "beside a run")
	assert.Contains(t, jsonOf(t, w.only("Role").Object["rules"]), w.Composed()["report/"+w.runID()].GetName(), "its mover may report")
	w.succeedNow()
	w.untilVerifying()
}

// TestVerificationWithoutVolume: there is no hurry while there is nothing to read.
func TestVerificationWithoutVolume(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `{backupDestination: {persistentVolumeClaim: {claimName: mine}}, `+weeklySpec+`}`)
	pvc := object(t, `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: mine, namespace: 3scale, uid: u1}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}, status: {phase: Bound}}`)
	w.Put(pvc)
	w.backUp()
	w.reconcile()
	w.at("2026-11-29T05:00:01Z")
	require.Equal(t, "Running", w.status("verification", "state"))
	w.Delete("PersistentVolumeClaim", namespace, "mine")
	w.reconcile()
	rsp := w.reconcile()
	require.Nil(t, w.verifyJob())
	assert.Equal(t, 30*time.Second, rsp.GetMeta().GetTtl().AsDuration())
	w.Put(pvc)
	w.untilVerifying()
}
