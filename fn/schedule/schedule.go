// Package schedule computes the slots of a cron expression: the moments at which
// something is due, daylight saving included. It holds no state and no clock.
package schedule

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"threescale.dev/backup/fn/timezone"
)

// allHours are the bits of a cron expression that fires in any hour.
const allHours = 1<<24 - 1

// Schedule has slots, each at a whole second. Slots of given hours keep to the
// wall clock: one that falls into a gap of daylight saving is at the gap's end,
// and one of an hour that comes twice is at its first time. Slots of every hour
// keep to elapsed time.
type Schedule struct {
	spec *cron.SpecSchedule
	zone *time.Location
	wall bool
}

// Parse reads a cron expression of five fields, or a descriptor such as @daily,
// in an IANA time zone; "" is UTC. Refused are expressions that never fire or
// have no fixed times (@every), those that name a time zone themselves, and
// unknown zones.
func Parse(expression, timeZone string) (*Schedule, error) {
	zone, err := timezone.Load(timeZone)
	if err != nil {
		return nil, err
	}
	if strings.Contains(expression, "TZ=") {
		return nil, fmt.Errorf("cannot parse schedule %q: it names a time zone; name it in spec.timeZone", expression)
	}
	parsed, err := cron.ParseStandard(expression)
	if err != nil {
		return nil, fmt.Errorf("cannot parse schedule %q: %w", expression, err)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("cannot parse schedule %q: its slots follow from when it starts; give fixed times, such as \"0 */6 * * *\"", expression)
	}
	s := &Schedule{spec: spec, zone: zone, wall: spec.Hour&allHours != allHours}
	spec.Location = zone
	if s.wall {
		spec.Location = time.UTC
	}
	if s.Next(time.Unix(0, 0)).IsZero() {
		return nil, fmt.Errorf("cannot parse schedule %q: it never fires", expression)
	}
	return s, nil
}

// Next returns the first slot after a moment, in UTC; the zero time if there is
// none in the five years after it.
func (s *Schedule) Next(after time.Time) time.Time {
	if !s.wall {
		return s.spec.Next(after).UTC()
	}
	clock := wallClock(after.In(s.zone))
	for {
		clock = s.spec.Next(clock)
		if clock.IsZero() {
			return clock
		}
		if slot := s.instant(clock); slot.After(after) {
			return slot
		}
	}
}

// wallClock returns what a clock on the wall shows at a moment, as a time in UTC.
func wallClock(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// instant is when the clock on the wall of the zone first shows a time, or jumps
// over it.
func (s *Schedule) instant(clock time.Time) time.Time {
	local := time.Date(clock.Year(), clock.Month(), clock.Day(), clock.Hour(), clock.Minute(), clock.Second(), 0, s.zone)
	start, end := local.ZoneBounds()
	switch shown := wallClock(local); {
	case shown.After(clock):
		return start.UTC() // the clock jumped from before to after it
	case shown.Before(clock):
		return end.UTC()
	case start.IsZero():
		return local.UTC()
	}
	_, offset := start.Add(-time.Second).In(s.zone).Zone()
	earlier := clock.Add(-time.Duration(offset) * time.Second)
	if earlier.Before(start) && wallClock(earlier.In(s.zone)).Equal(clock) {
		return earlier // the clock shows it twice
	}
	return local.UTC()
}

// MaxCounted is where Passed stops counting.
const MaxCounted = 1000

// Passed describes the slots of a span of time.
type Passed struct {
	First  time.Time
	Newest time.Time
	Count  int // at most MaxCounted
}

// Passed returns the slots after one moment and up to another, inclusive; the zero
// value if there are none.
func (s *Schedule) Passed(after, until time.Time) Passed {
	p := Passed{First: s.Next(after)}
	if p.First.IsZero() || p.First.After(until) {
		return Passed{}
	}
	for slot := p.First; !slot.IsZero() && !slot.After(until) && p.Count < MaxCounted; slot = s.Next(slot) {
		p.Newest = slot
		p.Count++
	}
	if p.Count == MaxCounted {
		p.Newest = s.newest(p.Newest, until)
	}
	return p
}

// newest returns the newest slot up to a moment; from is a slot before it.
func (s *Schedule) newest(from, until time.Time) time.Time {
	for _, window := range []time.Duration{time.Hour, 32 * 24 * time.Hour, 367 * 24 * time.Hour} {
		if begin := until.Add(-window); begin.After(from) {
			if slot := s.Next(begin); !slot.IsZero() && !slot.After(until) {
				from = slot
				break
			}
		}
	}
	for {
		next := s.Next(from)
		if next.IsZero() || next.After(until) {
			return from
		}
		from = next
	}
}
