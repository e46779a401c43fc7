// Package task has what a backup does in Jobs: its runs, their copies to a bucket, and
// the verifications of what both wrote. Each is a Job with a report, of which there is at most one at
// work. A further kind is one file that implements Work, and a line in Find.
package task

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/preflight"
	"threescale.dev/backup/fn/compose/internal/slots"
	"threescale.dev/backup/fn/compose/internal/text"
	"threescale.dev/backup/fn/specs"
)

// Work is where one kind of Job stands: its task in flight, else the newest one, and its
// schedule. A Work is immutable: Next returns another.
type Work interface {
	// Base is what all kinds have in common; each embeds it.
	Base() *Task
	// Next continues the task in flight, or starts the one that is due. others is the
	// work of the other kinds; those before this one have had their Next.
	Next(f *facts.Facts, findings preflight.Findings, others []Work) Work
	// Record writes what is known of the work into a status, which so far is that of
	// the call before.
	Record(f *facts.Facts, status *v1alpha1.ThreeScaleBackupStatus)
	Composer
	Teller
}

// Composer is what a Work has composed.
type Composer interface {
	// Resources adds the objects of the task, by resource name. after is the status
	// with what this call has recorded.
	Resources(f *facts.Facts, after v1alpha1.ThreeScaleBackupStatus, out map[string]runtime.Object) error
	// ReportName is the name of the task's report.
	ReportName(f *facts.Facts) string
}

// Teller is what users read of a Work. after is the status with what this call has
// recorded.
type Teller interface {
	// Condition is nil where there is nothing to tell.
	Condition(f *facts.Facts, after v1alpha1.ThreeScaleBackupStatus) *metav1.Condition
	Warnings(f *facts.Facts, after v1alpha1.ThreeScaleBackupStatus) []text.Finding
	// Events tell what has changed since the status of the call before.
	Events(f *facts.Facts, after v1alpha1.ThreeScaleBackupStatus) []text.Event
}

// Task is a Job with its report, how far it is, and the schedule of its kind. Without
// an ID there is none yet.
type Task struct {
	facts.Task

	Slots *slots.Slots
	State v1alpha1.RunState
	// EndedNow: it has ended, at EndTime if that is known, and the status does not say
	// so yet.
	EndedNow bool
	EndTime  *metav1.Time
	// Yields: a run that is due need not wait for it, and ends its Job.
	Yields bool
	// Dropped is a Job that was ended for a run; nil: none was.
	Dropped *facts.Job
	// Waits: it is due, and what it waits for has no watch. RetryTime is when it is due
	// again; nil: it is not.
	Waits     bool
	RetryTime *metav1.Time
	// Unrecorded: it is due once the status records what has ended.
	Unrecorded bool
}

// Base implements Work.
func (t *Task) Base() *Task { return t }

// InFlight reports whether there is a task that has not ended.
func (t *Task) InFlight() bool { return t.State == v1alpha1.RunRunning }

// end notes that the task has ended, which the status does not say yet.
func (t *Task) end(state v1alpha1.RunState, at *metav1.Time) {
	t.State, t.EndTime, t.EndedNow = state, at, true
}

// keepsReport reports whether there is a report to emit: one that exists stays, since
// a lost status is read again from it.
func (t *Task) keepsReport() bool { return t.InFlight() || t.ID != "" && t.Report != nil }

// keepsJob reports whether the Job stays: until the task has ended, and one that
// failed until the next task, for its log.
func (t *Task) keepsJob() bool {
	return t.Job != nil && (t.InFlight() || t.State == v1alpha1.RunFailed || t.Job.IsActive())
}

// noteOf reads an annotation of a task's report, else of its Job.
func noteOf(t facts.Task, key string) string {
	note := t.Note(key)
	if note == "" && t.Job != nil {
		note = t.Job.Annotations[key]
	}
	return note
}

// handled returns the trigger and slots that were handled when the task started, as
// JSON: from its report if that notes them, else from the status, which can be lost.
func (t *Task) handled(status v1alpha1.ThreeScaleBackupStatus) (string, error) {
	if note := t.Note(v1alpha1.AnnotationHandled); note != "" {
		return note, nil
	}
	h := job.Handled{Trigger: status.LastHandledTrigger, Slot: lastSlot(status.Schedule)}
	if status.Verification != nil {
		h.VerifySlot = lastSlot(status.Verification.Schedule)
	}
	if status.Offsite != nil && status.Offsite.Verification != nil {
		h.OffsiteVerifySlot = lastSlot(status.Offsite.Verification.Schedule)
	}
	data, err := json.Marshal(h)
	if err != nil {
		return "", fmt.Errorf("cannot encode what was handled: %w", err)
	}
	return string(data), nil
}

// verdict is how a task ended.
type verdict int

const (
	going      verdict = iota // it has not
	completed                 // as its report says
	unreadable                // its Job ended, and its report cannot be read
	failed                    // its Job failed
	silent                    // its Job ended well, and its report does not say so
)

// judge returns how a task ended. Only the mover's own result makes it completed, not
// a Job that ended well.
func judge(t facts.Task, reported bool, err error) verdict {
	ended := t.Job.Complete() || t.Job.Failed()
	switch {
	case ended && err != nil:
		return unreadable
	case reported && (ended || t.Job == nil):
		return completed
	case t.Job.Failed():
		return failed
	case t.Job.Complete():
		return silent
	}
	return going
}

// why returns why a Job failed, as the Job controller says.
func why(j *facts.Job) batchv1.JobCondition {
	return *cmp.Or(j.Condition(batchv1.JobFailed), &batchv1.JobCondition{})
}

// completionOf returns when a pod was done that began at a time: the time it told, if
// its node's clock agrees with that of the API server, else when its Job ended, or now.
func completionOf(f *facts.Facts, told time.Time, began *metav1.Time, j *facts.Job) *metav1.Time {
	latest := slots.TimeOf(f.Now)
	if ended := j.EndTime(); ended != nil {
		latest = ended
	}
	at := slots.TimeOf(told)
	if at == nil || at.After(latest.Add(facts.ClockTolerance)) || began != nil && at.Before(&metav1.Time{Time: began.Add(-facts.ClockTolerance)}) {
		return latest
	}
	return at
}

// progressOf is how far a report says that a task is.
func progressOf(t facts.Task) *v1alpha1.Progress {
	p, err := job.ParseProgress(t.Data())
	if err != nil || p == nil {
		return &v1alpha1.Progress{Phase: job.PhaseSnapshot}
	}
	return p
}

// slotsOf are those of a schedule of the spec. handled is the newest slot that
// objects tell of.
func slotsOf(f *facts.Facts, expression string, before *v1alpha1.ScheduleStatus, handled *time.Time) *slots.Slots {
	from := f.Now.UTC().Truncate(time.Second) // slots before a schedule was set or resumed are not its own
	if f.IsNew() && !f.Created.IsZero() {
		from = f.Created
	}
	return slots.Of(slots.Input{
		Spec:       f.Spec,
		Expression: expression,
		Before:     before,
		Handled:    handled,
		From:       from,
		Now:        f.Now,
	})
}

func lastSlot(s *v1alpha1.ScheduleStatus) *time.Time {
	if s == nil || s.LastSlot == nil {
		return nil
	}
	return &s.LastSlot.Time
}

// inFlight reports whether one of the tasks is in flight.
func inFlight(all []Work) bool {
	return slices.ContainsFunc(all, func(w Work) bool { return w.Base().InFlight() })
}

// unyielding are the works for which a run that is due waits.
func unyielding(all []Work) []Work {
	return slices.DeleteFunc(slices.Clone(all), func(w Work) bool { return w.Base().Yields })
}

// endedNow reports whether one of the tasks has ended in one of the states, and the
// status does not say so yet.
func endedNow(all []Work, states ...v1alpha1.RunState) bool {
	return slices.ContainsFunc(all, func(w Work) bool {
		return w.Base().EndedNow && slices.Contains(states, w.Base().State)
	})
}

// BreakerCooldown is how long Crossplane stops listening for a composite that has
// had too many events.
const BreakerCooldown = 5 * time.Minute

// SlotWaits reports whether a slot is due, or a copy, while the status does not yet
// record a task that ended a while ago.
func SlotWaits(f *facts.Facts, all []Work) bool {
	isDue := func(w Work) bool { _, isDue := w.Base().Slots.Due(); return isDue || w.Base().Unrecorded }
	unrecorded := func(w Work) bool {
		t := w.Base()
		return t.EndedNow && t.EndTime != nil && f.Now.Sub(t.EndTime.Time) > BreakerCooldown
	}
	return slices.ContainsFunc(all, isDue) && slices.ContainsFunc(all, unrecorded)
}

// Identity returns what all tasks share: the identity of their pods, which may write
// one report. It is that of the task in flight: of several, the last that has a Job,
// else the first. With none in flight, it is that of the first kind.
func Identity(f *facts.Facts, all []Work) map[string]runtime.Object {
	writer := all[0]
	for _, w := range all[1:] {
		if t := w.Base(); t.InFlight() && (t.Job != nil || !writer.Base().InFlight()) {
			writer = w
		}
	}
	out := map[string]runtime.Object{}
	if writer.Base().ID == "" {
		return out
	}
	out[facts.KeyServiceAccount] = specs.ServiceAccount(f.Identity)
	out[facts.KeyRole] = specs.Role(f.Identity, writer.ReportName(f))
	// The API server looks up the Role of a new RoleBinding, and core applies
	// what it gets in any order. So the first one comes with the Job; a pod that
	// is faster asks again.
	if f.Pods.Role != nil || f.Pods.Binding {
		out[facts.KeyRoleBinding] = specs.RoleBinding(f.Identity)
	}
	return out
}

// mover returns what the Jobs of all tasks are built from.
func mover(f *facts.Facts, after v1alpha1.ThreeScaleBackupStatus) specs.Mover {
	return specs.Mover{
		Image:      f.Image,
		VolumePVC:  f.Destination.Name,
		Known:      knownManifests(after),
		Settings:   f.Spec.Job,
		AssignsUID: f.AssignsUID(),
	}
}

// hash returns a digest of the composite's UID and of parts, each behind its length.
func hash(f *facts.Facts, parts ...string) string {
	h := sha256.New()
	for _, part := range append([]string{string(f.UID)}, parts...) {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))
}
