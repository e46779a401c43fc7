package mover

import (
	"context"
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
	"threescale.dev/backup/fn/retention"
)

// lockedVolume holds r1 to r3 and another writer's lock, which it returns with
// what prunes it to the newest.
func lockedVolume(t *testing.T) (*pruner, *archive.Manifest, *os.File) {
	t.Helper()
	dir := t.TempDir()
	volume, err := archive.OpenVolume(dir)
	require.NoError(t, err)
	t.Cleanup(func() { volume.Close() })
	var last *archive.Result
	for i, run := range []string{"r1", "r2", "r3"} {
		now := func() time.Time { return time.Date(2026, 11, 22, i, 0, 0, 0, time.UTC) }
		last, err = volume.Write(t.Context(), archive.WriteOptions{Run: run, Now: now, Objects: []archive.ObjectFile{{Path: "secrets/a.json", Data: []byte("{}")}}})
		require.NoError(t, err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { lock.Close() })
	require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	return &pruner{rules: rules{policy: retention.Policy{KeepLast: 1}}, volume: volume, env: Env{Now: time.Now}, progress: func(v1alpha1.Progress) {}}, last.Manifest, lock
}

func TestPruneWaitsForAnotherWriter(t *testing.T) {
	p, written, lock := lockedVolume(t)
	p.env.LockPatience = time.Minute
	var once sync.Once
	p.progress = func(progress v1alpha1.Progress) {
		if progress.Phase == job.PhaseLocked {
			once.Do(func() { assert.NoError(t, lock.Close()) })
		}
	}
	p.prune(t.Context(), written)
	assert.Equal(t, []string{"r1", "r2"}, p.removed)
	assert.Empty(t, p.warnings)
}

func TestPruneGivesUpOnAnotherWriter(t *testing.T) {
	p, written, _ := lockedVolume(t)
	p.prune(t.Context(), written)
	assert.Empty(t, p.removed)
	assert.Equal(t, []string{
		`the retention keeps run "r1", though no rule does: cannot lock volume: somebody is writing to it`,
		"retention was not applied to the end: 1 of 2 runs that would go were not tried",
	}, p.warnings, "it waits once, not once for each run")
}

// TestPruneIsStoppedWhileItWaits: nobody looks for another writer when a node shut down.
func TestPruneIsStoppedWhileItWaits(t *testing.T) {
	cases := map[string]struct {
		work func(context.Context, *pruner, *archive.Manifest)
		want []string
	}{
		"Remove": {func(ctx context.Context, p *pruner, written *archive.Manifest) { p.prune(ctx, written) }, []string{
			`the retention keeps run "r1", though no rule does: stopped while it waited: context canceled: cannot lock volume: somebody is writing to it`,
			"retention was not applied to the end: 1 of 2 runs that would go were not tried",
		}},
		"Mend": {func(ctx context.Context, p *pruner, written *archive.Manifest) { p.mend(ctx, written.Run) }, []string{
			`earlier runs were not mended: stopped while it waited: context canceled: cannot lock volume: somebody is writing to it`,
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p, written, _ := lockedVolume(t)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			p.env.LockPatience, p.progress = time.Hour, func(v1alpha1.Progress) { stop() }
			tc.work(ctx, p, written)
			assert.Equal(t, tc.want, p.warnings)
		})
	}
}

// TestAdviceThatTakesTooLong: a volume is full whether or not there was time to tell what would make room.
func TestAdviceThatTakesTooLong(t *testing.T) {
	p, written, _ := lockedVolume(t)
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	err := p.advise(late, InstallationOf(written), &archive.NoSpaceError{NeededBytes: 2, AvailableBytes: 1})
	require.ErrorContains(t, err, "cannot tell what the retention would free: ")
	require.ErrorContains(t, err, "context deadline exceeded")
	assert.Equal(t, v1alpha1.ReasonNoSpace, Reason(err))
	assert.Equal(t, job.ExitCannotCreate, ExitCode(err), "no retry mends it")
}

func TestPruneWithoutTheRunThatVerified(t *testing.T) {
	p, written, lock := lockedVolume(t)
	require.NoError(t, lock.Close())
	gone := *written
	gone.Run = "r4"
	p.prune(t.Context(), &gone)
	assert.Empty(t, p.removed, "what is on the volume is not what was just written: nobody knows what the rest is")
	assert.Equal(t, []string{`retention was not applied: run "r4" is not among the complete runs`}, p.warnings)
}

// readBy is a Reporter of whom a restore reads the volume.
type readBy string

func (readBy) Report(context.Context, string, any) error { return nil }
func (r readBy) Readers(context.Context) (string, error) { return string(r), nil }

func TestPruneWaitsForARestore(t *testing.T) {
	p, written, lock := lockedVolume(t)
	require.NoError(t, lock.Close())
	p.env.Reporter = readBy("dr")
	p.prune(t.Context(), written)
	assert.Empty(t, p.removed, "between its pods a restore holds no run")
	assert.Equal(t, []string{"retention was not applied: restore dr reads the volume"}, p.warnings)
	p.env.Reporter = readBy("")
	p.prune(t.Context(), written)
	assert.Equal(t, []string{"r1", "r2"}, p.removed)
}

// readSoon is a Reporter of whom a restore begins to read the volume when it was asked once.
type readSoon struct{ asked int }

func (*readSoon) Report(context.Context, string, any) error { return nil }
func (r *readSoon) Readers(context.Context) (string, error) {
	if r.asked++; r.asked > 1 {
		return "dr", nil
	}
	return "", nil
}

// TestPruneEndsWhenARestoreBegins: to remove many runs may take longer than a restore needs to begin.
func TestPruneEndsWhenARestoreBegins(t *testing.T) {
	p, written, lock := lockedVolume(t)
	require.NoError(t, lock.Close())
	p.env.Reporter = &readSoon{}
	p.prune(t.Context(), written)
	assert.Equal(t, []string{"r1"}, p.removed)
	assert.Equal(t, []string{
		"retention was not applied: restore dr reads the volume",
		"retention was not applied to the end: 1 of 2 runs that would go were not tried",
	}, p.warnings)
}
