package retention_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/retention"
)

// TestProperties compares made-up histories with what the rules mean, said in
// another way, and proves what holds for any.
func TestProperties(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 5))
	zones := []*time.Location{nil, zone(t, "Europe/Berlin"), zone(t, "Pacific/Auckland"), zone(t, "America/New_York")}
	for range 2000 {
		count := func() int32 { return int32(max(0, random.IntN(12)-6)) }
		p := retention.Policy{KeepLast: count(), KeepHourly: count(), KeepDaily: count(), KeepWeekly: count(), KeepMonthly: count(), KeepYearly: count()}
		span := []time.Duration{time.Hour, 48 * time.Hour, 60 * 24 * time.Hour, 4 * 365 * 24 * time.Hour}[random.IntN(4)]
		var runs []retention.Run
		for i := range random.IntN(40) {
			start := time.Date(2026, 10, 26, 0, 0, 0, 0, time.UTC).Add(-time.Duration(random.Int64N(int64(span)))).Truncate(time.Minute)
			runs = append(runs, retention.Run{ID: fmt.Sprintf("run-%02d", i), Start: start})
		}
		proveProperties(t, p, zones[random.IntN(len(zones))], runs)
	}
}

func FuzzApply(f *testing.F) {
	f.Add(uint8(1), uint8(2), uint8(3), uint8(0), uint8(1), uint8(1), []byte{1, 5, 200, 200, 0, 30})
	f.Add(uint8(0), uint8(0), uint8(0), uint8(0), uint8(0), uint8(0), []byte{1})
	f.Fuzz(func(t *testing.T, last, hourly, daily, weekly, monthly, yearly uint8, gaps []byte) {
		p := retention.Policy{KeepLast: int32(last), KeepHourly: int32(hourly), KeepDaily: int32(daily), KeepWeekly: int32(weekly), KeepMonthly: int32(monthly), KeepYearly: int32(yearly)}
		start := time.Date(2026, 10, 20, 0, 0, 0, 0, time.UTC)
		var runs []retention.Run
		for i, gap := range gaps {
			start = start.Add(time.Duration(gap) * time.Duration(gap) * time.Minute)
			runs = append(runs, retention.Run{ID: fmt.Sprintf("run-%05d", i), Start: start})
		}
		proveProperties(t, p, zone(t, "Europe/Berlin"), runs)
	})
}

func proveProperties(t *testing.T, p retention.Policy, zone *time.Location, runs []retention.Run) {
	t.Helper()
	decisions := p.Apply(runs, zone)
	require.Len(t, decisions, len(runs))
	if len(runs) == 0 {
		return
	}
	require.True(t, decisions[0].Kept(), "the newest run is always kept")
	newestFirst := make([]retention.Run, 0, len(runs))
	var kept []retention.Run
	for i, d := range decisions {
		if i > 0 {
			require.False(t, d.Start.After(decisions[i-1].Start), "newest first")
		}
		newestFirst = append(newestFirst, d.Run)
		if d.Kept() {
			kept = append(kept, d.Run)
		}
	}
	require.Equal(t, meant(p, zone, newestFirst), ids(kept), "%+v of %v", p, newestFirst)

	shuffled := slices.Clone(runs)
	slices.Reverse(shuffled)
	rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	require.Equal(t, decisions, p.Apply(shuffled, zone), "the order of the input does not matter")

	// This holds although a rule may keep the oldest run: that run is the oldest of what is kept too, and each rule
	// finds the same newest run of each of its periods again.
	for _, d := range p.Apply(kept, zone) {
		require.True(t, d.Kept(), "%+v: what was kept once is kept again: %v", p, d.Run)
	}
}

func ids(runs []retention.Run) []string {
	var list []string
	for _, run := range runs {
		list = append(list, run.ID)
	}
	return list
}

// meant returns the IDs of what a policy keeps of runs, newest first, computed
// period by period. The zones of the tests set their clocks back by at most an
// hour within a day, so that periods come in one piece.
func meant(p retention.Policy, zone *time.Location, runs []retention.Run) []string {
	zone = cmp.Or(zone, time.UTC)
	keep := make(map[string]bool)
	none := true
	for _, rule := range []struct {
		count  int32
		period func(time.Time, int) string
	}{
		{p.KeepLast, func(_ time.Time, nr int) string { return fmt.Sprint(nr) }},
		{p.KeepHourly, func(at time.Time, _ int) string { return fmt.Sprint(at.Date()) + fmt.Sprint(at.Hour()) }},
		{p.KeepDaily, func(at time.Time, _ int) string { return fmt.Sprint(at.Date()) }},
		{p.KeepWeekly, func(at time.Time, _ int) string { return fmt.Sprint(at.ISOWeek()) }},
		{p.KeepMonthly, func(at time.Time, _ int) string { return fmt.Sprint(at.Year(), at.Month()) }},
		{p.KeepYearly, func(at time.Time, _ int) string { return fmt.Sprint(at.Year()) }},
	} {
		none = none && rule.count == 0
		newest := make(map[string]bool)
		for nr, run := range runs {
			period := rule.period(run.Start.In(zone), nr)
			if !newest[period] && int32(len(newest)) < rule.count {
				newest[period] = true
				keep[run.ID] = true
			}
		}
		if int32(len(newest)) < rule.count {
			keep[runs[len(runs)-1].ID] = true
		}
	}
	var list []string
	for _, run := range runs {
		if keep[run.ID] || none {
			list = append(list, run.ID)
		}
	}
	return list
}
