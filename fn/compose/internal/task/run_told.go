package task

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/text"
)

// Condition implements Work. It tells of the newest run that ended, and while there
// is none yet of the one in flight.
func (r *run) Condition(f *facts.Facts, after v1alpha1.ThreeScaleBackupStatus) *metav1.Condition {
	is := func(status metav1.ConditionStatus, reason, format string, args ...any) *metav1.Condition {
		return &metav1.Condition{Type: v1alpha1.ConditionBackupCompleted, Status: status, Reason: reason, Message: fmt.Sprintf(format, args...)}
	}
	if isReplaced(f, r.holds(f)) {
		return is(metav1.ConditionFalse, v1alpha1.ReasonBackupVolumeReplaced, text.VolumeReplaced, after.BackupPersistentVolumeClaimName)
	}
	for _, record := range after.Runs {
		switch record.State {
		case v1alpha1.RunRunning:
		case v1alpha1.RunCompleted:
			return is(metav1.ConditionTrue, v1alpha1.ReasonCompleted, text.RunCompleted, record.ID, after.BackupPersistentVolumeClaimName)
		case v1alpha1.RunFailed:
			return is(metav1.ConditionFalse, record.Reason, text.RunFailed, record.ID, record.Message)
		}
	}
	switch {
	case r.ID == "" && after.NextRunTime == nil:
		return is(metav1.ConditionFalse, v1alpha1.ReasonNotStarted, text.NotStarted)
	case r.ID == "":
		return is(metav1.ConditionFalse, v1alpha1.ReasonNotStarted, text.NotYetStarted)
	case r.next == toWait:
		return is(metav1.ConditionFalse, v1alpha1.ReasonTakingSnapshot, text.RunWaits, r.ID)
	case r.next == toCopy:
		return is(metav1.ConditionFalse, v1alpha1.ReasonTakingSnapshot, text.RunCopies, r.ID)
	}
	// One text for a pod that waits and one that runs: each change of a
	// condition is three more of the watch events that core counts.
	return is(metav1.ConditionFalse, v1alpha1.ReasonRunning, text.RunInJob, r.ID, r.spec(f).Name(), f.Namespace, r.ID)
}

// Warnings implements Work. They follow from the run in flight, the schedule and the
// runs before.
func (r *run) Warnings(f *facts.Facts, after v1alpha1.ThreeScaleBackupStatus) []text.Finding {
	var out []text.Finding
	warn := func(reason, format string, args ...any) {
		out = append(out, text.Findingf(reason, format, args...)...)
	}
	if r.InFlight() && r.inconsistent {
		warn(v1alpha1.ReasonSourcesChanging, text.Inconsistent, maxAttempts)
	}
	if f.Spec.Suspend && f.Spec.Schedule != "" {
		warn(v1alpha1.ReasonSuspended, text.Suspended)
	}
	if s := after.Schedule; s != nil && s.MissedSlots > 0 && s.FirstMissedSlot != nil {
		warn(v1alpha1.ReasonSlotsMissed, text.SlotsMissed, s.MissedSlots)
	}
	last := after.LastRun
	if last != nil && last.Encrypted && f.Spec.Encryption == nil {
		warn(v1alpha1.ReasonEncryptionRemoved, text.Unencrypted, last.ID)
	}
	for _, restore := range f.Readers {
		warn(v1alpha1.ReasonRetentionWaits, text.RetentionWaits, restore)
	}
	if last == nil {
		return out
	}
	for _, warning := range last.Warnings {
		warn(v1alpha1.ReasonRunWarnings, "%s", job.Sentence(warning))
	}
	if len(last.Skipped) > 0 {
		warn(v1alpha1.ReasonRunWarnings, text.NotInRun, strings.Join(last.Skipped, ", "))
	}
	return out
}

// Events implements Work: a start, an end, slots that were missed.
func (r *run) Events(f *facts.Facts, after v1alpha1.ThreeScaleBackupStatus) []text.Event {
	var out []text.Event
	tell := func(reason, format string, args ...any) {
		out = append(out, text.Event{Reason: reason, Message: fmt.Sprintf(format, args...)})
	}
	if r.ID != "" && !slices.ContainsFunc(f.Status.Runs, func(record v1alpha1.Run) bool { return record.ID == r.ID }) {
		tell(text.ReasonRunStarted, text.RunStarted, r.ID)
	}
	switch {
	case !r.EndedNow:
	case r.State == v1alpha1.RunFailed:
		out = append(out, text.Event{Warning: true, Reason: r.record.Reason, Message: fmt.Sprintf(text.RunFailedEvent, r.ID, r.record.Message)})
	default:
		tell(v1alpha1.ReasonCompleted, text.RunCompleted, r.ID, after.BackupPersistentVolumeClaimName)
		if removed := after.LastRun.Removed; len(removed) > 0 {
			tell(text.ReasonRunsRemoved, text.RunsRemoved, strings.Join(removed, ", "), after.LastRun.FreedBytes)
		}
	}
	return append(out, missedSlots(f.Status.Schedule, after.Schedule)...)
}

// missedSlots tells of slots that were missed since the status before.
func missedSlots(before, now *v1alpha1.ScheduleStatus) []text.Event {
	switch {
	case now == nil || now.MissedSlots == 0 || now.FirstMissedSlot == nil:
		return nil
	case before != nil && before.MissedSlots >= now.MissedSlots && before.FirstMissedSlot.Equal(now.FirstMissedSlot):
		return nil
	}
	return []text.Event{{Warning: true, Reason: v1alpha1.ReasonSlotsMissed, Message: fmt.Sprintf(text.SlotsMissed, now.MissedSlots)}}
}
