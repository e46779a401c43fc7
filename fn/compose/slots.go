package compose

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/schedule"
)

// slots are those of one schedule, as far as they have come.
type slots struct {
	schedule *schedule.Schedule
	status   v1alpha1.ScheduleStatus
	// due is the newest slot that has come and may still start; zero: none.
	due time.Time
	// missed are those that passed beside it since the last one.
	missed      int
	firstMissed time.Time
}

// slotsOf works out where a schedule is; nil where none is active. handled is
// the newest slot that objects tell of, should the status have been lost.
func (c *composition) slotsOf(expression string, before *v1alpha1.ScheduleStatus, handled *time.Time) *slots {
	if expression == "" {
		return nil
	}
	parsed, err := schedule.Parse(expression, c.spec.TimeZone)
	if err != nil {
		return nil // preflight tells
	}
	s := &slots{schedule: parsed, status: v1alpha1.ScheduleStatus{Expression: expression, TimeZone: c.spec.TimeZone}}
	now := c.observed.Now.UTC().Truncate(time.Second)
	switch {
	case before != nil && before.Expression == expression && before.TimeZone == c.spec.TimeZone && (c.spec.Suspend || !before.Suspended):
		s.status = *before.DeepCopy()
	case c.isNew() && !c.observed.Composite.Created.IsZero():
		s.status.Since = metav1.NewTime(c.observed.Composite.Created.UTC())
	default:
		s.status.Since = metav1.NewTime(now) // slots before the schedule was set or resumed are not its own
	}
	if s.status.Suspended = c.spec.Suspend; s.status.Suspended {
		s.status.NextSlot = nil
		return s
	}
	s.come(now, handled, c.spec.StartingDeadlineSeconds)
	return s
}

// onTime is how late a slot may start without being late: core asks again some
// seconds after it.
const onTime = 30 * time.Second

// come finds the slots that have come since the newest that was dealt with.
func (s *slots) come(now time.Time, handled *time.Time, deadline *int64) {
	s.forgetFuture(now)
	from := s.status.Since.Time
	if last := s.status.LastSlot; last != nil && last.After(from) {
		from = last.Time
	}
	if handled != nil && handled.After(from) && !handled.After(now) {
		from = *handled
		s.status.LastSlot = &metav1.Time{Time: from.UTC()}
	}
	passed := s.schedule.Passed(from, now)
	s.status.NextSlot = timeOf(s.schedule.Next(now))
	if passed.Count == 0 {
		return
	}
	s.missed, s.firstMissed = passed.Count-1, passed.First
	late := now.Sub(passed.Newest)
	if deadline != nil && late > max(seconds(*deadline), onTime) {
		s.missed++
		s.pass(passed.Newest)
		return
	}
	s.due = passed.Newest
	s.status.NextSlot = timeOf(s.due)
}

// forgetFuture makes what a clock that was ahead has left end now. A slot that
// comes again has the ID of its run, which is known.
func (s *slots) forgetFuture(now time.Time) {
	if s.status.Since.After(now) {
		s.status.Since = metav1.NewTime(now)
	}
	if last := s.status.LastSlot; last != nil && last.After(now) {
		s.status.LastSlot, s.status.Since = nil, metav1.NewTime(now)
	}
}

// pass notes that slots are over of which none starts any more.
func (s *slots) pass(newest time.Time) {
	s.status.LastSlot, s.status.NextSlot = timeOf(newest), timeOf(s.schedule.Next(newest))
	s.status.MissedSlots += int32(s.missed)
	s.status.MissedSlots = min(s.status.MissedSlots, schedule.MaxCounted)
	if s.missed > 0 && s.status.FirstMissedSlot == nil {
		s.status.FirstMissedSlot = timeOf(s.firstMissed)
	}
	s.due = time.Time{}
}

// start notes that the slot which is due starts.
func (s *slots) start(now time.Time) {
	s.status.LastSlot = timeOf(s.due)
	s.status.MissedSlots, s.status.FirstMissedSlot = int32(s.missed), nil
	if s.missed > 0 {
		s.status.FirstMissedSlot = timeOf(s.firstMissed)
	}
	s.status.NextSlot = timeOf(s.schedule.Next(now))
	s.due = time.Time{}
}

// skip notes that the slot which is due needs no start.
func (s *slots) skip() {
	s.missed = 0
	s.pass(s.due)
}

// last is the newest slot that was dealt with; nil without one.
func (s *slots) last() *time.Time {
	if s == nil || s.status.LastSlot == nil {
		return nil
	}
	return &s.status.LastSlot.Time
}

// isDue tells whether a slot has come that may start.
func (s *slots) isDue() bool { return s != nil && !s.due.IsZero() }

// maxWait is how far ahead core is asked to come back.
const maxWait = 10 * time.Minute

// ttl is when to be asked again for the next slot; 0: never. Core stretches a wait
// by a tenth at most: it still ends before the slot, and the last ones are short.
func (s *slots) ttl(now time.Time) time.Duration {
	switch {
	case s == nil || s.status.NextSlot == nil:
		return 0 // none, or suspended
	case s.isDue():
		return pollWaiting
	}
	ahead := s.status.NextSlot.Sub(now) * 10 / 11
	return min(max(ahead, pollSoon), maxWait)
}
