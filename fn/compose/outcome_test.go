package compose_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// outcome is how a run can go, and what BackupCompleted says of it.
type outcome struct {
	reason string
	// run takes a world without a run to the outcome.
	run         func(*world)
	completed   bool
	want        string
	holds, lack []string
	// keepsJob tells that the Job stays, for its log.
	keepsJob bool
}

func outcomes() map[string]outcome {
	ended := func(condition, why string, say func(*world)) func(*world) {
		return func(w *world) {
			w.untilJob()
			if say != nil {
				say(w)
			}
			w.endJobBecause(condition, why)
			w.reconcile()
			w.reconcile()
		}
	}
	says := func(text string) func(*world) { return func(w *world) { w.reportText(job.KeyResult, text) } }
	cases := map[string]outcome{
		"NotStarted": {
			reason: "preflight refuses", run: func(w *world) { w.Image = ""; w.reconcile() },
			want: v1alpha1.ReasonNotStarted,
		},
		"TakingSnapshot": {
			reason: "the first reconcile copies", run: func(w *world) { w.reconcile() },
			want: v1alpha1.ReasonTakingSnapshot, holds: []string{"copies Secrets"},
		},
		"Running": {
			reason: "the Job is at work", run: func(w *world) { w.untilJob(); w.reconcile() },
			want: v1alpha1.ReasonRunning, holds: []string{"kubectl -n 3scale describe job,pod -l backup.threescale.dev/run="}, keepsJob: true,
		},
		"Completed": {
			reason: "the mover says so, and the Job has ended", run: func(w *world) { w.backUp() },
			completed: true, want: v1alpha1.ReasonCompleted, holds: []string{"nightly-backup", "verified"},
		},
		"JobFails": {
			reason: "the mover had no chance to say why", run: ended("Failed", "BackoffLimitExceeded", nil),
			want: v1alpha1.ReasonFailed, holds: []string{"BackoffLimitExceeded", "kubectl -n 3scale describe job,pod", "spec.trigger"}, keepsJob: true,
		},
		"DeadlineExceeded": {
			reason: "no wait is for ever", run: ended("Failed", "DeadlineExceeded", nil),
			want: v1alpha1.ReasonFailed, holds: []string{"activeDeadlineSeconds", "spec.trigger"}, keepsJob: true,
		},
		"NoReport": {
			reason: "a Job that merely ended well proves nothing", run: ended("Complete", "", nil),
			want: v1alpha1.ReasonReportMissing, holds: []string{"left no result", "its log", "spec.trigger"}, keepsJob: true,
		},
		"ReportDeleted": {
			reason: "likewise when the ConfigMap is gone",
			run: func(w *world) {
				w.untilJob()
				w.Delete("ConfigMap", namespace, w.only("ConfigMap").GetName())
				w.endJob("Complete")
				w.reconcile()
			},
			want: v1alpha1.ReasonReportMissing, keepsJob: true,
		},
		"ReportOfAnotherRun": {
			reason: "a result is of the run that it names", run: ended("Complete", "", says(`{"run":"20250101t000000z-00000000","completed":true}`)),
			want: v1alpha1.ReasonReportMissing, keepsJob: true,
		},
		"ReportGarbage": {
			reason: "nothing can be read from it", run: ended("Complete", "", says(`{"run":`)),
			want: v1alpha1.ReasonReportMissing, holds: []string{"result", "spec.trigger"}, keepsJob: true,
		},
		"ReportGarbageAndJobFails": {
			reason: "likewise", run: ended("Failed", "BackoffLimitExceeded", says(`[]`)),
			want: v1alpha1.ReasonReportMissing, keepsJob: true,
		},
		"ReportTooLarge": {
			reason: "somebody else wrote it, and it must not fill the status", run: ended("Complete", "", says(strings.Repeat("x", job.MaxReportBytes+1))),
			want: v1alpha1.ReasonReportMissing, holds: []string{"262145 bytes"}, lack: []string{"xxxx"}, keepsJob: true,
		},
		"ReportNotCompleted": {
			reason: "a Job that ended well with a result that did not", run: ended("Complete", "", func(w *world) {
				w.report(job.Result{Run: w.runID()})
			}),
			want: v1alpha1.ReasonReportMissing, keepsJob: true,
		},
		"MessageTooLong": {
			reason: "ten of them are in the status", run: ended("Failed", "BackoffLimitExceeded", func(w *world) {
				w.report(job.Result{Run: w.runID(), Reason: "IO", Message: "cannot read " + strings.Repeat("ä", 50_000)})
			}),
			want: v1alpha1.ReasonIO, holds: []string{"Cannot read ä", "spec.trigger"}, lack: []string{strings.Repeat("ä", 5_000)}, keepsJob: true,
		},
		"VolumeReplaced": {
			reason: "the run was on the volume that is gone",
			run: func(w *world) {
				w.backUp()
				w.Delete("PersistentVolumeClaim", namespace, "nightly-backup")
				w.reconcile()
				w.reconcile()
			},
			want: v1alpha1.ReasonBackupVolumeReplaced, holds: []string{"nightly-backup", "spec.trigger"},
		},
	}
	for _, reason := range []string{
		v1alpha1.ReasonIntegrity, v1alpha1.ReasonNoSpace, v1alpha1.ReasonVolumeNotWritable, v1alpha1.ReasonUnreadable,
		v1alpha1.ReasonLocked, v1alpha1.ReasonInterrupted, v1alpha1.ReasonIO, v1alpha1.ReasonUsage, v1alpha1.ReasonUnsupportedFormat,
		v1alpha1.ReasonDatabaseUnreachable, v1alpha1.ReasonDatabaseUntrusted, v1alpha1.ReasonDatabaseDenied, v1alpha1.ReasonDatabaseUnsupported,
		v1alpha1.ReasonDatabaseClientMissing, v1alpha1.ReasonDatabaseFull, v1alpha1.ReasonDatabaseFailed,
	} {
		cases["Mover/"+reason] = outcome{
			reason: "the mover knows best why", run: ended("Failed", "PodFailurePolicy", func(w *world) {
				w.report(job.Result{Run: w.runID(), Reason: reason, Message: "cannot write run x"})
			}),
			want: reason, holds: []string{"Cannot write run x", "spec.trigger"}, lack: []string{"PodFailurePolicy"}, keepsJob: true,
		}
	}
	return cases
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	for name, tc := range outcomes() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "")
			tc.run(w)
			condition := w.condition(v1alpha1.ConditionBackupCompleted)
			assert.Equal(t, tc.want, condition["reason"], "%s\n%s", tc.reason, condition["message"])
			assert.Equal(t, map[bool]string{true: "True", false: "False"}[tc.completed], condition["status"], tc.reason)
			assert.Equal(t, tc.completed, w.status("completed"), tc.reason)
			for _, text := range tc.holds {
				assert.Contains(t, condition["message"], text, tc.reason)
			}
			for _, text := range tc.lack {
				assert.NotContains(t, condition["message"], text, tc.reason)
			}
			assert.Equal(t, tc.keepsJob, w.theJob() != nil, tc.reason)
			assert.Less(t, len(jsonOf(t, w.Composite.Object["status"])), 32<<10, "a status is no log")
		})
	}
}

// TestOutcomeReasonsHaveCases: every reason that the API documents can occur.
func TestOutcomeReasonsHaveCases(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, tc := range outcomes() {
		seen[tc.want] = true
	}
	for _, tc := range refusals() {
		if tc.fatal { // TestPreflightRefuses
			seen[tc.want] = true
		}
	}
	requireSameReasons(t, v1alpha1.ConditionBackupCompleted, seen)
}

// TestFailedRunUntilTheNext: a failed Job and its report stay for whoever looks,
// and go when the next run starts.
func TestFailedRunUntilTheNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.untilJob()
	run := w.fail()
	failed := w.theJob()
	require.NotNil(t, failed)
	for range 3 {
		rsp := w.reconcile()
		assert.Empty(t, eventsOf(rsp))
		assert.Zero(t, rsp.GetMeta().GetTtl().AsDuration(), "it waits for the user")
	}
	assert.Equal(t, failed.GetUID(), w.theJob().GetUID())
	assert.Equal(t, "NoSpace", w.condition("BackupCompleted")["reason"])
	assert.Contains(t, data(w.only("ConfigMap"))[job.KeyResult], run)
	record := maps.Clone(w.status("runs").([]any)[0].(map[string]any))
	assert.Contains(t, record["message"], "Cannot write: the volume is full; ")
	delete(record, "message")
	assert.Equal(t, map[string]any{
		"id": run, "state": "Failed", "reason": "NoSpace", "startTime": "2026-11-22T12:00:00Z", "completionTime": "2026-11-22T12:00:00Z",
	}, record)

	w.setSpec("larger volume", "trigger")
	w.reconcile()
	assert.Nil(t, w.Get("Job", namespace, failed.GetName()))
	assert.Equal(t, "NoSpace", w.condition("BackupCompleted")["reason"], "the condition is that of the newest run that has finished")
	w.backUp()
	assert.Equal(t, true, w.status("completed"))
}

// TestFailedJobDeletedByHand: cleaning up starts nothing.
func TestFailedJobDeletedByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.untilJob()
	w.fail()
	w.Delete("Job", namespace, w.theJob().GetName())
	w.reconcile()
	w.reconcile()
	assert.Nil(t, w.theJob())
	assert.Len(t, w.jobs, 1)
	assert.Equal(t, "NoSpace", w.condition("BackupCompleted")["reason"])
}

// TestCompletedIsOfTheNewestFinished: true while the next run goes, false when
// that one fails, true again after one that succeeds.
func TestCompletedIsOfTheNewestFinished(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	good := w.backUp()
	w.setSpec("A", "trigger")
	w.untilJob()
	w.reconcile()
	assert.Equal(t, true, w.status("completed"))
	assert.Equal(t, "True", w.condition("BackupCompleted")["status"])
	assert.Contains(t, w.condition("BackupCompleted")["message"], good)
	assert.Equal(t, good, w.status("lastRun", "id"))

	w.fail()
	assert.Equal(t, false, w.status("completed"))
	assert.Equal(t, "False", w.condition("BackupCompleted")["status"])
	assert.Equal(t, good, w.status("lastRun", "id"), "the newest good run is still known")
	assert.Equal(t, "2026-11-22T12:01:00Z", w.status("lastSuccessfulTime"))

	w.setSpec("B", "trigger")
	w.untilJob()
	assert.Equal(t, false, w.status("completed"), "a run in flight proves nothing")
	w.succeed()
	assert.Equal(t, true, w.status("completed"))
}

// TestReportListsAreBounded: a report that lists a thousand files is cut, also
// when somebody else wrote it.
func TestReportListsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.untilJob()
	result := completed(w.runID())
	for range 200 {
		result.Skipped = append(result.Skipped, strings.Repeat("y", 1000))
		result.Warnings = append(result.Warnings, "x")
	}
	text, err := json.Marshal(result)
	require.NoError(t, err)
	w.reportText(job.KeyResult, string(text))
	w.endJob("Complete")
	w.reconcile()
	assert.Equal(t, true, w.status("completed"))
	assert.Len(t, w.status("lastRun", "skipped"), 20)
	assert.Less(t, len(w.condition("Warning")["message"].(string)), 32<<10, "a condition holds 32 KiB")
}

// TestFileBucketFails: a run opens no other bucket than that of the file storage, so the advice is about that.
func TestFileBucketFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.untilJob()
	w.report(job.Result{Run: w.runID(), Reason: v1alpha1.ReasonBucketDenied, Message: "the object store refuses the keys"})
	w.endJobBecause("Failed", "PodFailurePolicy")
	w.reconcile()
	message := w.condition(v1alpha1.ConditionBackupCompleted)["message"]
	assert.Contains(t, message, "efuses the keys; "+job.FailureOf(v1alpha1.ReasonBucketDenied).FileBucketAdvice)
	assert.NotContains(t, message, "offsite", "the run may have no copies")
}
