package mover_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/mover"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/retention"
)

// history is a volume with runs.
type history struct {
	t *testing.T
	o job.Options
}

func newHistory(t *testing.T) *history {
	t.Helper()
	return &history{t: t, o: options(t)}
}

// run backs up, so many days after noon, and changes a file before that.
func (h *history) run(id string, days int, policy retention.Policy) job.Result {
	h.t.Helper()
	result, err := h.tryRun(h.t.Context(), id, days, policy, mover.Env{})
	require.NoError(h.t, err)
	return result
}

func (h *history) tryRun(ctx context.Context, id string, days int, policy retention.Policy, env mover.Env) (job.Result, error) {
	h.t.Helper()
	write(h.t, h.o.FileStorage, "tenant/changing", strings.Repeat("x", 10_000)+id)
	o := h.o
	o.Run, o.Policy = id, policy
	env.Now = func() time.Time { return noon.AddDate(0, 0, days) }
	return mover.Backup(ctx, o, env)
}

// of changes whose installation is backed up.
func (h *history) of(namespace, apiManager string) {
	write(h.t, h.o.Objects, job.DescriptionFile, fmt.Sprintf(`{"source":{"namespace":%q,"apiManager":%q,"uid":"u"}}`, namespace, apiManager))
}

// left returns the runs of the volume that have a name, by ID, and proves those that are complete.
func (h *history) left() []string {
	h.t.Helper()
	volume := h.open()
	runs, err := volume.Runs(h.t.Context())
	require.NoError(h.t, err)
	ids := []string{}
	for _, run := range runs {
		ids = append(ids, run.ID)
		if run.State == archive.Complete {
			report, err := volume.Verify(h.t.Context(), run.ID, archive.VerifyOptions{})
			require.NoError(h.t, err)
			assert.NoError(h.t, report.Err())
		}
	}
	return ids
}

func (h *history) open() *archive.Volume {
	h.t.Helper()
	volume, err := archive.OpenVolume(h.o.Volume)
	require.NoError(h.t, err)
	h.t.Cleanup(func() { volume.Close() })
	return volume
}

// bytes adds up the files on the volume. None of the histories here has two names for a file that changes.
func (h *history) bytes() int64 {
	h.t.Helper()
	sum := int64(0)
	seen := []os.FileInfo{}
	require.NoError(h.t, filepath.WalkDir(h.o.Volume, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		for _, other := range seen {
			if os.SameFile(info, other) {
				return nil
			}
		}
		seen = append(seen, info)
		sum += info.Size()
		return nil
	}))
	return sum
}

func TestRetentionRemovesOldestFirstAndTellsIt(t *testing.T) {
	h := newHistory(t)
	for i, id := range []string{"r1", "r2", "r3", "r4"} {
		assert.Empty(t, h.run(id, i, retention.Policy{}).Removed, "without a policy all are kept")
	}
	before := h.bytes()
	o, reporter := retention.Policy{KeepLast: 2}, &recorder{}
	result, err := h.tryRun(t.Context(), "r5", 4, o, mover.Env{Reporter: reporter})
	require.NoError(t, err)
	assert.Equal(t, []string{"r1", "r2", "r3"}, result.Removed)
	assert.Greater(t, result.FreedBytes, int64(30_000))
	assert.Empty(t, result.Warnings)
	assert.Equal(t, []job.Result{result}, reporter.results)
	assert.Equal(t, []string{"r4", "r5"}, h.left())

	written := h.bytes() + result.FreedBytes - before
	assert.InDelta(t, 10_000, written, 5_000, "what is there now and what was freed is what was there and what was written")

	again, err := h.tryRun(t.Context(), "r5", 9, o, mover.Env{})
	require.NoError(t, err)
	assert.Empty(t, again.Removed, "there is no more to remove")
	assert.Equal(t, result.ManifestSHA256, again.ManifestSHA256)
}

func TestRetentionIsAppliedToARunThatIsCompleteAlready(t *testing.T) {
	h := newHistory(t)
	h.run("r1", 0, retention.Policy{})
	h.run("r2", 1, retention.Policy{})
	assert.Equal(t, []string{"r1"}, h.run("r2", 2, retention.Policy{KeepDaily: 1}).Removed, "the first attempt was interrupted before it came to that")
	assert.Equal(t, []string{"r2"}, h.left())
}

func TestRetentionInATimeZone(t *testing.T) {
	h := newHistory(t)
	day := func(hours int) func() time.Time {
		return func() time.Time { return noon.Add(time.Duration(hours) * time.Hour) }
	}
	o := h.o
	for i, hours := range []int{0, 1, 3, 13} {
		o.Run = fmt.Sprintf("r%d", i)
		_, err := mover.Backup(t.Context(), o, mover.Env{Now: day(hours)})
		require.NoError(t, err)
	}
	o.TimeZone = "Pacific/Auckland"
	o.Run, o.Policy = "r4", retention.Policy{KeepDaily: 2} // where it is 01:00 at noon
	result, err := mover.Backup(t.Context(), o, mover.Env{Now: day(20)})
	require.NoError(t, err)
	assert.Equal(t, []string{"r1", "r2", "r3"}, result.Removed, "all are of one day there, of which the newest stays, and the oldest, since two may")
}

// TestRetentionLooksAtItsOwnCompleteRuns: what else is on the volume neither
// goes nor takes the place of a run.
func TestRetentionLooksAtItsOwnCompleteRuns(t *testing.T) {
	cases := map[string]struct {
		reason  string
		between func(h *history) // makes what lies between r1 and r3
		left    []string
		removed []string
	}{
		"Own": {
			"a run of the same installation counts",
			func(h *history) { h.run("r2", 1, retention.Policy{}) },
			[]string{"r2", "r3"},
			[]string{"r1"},
		},
		"OtherNamespace": {
			"another installation's runs are not ours to remove or to count",
			func(h *history) {
				h.of("other", "example")
				h.run("r2", 1, retention.Policy{})
				h.of("3scale", "example")
			},
			[]string{"r1", "r2", "r3"},
			nil,
		},
		"OtherAPIManager": {
			"nor are those of another APIManager in the namespace",
			func(h *history) {
				h.of("3scale", "second")
				h.run("r2", 1, retention.Policy{})
				h.of("3scale", "example")
			},
			[]string{"r1", "r2", "r3"},
			nil,
		},
		"Damaged": {
			"a damaged run is evidence, and no backup",
			func(h *history) { h.run("r2", 1, retention.Policy{}); h.manifest("r2", "{", "") },
			[]string{"r2", "r1", "r3"},
			nil,
		},
		"WithoutFiles": {
			"the newest run with the file storage is all that there is of it",
			func(h *history) {
				files := h.o.FileStorage
				h.o.FileStorage = ""
				for i, id := range []string{"r2a", "r2b", "r2c"} {
					_, err := mover.Backup(h.t.Context(), job.Options{Run: id, Volume: h.o.Volume, Objects: h.o.Objects, Policy: retention.Policy{KeepLast: 2}},
						mover.Env{Now: func() time.Time { return noon.AddDate(0, 0, 1).Add(time.Duration(i) * time.Hour) }})
					require.NoError(h.t, err)
				}
				assert.Equal(h.t, []string{"r1", "r2b", "r2c"}, h.left())
				h.o.FileStorage = files
			},
			[]string{"r2c", "r3"},
			[]string{"r1", "r2b"},
		},
		"NewerFormat": {
			"a run of a newer format is not understood",
			func(h *history) {
				h.run("r2", 1, retention.Policy{})
				h.manifest("r2", `"formatVersion": 2`, `"formatVersion": 9`)
			},
			[]string{"r1", "r2", "r3"},
			nil,
		},
		"Operator": {
			"what the operator wrote cannot be told to be good, and stays",
			func(h *history) {
				require.NoError(h.t, os.Remove(filepath.Join(h.o.Volume, "secrets")))
				write(h.t, h.o.Volume, "secrets/system-app.json", "{}")
			},
			[]string{"apimanagerbackup", "r1", "r3"},
			nil,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h := newHistory(t)
			h.run("r1", 0, retention.Policy{})
			tc.between(h)
			result := h.run("r3", 2, retention.Policy{KeepLast: 2})
			assert.Equal(t, tc.removed, result.Removed, tc.reason)
			assert.Equal(t, tc.left, h.left(), tc.reason)
		})
	}
}

// manifest changes the manifest of a run.
func (h *history) manifest(run, old, with string) {
	h.t.Helper()
	path := filepath.Join(h.o.Volume, "runs", run, "manifest.json")
	data, err := os.ReadFile(path)
	require.NoError(h.t, err)
	require.Contains(h.t, string(data), old)
	require.NoError(h.t, os.WriteFile(path, []byte(strings.Replace(string(data), old, with, 1)), 0o600))
}

// TestRetentionWithAClockThatWentBack: the run of the future is none of the newest
// for that, and goes in its turn.
func TestRetentionWithAClockThatWentBack(t *testing.T) {
	h := newHistory(t)
	h.run("r1", 0, retention.Policy{})
	h.run("r2", 1, retention.Policy{})
	h.run("future", 3650, retention.Policy{})
	result := h.run("r3", 2, retention.Policy{KeepLast: 2})
	assert.Equal(t, []string{"r1", "r2"}, result.Removed)
	assert.Equal(t, []string{"future", "r3"}, h.left())
	require.Len(t, result.Warnings, 1)
	assert.Contains(t, result.Warnings[0], `run "future" is dated`)
	result = h.run("r4", 3, retention.Policy{KeepLast: 2})
	assert.Equal(t, []string{"future"}, result.Removed)
	assert.Equal(t, []string{"r3", "r4"}, h.left())
}

func TestRetentionLeavesARunThatIsRead(t *testing.T) {
	h := newHistory(t)
	for i, id := range []string{"r1", "r2", "r3"} {
		h.run(id, i, retention.Policy{})
	}
	reader, err := h.open().OpenRun(t.Context(), "r2")
	require.NoError(t, err)
	result := h.run("r4", 3, retention.Policy{KeepLast: 1})
	assert.Equal(t, []string{"r1", "r3"}, result.Removed)
	assert.Equal(t, []string{`the retention keeps run "r2" until the next run, though no rule does: it is being read`}, result.Warnings)
	assert.True(t, result.Completed)
	require.NoError(t, reader.Close())
	assert.Equal(t, []string{"r2", "r4"}, h.run("r5", 4, retention.Policy{KeepLast: 1}).Removed)
}

func TestRetentionThatIsStoppedIsNoFailure(t *testing.T) {
	h := newHistory(t)
	for i, id := range []string{"r1", "r2"} {
		h.run(id, i, retention.Policy{})
	}
	ctx, cancel := context.WithCancel(t.Context())
	env := mover.Env{Progress: func(p v1alpha1.Progress) {
		if p.Phase == archive.PhaseSync {
			cancel() // the run is made, whatever comes
		}
	}}
	result, err := h.tryRun(ctx, "r3", 2, retention.Policy{KeepLast: 1}, env)
	require.NoError(t, err)
	assert.True(t, result.Completed)
	assert.Empty(t, result.Removed)
	require.Len(t, result.Warnings, 2)
	assert.Contains(t, result.Warnings[0], `the retention keeps run "r1", though no rule does: `)
	assert.Equal(t, "retention was not applied to the end: 1 of 2 runs that would go were not tried", result.Warnings[1])
	assert.Equal(t, []string{"r1", "r2"}, h.run("r3", 3, retention.Policy{KeepLast: 1}).Removed, "the next attempt goes on")
}

func TestRetentionThatMakesNoSense(t *testing.T) {
	cases := map[string]struct {
		reason string
		policy retention.Policy
		zone   string
		want   string
	}{
		"Negative": {"less than none means nothing", retention.Policy{KeepLast: 1, KeepDaily: -1}, "", "cannot keep -1 daily runs"},
		"TimeZone": {"days of nowhere", retention.Policy{KeepLast: 1}, "Nowhere/Atall", `cannot find time zone "Nowhere/Atall"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h := newHistory(t)
			h.o.TimeZone = tc.zone
			result, err := h.tryRun(t.Context(), "r1", 0, tc.policy, mover.Env{})
			require.ErrorContains(t, err, tc.want, tc.reason)
			assert.Equal(t, job.ExitUsage, mover.ExitCode(err))
			assert.Equal(t, v1alpha1.ReasonUsage, result.Reason)
			assert.Empty(t, h.left(), "nothing was written")
		})
	}
}

func TestNoSpaceTellsWhatCouldBeFreed(t *testing.T) {
	cases := map[string]struct {
		reason string
		runs   []string
		policy retention.Policy
		want   string
	}{
		"WithRetention": {
			"what the rules would free, of the runs that are there", []string{"r1", "r2", "r3"}, retention.Policy{KeepLast: 2},
			`; the retention would free \d{5} bytes now, of 1 runs; they are not removed by themselves, because the new run has not verified$`,
		},
		"WithRetentionThatKeepsAll": {
			"the rules let nothing go", []string{"r1", "r2"}, retention.Policy{KeepLast: 2},
			`; the retention would free nothing now: no run on the volume would go$`,
		},
		"WithoutRetention": {
			"what is to be had at most without losing the newest backup", []string{"r1", "r2", "r3"}, retention.Policy{},
			`; keeping only the newest verified run would free \d{5} bytes now, of 2 runs; they are not removed by themselves, because the new run has not verified$`,
		},
		"NoRuns": {
			"the volume is too small for one", nil, retention.Policy{},
			`; keeping only the newest verified run would free nothing now: no run on the volume would go$`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h := newHistory(t)
			for i, id := range tc.runs {
				h.run(id, i, retention.Policy{})
			}
			huge := filepath.Join(h.o.FileStorage, "huge")
			write(t, h.o.FileStorage, "huge", "")
			require.NoError(t, os.Truncate(huge, 15<<40), "a file without blocks that no volume here has room for")
			result, err := h.tryRun(t.Context(), "full", len(tc.runs), tc.policy, mover.Env{})
			require.Error(t, err)
			assert.Equal(t, v1alpha1.ReasonNoSpace, result.Reason)
			assert.Regexp(t, tc.want, result.Message, tc.reason)
			assert.Empty(t, result.Removed)
			require.NoError(t, os.Remove(huge))
			for _, id := range tc.runs {
				assert.Contains(t, h.left(), id, "nothing was removed")
			}
		})
	}
}

// TestNewestOfEachDatabaseStays: runs without a database are no backup of it, as with the file storage.
func TestNewestOfEachDatabaseStays(t *testing.T) {
	of := mover.Installation{Namespace: "3scale", APIManager: "example"}
	var runs []archive.RunInfo
	for i, databases := range [][]string{{"system-database", "zync-database"}, {"system-database"}, {"system-database"}, nil, nil} {
		m := &archive.Manifest{
			FormatVersion: 3, Sequence: int64(i + 1), StartTime: noon.AddDate(0, 0, i), FileStorage: archive.Stored,
			Source: archive.Source{Namespace: of.Namespace, APIManager: of.APIManager},
		}
		if databases != nil {
			m.Databases = &archive.Databases{}
		}
		for _, name := range databases {
			m.Databases.Dumps = append(m.Databases.Dumps, recorded.Dump{Name: name})
		}
		runs = append(runs, archive.RunInfo{ID: fmt.Sprintf("r%d", i+1), State: archive.Complete, Manifest: m})
	}
	got := map[string][]string{}
	for _, d := range mover.Decide(runs, of, retention.Policy{KeepLast: 1}, time.UTC, noon.AddDate(0, 0, 9)) {
		got[d.ID] = d.Rules
	}
	assert.Empty(t, got["r2"])
	assert.Empty(t, got["r4"])
	assert.NotEmpty(t, got["r5"])
	assert.Equal(t, []string{"newest with zync-database"}, got["r1"])
	assert.Equal(t, []string{"newest with system-database"}, got["r3"])
}
