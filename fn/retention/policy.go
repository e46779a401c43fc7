// Package retention decides which runs of a backup are kept, by the rules of
// restic forget. It is pure: it knows IDs and times, and removes nothing.
package retention

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Policy says how many runs are kept; the zero value keeps all. A Retention of the API
// converts to it. The tags are flags of cmd/mover.
type Policy struct {
	KeepLast    int32 `optional:"" help:"How many of the newest runs to keep."`
	KeepHourly  int32 `optional:"" help:"For how many hours that have runs to keep the newest."`
	KeepDaily   int32 `optional:"" help:"Likewise days."`
	KeepWeekly  int32 `optional:"" help:"Likewise weeks, those of ISO 8601: from Monday on."`
	KeepMonthly int32 `optional:"" help:"Likewise months."`
	KeepYearly  int32 `optional:"" help:"Likewise years."`
}

// Run is what a policy needs to know of a run.
type Run struct {
	ID    string
	Start time.Time
	Order int // of two that started at the same time, the greater counts as newer
}

// Decision says what becomes of a run.
type Decision struct {
	Run
	// Rules keep the run, such as "last 1", "daily 2026-11-22", "weekly 2026-W47"
	// or "oldest yearly 2026". Without any, it goes.
	Rules []string
}

// Kept reports whether a rule keeps the run.
func (d Decision) Kept() bool { return len(d.Rules) > 0 }

// noRules is why a policy without rules keeps a run.
const noRules = "all"

// Apply decides on runs of one installation, in any order, and returns them
// newest first. Hours to years begin and end in the zone; nil is UTC. Of runs that started at the same time, the one with the greater
// Order counts as newer, and then the one with the greater ID.
//
// It does exactly what restic forget does since version 0.16. From the newest run
// to the oldest, each rule keeps a run if its period differs from that of the last
// run that the rule kept, until the rule has kept as many as it may. A rule that
// may still keep one at the oldest run keeps that too, whatever its period. So a
// history grows to the length that was asked for, and "yearly" keeps a run from
// the first year on.
//
// An hour that comes twice, when clocks are set back, counts as one. Every rule
// keeps the newest run. The present time does not matter; ApplyInOrder is for
// clocks that may be wrong. Applying a policy again to the runs that it kept
// changes nothing.
func (p Policy) Apply(runs []Run, zone *time.Location) []Decision {
	decisions := make([]Decision, 0, len(runs))
	for _, run := range runs {
		decisions = append(decisions, Decision{Run: run})
	}
	slices.SortFunc(decisions, func(a, b Decision) int {
		return cmp.Or(b.Start.Compare(a.Start), cmp.Compare(b.Order, a.Order), cmp.Compare(b.ID, a.ID))
	})
	rules := p.rules(zone)
	for nr := range decisions {
		d := &decisions[nr]
		if len(rules) == 0 {
			d.Rules = []string{noRules}
		}
		for i := range rules {
			if why, kept := rules[i].keep(d.Start, nr == len(decisions)-1); kept {
				d.Rules = append(d.Rules, why)
			}
		}
	}
	return decisions
}

// KeepsAll reports whether the policy has no rule, and so keeps all runs.
func (p Policy) KeepsAll() bool { return len(p.rules(nil)) == 0 }

// Check returns an error if a count is negative. kong would call a method Validate, and the
// mover would end before it has a report to write that to.
func (p Policy) Check() error {
	for _, rule := range p.all(nil) {
		if rule.left < 0 {
			return fmt.Errorf("cannot keep %d %s runs: it is less than none", rule.left, rule.name)
		}
	}
	return nil
}

// rule is one rule of the policy while it is applied.
type rule struct {
	name   string
	left   int // how many runs it may still keep
	period func(start time.Time) string
	last   string // period of the run that it kept last
}

// keep reports whether the rule keeps the next run, and why.
func (r *rule) keep(start time.Time, oldest bool) (why string, kept bool) {
	if r.left == 0 {
		return "", false
	}
	period := r.period(start)
	why = r.name + " " + period
	if period == r.last {
		if !oldest {
			return "", false
		}
		why = "oldest " + why
	}
	r.left--
	r.last = period
	return why, true
}

// rules returns the rules that keep something.
func (p Policy) rules(zone *time.Location) []rule {
	return slices.DeleteFunc(p.all(zone), func(r rule) bool { return r.left <= 0 })
}

func (p Policy) all(zone *time.Location) []rule {
	zone = cmp.Or(zone, time.UTC)
	formatted := func(layout string) func(time.Time) string {
		return func(start time.Time) string { return start.In(zone).Format(layout) }
	}
	week := func(start time.Time) string {
		year, week := start.In(zone).ISOWeek()
		return fmt.Sprintf("%d-W%02d", year, week)
	}
	nr := 0
	each := func(time.Time) string {
		nr++
		return fmt.Sprint(nr)
	}
	return []rule{
		{name: "last", left: int(p.KeepLast), period: each},
		{name: "hourly", left: int(p.KeepHourly), period: formatted("2006-01-02T15")},
		{name: "daily", left: int(p.KeepDaily), period: formatted("2006-01-02")},
		{name: "weekly", left: int(p.KeepWeekly), period: week},
		{name: "monthly", left: int(p.KeepMonthly), period: formatted("2006-01")},
		{name: "yearly", left: int(p.KeepYearly), period: formatted("2006")},
	}
}
