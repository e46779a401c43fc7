package task

import (
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/preflight"
)

// Next implements Work.
func (r *run) Next(f *facts.Facts, findings preflight.Findings, others []Work) Work {
	next := *r
	if !next.InFlight() {
		due := r.due(f)
		switch _, slotDue := r.Slots.Due(); {
		case r.EndedNow: // the end is recorded first
			return r
		case due == "" && slotDue: // a clock went backwards: the slot's run has ended already
			next.Slots = r.Slots.Skipped()
			return &next
		case due == "" || !findings.Passed() || inFlight(unyielding(others)) || endedNow(unyielding(others), v1alpha1.RunCompleted, v1alpha1.RunFailed):
			return r
		}
		next = *runOf(f, due)
		if next.Slots = r.Slots; slotOf(f, &next) != nil {
			next.Slots = r.Slots.Started(f.Now)
		}
	}
	next.goOn(f, findings.Passed())
	return &next
}

// due returns the ID of the run that the spec asks for and that was not handled
// yet; "" when there is none. A trigger goes before a slot: somebody waits for it.
func (r *run) due(f *facts.Facts) string {
	history := f.Status.Runs
	triggered := f.Spec.Trigger != "" && f.Spec.Trigger != f.LastTrigger()
	slot, isDue := r.Slots.Due()
	switch {
	case len(history) == 0 && (triggered || f.Spec.Schedule == ""):
		return firstRunID(f)
	case triggered && len(history) > 0:
		return triggeredRunID(f, history[0].ID)
	case isDue && !facts.HasEnded(f.Status, scheduledRunID(f, slot)):
		return scheduledRunID(f, slot)
	}
	return ""
}

// goOn decides what comes next of the run in flight: its Job, but only once the snapshot
// is whole and its sources are still what was copied.
func (r *run) goOn(f *facts.Facts, passed bool) {
	switch {
	case r.Job != nil:
		r.next = toWork
	case !passed:
		r.next = toWait
	case !r.isWhole(f):
		r.next = toCopy
	case r.isCurrent(f):
		r.next = toWork
	case r.Attempt >= maxAttempts:
		r.next, r.inconsistent = toWork, true
	default:
		// The snapshot is taken again; the objects of this attempt are no longer desired.
		r.next, r.Snapshot = toCopy, facts.Snapshot{Attempt: r.Attempt + 1}
	}
}
