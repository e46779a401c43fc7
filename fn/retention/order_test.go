package retention_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/retention"
)

func TestApplyInOrder(t *testing.T) {
	now := runsAt(t, "2026-11-24T12:00")[0].Start
	days := func(n int32) retention.Policy { return retention.Policy{KeepDaily: n} }
	for name, tc := range map[string]struct {
		why    string
		policy retention.Policy
		runs   []string // in the order of writing
		kept   string
	}{
		"None":     {"there is nothing to decide on", days(2), nil, ""},
		"InOrder":  {"no clock was wrong", days(2), []string{"2026-11-20", "2026-11-22", "2026-11-22T01", "2026-11-24"}, "dc"},
		"SameTime": {"the order decides, and not the IDs", retention.Policy{KeepLast: 1}, []string{"2026-11-22", "2026-11-22"}, "b"},
		"Ahead": {"it was written on the 21st, and is none of the newest two days", days(2),
			[]string{"2026-11-20", "2036-11-21", "2026-11-22", "2026-11-23"}, "dc"},
		"AheadAndPassed": {"its time has come since", days(2), []string{"2026-10-01", "2026-11-23", "2026-10-03", "2026-10-04"}, "dc"},
		"AheadYear":      {"it is no year's only run", retention.Policy{KeepYearly: 2}, []string{"2025-06-01", "2026-01-01", "2036-02-01", "2026-03-01"}, "da"},
		"AheadForDays": {"a node was wrong for longer than it is right again", days(3),
			[]string{"2026-11-19", "2036-11-20", "2036-11-21", "2036-11-22", "2026-11-23", "2026-11-24"}, "fedcb"},
		"Behind":       {"no battery, and 1970", days(3), []string{"2026-11-19", "2026-11-20", "1970-01-01", "2026-11-22"}, "dcba"},
		"NewestAhead":  {"it may be this clock that is behind", days(2), []string{"2026-11-20", "2026-11-22", "2036-01-01"}, "cb"},
		"NewestBehind": {"it was written last all the same, and a is the oldest by the other reading", days(2), []string{"2026-11-20", "2026-11-22", "2026-11-23", "1970-01-01"}, "dca"},
		"AllAhead":     {"this clock is wrong, and a is the oldest by the other reading", days(2), []string{"2036-11-20", "2036-11-21", "2036-11-22"}, "cba"},
		"Last":         {"by the order alone", retention.Policy{KeepLast: 2}, []string{"2026-11-20", "2036-11-21", "2026-11-19"}, "cb"},
		"KeepsAll":     {"a policy without rules", retention.Policy{}, []string{"2036-11-21", "2026-11-19"}, "ba"},
	} {
		t.Run(name, func(t *testing.T) {
			decisions := tc.policy.ApplyInOrder(runsAt(t, tc.runs...), nil, now)
			var kept strings.Builder
			for i, d := range decisions {
				assert.Equal(t, len(decisions)-1-i, int(d.ID[0]-'a'), "newest first")
				if d.Kept() {
					kept.WriteString(d.ID)
				}
			}
			assert.Equal(t, tc.kept, kept.String(), "%s\n%s", tc.why, strings.Join(told(decisions), "\n"))
		})
	}
}

func TestApplyInOrderIsApplyWhereClocksAreRight(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 10))
	for range 300 {
		p := retention.Policy{KeepLast: random.Int32N(3), KeepDaily: random.Int32N(8), KeepWeekly: random.Int32N(5), KeepMonthly: random.Int32N(3), KeepYearly: random.Int32N(3)}
		at := time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC)
		var runs []retention.Run
		for i := range random.IntN(60) {
			at = at.Add(time.Duration(random.Int64N(int64(72 * time.Hour))))
			runs = append(runs, retention.Run{ID: fmt.Sprintf("run-%04d", i), Start: at})
		}
		require.Equal(t, told(p.Apply(runs, nil)), told(p.ApplyInOrder(runs, nil, at)))
	}
}

// TestWrongClocksDisplaceNone: all that would be kept with clocks that are right is
// kept with some that were wrong by days or decades, and not more than twice that.
func TestWrongClocksDisplaceNone(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 11))
	p := retention.Policy{KeepDaily: 7, KeepWeekly: 4, KeepMonthly: 6, KeepYearly: 3}
	for range 100 {
		start := time.Date(2023, 1, 1, 2, 0, 0, 0, time.UTC)
		var right, wrong []retention.Run
		days := 400 + random.IntN(400)
		for day := range days {
			run := retention.Run{ID: fmt.Sprintf("run-%04d", day), Start: start.AddDate(0, 0, day)}
			right = append(right, run)
			if day > 10 && random.IntN(50) == 0 { // too few contradict the oldest
				run.Start = run.Start.AddDate(0, 0, (2+random.IntN(7000))*(1-2*random.IntN(2)))
			}
			wrong = append(wrong, run)
		}
		got := p.ApplyInOrder(wrong, nil, right[days-1].Start.Add(time.Hour))
		kept, should := 0, 0
		for i, d := range p.Apply(right, nil) {
			require.Equal(t, d.ID, got[i].ID)
			require.False(t, d.Kept() && !got[i].Kept(), "%s is displaced: %v", d.ID, d.Rules)
			if d.Kept() {
				should++
			}
			if got[i].Kept() {
				kept++
			}
		}
		require.LessOrEqual(t, kept, 2*should)
	}
}

// TestAnAheadRunGoesInItsTurn: nothing is kept for ever, nor in another's place.
func TestAnAheadRunGoesInItsTurn(t *testing.T) {
	p := retention.Policy{KeepLast: 2, KeepDaily: 3, KeepYearly: 2}
	var volume []retention.Run
	for day := range 30 {
		now := time.Date(2026, 11, 1+day, 2, 0, 0, 0, time.UTC)
		run := retention.Run{ID: fmt.Sprintf("run-%02d", day), Start: now}
		if day == 5 {
			run.Start = now.AddDate(10, 0, 0)
		}
		var kept []retention.Run
		for _, d := range p.ApplyInOrder(append(volume, run), nil, now) {
			if d.Kept() {
				kept = append([]retention.Run{d.Run}, kept...)
			}
		}
		volume = kept
		for back := range min(3, day+1) {
			require.Equal(t, fmt.Sprintf("run-%02d", day-back), volume[len(volume)-1-back].ID, "day %d", day)
		}
	}
	assert.LessOrEqual(t, len(volume), 5)
	for _, run := range volume {
		assert.NotEqual(t, "run-05", run.ID)
	}
}
