package compose_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

func TestLifecycle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	rsp := w.reconcile()
	assert.Equal(t, "True", w.condition("PreflightPassed")["status"], w.condition("PreflightPassed"))
	assert.Nil(t, w.theJob(), "no Job starts before the snapshot exists")
	assert.Equal(t, "TakingSnapshot", w.condition("BackupCompleted")["reason"])
	assert.Equal(t, []string{"BackupStarted"}, eventsOf(rsp))
	assert.Equal(t, 19, w.count("Secret"), "13 of the chapter, 5 that the APIManager names, and one for all other objects")

	rsp = w.reconcile()
	require.NotNil(t, w.theJob())
	assert.Empty(t, eventsOf(rsp), "an event is told once")
	assert.Equal(t, false, w.status("completed"))
	assert.Equal(t, "Running", w.status("runs").([]any)[0].(map[string]any)["state"])

	rsp = w.reconcile()
	assert.Equal(t, "Running", w.condition("BackupCompleted")["reason"])
	assert.Positive(t, rsp.GetMeta().GetTtl().AsDuration())
	assert.Equal(t, "Snapshot", w.status("progress", "phase"))
	w.reportText(job.KeyProgress, `{"phase":"FileStorage","filesDone":7,"filesTotal":9}`)
	w.reconcile()
	assert.Equal(t, map[string]any{"phase": "FileStorage", "filesDone": 7.0, "filesTotal": 9.0, "bytesDone": 0.0, "bytesTotal": 0.0}, w.status("progress"))

	run := w.succeed()
	assert.Equal(t, true, w.status("completed"))
	assert.Equal(t, "True", w.condition("BackupCompleted")["status"])
	assert.Nil(t, w.theJob(), "a Job that succeeded goes, so that its pod no longer holds the volumes")
	assert.Nil(t, w.status("progress"))
	assert.Equal(t, map[string]any{"id": run, "files": 3016.0, "bytes": 92331122.0, "linkedFiles": 0.0, "manifestSHA256": digestOf(run)}, w.status("lastRun"))
	assert.Equal(t, "2026-11-22T12:01:00Z", w.status("lastSuccessfulTime"))
	assert.Equal(t, "2026-11-22T12:01:00Z", w.status("completionTime"))
	assert.Equal(t, "example", w.status("apiManagerSourceName"))
	assert.Equal(t, "nightly-backup", w.status("backupPersistentVolumeClaimName"))
	assert.Equal(t, []any{"databases", "capability resources", "changes to Routes"}, w.status("notIncluded"), "what a backup does not hold is said")

	w.reconcile()
	rsp = w.reconcile()
	assert.Nil(t, w.theJob(), "a finished claim does nothing again")
	assert.Zero(t, rsp.GetMeta().GetTtl().AsDuration(), "and nobody needs to look at it again")
	assert.Empty(t, eventsOf(rsp))
	assert.Len(t, w.jobs, 1)
}

func eventsOf(rsp *fnv1.RunFunctionResponse) []string {
	var out []string
	for _, r := range rsp.GetResults() {
		out = append(out, r.GetReason())
	}
	return out
}

// TestRunID: the ID tells the time of the composite's creation and is the same
// in each call; another composite of the same name has another.
func TestRunID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.untilJob()
	assert.Regexp(t, `^20261122t115900z-[0-9a-f]{8}$`, w.runID())
	again := newWorld(t, "")
	again.untilJob()
	assert.Equal(t, w.runID(), again.runID())
	other := newWorld(t, "")
	other.Composite.SetUID("99999999-2222-3333-4444-555555555555")
	other.untilJob()
	assert.NotEqual(t, w.runID(), other.runID())
}

// TestRestart: a function that has seen everything answers as one that was just
// started. (All other tests start a new one for each call.)
func TestRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.function.quick = false
	veteran := newFunction(noon)
	for i := range 6 {
		rsp := w.reconcile()
		if i == 3 {
			w.report(completed(w.runID()))
			w.endJob("Complete")
		}
		same, err := veteran.RunFunction(t.Context(), w.function.last)
		require.NoError(t, err)
		requireSame(t, rsp, same, "reconcile %d", i)
	}
	assert.Equal(t, true, w.status("completed"))
}

// lifeStep is what happens between two reconciles of a run.
type lifeStep func(*world)

// life is a run from nothing to two reconciles after its end.
func life(end lifeStep) []lifeStep {
	nothing := func(*world) {}
	return []lifeStep{nothing, nothing, nothing, end, nothing, nothing}
}

// live goes through the steps and wipes the status before one of them.
func live(t *testing.T, spec string, steps []lifeStep, lost int) *world {
	t.Helper()
	w := newWorld(t, spec)
	w.function.quick = true
	for i, step := range steps {
		step(w)
		if i == lost {
			w.wipeStatus()
		}
		w.reconcile()
	}
	return w
}

// TestStatusLost: the status can be lost at each step of a run (a claim that is
// restored from Git has none): the run goes on under its ID and is never run
// twice.
func TestStatusLost(t *testing.T) {
	t.Parallel()
	ends := map[string]lifeStep{
		"Succeeds": func(w *world) { w.report(completed(w.runID())); w.endJob("Complete") },
		"Fails": func(w *world) {
			w.report(job.Result{Run: w.runID(), Reason: "NoSpace", Message: "cannot write: the volume is full"})
			w.endJob("Failed")
		},
		"LeavesNoReport": func(w *world) { w.endJob("Complete") },
	}
	specs := map[string]string{
		"Creation": "", "TriggerWithoutCopies": beside(`secretCopies: None, trigger: before-upgrade`),
	}
	for endName, end := range ends {
		for specName, spec := range specs {
			undisturbed := live(t, spec, life(end), -1)
			for lost := range life(end) {
				t.Run(fmt.Sprintf("%s/%s/%d", endName, specName, lost), func(t *testing.T) {
					w := live(t, spec, life(end), lost)
					assert.Len(t, w.jobs, 1, "one run, one Job")
					assert.Equal(t, undisturbed.Composite.Object["status"], w.Composite.Object["status"], "nothing is lost with the status")
				})
			}
		}
	}
}

// TestStatusLostInSecondRun: the run in flight goes before the history.
func TestStatusLostInSecondRun(t *testing.T) {
	t.Parallel()
	for lost := range 4 {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			w := newWorld(t, "")
			first := w.backUp()
			w.setSpec("again", "trigger")
			for i := range 3 {
				if i == lost {
					w.wipeStatus()
				}
				w.reconcile()
			}
			second := w.runID()
			assert.NotEqual(t, first, second)
			assert.Equal(t, "again", w.status("lastHandledTrigger"))
			if lost == 3 {
				w.wipeStatus()
			}
			w.succeed()
			w.reconcile()
			assert.Equal(t, true, w.status("completed"))
			assert.Equal(t, second, w.status("lastRun", "id"))
			assert.Equal(t, "again", w.status("lastHandledTrigger"))
			assert.Len(t, w.jobs, 2)
		})
	}
}

// TestJobDeletedByHand: the run is tried again as it was, without a second run.
func TestJobDeletedByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	first := w.untilJob()
	run := w.runID()
	w.Delete("Job", namespace, first.GetName())
	w.reconcile()
	second := w.theJob()
	require.NotNil(t, second)
	assert.NotEqual(t, first.GetUID(), second.GetUID())
	assert.Equal(t, run, w.runID())
	assert.Equal(t, 1, w.attempt(), "the copies are still good")
	w.succeed()
	assert.Equal(t, true, w.status("completed"))
	assert.Len(t, w.status("runs"), 1)
}

// TestJobDeletedAfterItsResult: the result is what counts.
func TestJobDeletedAfterItsResult(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.untilJob()
	run := w.runID()
	w.report(completed(run))
	w.Delete("Job", namespace, w.theJob().GetName())
	w.reconcile()
	assert.Equal(t, true, w.status("completed"))
	assert.Equal(t, run, w.status("lastRun", "id"))
	assert.Nil(t, w.theJob())
}

// TestResultWhileTheJobGoes: a run is not over as long as its pod may write.
func TestResultWhileTheJobGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.untilJob()
	w.report(completed(w.runID()))
	w.reconcile()
	assert.NotNil(t, w.theJob())
	assert.Equal(t, false, w.status("completed"))
	w.endJob("Complete")
	w.reconcile()
	assert.Equal(t, true, w.status("completed"))
}

// TestPodKilledAfterItsResult: the Job controller may count a pod as failed
// whose run is complete.
func TestPodKilledAfterItsResult(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.untilJob()
	w.report(completed(w.runID()))
	w.endJob("Failed")
	w.reconcile()
	assert.Equal(t, true, w.status("completed"), w.condition("BackupCompleted"))
	assert.Nil(t, w.theJob())
}

// TestPolling: while a run goes, core comes back by itself; a watch may fail.
func TestPolling(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.untilJob()
	for _, age := range []time.Duration{0, time.Minute, time.Hour} {
		w.function.now = noon.Add(age)
		ttl := w.reconcile().GetMeta().GetTtl().AsDuration()
		assert.GreaterOrEqual(t, ttl, 5*time.Second, "%s", age)
		assert.LessOrEqual(t, ttl, 30*time.Second, "%s", age)
	}
	w.succeed()
	assert.Zero(t, w.reconcile().GetMeta().GetTtl().AsDuration())
}

// TestPollingWhileUnresponsive: Crossplane drops what it watches for a composite
// that has had too many events at once; a trigger set then must not wait for ever.
func TestPollingWhileUnresponsive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.backUp()
	for _, tc := range []struct {
		after time.Duration
		polls bool
	}{{time.Minute, true}, {3 * time.Minute, true}, {time.Hour, false}} {
		w.function.now = noon.Add(tc.after)
		conditions := append(w.status("conditions").([]any), map[string]any{"type": "Responsive", "status": "False", "reason": "WatchCircuitOpen"})
		set(conditions, "status", "conditions")(w.Composite.Object)
		ttl := w.reconcile().GetMeta().GetTtl().AsDuration()
		assert.Equal(t, tc.polls, ttl > 0, "%s after the run: %s", tc.after, ttl)
	}
}

// attempt is that of the Job.
func (w *world) attempt() int {
	w.t.Helper()
	attempt, err := strconv.Atoi(w.theJob().GetLabels()[v1alpha1.LabelAttempt])
	require.NoError(w.t, err)
	return attempt
}
