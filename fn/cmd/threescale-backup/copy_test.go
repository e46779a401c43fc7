package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/cmd/internal/exit"
	"threescale.dev/backup/fn/mover"
)

// listOfRuns is a store of which only the list is read.
type listOfRuns struct {
	archive.Store

	runs []archive.RunInfo
}

func (l listOfRuns) Runs(context.Context) ([]archive.RunInfo, error) { return l.runs, nil }
func (l listOfRuns) String() string                                  { return "there" }

func completeRun(id, digest, namespace, uid string) archive.RunInfo {
	return archive.RunInfo{ID: id, State: archive.Complete, ManifestSHA256: digest, Manifest: &archive.Manifest{Run: id, Source: archive.Source{Namespace: namespace, APIManager: "example", UID: uid}}}
}

func TestCopyPlan(t *testing.T) {
	a, b, c := completeRun("a", "1", "3scale", "u-1"), completeRun("b", "2", "3scale", "u-1"), completeRun("c", "3", "dr", "")
	damaged := archive.RunInfo{ID: "d", State: archive.Damaged, Message: "cannot read manifest"}
	partial := archive.RunInfo{ID: "e", State: archive.Partial}
	cases := map[string]struct {
		reason      string
		from, there []archive.RunInfo
		asked       []string
		want        copyPlan
		says        string
		exit        int
	}{
		"All":         {"a whole volume", []archive.RunInfo{a, b}, nil, nil, copyPlan{runs: []string{"a", "b"}, owner: "APIManager 3scale/example, UID u-1"}, "", 0},
		"Again":       {"what is there is left alone", []archive.RunInfo{a, b}, []archive.RunInfo{a}, nil, copyPlan{runs: []string{"b"}, present: []string{"a"}, owner: "APIManager 3scale/example, UID u-1"}, "", 0},
		"Asked":       {"in the order of writing, each once", []archive.RunInfo{a, b, c}, nil, []string{"c", "a", "latest"}, copyPlan{runs: []string{"a", "c"}, owner: "APIManager dr/example"}, "", 0},
		"NotComplete": {"they cannot be copied, and are told", []archive.RunInfo{a, damaged, partial}, nil, nil, copyPlan{runs: []string{"a"}, owner: "APIManager 3scale/example, UID u-1", warnings: []string{"run d is not copied: its state is Damaged: cannot read manifest", "run e is not copied: its state is Partial"}}, "", 0},
		"AskedAlone":  {"what was not asked for is no news", []archive.RunInfo{a, damaged}, nil, []string{"a"}, copyPlan{runs: []string{"a"}, owner: "APIManager 3scale/example, UID u-1"}, "", 0},
		"Empty":       {"nothing to copy is no error", nil, nil, nil, copyPlan{}, "", 0},
		"DamagedHere": {"a manifest that cannot be read there is none", []archive.RunInfo{a}, []archive.RunInfo{{ID: "a", State: archive.Damaged}}, nil, copyPlan{runs: []string{"a"}, owner: "APIManager 3scale/example, UID u-1"}, "", 0},
		"Unknown":     {"a typing error", []archive.RunInfo{a}, nil, []string{"x"}, copyPlan{}, `cannot copy run "x"`, job.ExitUsage},
		"AskedFor":    {"it was asked for, and cannot be copied", []archive.RunInfo{a, damaged}, nil, []string{"d"}, copyPlan{}, `cannot copy run "d"`, job.ExitUsage},
		"NoLatest":    {"there is no run", nil, nil, []string{"latest"}, copyPlan{}, `cannot copy run "latest"`, job.ExitUsage},
		"Differs":     {"one of the two was replaced, which the copy tells", []archive.RunInfo{a}, []archive.RunInfo{completeRun("a", "9", "3scale", "u-1")}, nil, copyPlan{runs: []string{"a"}, owner: "APIManager 3scale/example, UID u-1"}, "", 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := (&copyCommand{Runs: tc.asked}).plan(t.Context(), listOfRuns{runs: tc.from}, listOfRuns{runs: tc.there})
			if tc.says == "" {
				require.NoError(t, err, tc.reason)
				assert.Equal(t, tc.want, got, tc.reason)
				return
			}
			require.ErrorContains(t, err, tc.says, tc.reason)
			assert.Equal(t, tc.exit, exit.Code(err, mover.ExitCode), tc.reason)
		})
	}
}
