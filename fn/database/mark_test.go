package database

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMark(t *testing.T) {
	of := func(run, attempt string) LoadOptions { return LoadOptions{Run: run, Attempt: attempt, Policy: IfEmpty} }
	cases := map[string]struct {
		reason, text    string
		loading, loaded bool
		goesOn          bool // for run-1 of this attempt
	}{
		"Loading":      {"a try that was killed", of("run-1", "a").loading().String(), true, false, true},
		"LoadingOther": {"another run", of("run-2", "a").loading().String(), true, false, false},
		"LoadingOld":   {"version 0.1 wrote the run alone", "run-1", true, false, true},
		"Loaded":       {"a try that was killed after it", of("run-1", "a").loaded().String(), false, true, true},
		"LoadedOther":  {"what has become of it since nobody knows", of("run-1", "b").loaded().String(), false, true, false},
		"Unknown":      {"whatever it is, it is no end", "run-1 left by somebody", true, false, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := Server{}
			parseMark(tc.text).tell(&s)
			assert.Equal(t, []bool{tc.loading, tc.loaded}, []bool{s.Loading != "", s.Loaded != ""}, tc.reason)
			assert.Equal(t, tc.goesOn, of("run-1", "a").GoesOn(s), tc.reason)
		})
	}
	mine, others := of("run-1", "a").loading(), of("run-1", "a").loading()
	assert.NotEqual(t, mine, others, "each process knows its own")
	assert.Less(t, len(of("20261122t115900z-1a2b3c4d", "").loading().String()), 255, "it fits into a column")

	s := Server{Loaded: of("run-1", "").loaded().String()}
	replaces := LoadOptions{Run: "run-1", Policy: Replace}
	assert.False(t, replaces.isLoaded(s), "who loads by hand wants it replaced")
	replaces.Attempt = "a"
	s.Loaded = replaces.loaded().String()
	assert.True(t, replaces.isLoaded(s), "an attempt loads it once")
}
