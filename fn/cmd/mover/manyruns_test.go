package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/mover"
	"threescale.dev/backup/fn/retention"
	"threescale.dev/backup/test/syscalls"
)

// history is a volume with many runs.
type history struct {
	t      *testing.T
	o      job.Options
	runs   int
	copies int // of each that the mover makes
}

func newHistory(t *testing.T) *history {
	t.Helper()
	dir := t.TempDir()
	h := &history{t: t, o: job.Options{Volume: filepath.Join(dir, "volume"), Objects: filepath.Join(dir, "objects"), FileStorage: filepath.Join(dir, "files")}}
	writeSnapshot(t, h.o.Objects)
	write(t, filepath.Join(h.o.Volume, "other"), "")
	for i := range 10 {
		write(t, filepath.Join(h.o.FileStorage, "tenant", fmt.Sprint(i), "logo.png"), strings.Repeat("x", 100*i))
	}
	return h
}

// next returns the options of the next run, and changes a file.
func (h *history) next() job.Options {
	h.t.Helper()
	write(h.t, filepath.Join(h.o.FileStorage, "tenant", "changing"), strings.Repeat("x", h.runs%1000))
	o := h.o
	o.Run = fmt.Sprintf("run-%06d", h.runs)
	h.runs++
	return o
}

// grow makes runs until there are so many, each of which has changed a file, but for copies: they are what the mover
// makes if nothing has changed, and made faster.
func (h *history) grow(runs int) {
	h.t.Helper()
	for h.runs < runs {
		o := h.next()
		_, err := mover.Backup(h.t.Context(), o, mover.Env{Now: time.Now})
		require.NoError(h.t, err)
		if h.copies > 0 {
			h.copy(o.Run, min(h.copies, runs-h.runs))
		}
	}
}

// copy copies the newest run.
func (h *history) copy(run string, copies int) {
	h.t.Helper()
	dir := filepath.Join(h.o.Volume, "runs")
	text, err := os.ReadFile(filepath.Join(dir, run, "manifest.json"))
	require.NoError(h.t, err)
	var manifest archive.Manifest
	require.NoError(h.t, json.Unmarshal(text, &manifest))
	for range copies {
		manifest.Run = fmt.Sprintf("run-%06d", h.runs)
		manifest.Sequence++
		manifest.StartTime = manifest.StartTime.Add(time.Microsecond)
		h.runs++
		text, err := json.Marshal(manifest)
		require.NoError(h.t, err)
		require.NoError(h.t, os.CopyFS(filepath.Join(dir, manifest.Run), os.DirFS(filepath.Join(dir, run))))
		require.NoError(h.t, os.WriteFile(filepath.Join(dir, manifest.Run, "manifest.json"), text, 0o640))
	}
	latest := filepath.Join(h.o.Volume, "latest")
	require.NoError(h.t, os.Remove(latest))
	require.NoError(h.t, os.Symlink("runs/"+manifest.Run, latest))
}

// TestManyRuns has the mover back up, verify and prune on a volume of very many runs, 10,000 or a sample, and prints what
// that takes as their number grows.
func TestManyRuns(t *testing.T) {
	sizes := []int{10, 20, 40}
	if proving() {
		sizes = []int{100, 1000, 10_000}
	}
	h := newHistory(t)
	if proving() {
		h.copies = 49
	}
	for _, runs := range sizes {
		h.grow(runs)
		var backup job.Result
		h.note("backup", move(t, h.next().Args(), &backup), backup)
		var latest job.Verification
		h.note("verify the latest", move(t, job.VerifyOptions{Run: job.Latest, Volume: h.o.Volume}.Args(), &latest), latest)
		assert.EqualValues(t, 1, latest.Runs)
		h.list()
	}
	var all job.Verification
	h.note("verify all", move(t, job.VerifyOptions{Run: job.All, Volume: h.o.Volume}.Args(), &all), all)
	assert.EqualValues(t, h.runs, all.Runs)
	assert.Empty(t, all.Problems)
	o := h.next()
	o.Policy = retention.Policy{KeepLast: 7}
	var pruned job.Result
	h.note("backup, and prune all but 7", move(t, o.Args(), &pruned), pruned)
	assert.Empty(t, pruned.Warnings)
	assert.Contains(t, pruned.Removed[len(pruned.Removed)-1], fmt.Sprintf("and %d more", h.runs-7-19))
	left := h.list()
	require.Len(t, left, 7)
	h.note("verify all", move(t, job.VerifyOptions{Run: job.All, Volume: h.o.Volume}.Args(), &all), all)
	assert.Empty(t, all.Problems)
}

// note checks and prints what a mover took, whose result has to fit into a report.
func (h *history) note(what string, took moved, result any) {
	h.t.Helper()
	text, err := json.Marshal(result)
	require.NoError(h.t, err)
	h.t.Logf("%6d runs: %-28s %8s, peak memory %d MiB, a report of %d bytes", h.runs, what, took.time.Round(time.Millisecond), took.peak>>20, len(text))
	assert.LessOrEqual(h.t, took.peak, int64(maxPeak), what)
	assert.Less(h.t, len(text), 4<<10, "a report does not grow with the runs")
}

// list lists the runs, and what a retention would free, as the command line does.
func (h *history) list() []archive.RunInfo {
	h.t.Helper()
	volume, err := archive.OpenVolume(h.o.Volume)
	require.NoError(h.t, err)
	defer volume.Close()
	began := time.Now()
	runs, err := volume.Runs(h.t.Context())
	require.NoError(h.t, err)
	listed := time.Since(began)
	var going []string
	for _, d := range mover.Decide(runs, mover.InstallationOf(runs[0].Manifest), retention.Policy{KeepLast: 7}, time.UTC, time.Now()) {
		if !d.Kept() {
			going = append(going, d.ID)
		}
	}
	began = time.Now()
	_, err = volume.Freed(h.t.Context(), going)
	require.NoError(h.t, err)
	h.t.Logf("%6d runs: list %s, what the retention would free %s", h.runs, listed.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	return runs
}

// calls runs the mover and counts its system calls, and of each manifest.json how often it is opened.
func (h *history) calls(args []string) (all int, manifests map[string]int) {
	h.t.Helper()
	numbers := slices.Concat(syscalls.Reading(), syscalls.Changing())
	slices.Sort(numbers)
	cmd, _ := command(h.t, args)
	manifests = make(map[string]int)
	out, err := syscalls.Run(h.t, cmd, slices.Compact(numbers), func(call syscalls.Call) syscalls.Outcome {
		if all++; call.Number == unix.SYS_FSTAT && filepath.Base(call.On) == "manifest.json" { // once it is open
			manifests[call.On]++
		}
		return syscalls.Made
	})
	require.NoError(h.t, err, string(out))
	return all, manifests
}

// TestManyRunsAreReadAFewTimes: the manifest of a run that stays is read a few times by each process.
func TestManyRunsAreReadAFewTimes(t *testing.T) {
	h := newHistory(t)
	h.grow(12)
	for _, tc := range []struct {
		name string
		keep int32
		most int
		args func(o job.Options) []string
	}{
		{"Backup", 0, 2, job.Options.Args},
		{"Prune", 4, 4, job.Options.Args},
		{"VerifyLatest", 0, 3, func(job.Options) []string { return job.VerifyOptions{Run: job.Latest, Volume: h.o.Volume}.Args() }},
	} {
		o := h.next()
		o.Policy = retention.Policy{KeepLast: tc.keep}
		_, manifests := h.calls(tc.args(o))
		reads := manifests[filepath.Join(h.o.Volume, "runs", "run-000011", "manifest.json")]
		assert.Positive(t, reads, tc.name)
		assert.LessOrEqual(t, reads, tc.most, tc.name)
	}
}

// TestManyRunsTakeALine: with twice as many runs, everything takes twice as many system calls, and not four times as many.
func TestManyRunsTakeALine(t *testing.T) {
	keepOne := retention.Policy{KeepLast: 1}
	for name, args := range map[string]func(h *history) []string{
		"Backup":       func(h *history) []string { return h.next().Args() },
		"Prune":        func(h *history) []string { o := h.next(); o.Policy = keepOne; return o.Args() },
		"VerifyLatest": func(h *history) []string { return job.VerifyOptions{Run: job.Latest, Volume: h.o.Volume}.Args() },
		"VerifyAll":    func(h *history) []string { return job.VerifyOptions{Run: job.All, Volume: h.o.Volume}.Args() },
	} {
		t.Run(name, func(t *testing.T) {
			var calls []int
			for _, runs := range []int{10, 20, 40} {
				h := newHistory(t)
				h.grow(runs)
				all, _ := h.calls(args(h))
				calls = append(calls, all)
			}
			first, second := calls[1]-calls[0], calls[2]-calls[1]
			t.Logf("system calls with 10, 20 and 40 runs: %v: %d for each of the first, %d for each of the others", calls, first/10, second/20)
			assert.LessOrEqual(t, float64(second), 2.2*float64(first))
		})
	}
}
