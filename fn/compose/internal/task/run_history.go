package task

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/slots"
	"threescale.dev/backup/fn/compose/internal/text"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/specs"
)

// maxRuns bounds the history in the status.
const maxRuns = 10

// findRun returns the work of backing up.
func findRun(f *facts.Facts) *run {
	r := currentRun(f)
	r.Slots = slotsOf(f, f.Spec.Schedule, f.Status.Schedule, facts.Later(f.Handled.Slot, slotOf(f, r)))
	if r.InFlight() {
		r.finish(f)
	}
	return r
}

// currentRun returns the run in flight, else the newest one. Observed objects count
// more than the history, which may have been lost.
func currentRun(f *facts.Facts) *run {
	var open *run
	for id := range f.Runs {
		if !job.IsRunID(id) || facts.HasEnded(f.Status, id) {
			continue
		}
		if r := runOf(f, id); open == nil || r.before(open) {
			open = r
		}
	}
	switch {
	case open != nil:
		return open
	case len(f.Status.Runs) > 0:
		return runOf(f, f.Status.Runs[0].ID)
	}
	return &run{}
}

// before orders unfinished runs, of which there is more than one only when the
// history was lost: one with a Job first, then the newest.
func (r *run) before(other *run) bool {
	if (r.Job != nil) != (other.Job != nil) {
		return r.Job != nil
	}
	if mine, theirs := r.Created(), other.Created(); !mine.Equal(theirs) {
		return theirs == nil || theirs.Before(mine)
	}
	return r.ID > other.ID
}

// finish records how the run in flight ended, if it has.
func (r *run) finish(f *facts.Facts) {
	if r.record.StartTime == nil {
		r.record.StartTime = r.Created()
	}
	result, err := job.ParseResult(r.Data(), r.ID)
	switch judge(r.Task.Task, result != nil && result.Completed, err) {
	case going:
		return
	case completed:
		r.result, r.record.Bytes = result, result.Bytes
		r.record.State, r.record.Reason, r.record.Message = v1alpha1.RunCompleted, "", ""
		r.record.CompletionTime = completionOf(f, result.CompletionTime, r.record.StartTime, r.Job)
		r.volume = cmp.Or(r.Note(v1alpha1.AnnotationVolume), uidInUse(f), f.Status.BackupPersistentVolumeClaimUID)
	case unreadable:
		r.fail(v1alpha1.ReasonReportMissing, fmt.Sprintf(text.ReportUnreadable, job.Sentence(err.Error())))
	case silent:
		r.fail(v1alpha1.ReasonReportMissing, fmt.Sprintf(text.ResultMissing, r.Job.Name, specs.ReportName(r.spec(f))))
	case failed:
		r.fail(failure(r, result))
	}
	r.end(r.record.State, r.record.CompletionTime)
}

func (r *run) fail(reason, message string) {
	r.record.State = v1alpha1.RunFailed
	r.record.Reason, r.record.Message = reason, message
	if ended := r.Job.EndTime(); ended != nil {
		r.record.CompletionTime = ended
	}
}

// failure says why a Job failed and what to do: in the mover's words if its report has
// any, else in those of the Job controller.
func failure(r *run, result *job.Result) (reason, message string) {
	because := why(r.Job)
	look := fmt.Sprintf(text.LookAtRun, r.Job.Namespace, r.ID)
	switch {
	case because.Reason == "DeadlineExceeded":
		return v1alpha1.ReasonFailed, fmt.Sprintf(text.DeadlineExceeded, r.Job.Name, look)
	case result != nil && !result.Completed && result.Reason != "":
		return result.Reason, fmt.Sprintf(text.FailedAsTold, job.Sentence(result.Message), cmp.Or(advice(result.Reason), look))
	}
	return v1alpha1.ReasonFailed, fmt.Sprintf(text.FailedSilently, r.Job.Name, because.Reason, because.Message, look)
}

// advice says what to do about the failure of a run: its pod opens no other bucket than that of the file storage.
func advice(reason string) string {
	failure := job.FailureOf(reason)
	if strings.HasPrefix(reason, "Bucket") {
		return failure.FileBucketAdvice
	}
	return failure.BackupAdvice
}

// holds is heldBefore, or the PVC of a run that this call found completed.
func (r *run) holds(f *facts.Facts) string {
	if r.result != nil {
		return r.volume
	}
	return heldBefore(f)
}

// Record implements Work.
func (r *run) Record(f *facts.Facts, status *v1alpha1.ThreeScaleBackupStatus) {
	status.Progress = nil
	status.LastHandledTrigger = f.LastTrigger()
	if r.ID != "" {
		if r.cause.Kind == recorded.CauseTrigger && !facts.HasEnded(f.Status, r.ID) {
			status.LastHandledTrigger = r.cause.Value
		}
		status.StartTime, status.CompletionTime = r.record.StartTime, r.record.CompletionTime
		status.Runs = withRun(status.Runs, r.record)
		if r.InFlight() {
			status.Progress = progressOf(r.Task.Task)
		} else {
			status.Completed = r.State == v1alpha1.RunCompleted
		}
		r.recordResult(status)
	}
	r.recordVolume(f, status)
	r.recordSchedule(f, status)
}

// recordResult describes a run that this call found completed.
func (r *run) recordResult(status *v1alpha1.ThreeScaleBackupStatus) {
	if r.result == nil {
		return
	}
	warnings := slices.Clone(r.result.Warnings)
	if r.inconsistent {
		warnings = append([]string{fmt.Sprintf(text.Inconsistent, maxAttempts)}, warnings...)
	}
	if warning := clockWarning(r); warning != "" {
		warnings = append([]string{warning}, warnings...)
	}
	status.LastSuccessfulTime = r.record.CompletionTime
	status.Manifests = withoutManifests(withManifest(status.Manifests, r.ID, r.result.ManifestSHA256), r.result.Removed)
	status.LastRun = &v1alpha1.LastRun{
		ID:             r.ID,
		Files:          r.result.Files,
		Bytes:          r.result.Bytes,
		LinkedFiles:    r.result.LinkedFiles,
		ManifestSHA256: r.result.ManifestSHA256,
		Skipped:        job.Bounded(r.result.Skipped),
		Warnings:       job.Bounded(warnings),
		Encrypted:      r.result.Encrypted,
		Databases:      dumped(r.result.Databases),
		Removed:        job.BoundedIDs(r.result.Removed),
		FreedBytes:     r.result.FreedBytes,
	}
}

// clockWarning warns of a clock of the run's node that was wrong; "" if it was right.
func clockWarning(r *run) string {
	start, told := slots.TimeOf(r.result.StartTime), slots.TimeOf(r.result.CompletionTime)
	began, done := r.record.StartTime, r.record.CompletionTime
	if start == nil || began == nil || done == nil {
		return ""
	}
	off := func(format string, by time.Duration) string { return fmt.Sprintf(format, r.ID, by.Round(time.Minute)) }
	switch {
	case told != nil && told.After(done.Add(facts.ClockTolerance)): // completionOf did not believe it
		return off(text.ClockAhead, told.Sub(done.Time))
	case start.After(done.Add(facts.ClockTolerance)):
		return off(text.ClockAhead, start.Sub(done.Time))
	case start.Add(facts.ClockTolerance).Before(began.Time):
		return off(text.ClockBehind, began.Sub(start.Time))
	}
	return ""
}

// recordVolume notes which PVC holds the runs.
func (r *run) recordVolume(f *facts.Facts, status *v1alpha1.ThreeScaleBackupStatus) {
	status.BackupPersistentVolumeClaimName, _ = f.Destination.InUse()
	if status.BackupPersistentVolumeClaimUID == "" {
		status.BackupPersistentVolumeClaimUID = uidInUse(f)
	}
	if r.result != nil {
		status.BackupPersistentVolumeClaimUID = r.volume
	}
	if isReplaced(f, r.holds(f)) {
		status.Completed = false // the backup is not there any more
	}
}

// recordSchedule says when the next run comes, and when the newest one is too old.
func (r *run) recordSchedule(f *facts.Facts, status *v1alpha1.ThreeScaleBackupStatus) {
	status.Schedule, status.NextRunTime, status.StaleTime = r.Slots.Report(), nil, nil
	if r.Slots == nil {
		return
	}
	status.NextRunTime = status.Schedule.NextSlot
	if !status.Schedule.Suspended {
		status.StaleTime = slots.TimeOf(r.stale(f, status.Runs))
	}
}

// stale is the deadline of the slot after the newest successful run: the slot, the
// starting deadline and the Job's, but not later than two slots on.
func (r *run) stale(f *facts.Facts, history []v1alpha1.Run) time.Time {
	from := r.Slots.Status.Since.Time
	for _, h := range history {
		if h.State == v1alpha1.RunCompleted && h.StartTime != nil && h.StartTime.After(from) && !h.StartTime.After(f.Now.Add(facts.ClockTolerance)) {
			from = h.StartTime.Time
			break
		}
	}
	slot := r.Slots.Next(from)
	if slot.IsZero() {
		return slot
	}
	start := slots.Seconds(*cmp.Or(f.Spec.StartingDeadlineSeconds, new(int64)))
	work := slots.Seconds(*cmp.Or(f.Spec.Job.ActiveDeadlineSeconds, new(specs.DefaultDeadlineSeconds)))
	latest := slot.Add(start + work)
	if later := r.Slots.Next(r.Slots.Next(slot)); !later.IsZero() && later.Before(latest) {
		return later
	}
	return latest
}

// withRun puts record at the place of its ID, else first.
func withRun(history []v1alpha1.Run, record v1alpha1.Run) []v1alpha1.Run {
	for i := range history {
		if history[i].ID == record.ID {
			history[i] = record
			return history
		}
	}
	history = append([]v1alpha1.Run{record}, history...)
	return history[:min(len(history), maxRuns)]
}
