package mover_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/mover"
)

// hold locks a file or a directory as another process would.
func hold(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		f, err = os.Open(path) // a directory
	}
	require.NoError(t, err)
	require.NoError(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
	t.Cleanup(func() { f.Close() })
}

// TestStoppedWhileItWaits tells the two ends that a wait for another writer has apart: of one the advice is to wait for the
// writer, of the other to find out who stops pods.
func TestStoppedWhileItWaits(t *testing.T) {
	backup := func(ctx context.Context, t *testing.T, env mover.Env) (string, string, error) {
		o := options(t)
		hold(t, filepath.Join(o.Volume, ".lock"))
		result, err := mover.Backup(ctx, o, env)
		return result.Reason, result.Message, err
	}
	refill := func(ctx context.Context, t *testing.T, env mover.Env) (string, string, error) {
		s := newStage(t, false, nil)
		hold(t, s.refill.FileStorage)
		result, err := mover.Refill(ctx, s.refill, env)
		return result.Reason, result.Message, err
	}
	cases := map[string]struct {
		reason   string
		work     func(context.Context, *testing.T, mover.Env) (string, string, error)
		patience time.Duration
		stops    bool
		want     string
		says     string
	}{
		"Backup":          {"a node that shuts down", backup, time.Hour, true, v1alpha1.ReasonInterrupted, "stopped while it waited"},
		"BackupImpatient": {"the other writer goes on for too long", backup, 0, false, v1alpha1.ReasonLocked, "is writing to it"},
		"Refill":          {"likewise", refill, time.Hour, true, v1alpha1.ReasonInterrupted, "stopped while it waited"},
		"RefillImpatient": {"likewise", refill, 0, false, v1alpha1.ReasonLocked, "is writing to it"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			env := mover.Env{Now: now, LockPatience: tc.patience, Progress: func(p v1alpha1.Progress) {
				if p.Phase == job.PhaseLocked && tc.stops {
					stop()
				}
			}}
			got, message, err := tc.work(ctx, t, env)
			require.Error(t, err)
			assert.Equal(t, tc.want, got, tc.reason)
			assert.Contains(t, message, tc.says)
			assert.Equal(t, job.ExitTemporary, mover.ExitCode(err))
		})
	}
}
