package task

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/specs"
)

// run is the Work of backing up: one run as far as it is observed.
type run struct {
	Task
	facts.Snapshot

	cause recorded.Cause
	// inconsistent: the copies are of different moments.
	inconsistent bool
	// record is the run's line in the history.
	record v1alpha1.Run
	// result is that of a run which this call found completed; else nil.
	result *job.Result
	// volume is the UID of the PVC that such a run is on.
	volume string
	next   step
}

// step is what comes next of a run in flight.
type step int

const (
	toWait step = iota // for preflight, with what is copied so far
	toCopy             // Secrets and objects
	toWork             // in its Job
)

// ReportName implements Work.
func (r *run) ReportName(f *facts.Facts) string { return specs.ReportName(r.spec(f)) }

func (r *run) spec(f *facts.Facts) specs.Run {
	return specs.Run{Identity: f.Identity, ID: r.ID, Attempt: r.Attempt}
}

// runOf returns the run called id.
func runOf(f *facts.Facts, id string) *run {
	observed, ok := f.Runs[id]
	if !ok {
		observed = facts.Run{Task: facts.Task{ID: id}, Snapshot: facts.Snapshot{Attempt: 1}}
	}
	r := &run{
		Task:     Task{Task: observed.Task},
		Snapshot: observed.Snapshot,
		record:   v1alpha1.Run{ID: id, State: v1alpha1.RunRunning},
	}
	if i := slices.IndexFunc(f.Status.Runs, func(record v1alpha1.Run) bool { return record.ID == id }); i >= 0 {
		r.record = f.Status.Runs[i]
	}
	r.State = r.record.State
	r.inconsistent = r.Job != nil && r.Job.Labels[v1alpha1.LabelSnapshot] == v1alpha1.SnapshotInconsistent
	r.cause = causeOf(f, observed)
	return r
}

// causeOf reads a run's cause from its report, where it was noted when the run started,
// else from its snapshot, else from the spec.
func causeOf(f *facts.Facts, r facts.Run) recorded.Cause {
	var cause recorded.Cause
	if note := r.Note(v1alpha1.AnnotationCause); note != "" {
		if err := json.Unmarshal([]byte(note), &cause); err == nil && facts.CheckTrigger(cause.Value) == nil {
			return cause
		}
	}
	if r.Objects != nil {
		var description job.Description
		if err := json.Unmarshal(r.Objects.Data()[specs.ObjectKey(job.DescriptionFile)], &description); err == nil {
			return description.Cause
		}
	}
	return causeByID(f, r.ID)
}

// causeByID is the cause of a run of which only the ID is known.
func causeByID(f *facts.Facts, id string) recorded.Cause {
	if start, _, ok := strings.Cut(id, "-"); ok {
		slot, err := job.RunTime(start)
		if err == nil && id == scheduledRunID(f, slot) {
			return scheduled(slot)
		}
	}
	if f.Spec.Trigger != "" {
		return recorded.Cause{Kind: recorded.CauseTrigger, Value: f.Spec.Trigger}
	}
	return recorded.Cause{Kind: recorded.CauseCreation}
}

func scheduled(slot time.Time) recorded.Cause {
	return recorded.Cause{Kind: recorded.CauseSchedule, Value: slot.UTC().Format(time.RFC3339)}
}

// slotOf is the slot that started a run; nil if something else did.
func slotOf(f *facts.Facts, r *run) *time.Time {
	if r.cause.Kind != recorded.CauseSchedule {
		return nil
	}
	slot, err := time.Parse(time.RFC3339, r.cause.Value)
	if err != nil || r.ID != scheduledRunID(f, slot.UTC()) {
		return nil // somebody else wrote this cause
	}
	slot = slot.UTC()
	return &slot
}

// scheduledRunID is the time of the slot, and a digest.
func scheduledRunID(f *facts.Facts, slot time.Time) string {
	return job.RunID(slot, hash(f, string(recorded.CauseSchedule), scheduled(slot).Value))
}

// firstRunID is the time at which the composite was made, and a digest.
func firstRunID(f *facts.Facts) string {
	created := f.Created
	if created.IsZero() {
		created = time.Unix(0, 0)
	}
	cause, value := recorded.CauseCreation, ""
	if f.Spec.Trigger != "" {
		cause, value = recorded.CauseTrigger, f.Spec.Trigger
	}
	return job.RunID(created, hash(f, string(cause), value))
}

// triggeredRunID has no time of its own; it follows from the run before, so
// that triggers A, B and A again are three runs.
func triggeredRunID(f *facts.Facts, before string) string {
	return "trigger-" + hash(f, f.Spec.Trigger, before)[:12]
}
