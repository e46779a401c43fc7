package mover_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/mover"
	"threescale.dev/backup/fn/recorded"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func now() time.Time { return noon }

// recorder remembers what was reported; it refuses the first few results.
type recorder struct {
	mu      sync.Mutex
	refuse  int
	results []job.Result
}

func (r *recorder) Report(_ context.Context, key string, value any) error {
	result, ok := value.(job.Result)
	if !ok || key != job.KeyResult {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse > 0 {
		r.refuse--
		return errors.New("the API server does not answer")
	}
	r.results = append(r.results, result)
	return nil
}

// options returns the options of a run over a small snapshot and file storage.
func options(t *testing.T) job.Options {
	t.Helper()
	dir := t.TempDir()
	o := job.Options{
		Run:         "20261122t120000z-1a2b3c4d",
		Volume:      filepath.Join(dir, "volume"),
		Objects:     filepath.Join(dir, "objects"),
		FileStorage: filepath.Join(dir, "files"),
	}
	write(t, o.Objects, job.DescriptionFile, `{"source":{"namespace":"3scale","apiManager":"example","uid":"u","threescaleVersion":"2.16"},"cause":{"kind":"Trigger","value":"before upgrade"}}`)
	write(t, o.Objects, job.APIManagerFile, "{}\n")
	write(t, o.Objects, job.ConfigMapFile("system-environment"), "{}\n")
	write(t, o.Objects, job.SecretMetadataFile("system-seed"), `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"system-seed"},"type":"Opaque"}`)
	write(t, o.Objects, job.SecretKeyFile("system-seed", "MASTER_USER"), "master")
	write(t, o.Objects, job.SecretMetadataFile("empty"), `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"empty"},"type":"Opaque"}`)
	write(t, o.FileStorage, "tenant/logo.png", "png")
	require.NoError(t, os.MkdirAll(o.Volume, 0o755))
	return o
}

func write(t *testing.T, dir, path, text string) {
	t.Helper()
	full := filepath.Join(dir, filepath.FromSlash(path))
	require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
	require.NoError(t, os.WriteFile(full, []byte(text), 0o600))
}

func TestBackupReportsWhatItWrote(t *testing.T) {
	o := options(t)
	require.NoError(t, syscall.Mkfifo(filepath.Join(o.FileStorage, "pipe"), 0o600))
	reporter := &recorder{}
	result, err := mover.Backup(t.Context(), o, mover.Env{Reporter: reporter, Now: now})
	require.NoError(t, err)
	require.Equal(t, []job.Result{result}, reporter.results)
	assert.True(t, result.Completed)
	assert.EqualValues(t, 5, result.Files, "four objects and one file")
	assert.Equal(t, noon, result.StartTime)
	assert.Equal(t, []string{"pipe (fifo)"}, result.Skipped)

	secret, err := os.ReadFile(filepath.Join(o.Volume, "secrets/system-seed.json"))
	require.NoError(t, err)
	var decoded map[string]any
	require.NoError(t, json.Unmarshal(secret, &decoded))
	assert.Equal(t, map[string]any{"MASTER_USER": "bWFzdGVy"}, decoded["data"])

	volume, err := archive.OpenVolume(o.Volume)
	require.NoError(t, err)
	defer volume.Close()
	runs, err := volume.Runs(t.Context())
	require.NoError(t, err)
	require.Len(t, runs, 1)
	assert.Equal(t, recorded.Cause{Kind: "Trigger", Value: "before upgrade"}, runs[0].Manifest.Cause)
	assert.Equal(t, archive.Source{Namespace: "3scale", APIManager: "example", UID: "u", Version: "2.16"}, runs[0].Manifest.Source)
}

func TestBackupOfACompleteRunReportsItAgain(t *testing.T) {
	o := options(t)
	first, err := mover.Backup(t.Context(), o, mover.Env{Now: now})
	require.NoError(t, err)
	write(t, o.FileStorage, "tenant/later.png", "a later file is not of this run")
	again, err := mover.Backup(t.Context(), o, mover.Env{Now: func() time.Time { return noon.Add(time.Hour) }})
	require.NoError(t, err)
	assert.Equal(t, first, again, "the run is what it was when it was written")
}

func TestBackupTriesToReportAgain(t *testing.T) {
	reporter := &recorder{refuse: 2}
	_, err := mover.Backup(t.Context(), options(t), mover.Env{Reporter: reporter, Now: now})
	require.NoError(t, err)
	assert.Len(t, reporter.results, 1)
}

func TestBackupWaitsForAnotherWriter(t *testing.T) {
	o := options(t)
	lock, err := os.OpenFile(filepath.Join(o.Volume, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(t, err)
	require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	var once sync.Once
	env := mover.Env{Now: now, LockPatience: time.Minute, Progress: func(p v1alpha1.Progress) {
		if p.Phase == job.PhaseLocked {
			once.Do(func() { assert.NoError(t, lock.Close()) })
		}
	}}
	result, err := mover.Backup(t.Context(), o, env)
	require.NoError(t, err)
	assert.True(t, result.Completed)
}

func TestBackupThatIsStoppedIsReportedAndGoesOn(t *testing.T) {
	o := options(t)
	stopped, stop := context.WithCancel(t.Context())
	stop()
	reporter := &recorder{}
	_, err := mover.Backup(stopped, o, mover.Env{Reporter: reporter, Now: now})
	require.Error(t, err)
	assert.Equal(t, job.ExitTemporary, mover.ExitCode(err))
	require.Len(t, reporter.results, 1)
	assert.Equal(t, v1alpha1.ReasonInterrupted, reporter.results[0].Reason)
	result, err := mover.Backup(t.Context(), o, mover.Env{Now: now})
	require.NoError(t, err)
	assert.True(t, result.Completed)
}

func TestFailures(t *testing.T) {
	cases := map[string]struct {
		reason   string
		prepare  func(*testing.T, *job.Options)
		exitCode int
		want     string
	}{
		"BadRunID": {
			reason:   "no retry makes an ID valid",
			prepare:  func(_ *testing.T, o *job.Options) { o.Run = "../escape" },
			exitCode: job.ExitUsage, want: v1alpha1.ReasonUsage,
		},
		"BadRecipient": {
			reason:   "nothing may be written that nobody can read",
			prepare:  func(_ *testing.T, o *job.Options) { o.Recipient = []string{"age1nonsense"} },
			exitCode: job.ExitUsage, want: v1alpha1.ReasonUsage,
		},
		"DamagedRun": {
			reason: "a complete run whose data changed cannot be reported as complete",
			prepare: func(t *testing.T, o *job.Options) {
				_, err := mover.Backup(t.Context(), *o, mover.Env{Now: now})
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join(o.Volume, "latest/configmaps/system-environment.json"), []byte("[]"), 0o600))
			},
			exitCode: job.ExitIntegrity, want: v1alpha1.ReasonIntegrity,
		},
		"NoSnapshot": {
			reason:   "the pod may have been started before its volumes were whole",
			prepare:  func(_ *testing.T, o *job.Options) { o.Objects += "-missing" },
			exitCode: job.ExitIO, want: v1alpha1.ReasonIO,
		},
		"NoVolume": {
			reason:   "likewise",
			prepare:  func(_ *testing.T, o *job.Options) { o.Volume += "-missing" },
			exitCode: job.ExitIO, want: v1alpha1.ReasonIO,
		},
		"SecondWriter": {
			reason: "the other writer ends some time",
			prepare: func(t *testing.T, o *job.Options) {
				lock, err := os.OpenFile(filepath.Join(o.Volume, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
				require.NoError(t, err)
				require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
				t.Cleanup(func() { lock.Close() })
			},
			exitCode: job.ExitTemporary, want: v1alpha1.ReasonLocked,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			c.prepare(t, &o)
			reporter := &recorder{}
			_, err := mover.Backup(t.Context(), o, mover.Env{Reporter: reporter, Now: now})
			require.Error(t, err, c.reason)
			assert.Equal(t, c.exitCode, mover.ExitCode(err), c.reason)
			require.Len(t, reporter.results, 1)
			assert.Equal(t, c.want, reporter.results[0].Reason, c.reason)
			assert.False(t, reporter.results[0].Completed)
			assert.NotEmpty(t, reporter.results[0].Message)
		})
	}
}

func TestExitCode(t *testing.T) {
	cases := map[string]struct {
		reason string
		err    error
		want   int
	}{
		"None":       {"the run is there and reported", nil, job.ExitOK},
		"NoSpace":    {"a full volume stays full", &archive.NoSpaceError{NeededBytes: 2, AvailableBytes: 1}, job.ExitCannotCreate},
		"Unreadable": {"permissions do not change by themselves", &archive.UnreadableError{}, job.ExitNoPermission},
		"ReadOnly":   {"neither does a read-only volume", syscall.EROFS, job.ExitCannotCreate},
		"Version":    {"nor the format", &archive.VersionError{Version: 2}, job.ExitUsage},
		"Deadline":   {"the next attempt goes on", context.DeadlineExceeded, job.ExitTemporary},
		"Other":      {"storage that failed may work again", syscall.EIO, job.ExitIO},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { assert.Equal(t, c.want, mover.ExitCode(c.err), c.reason) })
	}
}
