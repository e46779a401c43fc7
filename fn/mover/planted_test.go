package mover_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/mover"
)

// reportMap is a report ConfigMap: what pods of one Job write there stays.
type reportMap struct {
	mu     sync.Mutex
	data   map[string]string
	refuse map[string]error // by key
}

func (r *reportMap) Report(_ context.Context, key string, value any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.refuse[key]; err != nil {
		return err
	}
	text, err := json.Marshal(value)
	if r.data == nil {
		r.data = map[string]string{}
	}
	r.data[key] = string(text)
	return err
}

func (r *reportMap) Begun(_ context.Context, run string) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return job.HasBegun(r.data, run), nil
}

// plant makes a run of other files in the place of the run that o is about to write.
func plant(t *testing.T, o job.Options) job.Result {
	t.Helper()
	forger := options(t)
	forger.Run = o.Run
	write(t, forger.FileStorage, "tenant/logo.png", "evil")
	forged, err := mover.Backup(t.Context(), forger, mover.Env{Now: now})
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), "cp", "-a", forger.Volume+"/.", o.Volume).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return forged
}

// TestPlantedRunIsNotReported: the digest in a result is vouched for in the status.
func TestPlantedRunIsNotReported(t *testing.T) {
	cases := map[string]struct {
		reason  string
		report  map[string]string
		planted bool // is what is reported
	}{
		"NoNote":      {"the run has not begun: it cannot be there", nil, false},
		"OtherRun":    {"the note is of another run", map[string]string{job.KeyBegun: `{"run":"other"}`}, false},
		"NoJSON":      {"no mover wrote that", map[string]string{job.KeyBegun: `begun`}, false},
		"OnlyResult":  {"a result without a note is no note", map[string]string{job.KeyResult: `{"run":"20261122t120000z-1a2b3c4d"}`}, false},
		"Noted":       {"an earlier pod of the Job had begun: here what was planted stands for what it left", map[string]string{job.KeyBegun: `{"run":"20261122t120000z-1a2b3c4d"}`}, true},
		"NotedBefore": {"fields may be added", map[string]string{job.KeyBegun: `{"run":"20261122t120000z-1a2b3c4d","more":1}`}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			forged := plant(t, o)
			reporter := &reportMap{data: tc.report}
			result, err := mover.Backup(t.Context(), o, mover.Env{Reporter: reporter, Now: now})
			require.NoError(t, err)
			assert.Equal(t, tc.planted, result.ManifestSHA256 == forged.ManifestSHA256, tc.reason)
			told, err := job.ParseResult(reporter.data, o.Run)
			require.NoError(t, err)
			assert.Equal(t, result.ManifestSHA256, told.ManifestSHA256)
			assert.True(t, job.HasBegun(reporter.data, o.Run))
			if tc.planted {
				return
			}
			stored, err := os.ReadFile(filepath.Join(o.Volume, "latest/system-filestorage-pvc/tenant/logo.png"))
			require.NoError(t, err)
			assert.Equal(t, "png", string(stored), tc.reason)
			require.Len(t, result.Warnings, 1)
			assert.Contains(t, result.Warnings[0], "runs/.aside-"+o.Run)
			assert.DirExists(t, filepath.Join(o.Volume, "runs/.aside-"+o.Run))
		})
	}
}

// TestRetriedPod: what a pod of the Job left is gone on with, wherever it ended.
func TestRetriedPod(t *testing.T) {
	cases := map[string]struct {
		reason string
		first  func(t *testing.T, o job.Options, r *reportMap)
		same   bool // it is the first pod's run that is reported
	}{
		"BeforeTheNote": {"nothing is there", func(*testing.T, job.Options, *reportMap) {}, false},
		"AfterTheNote": {"nothing is there either", func(t *testing.T, o job.Options, r *reportMap) {
			require.NoError(t, r.Report(t.Context(), job.KeyBegun, job.Begun{Run: o.Run}))
		}, false},
		"Stopped": {"in the middle", func(t *testing.T, o job.Options, r *reportMap) {
			ctx, stop := context.WithCancel(t.Context())
			_, err := mover.Backup(ctx, o, mover.Env{Reporter: r, Now: now, Progress: func(p v1alpha1.Progress) {
				if p.Phase == archive.PhaseFileStorage {
					stop()
				}
			}})
			stop()
			require.Error(t, err)
			assert.Equal(t, v1alpha1.ReasonInterrupted, mover.Reason(err))
			assert.DirExists(t, filepath.Join(o.Volume, "trees/.partial-"+o.Run))
		}, false},
		"BeforeTheResult": {"the run is there and nobody was told", func(t *testing.T, o job.Options, r *reportMap) {
			_, err := mover.Backup(t.Context(), o, mover.Env{Reporter: r, Now: now})
			require.NoError(t, err)
			delete(r.data, job.KeyResult)
		}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o, reporter := options(t), &reportMap{}
			tc.first(t, o, reporter)
			before, _ := os.ReadFile(filepath.Join(o.Volume, "runs", o.Run, "manifest.json"))
			result, err := mover.Backup(t.Context(), o, mover.Env{Reporter: reporter, Now: func() time.Time { return noon.Add(time.Hour) }})
			require.NoError(t, err)
			assert.Empty(t, result.Warnings, tc.reason)
			after, err := os.ReadFile(filepath.Join(o.Volume, "runs", o.Run, "manifest.json"))
			require.NoError(t, err)
			assert.Equal(t, tc.same, string(before) == string(after), tc.reason)
		})
	}
}

// TestLostNote: the report was deleted while the run went, and Crossplane made it
// anew. A whole run is kept, and the next attempt writes another one.
func TestLostNote(t *testing.T) {
	o := options(t)
	first, err := mover.Backup(t.Context(), o, mover.Env{Reporter: &reportMap{}, Now: now})
	require.NoError(t, err)
	second, err := mover.Backup(t.Context(), o, mover.Env{Reporter: &reportMap{}, Now: func() time.Time { return noon.Add(time.Hour) }})
	require.NoError(t, err)
	assert.NotEqual(t, first.ManifestSHA256, second.ManifestSHA256)
	verified := func() *archive.VerifyReport {
		volume, err := archive.OpenVolume(o.Volume)
		require.NoError(t, err)
		defer volume.Close()
		report, err := volume.Verify(t.Context(), o.Run, archive.VerifyOptions{})
		require.NoError(t, err)
		return report
	}
	require.NoError(t, verified().Err())
	place := filepath.Join(o.Volume, "runs", o.Run)
	require.NoError(t, os.RemoveAll(place))
	require.NoError(t, os.Rename(filepath.Join(o.Volume, "runs/.aside-"+o.Run), place))
	require.NoError(t, verified().Err())
}

// TestNoteThatCannotBeWritten: nothing is written, and the Job's next try may do better.
func TestNoteThatCannotBeWritten(t *testing.T) {
	o := options(t)
	synctest.Test(t, func(t *testing.T) {
		reporter := &reportMap{refuse: map[string]error{job.KeyBegun: errors.New("forbidden")}}
		_, err := mover.Backup(t.Context(), o, mover.Env{Reporter: reporter, Now: now})
		require.ErrorContains(t, err, "cannot note in the report that run")
		assert.Equal(t, job.ExitTemporary, mover.ExitCode(err))
		result, err := job.ParseResult(reporter.data, o.Run)
		require.NoError(t, err)
		assert.Equal(t, v1alpha1.ReasonReportMissing, result.Reason)
		assert.NoDirExists(t, filepath.Join(o.Volume, "trees/.partial-"+o.Run))
	})
}
