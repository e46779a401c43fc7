package retention

import (
	"slices"
	"sort"
	"time"
)

// clockTolerance is how far clocks may be apart before one is taken to be wrong.
const clockTolerance = 5 * time.Minute

// ApplyInOrder is Apply for runs in the order of writing, oldest first, which is
// known whatever clocks said, and the time it is now, which may be wrong itself.
//
// A start that contradicts the order was read from a clock that was wrong; whose,
// there are two ways to read: most are right, or what was written last is. Each
// dates the other runs evenly between those that it takes to be right, and a run
// goes only if it goes by both. So no run takes the place of a good one because a
// clock was ahead or behind; meanwhile up to twice as many are kept.
func (p Policy) ApplyInOrder(runs []Run, now time.Time) []Decision {
	ordered := slices.Clone(runs)
	for i := range ordered {
		ordered[i].Order = i
	}
	decisions := p.Apply(redated(ordered, agreeing(ordered), now))
	other := p.Apply(redated(ordered, notAfterLater(ordered, now), now))
	for i := range decisions {
		for _, rule := range other[i].Rules {
			if !slices.Contains(decisions[i].Rules, rule) {
				decisions[i].Rules = append(decisions[i].Rules, rule)
			}
		}
		decisions[i].Run = runs[decisions[i].Order]
	}
	return decisions
}

// agreeing returns the indexes of the longest list of runs of which none is dated
// after a later one; of several, of one with the earliest dates.
func agreeing(runs []Run) []int {
	var ends []int // for each length, the run that the list with the earliest end ends in
	before := make([]int, len(runs))
	for i, run := range runs {
		n := sort.Search(len(ends), func(n int) bool { return runs[ends[n]].Start.After(run.Start) })
		before[i] = -1
		if n > 0 {
			before[i] = ends[n-1]
		}
		if n == len(ends) {
			ends = append(ends, i)
		}
		ends[n] = i
	}
	list := make([]int, len(ends))
	at := -1
	if len(ends) > 0 {
		at = ends[len(ends)-1]
	}
	for i := range slices.Backward(list) {
		list[i], at = at, before[at]
	}
	return list
}

// notAfterLater returns the indexes of the runs that are dated neither after now
// nor after one that was written later.
func notAfterLater(runs []Run, now time.Time) []int {
	var list []int
	latest := now.Add(clockTolerance)
	for i, run := range slices.Backward(runs) {
		if !run.Start.After(latest) {
			latest = run.Start
			list = append(list, i)
		}
	}
	slices.Reverse(list)
	return list
}

// redated dates the runs that are not sure evenly between those that are: those
// before the first as that one, and the newest as of now.
func redated(runs []Run, sure []int, now time.Time) []Run {
	out := slices.Clone(runs)
	if newest := len(out) - 1; newest >= 0 && !slices.Contains(sure, newest) {
		out[newest].Start = now
		if len(sure) > 0 && out[sure[len(sure)-1]].Start.After(now) {
			out[newest].Start = out[sure[len(sure)-1]].Start
		}
		sure = append(slices.Clone(sure), newest)
	}
	for i, at := range sure {
		before, from := -1, out[at].Start
		if i > 0 {
			before, from = sure[i-1], out[sure[i-1]].Start
		}
		step := out[at].Start.Sub(from) / time.Duration(at-before)
		for k := before + 1; k < at; k++ {
			out[k].Start = from.Add(step * time.Duration(k-before))
		}
	}
	return out
}
