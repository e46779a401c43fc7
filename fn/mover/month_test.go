package mover_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/mover"
	"threescale.dev/backup/fn/retention"
)

// month is a volume with a run a minute, of which the retention keeps a few.
type month struct {
	t      *testing.T
	o      job.Options
	zone   *time.Location
	there  []time.Time // of the runs that should be on the volume, newest first
	most   int         // runs that were there at a time
	linked int64       // files that runs shared with earlier ones
}

// TestMonthOfMinutes backs up each minute of a month, the one in which the clocks are set back, or in fewer and longer
// steps as a sample. After each run the volume holds what the retention keeps, and nothing else.
func TestMonthOfMinutes(t *testing.T) {
	steps, step := 150, 67*time.Minute
	m := &month{t: t, o: options(t)}
	m.o.Policy = retention.Policy{KeepLast: 5, KeepHourly: 8, KeepDaily: 4}
	if os.Getenv("THREESCALE_BACKUP_PROVE") != "" {
		steps, step = 30*24*60, time.Minute
		m.o.Policy = retention.Policy{KeepLast: 60, KeepHourly: 24, KeepDaily: 31}
	}
	m.o.TimeZone = "Europe/Berlin"
	var err error
	m.zone, err = time.LoadLocation(m.o.TimeZone)
	require.NoError(t, err)
	at := time.Date(2026, 10, 20, 0, 0, 0, 0, m.zone)
	for i := range 20 {
		write(t, m.o.FileStorage, fmt.Sprintf("tenant/%02d/logo.png", i), strings.Repeat("x", 100*i))
	}
	open := descriptors(t)
	began := time.Now()
	for i := range steps {
		m.change(i)
		m.backUp(at.Add(time.Duration(i) * step))
		m.checkNames()
		if i%60 == 0 {
			m.checkEntries()
		}
		if i%1440 == 0 || i == steps-1 {
			m.verify()
		}
	}
	m.checkEntries()
	require.LessOrEqual(t, descriptors(t), open, "no run leaves a file open")
	t.Logf("%d runs in steps of %s: at most %d at a time, %d now; %d files were linked; %s a run",
		steps, step, m.most, len(m.there), m.linked, (time.Since(began) / time.Duration(steps)).Round(100*time.Microsecond))
}

// change changes a file before each third run, and adds or removes some before each tenth.
func (m *month) change(i int) {
	m.t.Helper()
	if i%3 == 0 {
		write(m.t, m.o.FileStorage, "tenant/changing", strings.Repeat("x", i%1000))
	}
	if i%10 == 0 {
		write(m.t, m.o.FileStorage, fmt.Sprintf("other/%d/new", i%70), "new")
		require.NoError(m.t, os.RemoveAll(filepath.Join(m.o.FileStorage, fmt.Sprintf("other/%d", (i+10)%70))))
	}
}

func idAt(at time.Time) string { return at.UTC().Format("20060102t150405z") + "-1a2b3c4d" }

// backUp makes the run of a minute. All that the retention removes, it tells.
func (m *month) backUp(at time.Time) {
	m.t.Helper()
	o := m.o
	o.Run = idAt(at)
	result, err := mover.Backup(m.t.Context(), o, mover.Env{Now: func() time.Time { return at }})
	require.NoError(m.t, err)
	require.Empty(m.t, result.Warnings)
	m.linked += result.LinkedFiles
	before := append([]time.Time{at}, m.there...)
	m.there = keptOf(before, m.o.Policy, m.zone)
	m.most = max(m.most, len(before))
	var gone []string
	for _, t := range slices.Backward(before) {
		if !slices.Contains(m.there, t) {
			gone = append(gone, idAt(t))
		}
	}
	require.Equal(m.t, gone, result.Removed)
}

// keptOf says in other words than package retention which runs a policy keeps, newest first: the newest ones; the newest
// of each of the newest hours and days that have runs; and the oldest, as long as there are fewer hours or days than
// asked for.
func keptOf(runs []time.Time, p retention.Policy, zone *time.Location) (kept []time.Time) {
	keep := make([]bool, len(runs))
	for i := range min(len(runs), int(p.KeepLast)) {
		keep[i] = true
	}
	for layout, most := range map[string]int{"2006-01-02 15": int(p.KeepHourly), "2006-01-02": int(p.KeepDaily)} {
		seen := make(map[string]bool)
		for i, at := range runs {
			if period := at.In(zone).Format(layout); !seen[period] && len(seen) < most {
				seen[period], keep[i] = true, true
			}
		}
		if len(seen) < most {
			keep[len(runs)-1] = true
		}
	}
	for i, at := range runs {
		if keep[i] {
			kept = append(kept, at)
		}
	}
	return kept
}

// checkNames compares the runs on the volume with those that should be there.
func (m *month) checkNames() {
	m.t.Helper()
	want := make([]string, 0, len(m.there))
	for _, at := range slices.Backward(m.there) {
		want = append(want, idAt(at))
	}
	require.Equal(m.t, want, names(m.t, filepath.Join(m.o.Volume, "runs")))
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// checkEntries counts what is on the volume: what the manifests tell, and nothing else.
func (m *month) checkEntries() {
	m.t.Helper()
	const (
		atRoot = 8 // .lock, latest, four links of the operator's view, runs, trees
		ofRun  = 7 // the directory and those of objects, manifest.json, SHA256SUMS, the link to the tree
		ofTree = 4 // the directory, MTREE, SHA256SUMS, the stamps
	)
	volume, err := archive.OpenVolume(m.o.Volume)
	require.NoError(m.t, err)
	defer volume.Close()
	runs, err := volume.Runs(m.t.Context())
	require.NoError(m.t, err)
	want, counted := int64(atRoot), make(map[string]bool)
	for _, run := range runs {
		require.Equal(m.t, archive.Complete, run.State)
		totals := run.Manifest.Totals
		want += ofRun + totals.Objects
		if !counted[run.Manifest.Tree] {
			counted[run.Manifest.Tree] = true
			want += ofTree + totals.Files + totals.Directories + totals.Symlinks
		}
	}
	var found []string
	require.NoError(m.t, filepath.WalkDir(m.o.Volume, func(path string, _ fs.DirEntry, err error) error {
		if path != m.o.Volume {
			found = append(found, path)
		}
		return err
	}))
	require.Len(m.t, found, int(want), "%d runs, %d trees", len(runs), len(counted))
	latest, err := os.Readlink(filepath.Join(m.o.Volume, "latest"))
	require.NoError(m.t, err)
	require.Equal(m.t, "runs/"+idAt(m.there[0]), latest)
}

// verify reads all that is there.
func (m *month) verify() {
	m.t.Helper()
	found, err := mover.Verify(m.t.Context(), job.VerifyOptions{Run: job.All, Volume: m.o.Volume}, mover.Env{Now: now})
	require.NoError(m.t, err)
	require.Empty(m.t, found.Problems)
	require.Empty(m.t, found.Warnings)
	require.EqualValues(m.t, len(m.there), found.Runs)
}

// descriptors counts the files that this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	return len(names(t, "/proc/self/fd"))
}
