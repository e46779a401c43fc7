package compose_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/v1alpha1"
)

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

func TestWrongExpressionCorrected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(`schedule: "0 25 * * *"`))
	w.reconcileAll()
	w.setNow(moment(t, "2026-11-25T12:00:00Z"))
	w.setSpec("0 2 * * *", "schedule")
	w.reconcileAll()
	assert.Nil(t, w.theJob(), "slots before the schedule was set are not its own")
	assert.Nil(t, w.condition("Warning")["x"])
	assert.Equal(t, "NoWarnings", w.condition("Warning")["reason"])
}

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

func TestVerificationWithoutVolume(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `{backupDestination: {persistentVolumeClaim: {claimName: mine}}, `+weeklySpec+`}`)
	claim := object(t, `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: mine, namespace: 3scale, uid: u1}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}, status: {phase: Bound}}`)
	w.Put(claim)
	w.backUp()
	w.reconcile()
	w.at("2026-11-29T05:00:01Z")
	require.Equal(t, "Running", w.status("verification", "state"))
	w.Delete("PersistentVolumeClaim", namespace, "mine")
	w.reconcile()
	rsp := w.reconcile()
	require.Nil(t, w.verifyJob())
	assert.Equal(t, 30*time.Second, rsp.GetMeta().GetTtl().AsDuration())
	w.Put(claim)
	w.untilVerifying()
}

func TestUpgradeWithARunInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(`trigger: once`))
	w.untilJob()
	run := w.runID()
	w.edit(w.Composed()["report/"+run], func(o map[string]any) {
		delete(o["metadata"].(map[string]any)["annotations"].(map[string]any), v1alpha1.AnnotationHandled)
	})
	w.reconcile()
	assert.JSONEq(t, `{"trigger":"once"}`, w.Composed()["report/"+run].GetAnnotations()[v1alpha1.AnnotationHandled])
	w.succeed()
	w.wipeStatus()
	w.reconcileAll()
	assert.Nil(t, w.theJob())
	assert.Len(t, w.jobs, 1)
}
