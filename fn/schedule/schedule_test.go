package schedule_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/schedule"
)

func at(t testing.TB, text string) time.Time {
	t.Helper()
	moment, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return moment
}

func TestNext(t *testing.T) {
	const berlin, havana, apia, howe = "Europe/Berlin", "America/Havana", "Pacific/Apia", "Australia/Lord_Howe"
	cases := map[string]struct {
		reason     string
		expression string
		zone       string
		after      string
		want       []string
	}{
		"Nightly":       {"UTC without a zone", "0 2 * * *", "", "2026-11-22T02:00:00Z", []string{"2026-11-23T02:00:00Z", "2026-11-24T02:00:00Z"}},
		"JustBefore":    {"the slot itself comes next", "0 2 * * *", "", "2026-11-22T01:59:59Z", []string{"2026-11-22T02:00:00Z"}},
		"Zone":          {"two in Berlin is one in winter and midnight in summer", "0 2 * * *", berlin, "2026-10-24T12:00:00Z", []string{"2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z"}},
		"Gap":           {"02:30 does not exist on that night; a backup is taken all the same", "30 2 * * *", berlin, "2026-03-28T12:00:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"}},
		"GapOnce":       {"several slots of a gap are one", "*/15 2 * * *", berlin, "2026-03-28T12:00:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"}},
		"Repeat":        {"02:30 comes twice on that night; one backup is taken", "30 2 * * *", berlin, "2026-10-24T12:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		"RepeatBetween": {"asked between the two, it has passed", "30 2 * * *", berlin, "2026-10-25T00:45:00Z", []string{"2026-10-26T01:30:00Z"}},
		"HourlyRepeat":  {"every hour is every hour that passes", "0 * * * *", berlin, "2026-10-24T23:00:00Z", []string{"2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"}},
		"HourlyGap":     {"likewise", "0 * * * *", berlin, "2026-03-29T00:00:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"}},
		"MidnightGap":   {"the day begins at one", "0 0 * * *", havana, "2026-03-07T12:00:00Z", []string{"2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"}},
		"LostDay":       {"a whole day that a zone left out", "0 2 * * *", apia, "2011-12-29T13:00:00Z", []string{"2011-12-30T10:00:00Z", "2011-12-30T12:00:00Z"}},
		"HalfHourGap":   {"a gap of half an hour", "15 2 * * *", howe, "2026-10-03T00:00:00Z", []string{"2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"}},
		"Leap":          {"rare, and not never", "0 2 29 2 *", "", "2026-11-22T00:00:00Z", []string{"2028-02-29T02:00:00Z"}},
		"Descriptor":    {"a name for an expression", "@weekly", "", "2026-11-22T12:00:00Z", []string{"2026-11-29T00:00:00Z"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s, err := schedule.Parse(tc.expression, tc.zone)
			require.NoError(t, err, tc.reason)
			slot := at(t, tc.after)
			for _, want := range tc.want {
				slot = s.Next(slot)
				assert.Equal(t, want, slot.Format(time.RFC3339), tc.reason)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	cases := map[string]struct{ reason, expression, zone, want string }{
		"NeverFires":  {"no February has a 30th", "0 0 30 2 *", "", "it never fires"},
		"Every":       {"whoever has no memory cannot tell when it began", "@every 1h", "", "give fixed times"},
		"OwnZone":     {"two zones could contradict each other", "TZ=Europe/Berlin 0 2 * * *", "", "timeZone"},
		"OwnCronZone": {"the other spelling", "CRON_TZ=Europe/Berlin 0 2 * * *", "", "timeZone"},
		"Seconds":     {"six fields are another language", "0 0 2 * * *", "", "expected exactly 5 fields"},
		"Empty":       {"nothing is no schedule", "", "", "cannot parse schedule"},
		"Zone":        {"a typo", "0 2 * * *", "Europe/Berlln", `cannot find time zone "Europe/Berlln"`},
		"Local":       {"where the function runs is nobody's business", "0 2 * * *", "Local", `cannot find time zone "Local"`},
		"PathZone":    {"no file is read for a name", "0 2 * * *", "../../etc/passwd", "cannot find time zone"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := schedule.Parse(tc.expression, tc.zone)
			require.ErrorContains(t, err, tc.want, tc.reason)
		})
	}
}

func TestPassed(t *testing.T) {
	cases := map[string]struct {
		reason, expression, after, until string
		want                             schedule.Passed
	}{
		"None":    {"the next one is ahead", "0 2 * * *", "2026-11-22T02:00:00Z", "2026-11-23T01:59:59Z", schedule.Passed{}},
		"One":     {"a slot that is now has come", "0 2 * * *", "2026-11-22T02:00:00Z", "2026-11-23T02:00:00Z", schedule.Passed{First: at(t, "2026-11-23T02:00:00Z"), Newest: at(t, "2026-11-23T02:00:00Z"), Count: 1}},
		"Three":   {"a long weekend", "0 2 * * *", "2026-11-22T02:00:00Z", "2026-11-25T12:00:00Z", schedule.Passed{First: at(t, "2026-11-23T02:00:00Z"), Newest: at(t, "2026-11-25T02:00:00Z"), Count: 3}},
		"Many":    {"a minute's slots of a year are not all counted, but the newest is found", "* * * * *", "2026-01-01T00:00:00Z", "2026-12-31T23:59:30Z", schedule.Passed{First: at(t, "2026-01-01T00:01:00Z"), Newest: at(t, "2026-12-31T23:59:00Z"), Count: schedule.MaxCounted}},
		"ManyOdd": {"likewise where the last window has few", "* 0 1 * *", "2020-01-01T12:00:00Z", "2026-12-31T23:59:30Z", schedule.Passed{First: at(t, "2020-02-01T00:00:00Z"), Newest: at(t, "2026-12-01T00:59:00Z"), Count: schedule.MaxCounted}},
		"Back":    {"a clock that went backwards", "0 2 * * *", "2026-11-22T02:00:00Z", "2025-11-23T02:00:00Z", schedule.Passed{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s, err := schedule.Parse(tc.expression, "")
			require.NoError(t, err)
			assert.Equal(t, tc.want, s.Passed(at(t, tc.after), at(t, tc.until)), tc.reason)
		})
	}
}

// TestOnceADay: through all changes of the clock of many zones, a daily slot
// comes once a day and is what the clock on the wall shows, or a gap's end.
func TestOnceADay(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "America/Havana", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata", "America/Sao_Paulo", "Pacific/Chatham", "Antarctica/Troll"}
	for _, name := range zones {
		zone, err := time.LoadLocation(name)
		require.NoError(t, err)
		for _, hour := range []string{"0", "1", "2", "3", "23"} {
			s, err := schedule.Parse("30 "+hour+" * * *", name)
			require.NoError(t, err)
			slot := s.Next(at(t, "2015-12-31T12:00:00Z"))
			for slot.Year() < 2027 {
				next := s.Next(slot)
				day := time.Date(slot.In(zone).Year(), slot.In(zone).Month(), slot.In(zone).Day()+1, 12, 0, 0, 0, zone)
				require.Equal(t, day.Format(time.DateOnly), next.In(zone).Format(time.DateOnly), "%s %s after %s", name, hour, slot)
				slot = next
			}
		}
	}
}

// FuzzSchedule: whatever parses has slots that go on, and none of it hangs.
func FuzzSchedule(f *testing.F) {
	f.Add("0 2 * * *", "Europe/Berlin", int64(1774659600))
	f.Add("*/15 2 * * *", "America/Havana", int64(1761440400))
	f.Add("@monthly", "", int64(-1))
	f.Add("0 0 30 2 *", "UTC", int64(0))
	f.Fuzz(func(t *testing.T, expression, zone string, seconds int64) {
		s, err := schedule.Parse(expression, zone)
		if err != nil {
			return
		}
		after := time.Unix(seconds%(1<<33), 0)
		next := s.Next(after)
		if next.IsZero() {
			return
		}
		require.True(t, next.After(after), "%s after %s", next, after)
		p := s.Passed(after, next)
		require.Equal(t, schedule.Passed{First: next, Newest: next, Count: 1}, p)
	})
}
