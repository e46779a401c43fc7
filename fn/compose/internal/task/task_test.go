package task

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/preflight"
	"threescale.dev/backup/fn/compose/internal/text"
	"threescale.dev/backup/fn/specs"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func at(t time.Time) *metav1.Time { return &metav1.Time{Time: t} }

// jobThat is a Job with a condition; without any it is active.
func jobThat(conditions ...batchv1.JobConditionType) *facts.Job {
	j := &facts.Job{}
	j.Name, j.Namespace, j.CreationTimestamp = "nightly-1", "3scale", *at(noon.Add(-time.Hour))
	for _, c := range conditions {
		j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: c, Status: corev1.ConditionTrue, Reason: "R", Message: "M", LastTransitionTime: *at(noon)})
	}
	return j
}

func reportOf(t *testing.T, name, key string, value any) *corev1.ConfigMap {
	t.Helper()
	data, err := json.Marshal(value)
	require.NoError(t, err)
	out := &corev1.ConfigMap{Data: map[string]string{key: string(data)}}
	out.Name, out.CreationTimestamp = name, *at(noon.Add(-time.Hour))
	return out
}

// idle are facts of a composite that is known, with a PVC, and nothing to do.
func idle() *facts.Facts {
	pvc := &corev1.PersistentVolumeClaim{}
	pvc.UID = "pvc"
	f := &facts.Facts{
		Identity: specs.Identity{Backup: "nightly", Namespace: "3scale"}, UID: "uid", Now: noon, Created: noon.Add(-24 * time.Hour), Image: "image:1",
		Destination: facts.Destination{Name: "nightly-backup", PVC: pvc},
	}
	f.Status.NotIncluded = []string{"databases"}
	f.Status.Runs = []v1alpha1.Run{{ID: firstRunID(f), State: v1alpha1.RunCompleted, StartTime: at(noon.Add(-24 * time.Hour))}}
	f.Status.LastRun = &v1alpha1.LastRun{ID: firstRunID(f)}
	f.Status.BackupPersistentVolumeClaimUID = "pvc"
	return f
}

// hourly gives a schedule, of which the slot at noon is due.
func hourly(f *facts.Facts) *v1alpha1.ScheduleStatus {
	f.Spec.Schedule = "0 * * * *"
	f.Status.Schedule = &v1alpha1.ScheduleStatus{Expression: "0 * * * *", LastSlot: at(noon.Add(-time.Hour))}
	return f.Status.Schedule
}

// verifying gives a verification's schedule, of which the slot at noon is due.
func verifying(f *facts.Facts) {
	f.Spec.Verify = &v1alpha1.Verify{Schedule: "0 * * * *"}
	f.Status.Verification = &v1alpha1.VerificationStatus{Schedule: &v1alpha1.ScheduleStatus{Expression: "0 * * * *", LastSlot: at(noon.Add(-time.Hour))}}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason   string
		job      *facts.Job
		reported bool
		err      error
		want     verdict
	}{
		"NoJob":         {"it has not begun", nil, false, nil, going},
		"Active":        {"a report alone ends nothing while the Job is at work", jobThat(), true, nil, going},
		"Suspended":     {"another condition is no end", jobThat(batchv1.JobSuspended), false, nil, going},
		"Complete":      {"as its report says", jobThat(batchv1.JobComplete), true, nil, completed},
		"JobGone":       {"the report outlives the Job", nil, true, nil, completed},
		"FailedAfter":   {"what is stored stays stored", jobThat(batchv1.JobFailed), true, nil, completed},
		"Failed":        {"as its Job says", jobThat(batchv1.JobFailed), false, nil, failed},
		"Silent":        {"a Job that merely ended proves nothing", jobThat(batchv1.JobComplete), false, nil, silent},
		"Unreadable":    {"nobody knows what it says", jobThat(batchv1.JobComplete), false, errors.New("x"), unreadable},
		"NotYetWritten": {"it may be written again", jobThat(), false, errors.New("x"), going},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tc.want, judge(facts.Task{Job: tc.job}, tc.reported, tc.err), tc.reason)
		})
	}
}

// TestHistory: what has ended is in the work, and in the status that is recorded
// from it; the status of the call before does not change.
func TestHistory(t *testing.T) {
	t.Parallel()
	const id = "20261122t110000z-0a1b2c3d"
	observed := func(j *facts.Job, report *corev1.ConfigMap) func(*facts.Facts) {
		return func(f *facts.Facts) {
			f.Runs = map[string]facts.Run{id: {Task: facts.Task{ID: id, Job: j, Report: report}, Snapshot: facts.Snapshot{Attempt: 1}}}
		}
	}
	done := job.Result{Run: id, Completed: true, StartTime: noon.Add(-time.Hour), CompletionTime: noon.Add(-time.Minute), Bytes: 7}
	for name, tc := range map[string]struct {
		reason string
		change func(*facts.Facts)
		state  v1alpha1.RunState
		why    string // the reason of the newest run
		events []string
	}{
		"InFlight":  {"a run that nobody recorded started", observed(jobThat(), nil), v1alpha1.RunRunning, "", []string{"BackupStarted"}},
		"Completed": {"as its report says", observed(jobThat(batchv1.JobComplete), reportOf(t, "r", job.KeyResult, done)), v1alpha1.RunCompleted, "", []string{"BackupStarted", v1alpha1.ReasonCompleted}},
		"Failed":    {"its reason is the mover's", observed(jobThat(batchv1.JobFailed), reportOf(t, "r", job.KeyResult, job.Result{Run: id, Reason: v1alpha1.ReasonNoSpace, Message: "full"})), v1alpha1.RunFailed, v1alpha1.ReasonNoSpace, []string{"BackupStarted", v1alpha1.ReasonNoSpace}},
		"OfAnother": {"a report of another run says nothing", observed(jobThat(batchv1.JobFailed), reportOf(t, "r", job.KeyResult, job.Result{Run: "x", Completed: true})), v1alpha1.RunFailed, v1alpha1.ReasonFailed, []string{"BackupStarted", v1alpha1.ReasonFailed}},
		"Silent":    {"nothing proves that it is stored", observed(jobThat(batchv1.JobComplete), nil), v1alpha1.RunFailed, v1alpha1.ReasonReportMissing, []string{"BackupStarted", v1alpha1.ReasonReportMissing}},
		"Known":     {"what is recorded is told once", func(*facts.Facts) {}, v1alpha1.RunCompleted, "", nil},
		"Forged":    {"an ID that is none names no objects", func(f *facts.Facts) { f.Runs = map[string]facts.Run{"../x": {Task: facts.Task{ID: "../x"}}} }, v1alpha1.RunCompleted, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := idle()
			tc.change(f)
			before := f.Status.DeepCopy()
			after := f.Status.DeepCopy()
			run := Find(f)[0]
			run.Record(f, after)
			assert.Equal(t, tc.state, after.Runs[0].State, tc.reason)
			assert.Equal(t, tc.why, after.Runs[0].Reason, tc.reason)
			assert.Equal(t, tc.state == v1alpha1.RunCompleted, after.Completed)
			assert.Equal(t, tc.state == v1alpha1.RunRunning, after.Progress != nil)
			assert.Equal(t, tc.events, reasonsOf(run.Events(f, *after)), tc.reason)
			assert.Equal(t, before, &f.Status)
			if name == "Silent" {
				assert.Contains(t, after.Runs[0].Message, `ConfigMap "nightly-0a1b2c3d-report"`, "whoever looks for it knows its name")
			}
		})
	}
}

func reasonsOf(events []text.Event) []string {
	var out []string
	for _, e := range events {
		out = append(out, e.Reason)
	}
	return out
}

// TestNextRun: which run starts.
func TestNextRun(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		change func(*facts.Facts)
		failed bool
		others []Work
		want   func(*facts.Facts) string // the run in flight; nil: none
		passed bool                      // the slot at noon has been dealt with
	}{
		"Nothing":   {reason: "a backup that has run once is done", change: func(*facts.Facts) {}},
		"First":     {reason: "the composite was made", change: func(f *facts.Facts) { f.Status = v1alpha1.ThreeScaleBackupStatus{} }, want: firstRunID},
		"Scheduled": {reason: "the first run of a schedule is a slot's", change: func(f *facts.Facts) { f.Status = v1alpha1.ThreeScaleBackupStatus{}; f.Spec.Schedule = "0 0 1 1 *" }},
		"Slot":      {reason: "a slot has come", change: func(f *facts.Facts) { hourly(f) }, want: func(f *facts.Facts) string { return scheduledRunID(f, noon) }, passed: true},
		"Trigger":   {reason: "somebody waits for it, so that it goes before a slot", change: func(f *facts.Facts) { hourly(f); f.Spec.Trigger = "a" }, want: func(f *facts.Facts) string { return triggeredRunID(f, f.Status.Runs[0].ID) }},
		"Handled":   {reason: "a trigger starts one run", change: func(f *facts.Facts) { f.Spec.Trigger, f.Status.LastHandledTrigger = "a", "a" }},
		"Repeated":  {reason: "a clock went backwards", change: func(f *facts.Facts) { hourly(f); f.Status.Runs[0].ID = scheduledRunID(f, noon) }, passed: true},
		"Refused":   {reason: "preflight has not passed", change: func(f *facts.Facts) { hourly(f) }, failed: true},
		"Beside":    {reason: "a verification reads the volume", change: func(f *facts.Facts) { hourly(f) }, others: []Work{&verification{Task: Task{State: v1alpha1.RunRunning}}}},
		"After":     {reason: "what a verification found is recorded first", change: func(f *facts.Facts) { hourly(f) }, others: []Work{&verification{Task: Task{State: v1alpha1.RunFailed, EndedNow: true}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := idle()
			tc.change(f)
			var findings preflight.Findings
			if tc.failed {
				findings.Problems = []text.Finding{{}}
			}
			now := findRun(f)
			next := now.Next(f, findings, tc.others).Base()
			assert.Equal(t, tc.want != nil, next.InFlight(), tc.reason)
			if tc.want != nil {
				assert.Equal(t, tc.want(f), next.ID, tc.reason)
			}
			last := lastSlot(next.Slots.Report())
			assert.Equal(t, tc.passed, last != nil && last.Equal(noon), tc.reason)
			assert.False(t, now.Base().InFlight(), "the work before does not change")
		})
	}
}

// TestNextStep: what a run in flight does next.
func TestNextStep(t *testing.T) {
	t.Parallel()
	source := &facts.Secret{ResourceVersion: "1", Encoded: map[string]any{"a": "YQ=="}}
	copied := func(f *facts.Facts) *run {
		f.Installation.Sources = map[string]*facts.Secret{"s": source}
		f.Installation.Files = map[string][]byte{job.SecretMetadataFile("s"): []byte("{}")}
		f.Pods = facts.Pods{Account: true, Role: &rbacv1.Role{Rules: []rbacv1.PolicyRule{{ResourceNames: []string{"report"}}}}}
		r := &run{Task: Task{State: v1alpha1.RunRunning}, Snapshot: facts.Snapshot{Attempt: 1, Copies: map[string]*facts.Secret{"s": source}}}
		r.ID, r.Report = firstRunID(f), reportOf(t, "report", "x", nil)
		files, err := r.files(f)
		require.NoError(t, err)
		r.Objects = &facts.Secret{Encoded: map[string]any{}}
		for key, data := range specs.ObjectsSecret(r.spec(f), files).Data {
			encoded, err := json.Marshal(data) // which writes bytes as base64
			require.NoError(t, err)
			r.Objects.Encoded[key] = string(encoded[1 : len(encoded)-1])
		}
		return r
	}
	changed := func(f *facts.Facts, _ *run) {
		f.Installation.Sources["s"] = &facts.Secret{ResourceVersion: "2", Encoded: map[string]any{"a": "Yg=="}}
	}
	for name, tc := range map[string]struct {
		reason       string
		change       func(*facts.Facts, *run)
		failed       bool
		want         step
		attempt      int
		inconsistent bool
	}{
		"Whole":    {reason: "everything is copied", change: func(*facts.Facts, *run) {}, want: toWork, attempt: 1},
		"Partial":  {reason: "a copy is missing yet", change: func(_ *facts.Facts, r *run) { r.Copies = nil }, want: toCopy, attempt: 1},
		"NoRights": {reason: "its pod could not report", change: func(f *facts.Facts, _ *run) { f.Pods.Role = nil }, want: toCopy, attempt: 1},
		"NoPVC":    {reason: "its pod could not be mounted", change: func(f *facts.Facts, _ *run) { f.Destination.PVC = nil }, want: toCopy, attempt: 1},
		"Touched":  {reason: "another version of the same is the same", change: func(f *facts.Facts, r *run) { changed(f, r); f.Installation.Sources["s"].Encoded = source.Encoded }, want: toWork, attempt: 1},
		"Changed":  {reason: "the snapshot is of one moment", change: changed, want: toCopy, attempt: 2},
		"Settled":  {reason: "a source that never rests stops no backup", change: func(f *facts.Facts, r *run) { changed(f, r); r.Attempt = maxAttempts }, want: toWork, attempt: maxAttempts, inconsistent: true},
		"Refused":  {reason: "no Job starts from less than the whole", change: func(*facts.Facts, *run) {}, failed: true, want: toWait, attempt: 1},
		"AtWork":   {reason: "a run in flight is never replaced", change: func(f *facts.Facts, r *run) { changed(f, r); r.Job = jobThat() }, failed: true, want: toWork, attempt: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := idle()
			r := copied(f)
			tc.change(f, r)
			r.goOn(f, !tc.failed)
			assert.Equal(t, tc.want, r.next, tc.reason)
			assert.Equal(t, tc.attempt, r.Attempt, tc.reason)
			assert.Equal(t, tc.inconsistent, r.inconsistent, tc.reason)
		})
	}
}

// TestNextVerification: whether a verification starts.
func TestNextVerification(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason  string
		change  func(*facts.Facts)
		refused bool
		other   run
		starts  bool
		passed  bool // the slot at noon has been dealt with
	}{
		"Slot":     {reason: "a slot has come", change: verifying, starts: true, passed: true},
		"Beside":   {reason: "a run writes to the volume", change: verifying, other: run{Task: Task{State: v1alpha1.RunRunning}}},
		"After":    {reason: "what a run leaves is verified too", change: verifying, other: run{Task: Task{State: v1alpha1.RunCompleted, EndedNow: true}}},
		"Failed":   {reason: "a run that failed leaves nothing", change: verifying, other: run{Task: Task{State: v1alpha1.RunFailed, EndedNow: true}}, starts: true, passed: true},
		"Empty":    {reason: "there is nothing to verify", change: func(f *facts.Facts) { verifying(f); f.Status.LastRun = nil }, passed: true},
		"Replaced": {reason: "the runs are gone", change: func(f *facts.Facts) { verifying(f); f.Status.BackupPersistentVolumeClaimUID = "other" }, passed: true},
		"NoPVC":    {reason: "it may come back", change: func(f *facts.Facts) { verifying(f); f.Destination.PVC = nil }},
		"Refused":  {reason: "its Job may not be made", change: verifying, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := idle()
			tc.change(f)
			next := findVerification(f, onVolume()).Next(f, preflight.Findings{JobRefused: tc.refused}, []Work{&tc.other}).Base()
			assert.Equal(t, tc.starts, next.InFlight(), tc.reason)
			last := lastSlot(next.Slots.Report())
			assert.Equal(t, tc.passed, last != nil && last.Equal(noon), tc.reason)
		})
	}
}

// TestIdentity: the pods' one Role is for the report that is written next.
func TestIdentity(t *testing.T) {
	t.Parallel()
	running, over := Task{State: v1alpha1.RunRunning}, Task{State: v1alpha1.RunCompleted}
	running.ID, over.ID = "20261122t110000z-0a1b2c3d", "20261122t110000z-0a1b2c3d"
	working := running
	working.Job = jobThat()
	for name, tc := range map[string]struct {
		reason            string
		run, verification Task
		want              string
	}{
		"None":     {"nothing has ever run", Task{}, Task{}, ""},
		"Idle":     {"it stays that of the newest run", over, over, "nightly-0a1b2c3d-report"},
		"Run":      {"it is in flight", running, over, "nightly-0a1b2c3d-report"},
		"Verify":   {"it is in flight", over, running, "nightly-verify-0a1b2c3d-report"},
		"Both":     {"the run goes first", running, running, "nightly-0a1b2c3d-report"},
		"BothJobs": {"a pod is at work that must be heard", running, working, "nightly-verify-0a1b2c3d-report"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := Identity(idle(), []Work{&run{Task: tc.run, Snapshot: facts.Snapshot{Attempt: 1}}, &verification{Task: tc.verification, medium: onVolume()}})
			if tc.want == "" {
				assert.Empty(t, out, tc.reason)
				return
			}
			assert.Equal(t, []string{tc.want}, out[facts.KeyRole].(*rbacv1.Role).Rules[0].ResourceNames, tc.reason)
			assert.NotContains(t, out, facts.KeyRoleBinding, "the Role does not exist yet")
		})
	}
}
