package mover_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/mover"
)

func TestRefill(t *testing.T) {
	for name, encrypted := range map[string]bool{"Plaintext": false, "Encrypted": true} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, encrypted, nil)
			inspected, err := s.runInspect()
			require.NoError(t, err)
			s.refill.ManifestSHA256 = inspected.ManifestSHA256
			result, err := s.runRefill()
			require.NoError(t, err)
			assert.Equal(t, job.RefillResult{Run: runID, Completed: true, StartTime: noon, CompletionTime: noon, Files: 2, Bytes: 7, WrittenFiles: 2, WrittenBytes: 7}, result)
			reported, err := job.ParseRefillResult(s.reports.data, runID)
			require.NoError(t, err)
			assert.Equal(t, &result, reported)
			data, err := os.ReadFile(filepath.Join(s.refill.FileStorage, "tenant/.htaccess"))
			require.NoError(t, err)
			assert.Equal(t, "deny", string(data))
			again, err := s.runRefill()
			require.NoError(t, err)
			assert.Zero(t, again.WrittenFiles, "the pod was killed before it could report")
			s.refill.Existing = v1alpha1.ExistingSkip
			again, err = s.runRefill()
			require.NoError(t, err)
			assert.True(t, again.Skipped)
		})
	}
}

func TestRefillFailures(t *testing.T) {
	cases := map[string]struct {
		reason    string
		encrypted bool
		prepare   func(t *testing.T, s *stage)
		want      string
		exit      int
	}{
		"AnotherManifest": {"the run changed since it was inspected", false, func(_ *testing.T, s *stage) {
			s.refill.ManifestSHA256 = strings.Repeat("0", 64)
		}, v1alpha1.ReasonRunReplaced, job.ExitIntegrity},
		"FlippedFile": {"a bit of a file", false, func(t *testing.T, s *stage) {
			flip(t, s.volumePath("trees/*/files/tenant/.htaccess"))
		}, v1alpha1.ReasonIntegrity, job.ExitIntegrity},
		"NotEmpty": {"somebody's data", false, func(t *testing.T, s *stage) {
			write(t, s.refill.FileStorage, "upload", "x")
		}, v1alpha1.ReasonNotEmpty, job.ExitCannotCreate},
		"WrongIdentity": {"a key that does not fit", true, func(t *testing.T, s *stage) {
			require.NoError(t, os.Remove(filepath.Join(s.refill.Identities, "second.agekey")))
		}, v1alpha1.ReasonDecryptionFailed, job.ExitNoPermission},
		"NoRun": {"a run that was pruned", false, func(_ *testing.T, s *stage) { s.refill.Run = "x" }, v1alpha1.ReasonRunNotFound, job.ExitUsage},
		"BadPolicy": {"options that no Job of ours has", false, func(_ *testing.T, s *stage) {
			s.refill.Existing = "Delete"
		}, v1alpha1.ReasonUsage, job.ExitUsage},
		"Locked": {"another refill ends some time", false, func(t *testing.T, s *stage) {
			lock, err := os.Open(s.refill.FileStorage)
			require.NoError(t, err)
			require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
			t.Cleanup(func() { lock.Close() })
		}, v1alpha1.ReasonLocked, job.ExitTemporary},
		"NoVolume": {"a volume may come late", false, func(_ *testing.T, s *stage) { s.refill.Volume += "-missing" }, v1alpha1.ReasonIO, job.ExitIO},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, tc.encrypted, nil)
			tc.prepare(t, s)
			result, err := s.runRefill()
			require.Error(t, err, tc.reason)
			assert.Equal(t, tc.want, result.Reason, "%s: %v", tc.reason, err)
			assert.Equal(t, tc.exit, mover.ExitCode(err), tc.reason)
			assert.False(t, result.Completed)
			assert.NotEmpty(t, result.Message)
			assert.NoFileExists(t, filepath.Join(s.refill.FileStorage, "tenant/.htaccess"))
			assertTellsNothing(t, s, result, err)
		})
	}
}

func TestRefillThatIsStoppedGoesOn(t *testing.T) {
	s := newStage(t, false, nil)
	stopped, stop := context.WithCancel(t.Context())
	stop()
	_, err := mover.Refill(stopped, s.refill, s.env())
	assert.Equal(t, job.ExitTemporary, mover.ExitCode(err))
	reported, err := job.ParseRefillResult(s.reports.data, runID)
	require.NoError(t, err)
	assert.Equal(t, v1alpha1.ReasonInterrupted, reported.Reason)
	result, err := s.runRefill()
	require.NoError(t, err)
	assert.True(t, result.Completed)
}
