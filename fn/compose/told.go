package compose

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/preflight"
	"threescale.dev/backup/fn/compose/internal/task"
	"threescale.dev/backup/fn/compose/internal/text"
	"threescale.dev/backup/fn/threescale"
)

const (
	// pollWaiting is how often what takes long, or waits for the user, is looked at.
	pollWaiting = 30 * time.Second
	// pollSoon is for what the next call can already settle.
	pollSoon = 5 * time.Second
	// maxWait is how far ahead core is asked to come back for a slot.
	maxWait = 10 * time.Minute
)

// record returns the status, which this call leaves to the next. Nothing in it
// changes while nothing happens.
func record(f *facts.Facts, works []task.Work) v1alpha1.ThreeScaleBackupStatus {
	status := f.Status.DeepCopy()
	status.Conditions = nil
	status.NotIncluded = notIncluded(f)
	if f.Installation.APIManager != nil {
		status.APIManagerSourceName = f.Installation.Name
	}
	for _, work := range works {
		work.Record(f, status)
	}
	return *status
}

// notIncluded returns what runs do not hold. An installation without Zync has no database
// of Zync.
func notIncluded(f *facts.Facts) []string {
	var held []threescale.Database
	for _, d := range f.Databases() {
		held = append(held, d.Name)
	}
	if len(held) > 0 && !threescale.ZyncIsEnabled(f.Installation.APIManager) {
		held = append(held, threescale.ZyncDatabase)
	}
	return threescale.NotIncluded(held...)
}

// conditions returns PreflightPassed, BackupCompleted and Warning, and then what the
// rest of the work has to tell.
func conditions(f *facts.Facts, findings preflight.Findings, works []task.Work, status v1alpha1.ThreeScaleBackupStatus) []metav1.Condition {
	checked := metav1.Condition{Type: v1alpha1.ConditionPreflightPassed, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonPassed, Message: text.Passed}
	if !findings.Passed() {
		checked.Status, checked.Reason, checked.Message = metav1.ConditionFalse, findings.Problems[0].Reason, text.Joined(findings.Problems)
	}
	warning := metav1.Condition{Type: v1alpha1.ConditionWarning, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNoWarnings, Message: text.NoWarnings}
	warnings := findings.Warnings
	var out []metav1.Condition
	for _, work := range works {
		warnings = slices.Concat(warnings, work.Warnings(f, status))
		if condition := work.Condition(f, status); condition != nil {
			out = append(out, *condition)
		}
	}
	if len(warnings) > 0 {
		warning.Status, warning.Reason, warning.Message = metav1.ConditionTrue, warnings[0].Reason, text.Joined(warnings)
	}
	return slices.Concat([]metav1.Condition{checked, out[0], warning}, out[1:])
}

// events tell what changed since the status of the call before.
func events(f *facts.Facts, works []task.Work, status v1alpha1.ThreeScaleBackupStatus) []Event {
	var out []Event
	for _, work := range works {
		out = append(out, work.Events(f, status)...)
	}
	return out
}

// ttl says when core asks again if nothing that it watches changes; 0 means never.
func ttl(f *facts.Facts, passed bool, works []task.Work, status v1alpha1.ThreeScaleBackupStatus) time.Duration {
	out := ttlOfTasks(f, passed, works, status)
	for _, work := range works {
		for _, wait := range []time.Duration{ttlOfSlot(f.Now, work), ttlOfRetry(f.Now, work)} {
			if wait > 0 && (out == 0 || wait < out) {
				out = wait
			}
		}
	}
	return out
}

// ttlOfRetry is how long to wait for what is tried again; 0: nothing is.
func ttlOfRetry(now time.Time, work task.Work) time.Duration {
	switch t := work.Base(); {
	case t.Waits:
		return pollWaiting
	case t.InFlight() || t.RetryTime == nil:
		return 0
	default:
		return min(max(t.RetryTime.Sub(now), pollSoon), maxWait)
	}
}

// ttlOfSlot is how long to wait for the next slot; 0: there is none. Core lengthens a
// wait by up to a tenth, so that a wait is asked for that ends before the slot.
func ttlOfSlot(now time.Time, work task.Work) time.Duration {
	s := work.Base().Slots
	if s == nil || s.Status.NextSlot == nil {
		return 0 // none, or suspended
	}
	if _, isDue := s.Due(); isDue {
		return pollWaiting
	}
	return min(max(s.Status.NextSlot.Sub(now)*10/11, pollSoon), maxWait)
}

// ttlOfTasks is when to look at the tasks again; 0: never. Mostly a watch fires before;
// but core drops the events of a composite that has had a hundred at once, which
// happens to a fresh core with a large installation.
func ttlOfTasks(f *facts.Facts, passed bool, works []task.Work, status v1alpha1.ThreeScaleBackupStatus) time.Duration {
	for _, work := range slices.Backward(works) {
		switch t := work.Base(); {
		case t.InFlight() && t.Job != nil:
			return pollJob(f.Now, t.Job)
		case t.Yields && t.InFlight() && slices.ContainsFunc(works, hasJob):
			// the end of that Job is when it can go on
		case t.EndedNow, t.InFlight() && passed:
			return pollSoon // another task may wait
		}
	}
	switch ended := status.CompletionTime; {
	case !passed:
		return pollWaiting
	case f.Unresponsive && works[0].Base().ID != "" && ended != nil && f.Now.Sub(ended.Time) < 2*task.BreakerCooldown:
		return pollWaiting // the events of a run may have had Crossplane drop a trigger
	case len(f.Readers) > 0:
		return pollWaiting // core does not tell that they are gone
	}
	return 0
}

func hasJob(work task.Work) bool { return work.Base().InFlight() && work.Base().Job != nil }

// pollJob grows with the Job's age, so that its end is noticed at most a tenth
// of its duration late.
func pollJob(now time.Time, running *facts.Job) time.Duration {
	if running.CreationTimestamp.IsZero() {
		return pollSoon
	}
	return min(max(now.Sub(running.CreationTimestamp.Time)/10, pollSoon), pollWaiting)
}
