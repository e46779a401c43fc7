package archive

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// at makes the fixture's next run begin at a time of a node's clock.
func (f *fixture) at(node time.Time) *fixture {
	now := node
	f.opts.Now = func() time.Time {
		now = now.Add(time.Second)
		return now
	}
	return f
}

// asFormat1 makes a run one that the first version of the format had.
func (f *fixture) asFormat1(run string) {
	f.t.Helper()
	path := f.path("runs", run, "manifest.json")
	data, err := os.ReadFile(path)
	require.NoError(f.t, err)
	data = regexp.MustCompile(`"formatVersion": 2|\n  "sequence": \d+,`).ReplaceAllFunc(data, func(m []byte) []byte {
		if m[0] == '\n' {
			return nil
		}
		return []byte(`"formatVersion": 1`)
	})
	require.NoError(f.t, os.WriteFile(path, data, 0o644))
}

func TestARunOfAClockThatWasAheadIsNotTheNewestForEver(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.at(epoch()).write("good")
	f.at(epoch().AddDate(10, 0, 0)).write("ahead")
	f.add("tenant-002/more", "more")
	result := f.at(epoch().AddDate(0, 0, 1)).write("next")
	assert.EqualValues(t, 4, result.Manifest.Totals.LinkedFiles)
	require.Len(t, result.Manifest.Warnings, 1)
	assert.Contains(t, result.Manifest.Warnings[0], `run "ahead" is dated 2036-03-04T05:06:08Z, after run "next"`)

	runs, err := f.volume.Runs(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"good Complete", "ahead Complete", "next Complete"}, ids(runs))
	assert.Equal(t, "next", f.report(Latest).Run)
	target, err := os.Readlink(f.path("latest"))
	require.NoError(t, err)
	assert.Equal(t, "runs/next", target)
	assert.Equal(t, result.Manifest.Warnings, f.verify("good").Warnings, "whoever verifies is told too")
	all, err := f.volume.VerifyRuns(t.Context(), VerifyRunsOptions{})
	require.NoError(t, err)
	assert.Equal(t, result.Manifest.Warnings, all.Warnings)
	assert.Equal(t, "ahead", datedAfter(runs, epoch().AddDate(1, 0, 0))[0].ID)
	assert.Empty(t, datedAfter(runs, epoch().AddDate(10, 0, 1)))

	f.remove("next")
	assert.Equal(t, "ahead", f.report(Latest).Run, "of those that are left, it was committed last")
}

// TestOrderIsThatOfWriting gives each run a clock of its own.
func TestOrderIsThatOfWriting(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	f := newFixture(t)
	f.opts.Files = ""
	var want []string
	for i := range 12 {
		run := fmt.Sprintf("%c%d", 'a'+rune(random.IntN(26)), i)
		if i > 6 && random.IntN(3) == 0 {
			gone := random.IntN(len(want))
			f.remove(want[gone])
			want = slices.Delete(want, gone, gone+1)
		}
		f.at(epoch().Add(time.Duration(random.Int64N(int64(20*365*24*time.Hour)) - int64(10*365*24*time.Hour)))).write(run)
		want = append(want, run)
		var got []string
		runs, err := f.volume.Runs(t.Context())
		require.NoError(t, err)
		for _, r := range runs {
			got = append(got, r.ID)
		}
		require.Equal(t, want, got)
		assert.Equal(t, run, f.report(Latest).Run)
	}
}

func TestRunsOfFormat1AreReadAndOlder(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	first := f.at(epoch().AddDate(10, 0, 0)).write("x")
	f.at(epoch()).write("y")
	f.asFormat1("x")
	f.asFormat1("y")
	runs, err := f.volume.Runs(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"y Complete", "x Complete"}, ids(runs), "they have nothing but their start times")
	f.verify("x")
	run, err := f.volume.OpenRun(t.Context(), "x")
	require.NoError(t, err)
	defer run.Close()
	into := t.TempDir()
	restored, err := run.Restore(t.Context(), into, RestoreOptions{Existing: Fail})
	require.NoError(t, err)
	assert.EqualValues(t, 4, restored.WrittenFiles)

	result := f.at(epoch()).write("z")
	assert.Equal(t, first.Manifest.Tree, result.Manifest.Tree)
	assert.EqualValues(t, 1, result.Manifest.Sequence)
	assert.Equal(t, "z", f.report(Latest).Run)
	f.verify("z")
}

func TestCompareRuns(t *testing.T) {
	run := func(id string, sequence int64, start time.Time) RunInfo {
		return RunInfo{ID: id, State: Complete, Manifest: &Manifest{Sequence: sequence, StartTime: start}}
	}
	now := epoch()
	cases := map[string]struct {
		reason      string
		older, than RunInfo
	}{
		"Sequence":    {"what was committed later is newer, whatever its clock said", run("b", 1, now.AddDate(10, 0, 0)), run("a", 2, now)},
		"Format1":     {"a run without a sequence is older", run("b", 0, now.AddDate(10, 0, 0)), run("a", 1, now)},
		"BothFormat1": {"there is nothing but the clock", run("b", 0, now), run("a", 0, now.Add(1))},
		"SameNumber":  {"two writers that did not see each other", run("b", 3, now), run("a", 3, now.Add(1))},
		"SameAll":     {"the order is a total one", run("a", 3, now), run("b", 3, now)},
		"NoManifest":  {"of what cannot be read nothing is known", RunInfo{ID: "z", State: Damaged}, run("a", 0, now)},
		"Newer":       {"a newer format tells its sequence", run("b", 3, now), RunInfo{ID: "a", State: Unsupported, err: &VersionError{Version: 9, sequence: 4}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Negative(t, compareRuns(tc.older, tc.than), tc.reason)
			assert.Positive(t, compareRuns(tc.than, tc.older), tc.reason)
			assert.Zero(t, compareRuns(tc.than, tc.than), tc.reason)
		})
	}
}

func TestNextSequence(t *testing.T) {
	cases := map[string]struct {
		reason string
		there  []int64
		want   int64
	}{
		"None":     {"the first run", nil, 1},
		"Format1":  {"runs without a sequence count for nothing", []int64{0, 0}, 1},
		"Greatest": {"one more than the greatest, wherever it stands", []int64{3, 7, 5}, 8},
		"Last":     {"a forged manifest does not make the next one unreadable", []int64{maxSequence}, maxSequence},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var runs []RunInfo
			for _, n := range tc.there {
				runs = append(runs, RunInfo{Manifest: &Manifest{Sequence: n}})
			}
			assert.Equal(t, tc.want, nextSequence(runs), tc.reason)
		})
	}
}
