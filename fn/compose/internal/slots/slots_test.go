package slots_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/slots"
)

// at is an hour of one day, and a minute.
func at(hour, minute int) time.Time { return time.Date(2026, 11, 22, hour, minute, 0, 0, time.UTC) }

func meta(t time.Time) *metav1.Time { return &metav1.Time{Time: t} }

// hourly is the input of a schedule with a slot at each full hour, looked at some
// minutes after 12, whose slots are known up to 9.
func hourly(minute int) slots.Input {
	return slots.Input{
		Expression: "0 * * * *", Now: at(12, minute), From: at(12, minute),
		Before: &v1alpha1.ScheduleStatus{Expression: "0 * * * *", Since: metav1.NewTime(at(0, 0)), LastSlot: meta(at(9, 0))},
	}
}

func TestOf(t *testing.T) {
	t.Parallel()
	due := func(slot, next, last time.Time, missed int32) func(*testing.T, *slots.Slots) {
		return func(t *testing.T, s *slots.Slots) {
			t.Helper()
			got, isDue := s.Due()
			assert.Equal(t, !slot.IsZero(), isDue)
			assert.True(t, slot.Equal(got), got)
			assert.Equal(t, slots.TimeOf(next), s.Report().NextSlot)
			assert.Equal(t, slots.TimeOf(last), s.Report().LastSlot)
			assert.Equal(t, missed, s.Report().MissedSlots)
		}
	}
	none, deadline := time.Time{}, int64(600)
	for name, tc := range map[string]struct {
		reason string
		change func(*slots.Input)
		want   func(*testing.T, *slots.Slots)
	}{
		"Newest":    {"of several that passed, the newest is due", func(*slots.Input) {}, due(at(12, 0), at(12, 0), at(9, 0), 0)},
		"InTime":    {"a deadline that has not passed", func(in *slots.Input) { in.Spec.StartingDeadlineSeconds = &deadline }, due(at(12, 0), at(12, 0), at(9, 0), 0)},
		"TooLate":   {"a slot that is too late passes, and counts as missed", func(in *slots.Input) { in.Now = at(12, 11); in.Spec.StartingDeadlineSeconds = &deadline }, due(none, at(13, 0), at(12, 0), 3)},
		"Handled":   {"what objects tell of counts where the status lags", func(in *slots.Input) { in.Handled = new(at(12, 0)) }, due(none, at(13, 0), at(12, 0), 0)},
		"Future":    {"a clock that was ahead is forgotten", func(in *slots.Input) { in.Before.LastSlot = meta(at(18, 0)) }, due(none, at(13, 0), none, 0)},
		"Other":     {"slots before another schedule was set are not its own", func(in *slots.Input) { in.Before.Expression = "5 * * * *" }, due(none, at(13, 0), none, 0)},
		"Resumed":   {"nor those before it was resumed", func(in *slots.Input) { in.Before.Suspended = true }, due(none, at(13, 0), none, 0)},
		"Suspended": {"nothing is due, and nothing is next", func(in *slots.Input) { in.Spec.Suspend = true }, due(none, none, at(9, 0), 0)},
		"New":       {"a new composite's slots count from when it was made", func(in *slots.Input) { in.Before, in.From = nil, at(11, 30) }, due(at(12, 0), at(12, 0), none, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := hourly(5)
			tc.change(&in)
			before := in.Before.DeepCopy()
			s := slots.Of(in)
			require.NotNil(t, s, tc.reason)
			tc.want(t, s)
			assert.Equal(t, before, in.Before, "the input does not change")
		})
	}
}

func TestOfNone(t *testing.T) {
	t.Parallel()
	for name, expression := range map[string]string{"Empty": "", "Invalid": "every day"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := slots.Of(slots.Input{Expression: expression, Now: at(12, 0)})
			assert.Nil(t, s)
			_, isDue := s.Due()
			assert.False(t, isDue)
			assert.Nil(t, s.Report())
		})
	}
}

// TestStartedAndSkipped: the slot that is due starts, or needs no start; the value
// before stays as it was.
func TestStartedAndSkipped(t *testing.T) {
	t.Parallel()
	s := slots.Of(hourly(5))
	was := s.Report()
	started := s.Started(at(12, 5)).Report()
	assert.Equal(t, meta(at(12, 0)), started.LastSlot)
	assert.Equal(t, meta(at(13, 0)), started.NextSlot)
	assert.Equal(t, int32(2), started.MissedSlots, "10 and 11 passed beside it")
	assert.Equal(t, meta(at(10, 0)), started.FirstMissedSlot)
	skipped := s.Skipped().Report()
	assert.Equal(t, meta(at(12, 0)), skipped.LastSlot)
	assert.Zero(t, skipped.MissedSlots)
	assert.Equal(t, was, s.Report())
}

func TestTimeOf(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		time   time.Time
		want   *metav1.Time
	}{
		"Whole":     {"a status has whole seconds", at(1, 2).Add(time.Millisecond), meta(at(1, 2))},
		"Zero":      {"no time", time.Time{}, nil},
		"TooFar":    {"no status can hold it", time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), nil},
		"BeforeOne": {"no status can hold it", time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tc.want, slots.TimeOf(tc.time), tc.reason)
		})
	}
}
