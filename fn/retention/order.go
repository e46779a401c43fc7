package retention

import (
	"slices"
	"sort"
	"time"
)

// clockTolerance is by how much two clocks may differ before one of them is taken
// to be wrong.
const clockTolerance = 5 * time.Minute

// ApplyInOrder is Apply for runs whose dates may be wrong. It takes them in the
// order in which they were written, oldest first, and the present time, which may
// be wrong as well.
//
// A start that contradicts the order was read from a wrong clock. Which clock was
// wrong can be read in two ways: most dates are right, or the dates that were
// written last are. Either way, the other runs are dated evenly between those that
// are taken to be right. A run goes only if it goes both ways. So a clock that is
// ahead or behind never costs a good run; meanwhile up to twice as many runs are
// kept.
func (p Policy) ApplyInOrder(runs []Run, zone *time.Location, now time.Time) []Decision {
	ordered := slices.Clone(runs)
	for i := range ordered {
		ordered[i].Order = i
	}
	decisions := p.Apply(redated(ordered, agreeing(ordered), now), zone)
	other := p.Apply(redated(ordered, notAfterLater(ordered, now), now), zone)
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

// agreeing returns the indexes of the longest subsequence of runs whose dates do
// not decrease; of several, the one with the earliest dates.
func agreeing(runs []Run) []int {
	var ends []int // for each length, the last run of the subsequence with the earliest end
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

// redated dates the runs that are not sure evenly between those that are. Those
// before the first sure run get its date, and the newest run gets the present
// time.
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
