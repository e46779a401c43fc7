package retention_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/retention"
)

func TestParse(t *testing.T) {
	cases := map[string]struct {
		reason string
		text   string
		want   retention.Policy
		err    string
	}{
		"One": {reason: "one rule is a policy", text: "keepLast=7", want: retention.Policy{KeepLast: 7}},
		"All": {
			reason: "the names are those of spec.retention",
			text:   "keepLast=1,keepHourly=2,keepDaily=3,keepWeekly=4,keepMonthly=5,keepYearly=6",
			want:   retention.Policy{KeepLast: 1, KeepHourly: 2, KeepDaily: 3, KeepWeekly: 4, KeepMonthly: 5, KeepYearly: 6},
		},
		"ZeroBesideARule": {reason: "zero is what a claim may say too", text: "keepLast=0,keepDaily=1", want: retention.Policy{KeepDaily: 1}},
		"Nothing":         {reason: "a policy that keeps nothing is refused in a claim too", text: "keepLast=0", err: "would keep nothing"},
		"Empty":           {reason: "no rule is named", text: "", err: "is none of keepLast"},
		"Unknown":         {reason: "a name that is mistyped must not be passed over", text: "keepLast=7,keepDayly=14", err: `"keepDayly=14" is none of`},
		"TrailingComma":   {reason: "something may be missing", text: "keepLast=7,", err: `"" is none of`},
		"Space":           {reason: "names have no spaces", text: "keepLast=7, keepDaily=1", err: "is none of"},
		"Twice":           {reason: "it cannot be told which is meant", text: "keepLast=7,keepLast=8", err: "keepLast is given twice"},
		"NoNumber":        {reason: "a count is a number", text: "keepLast", err: "keepLast is not a number"},
		"NegativeNumber":  {reason: "less than none means nothing", text: "keepLast=-1", err: "keepLast is not a number"},
		"TooLarge":        {reason: "a claim holds 31 bits", text: "keepLast=2147483648", err: "keepLast is not a number"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := retention.Parse(tc.text)
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err, tc.reason)
				return
			}
			require.NoError(t, err, tc.reason)
			assert.Equal(t, tc.want, got, tc.reason)
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("keepLast=7,keepDaily=14")
	f.Add("keepYearly=2147483647")
	f.Add("keepLast=,keepLast")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := retention.Parse(text)
		if err != nil {
			assert.Equal(t, retention.Policy{}, p)
			return
		}
		require.NoError(t, p.Check(), "what can be read can be used")
		decisions := p.Apply([]retention.Run{{ID: "a", Start: time.Unix(0, 0)}, {ID: "b", Start: time.Unix(1, 0)}}, nil)
		assert.True(t, decisions[0].Kept())
		assert.NotEqual(t, []string{"all"}, decisions[0].Rules, "it has a rule")
	})
}

func TestCheck(t *testing.T) {
	require.NoError(t, retention.Policy{}.Check(), "nothing given keeps all")
	require.NoError(t, retention.Policy{KeepLast: 1, KeepYearly: 3}.Check())
	require.EqualError(t, retention.Policy{KeepLast: 1, KeepMonthly: -2}.Check(), "cannot keep -2 monthly runs: it is less than none")
}
