//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// TestAwkwardFiles: what is no file is not followed, not waited for, and told.
func TestAwkwardFiles(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	outside := filepath.Join(t.TempDir(), "outside.txt")
	require.NoError(t, os.WriteFile(outside, []byte("not ours"), 0o644))
	require.NoError(t, os.Symlink(outside, filepath.Join(w.files, "link-out")))
	require.NoError(t, os.Symlink("../../../../../../etc/passwd", filepath.Join(w.files, "link-up")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(w.files, "pipe"), 0o644))
	newline := "new\nline and a \\ backslash.txt"
	w.writeFile(newline, []byte("named so on purpose"))
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	done := w.untilCompleted(nightly)
	w.assertCondition(done, "Warning", "True", "ReclaimPolicyDelete", "pipe (fifo)")
	assert.Equal(t, []any{"pipe (fifo)"}, status(done, "lastRun", "skipped"))

	dir := w.volumeDir(nightlyVolume)
	assert.Equal(t, []string{lastRun(done)}, w.verified(dir))
	stored := filepath.Join(dir, "system-filestorage-pvc")
	target, err := os.Readlink(filepath.Join(stored, "link-out"))
	require.NoError(t, err)
	assert.Equal(t, outside, target, "stored as a link")
	data, err := os.ReadFile(filepath.Join(stored, newline))
	require.NoError(t, err)
	assert.Equal(t, "named so on purpose", string(data))
	_, err = os.Lstat(filepath.Join(stored, "pipe"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// TestUnreadableFile: a run that cannot hold everything is none. It fails at
// once, since a retry would find the same, and names the file.
func TestUnreadableFile(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	path := w.writeFile("only-root.txt", []byte("mode 0600"))
	require.NoError(t, os.Chmod(path, 0o600))
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	failed := w.untilReason(nightly, "BackupCompleted", "Unreadable")
	t.Log(message(failed, "BackupCompleted"))
	w.assertCondition(failed, "BackupCompleted", "False", "Unreadable", "only-root.txt", "permission denied", "podSecurityContext", "spec.trigger")
	w.untilTerminated(77)
	w.untilJob("the Job to fail at once", jobFailedAfter(1))
	assert.Empty(t, w.verified(w.volumeDir(nightlyVolume)))

	require.NoError(t, os.Chmod(path, 0o644))
	require.NoError(t, w.apply(withTrigger(nightly, "readable")))
	done := w.untilCompleted(nightly)
	assert.Equal(t, []string{lastRun(done)}, w.verified(w.volumeDir(nightlyVolume)))
}

// TestGrowingFile: a file that somebody appends to while it is read is stored
// as it was at some moment, and what is stored verifies.
func TestGrowingFile(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	path := w.writeFile("growing.log", bytes.Repeat([]byte("line\n"), 10_000_000))
	ctx, stop := context.WithCancel(t.Context())
	var appending errgroup.Group
	appending.Go(func() error { return appendTo(ctx, path) })
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	done := w.untilCompleted(nightly)
	stop()
	require.NoError(t, appending.Wait())
	assert.Contains(t, message(done, "Warning"), "File growing.log kept changing: it is stored as it was last read")

	dir := w.volumeDir(nightlyVolume)
	assert.Equal(t, []string{lastRun(done)}, w.verified(dir))
	stored, err := os.ReadFile(filepath.Join(dir, "system-filestorage-pvc", "growing.log"))
	require.NoError(t, err)
	now, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Less(t, len(stored), len(now))
	assert.True(t, bytes.HasPrefix(now, stored), "it is what the file began with")
	assert.Empty(t, strings.Trim(string(stored), "line\n"))
}

// appendTo appends lines to a file until ctx ends.
func appendTo(ctx context.Context, path string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if _, err := file.WriteString("line\n"); err != nil {
				return err
			}
		}
	}
}
