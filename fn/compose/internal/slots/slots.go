// Package slots works out where a schedule stands: which slot is due, and which passed
// without a start. Its values are immutable: their methods return changed copies.
package slots

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/schedule"
)

// onTime is how late a slot may start without being late: core asks again some
// seconds after it.
const onTime = 30 * time.Second

// Slots is where one schedule stands. A nil *Slots is no schedule.
type Slots struct {
	// Status is what the composite's status says of the schedule.
	Status v1alpha1.ScheduleStatus

	schedule *schedule.Schedule
	// due is the newest slot that has come and may still start; zero: none.
	due time.Time
	// missed are those that passed beside it since the last one.
	missed      int
	firstMissed time.Time
}

// Input is what Slots follow from.
type Input struct {
	// Spec has the time zone, the suspension and the deadline of all schedules.
	Spec v1alpha1.ThreeScaleBackupSpec
	// Expression is that of this schedule.
	Expression string
	// Before is what the status said before; nil: nothing.
	Before *v1alpha1.ScheduleStatus
	// Handled is the newest slot that objects tell of, in case the status was lost;
	// nil: they tell of none.
	Handled *time.Time
	// From is where the slots of a schedule begin that the status does not know.
	From time.Time
	Now  time.Time
}

// Of works out where a schedule is; nil where none is active.
func Of(in Input) *Slots {
	if in.Expression == "" {
		return nil
	}
	parsed, err := schedule.Parse(in.Expression, in.Spec.TimeZone)
	if err != nil {
		return nil // preflight tells
	}
	s := &Slots{schedule: parsed, Status: v1alpha1.ScheduleStatus{Expression: in.Expression, TimeZone: in.Spec.TimeZone, Since: metav1.NewTime(in.From.UTC())}}
	if b := in.Before; b != nil && b.Expression == in.Expression && b.TimeZone == in.Spec.TimeZone && (in.Spec.Suspend || !b.Suspended) {
		s.Status = *b.DeepCopy()
	}
	if s.Status.Suspended = in.Spec.Suspend; s.Status.Suspended {
		s.Status.NextSlot = nil
		return s
	}
	return s.come(in.Now.UTC().Truncate(time.Second), in.Handled, in.Spec.StartingDeadlineSeconds)
}

// come finds the slots that have come since the newest handled one.
func (s *Slots) come(now time.Time, handled *time.Time, deadline *int64) *Slots {
	s = s.withoutFuture(now)
	from := s.Status.Since.Time
	if last := s.Status.LastSlot; last != nil && last.After(from) {
		from = last.Time
	}
	if handled != nil && handled.After(from) && !handled.After(now) {
		from = *handled
		s.Status.LastSlot = &metav1.Time{Time: from.UTC()}
	}
	passed := s.schedule.Passed(from, now)
	s.Status.NextSlot = TimeOf(s.schedule.Next(now))
	if passed.Count == 0 {
		return s
	}
	s.missed, s.firstMissed, s.due = passed.Count-1, passed.First, passed.Newest
	if deadline != nil && now.Sub(s.due) > max(Seconds(*deadline), onTime) {
		s.missed++
		return s.pass()
	}
	s.Status.NextSlot = TimeOf(s.due)
	return s
}

// withoutFuture forgets times in the future, which a clock that was ahead has left. A
// slot that comes a second time gives the same task ID, so that it starts nothing.
func (s *Slots) withoutFuture(now time.Time) *Slots {
	out := *s
	if out.Status.Since.After(now) {
		out.Status.Since = metav1.NewTime(now)
	}
	if last := out.Status.LastSlot; last != nil && last.After(now) {
		out.Status.LastSlot, out.Status.Since = nil, metav1.NewTime(now)
	}
	return &out
}

// pass lets the due slot pass without a start, and those before it.
func (s *Slots) pass() *Slots {
	out := *s
	out.Status.LastSlot, out.Status.NextSlot = TimeOf(s.due), TimeOf(s.schedule.Next(s.due))
	out.Status.MissedSlots = min(s.Status.MissedSlots+int32(s.missed), schedule.MaxCounted)
	if s.missed > 0 && s.Status.FirstMissedSlot == nil {
		out.Status.FirstMissedSlot = TimeOf(s.firstMissed)
	}
	out.due = time.Time{}
	return &out
}

// Started returns the slots once the one that is due has started.
func (s *Slots) Started(now time.Time) *Slots {
	out := *s
	out.Status.LastSlot, out.Status.NextSlot = TimeOf(s.due), TimeOf(s.schedule.Next(now))
	out.Status.MissedSlots, out.Status.FirstMissedSlot = int32(s.missed), nil
	if s.missed > 0 {
		out.Status.FirstMissedSlot = TimeOf(s.firstMissed)
	}
	out.due = time.Time{}
	return &out
}

// Skipped returns the slots once the one that is due was found to need no start.
func (s *Slots) Skipped() *Slots {
	out := *s
	out.missed = 0
	return out.pass()
}

// Due returns the slot that has come and may start, and whether there is one.
func (s *Slots) Due() (time.Time, bool) {
	if s == nil || s.due.IsZero() {
		return time.Time{}, false
	}
	return s.due, true
}

// Next is the first slot after a moment; zero if there is none.
func (s *Slots) Next(after time.Time) time.Time { return s.schedule.Next(after) }

// Report returns what the status says of the schedule; nil of none.
func (s *Slots) Report() *v1alpha1.ScheduleStatus {
	if s == nil {
		return nil
	}
	return s.Status.DeepCopy()
}

// Seconds returns n seconds, but at most a year: a Duration could overflow.
func Seconds(n int64) time.Duration {
	const year = 365 * 24 * 60 * 60
	return time.Duration(min(n, year)) * time.Second
}

// TimeOf is t for a status; nil if t is outside the years 1 to 9999, which a status
// cannot hold: reports are untrusted.
func TimeOf(t time.Time) *metav1.Time {
	t = t.UTC().Truncate(time.Second)
	if t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		return nil
	}
	return &metav1.Time{Time: t}
}
