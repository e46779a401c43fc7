package retention_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/retention"
	"threescale.dev/backup/fn/timezone"
)

// runsAt makes runs a, b, c... of times in RFC 3339 or its first part, in UTC.
func runsAt(t *testing.T, times ...string) []retention.Run {
	t.Helper()
	runs := make([]retention.Run, 0, len(times))
	for i, text := range times {
		const full = "0000-01-01T00:00:00Z"
		if len(text) < len(full) {
			text += full[len(text):]
		}
		start, err := time.Parse(time.RFC3339, text)
		require.NoError(t, err)
		runs = append(runs, retention.Run{ID: string(rune('a' + i)), Start: start})
	}
	return runs
}

// told is what was decided, one line a run, newest first.
func told(decisions []retention.Decision) []string {
	var lines []string
	for _, d := range decisions {
		lines = append(lines, strings.TrimSpace(d.ID+" "+strings.Join(d.Rules, ", ")))
	}
	return lines
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	location, err := timezone.Load(name)
	require.NoError(t, err)
	return location
}

func TestApply(t *testing.T) {
	cases := map[string]struct {
		reason string
		policy retention.Policy
		runs   []string
		want   []string
	}{
		"NoRuns": {
			reason: "there is nothing to decide on",
			policy: retention.Policy{KeepLast: 1},
		},
		"NoPolicy": {
			reason: "nobody asked for anything to go",
			runs:   []string{"2026-11-21", "2026-11-22"},
			want:   []string{"b all", "a all"},
		},
		"Negative": {
			reason: "an invalid count is no rule, and no rule removes nothing",
			policy: retention.Policy{KeepDaily: -1},
			runs:   []string{"2026-11-21", "2026-11-22"},
			want:   []string{"b all", "a all"},
		},
		"Last": {
			reason: "the newest so many, whenever they are of",
			policy: retention.Policy{KeepLast: 2},
			runs:   []string{"2020", "2026-11-22T10", "2026-11-22T11"},
			want:   []string{"c last 1", "b last 2", "a"},
		},
		"LastOfFewer": {
			reason: "there may be fewer than are kept",
			policy: retention.Policy{KeepLast: 5},
			runs:   []string{"2025", "2026"},
			want:   []string{"b last 1", "a last 2"},
		},
		"Hourly": {
			reason: "the newest run of each hour, which begins at its first second",
			policy: retention.Policy{KeepHourly: 2},
			runs:   []string{"2026-11-22T08:59:59Z", "2026-11-22T09:59:59Z", "2026-11-22T10:00:00Z", "2026-11-22T10:59:59Z"},
			want:   []string{"d hourly 2026-11-22T10", "c", "b hourly 2026-11-22T09", "a"},
		},
		"SameHourOfAnotherDay": {
			reason: "an hour is one of a day",
			policy: retention.Policy{KeepHourly: 2},
			runs:   []string{"2026-11-20T10", "2026-11-21T10", "2026-11-22T10"},
			want:   []string{"c hourly 2026-11-22T10", "b hourly 2026-11-21T10", "a"},
		},
		"DaysWithoutRuns": {
			reason: "days without a run do not count, or a pause would remove all",
			policy: retention.Policy{KeepDaily: 2},
			runs:   []string{"2026-01-01", "2026-02-01", "2026-11-21", "2026-11-22"},
			want:   []string{"d daily 2026-11-22", "c daily 2026-11-21", "b", "a"},
		},
		"OldestByARuleWithCountsLeft": {
			reason: "restic keeps the oldest run while a rule may keep more, so that a history can grow as long as is asked for",
			policy: retention.Policy{KeepDaily: 2},
			runs:   []string{"2026-11-22T01", "2026-11-22T02", "2026-11-22T03"},
			want:   []string{"c daily 2026-11-22", "b", "a oldest daily 2026-11-22"},
		},
		"OldestByNoRuleThatIsUsedUp": {
			reason: "a rule that has kept all it may does not keep the oldest",
			policy: retention.Policy{KeepDaily: 1},
			runs:   []string{"2026-11-22T01", "2026-11-22T02", "2026-11-22T03"},
			want:   []string{"c daily 2026-11-22", "b", "a"},
		},
		"OldestOfItsOwnPeriod": {
			reason: "an oldest run of another period is an ordinary one of it",
			policy: retention.Policy{KeepYearly: 3},
			runs:   []string{"2025-06", "2026-01", "2026-11"},
			want:   []string{"c yearly 2026", "b", "a yearly 2025"},
		},
		"ISOWeeks": {
			reason: "a week is from Monday on, and belongs to the year of its Thursday: restic's calendar",
			policy: retention.Policy{KeepWeekly: 3},
			// Sunday 20, Monday 21, Thursday 31 December 2026, Friday 1, Sunday 3 and Monday 4 January 2027.
			runs: []string{"2026-12-20", "2026-12-21", "2026-12-31", "2027-01-01", "2027-01-03", "2027-01-04"},
			want: []string{"f weekly 2027-W01", "e weekly 2026-W53", "d", "c", "b weekly 2026-W52", "a"},
		},
		"Monthly": {
			reason: "a month is one of a year",
			policy: retention.Policy{KeepMonthly: 2},
			runs:   []string{"2025-11-30", "2026-11-01", "2026-11-30"},
			want:   []string{"c monthly 2026-11", "b", "a monthly 2025-11"},
		},
		"SeveralRules": {
			reason: "a run stays if any rule keeps it, and all that do are told",
			policy: retention.Policy{KeepLast: 1, KeepDaily: 2, KeepMonthly: 2},
			runs:   []string{"2026-09-30", "2026-10-30", "2026-10-31", "2026-11-21", "2026-11-22"},
			want: []string{
				"e last 1, daily 2026-11-22, monthly 2026-11", "d daily 2026-11-21", "c monthly 2026-10", "b", "a",
			},
		},
		"EqualTimes": {
			reason: "the order of runs of one time is that of their IDs, so that the answer does not depend on the input's",
			policy: retention.Policy{KeepLast: 2},
			runs:   []string{"2026-11-22", "2026-11-22", "2026-11-22"},
			want:   []string{"c last 1", "b last 2", "a"},
		},
		"Future": {
			reason: "a run that a wrong clock dated in the future is the newest, and takes one place of each rule, not more",
			policy: retention.Policy{KeepLast: 2, KeepDaily: 3},
			runs:   []string{"2026-11-19", "2026-11-20", "2026-11-21", "2036-01-01"},
			want:   []string{"d last 1, daily 2036-01-01", "c last 2, daily 2026-11-21", "b daily 2026-11-20", "a"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, told(tc.policy.Apply(runsAt(t, tc.runs...), nil)), tc.reason)
		})
	}
}

func TestTimeZones(t *testing.T) {
	cases := map[string]struct {
		reason string
		zone   string
		policy retention.Policy
		runs   []string
		want   []string
	}{
		"UTC": {
			reason: "without a time zone, days are those of UTC",
			policy: retention.Policy{KeepDaily: 1},
			runs:   []string{"2026-11-21T23:30:00Z", "2026-11-22T00:30:00Z"},
			want:   []string{"b daily 2026-11-22", "a"},
		},
		"EastOfUTC": {
			reason: "at half past midnight in Berlin it is the day before in UTC",
			zone:   "Europe/Berlin",
			policy: retention.Policy{KeepDaily: 2},
			runs:   []string{"2026-11-20T12:00:00Z", "2026-11-21T22:30:00Z", "2026-11-21T23:30:00Z"},
			want:   []string{"c daily 2026-11-22", "b daily 2026-11-21", "a"},
		},
		"YearInAnotherZone": {
			reason: "a year begins at its place's midnight",
			zone:   "America/New_York",
			policy: retention.Policy{KeepYearly: 1},
			runs:   []string{"2026-12-31T20:00:00Z", "2027-01-01T04:59:59Z"},
			want:   []string{"b yearly 2026", "a"},
		},
		"DayOf25Hours": {
			reason: "the day on which clocks are set back is one day",
			zone:   "Europe/Berlin",
			policy: retention.Policy{KeepDaily: 1},
			runs:   []string{"2026-10-24T22:00:00Z", "2026-10-25T22:59:59Z"},
			want:   []string{"b daily 2026-10-25", "a"},
		},
		"HourThatComesTwice": {
			reason: "02:30 comes twice in Berlin on that day, and is one hour to restic, as it is on a clock",
			zone:   "Europe/Berlin",
			policy: retention.Policy{KeepHourly: 3},
			runs:   []string{"2026-10-24T22:30:00Z", "2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"},
			want:   []string{"e hourly 2026-10-25T03", "d hourly 2026-10-25T02", "c", "b hourly 2026-10-25T01", "a"},
		},
		"HourThatIsLeftOut": {
			reason: "from 01:59:59 the clock goes to 03:00: two hours, one after the other",
			zone:   "Europe/Berlin",
			policy: retention.Policy{KeepHourly: 2},
			runs:   []string{"2026-03-28T23:30:00Z", "2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z"},
			want:   []string{"c hourly 2026-03-29T03", "b hourly 2026-03-29T01", "a"},
		},
		"HalfHourZone": {
			reason: "an hour begins where the place's clock says so",
			zone:   "Asia/Kolkata",
			policy: retention.Policy{KeepHourly: 2},
			runs:   []string{"2026-11-22T10:29:59Z", "2026-11-22T10:30:00Z", "2026-11-22T11:29:59Z"},
			want:   []string{"c hourly 2026-11-22T16", "b", "a hourly 2026-11-22T15"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, told(tc.policy.Apply(runsAt(t, tc.runs...), zone(t, tc.zone))), tc.reason)
		})
	}
	assert.Equal(t, []string{"a daily 1970-01-01"}, told(retention.Policy{KeepDaily: 1}.Apply(runsAt(t, "1970"), nil)), "no zone is UTC")
}

// TestHistoryGrows prunes after each of many runs, as a schedule does: what a
// policy asks for is there in the end, which is what keeping the oldest is for.
func TestHistoryGrows(t *testing.T) {
	p := retention.Policy{KeepLast: 2, KeepDaily: 3, KeepMonthly: 4, KeepYearly: 2}
	var runs []retention.Run
	start := time.Date(2026, 1, 10, 2, 0, 0, 0, time.UTC)
	for day := range 400 {
		runs = append(runs, retention.Run{ID: fmt.Sprintf("run-%03d", day), Start: start.AddDate(0, 0, day)})
		var kept []retention.Run
		for _, d := range p.Apply(runs, nil) {
			if d.Kept() {
				kept = append(kept, d.Run)
			}
		}
		runs = kept
	}
	assert.Equal(t, []string{
		"run-399 last 1, daily 2027-02-13, monthly 2027-02, yearly 2027",
		"run-398 last 2, daily 2027-02-12",
		"run-397 daily 2027-02-11",
		"run-386 monthly 2027-01",
		"run-355 monthly 2026-12, yearly 2026",
		"run-324 monthly 2026-11",
	}, told(p.Apply(runs, nil)))
}
