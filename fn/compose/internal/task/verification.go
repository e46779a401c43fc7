package task

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/preflight"
	"threescale.dev/backup/fn/compose/internal/text"
	"threescale.dev/backup/fn/specs"
)

// verification is the Work of reading again what runs wrote, or what was copied of it:
// one verification as far as it is observed.
type verification struct {
	Task
	medium

	// record is what the status says of it. Until it has ended, the results in it are
	// those of the one before.
	record v1alpha1.VerificationStatus
	// at is the location of what it reads, as its report says, else its Job; "" of one that
	// an earlier version began.
	at string
	// mayWork: its Job may be made.
	mayWork bool
}

// ReportName implements Work.
func (v *verification) ReportName(f *facts.Facts) string {
	return specs.VerificationReportName(v.spec(f))
}

func (v *verification) spec(f *facts.Facts) specs.Verification {
	return specs.Verification{Identity: f.Identity, ID: v.ID, Bucket: v.at}
}

// findVerification returns the work of verifying. Observed objects count more than the
// status, which may have been lost.
func findVerification(f *facts.Facts, m medium) Work {
	id := ""
	for observed := range m.observed(f) {
		if job.IsRunID(observed) {
			id = max(id, observed) // IDs begin with their slots
		}
	}
	status := cmp.Or(m.before(f), &v1alpha1.VerificationStatus{})
	if id == "" && job.IsRunID(status.ID) {
		id = status.ID
	}
	v := &verification{medium: m}
	if id != "" {
		v = verificationOf(f, m, id)
	}
	if wish := m.wish(f); wish != nil {
		v.Slots = slotsOf(f, wish.Schedule, status.Schedule, m.handledSlot(f))
	}
	if v.InFlight() && !v.isMoved(f) {
		v.finish(f)
	}
	if m.isRemoved(f) && (!v.InFlight() || v.Job == nil) {
		v = &verification{medium: m}
	}
	v.Yields = m.yields
	return v
}

// verificationOf returns the verification called id.
func verificationOf(f *facts.Facts, m medium, id string) *verification {
	v := &verification{Task: Task{Task: m.observed(f)[id], Yields: m.yields}, medium: m}
	v.ID, v.at = id, noteOf(v.Task.Task, v1alpha1.AnnotationBucket)
	if v.Report == nil && v.Job == nil {
		v.at = m.location(f)
	}
	if status := m.before(f); status != nil {
		v.record = *status.DeepCopy()
	}
	if v.record.ID != id {
		v.record.ID, v.record.State, v.record.StartTime = id, v1alpha1.RunRunning, nil
	}
	v.State = v.record.State
	return v
}

// isMoved reports whether the spec names another bucket than the one that is read.
func (v *verification) isMoved(f *facts.Facts) bool {
	where := v.location(f)
	return v.at != "" && where != "" && v.at != where
}

// finish records how the verification in flight ended, if it has.
func (v *verification) finish(f *facts.Facts) {
	if v.record.StartTime == nil {
		v.record.StartTime = v.Created()
	}
	result, err := job.ParseVerification(v.Data())
	switch judge(v.Task.Task, result != nil && result.Completed, err) {
	case going:
		return
	case completed:
		v.complete(result)
		v.record.CompletionTime = completionOf(f, result.CompletionTime, v.record.StartTime, v.Job)
		if !v.damaged() {
			v.record.LastSuccessfulTime = v.record.CompletionTime
		}
	case unreadable:
		v.failf("%s", job.Sentence(err.Error()))
	case silent:
		v.failf(text.VerificationNoResult, v.Job.Name, specs.VerificationReportName(v.spec(f)))
	case failed:
		if because := why(v.Job); result != nil {
			v.failf(text.VerificationAsTold, job.Sentence(result.Message), result.Reason)
		} else {
			v.failf(text.VerificationSilently, v.Job.Name, because.Reason, because.Message)
		}
	}
	v.record.Progress = nil
	v.end(v.record.State, v.record.CompletionTime)
}

func (v *verification) complete(result *job.Verification) {
	v.record.State = v1alpha1.RunCompleted
	v.record.Runs, v.record.Files, v.record.Bytes = result.Runs, result.Files, result.Bytes
	v.record.DamagedRuns, v.record.Problems = result.DamagedRuns, result.Problems
	v.record.Reason, v.record.Message = "", ""
}

func (v *verification) failf(format string, args ...any) {
	v.record.State = v1alpha1.RunFailed
	v.record.Reason, v.record.Message = v1alpha1.ReasonVerificationFailed, fmt.Sprintf(format, args...)
	v.record.CompletionTime = v.Job.EndTime()
}

// damaged reports whether the newest verification that read all found damage.
func (v *verification) damaged() bool {
	return len(v.record.DamagedRuns)+len(v.record.Problems) > 0
}

// Next implements Work. No verification starts beside a run, nor before the status
// records a completed run, which can then be verified.
func (v *verification) Next(f *facts.Facts, findings preflight.Findings, others []Work) Work {
	next, busy := *v, inFlight(others)
	switch slot, isDue := v.Slots.Due(); {
	case v.InFlight() && v.isMoved(f): // what it finds is of a bucket that is no longer asked for
		return &verification{medium: v.medium, Task: Task{Slots: v.Slots, Yields: v.yields, Dropped: v.Job}}
	case v.InFlight() && v.yields && runInFlight(others):
		next.Dropped, next.Job = v.Job, nil // it is made again after the run
	case v.InFlight():
	case v.EndedNow || !isDue || busy || endedNow(others, v1alpha1.RunCompleted):
		return v
	case v.isEmpty(f):
		next.Slots = v.Slots.Skipped() // there is nothing to verify
		return &next
	case !v.isThere(f) || f.Image == "" || findings.JobRefused || v.isRefused(findings):
		return v
	default:
		next = *verificationOf(f, v.medium, verificationID(f, v.digested, slot))
		next.Slots = v.Slots.Started(f.Now)
	}
	next.mayWork = !busy && !findings.JobRefused && v.isThere(f) && next.Report != nil && f.Pods.MayReport(next.Report.Name)
	return &next
}

// verificationID is the time of the slot, and a digest.
func verificationID(f *facts.Facts, digested string, slot time.Time) string {
	return job.RunID(slot, hash(f, digested, slot.String()))
}

// Record implements Work.
func (v *verification) Record(_ *facts.Facts, status *v1alpha1.ThreeScaleBackupStatus) {
	if v.ID == "" && v.Slots == nil {
		v.clear(status)
		return
	}
	out := v.record.DeepCopy()
	out.Schedule = v.Slots.Report()
	if v.InFlight() {
		out.Progress = progressOf(v.Task.Task)
	}
	*v.status(status) = out
}

// Resources implements Work. A finished verification leaves its report, and a Job
// that failed.
func (v *verification) Resources(f *facts.Facts, after v1alpha1.ThreeScaleBackupStatus, out map[string]runtime.Object) error {
	var err error
	if v.keepsReport() {
		var handled string
		handled, err = v.handled(after)
		out[v.reportKey+v.ID] = specs.VerificationReport(v.spec(f), handled)
	}
	switch {
	case v.keepsJob():
		out[v.jobKey+v.ID] = v.Job.Kept
	case v.InFlight() && v.mayWork:
		out[v.jobKey+v.ID] = specs.VerifyJob(v.input(f, after))
	}
	return err
}

func (v *verification) input(f *facts.Facts, after v1alpha1.ThreeScaleBackupStatus) specs.VerifyInput {
	in := specs.VerifyInput{
		Mover:        mover(f, after),
		Verification: v.spec(f),
		Run:          job.All,
	}
	if wish := v.wish(f); wish != nil && wish.LatestOnly {
		in.Run = job.Latest
	}
	if run, digest := v.newest(after); job.KnownManifest(run, digest) != "" {
		in.ExpectRun, in.ManifestSHA256 = run, digest
		in.Known = slices.DeleteFunc(in.Known, func(known string) bool { return strings.HasPrefix(known, run+"=") })
	}
	v.mount(f, &in)
	return in
}

// Condition implements Work. It tells of the newest verification that ended; nil
// where none was ever asked for. Damage stays known until a verification finds none.
func (v *verification) Condition(f *facts.Facts, _ v1alpha1.ThreeScaleBackupStatus) *metav1.Condition {
	is := func(status metav1.ConditionStatus, reason, message string) *metav1.Condition {
		return &metav1.Condition{Type: v.condition, Status: status, Reason: reason, Message: message}
	}
	switch {
	case v.ID == "" && v.wish(f) == nil:
		return v.untold(f)
	case v.damaged() && v.record.Reason != "":
		return is(metav1.ConditionFalse, v1alpha1.ReasonDamaged, fmt.Sprintf(text.FailedAndDamaged, v.failure(f), v.damage()))
	case v.damaged():
		return is(metav1.ConditionFalse, v1alpha1.ReasonDamaged, v.damage())
	case v.record.Reason != "":
		return is(metav1.ConditionFalse, v.record.Reason, v.failure(f))
	case v.record.LastSuccessfulTime != nil:
		return is(metav1.ConditionTrue, v1alpha1.ReasonVerified, fmt.Sprintf(v.foundWell, v.record.Runs))
	}
	return is(metav1.ConditionUnknown, v1alpha1.ReasonNotVerified, text.NotVerified)
}

func (v *verification) damage() string {
	return fmt.Sprintf(v.foundDamage, strings.Join(v.record.DamagedRuns, ", "), strings.Join(v.record.Problems, "; "))
}

func (v *verification) failure(f *facts.Facts) string {
	return fmt.Sprintf(text.VerificationFailed, v.record.Message, f.Namespace)
}

// Warnings implements Work: there are none.
func (v *verification) Warnings(*facts.Facts, v1alpha1.ThreeScaleBackupStatus) []text.Finding {
	return nil
}

// Events implements Work: a start, an end.
func (v *verification) Events(f *facts.Facts, after v1alpha1.ThreeScaleBackupStatus) []text.Event {
	before := v.before(f)
	switch {
	case v.InFlight() && (before == nil || before.ID != v.ID):
		return []text.Event{{Reason: text.ReasonVerificationStarted, Message: fmt.Sprintf(text.VerificationStarted, v.ID)}}
	case !v.EndedNow:
		return nil
	case v.State == v1alpha1.RunFailed:
		return []text.Event{{Warning: true, Reason: v.record.Reason, Message: v.failure(f)}}
	}
	told := v.Condition(f, after)
	return []text.Event{{Warning: told.Status == metav1.ConditionFalse, Reason: told.Reason, Message: told.Message}}
}
