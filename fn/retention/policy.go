// Package retention decides which runs of a backup are kept, by the rules of
// restic forget. It is pure: it knows IDs and times, and removes nothing.
package retention

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Policy says how many runs are kept. The zero value keeps all.
type Policy struct {
	Last    int // of the newest runs
	Hourly  int // of the newest hours that have runs, the newest run of each
	Daily   int // likewise days
	Weekly  int // likewise weeks: those of ISO 8601, from Monday on
	Monthly int // likewise months
	Yearly  int // likewise years
	// Location is where hours to years begin and end; nil: UTC.
	Location *time.Location
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
// newest first. Of runs that started at the same time, the one with the greater
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
func (p Policy) Apply(runs []Run) []Decision {
	decisions := make([]Decision, 0, len(runs))
	for _, run := range runs {
		decisions = append(decisions, Decision{Run: run})
	}
	slices.SortFunc(decisions, func(a, b Decision) int {
		return cmp.Or(b.Start.Compare(a.Start), cmp.Compare(b.Order, a.Order), cmp.Compare(b.ID, a.ID))
	})
	rules := p.rules()
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
func (p Policy) KeepsAll() bool { return len(p.rules()) == 0 }

// Validate returns an error if a count is negative.
func (p Policy) Validate() error {
	for _, rule := range p.all() {
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
func (p Policy) rules() []rule {
	return slices.DeleteFunc(p.all(), func(r rule) bool { return r.left <= 0 })
}

func (p Policy) all() []rule {
	location := p.Location
	if location == nil {
		location = time.UTC
	}
	formatted := func(layout string) func(time.Time) string {
		return func(start time.Time) string { return start.In(location).Format(layout) }
	}
	week := func(start time.Time) string {
		year, week := start.In(location).ISOWeek()
		return fmt.Sprintf("%d-W%02d", year, week)
	}
	nr := 0
	each := func(time.Time) string {
		nr++
		return fmt.Sprint(nr)
	}
	return []rule{
		{name: "last", left: p.Last, period: each},
		{name: "hourly", left: p.Hourly, period: formatted("2006-01-02T15")},
		{name: "daily", left: p.Daily, period: formatted("2006-01-02")},
		{name: "weekly", left: p.Weekly, period: week},
		{name: "monthly", left: p.Monthly, period: formatted("2006-01")},
		{name: "yearly", left: p.Yearly, period: formatted("2006")},
	}
}
