//go:build e2e

package e2e

import (
	"errors"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/test/dataset"
)

// TestClaimBecomesVerifiedBackup is the way that the pages show, with data
// set M, and prints how long it takes. Nothing runs beside it.
func TestClaimBecomesVerifiedBackup(t *testing.T) {
	w := newTenant(t, func(o *options) { o.set = dataset.SetM })
	watched := w.watchJob()
	applied := time.Now()
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	done := w.untilCompleted(nightly)
	completed := time.Now()
	job, ok := <-watched
	require.True(t, ok, "no Job was seen to complete")
	span := func(from, to time.Time) time.Duration { return to.Sub(from).Round(10 * time.Millisecond) }
	t.Logf("claim applied to completed %s: to the Job %s, the Job itself (schedule and bind, pull, run, notice) %s, from its end %s",
		span(applied, completed), span(applied, job.made), span(job.made, job.complete), span(job.complete, completed))
	logCore(t)

	dir := w.volumeDir(nightlyVolume)
	volume, err := archive.OpenVolume(dir)
	require.NoError(t, err)
	defer volume.Close()
	digest, _ := status(done, "lastRun", "manifestSHA256").(string)
	report, err := volume.Verify(t.Context(), archive.Latest, archive.VerifyOptions{ManifestSHA256: digest})
	require.NoError(t, err)
	require.NoError(t, report.Err())
	assert.EqualValues(t, 3000, report.Files)

	check := exec.Command("sha256sum", "--quiet", "-c", "SHA256SUMS")
	check.Dir = filepath.Join(dir, "latest")
	out, err := check.CombinedOutput()
	require.NoError(t, err, string(out))
	w.assertSameFiles(dir, lastRun(done))
	w.assertCondition(done, "PreflightPassed", "True", "Passed")
	w.assertCondition(done, "BackupCompleted", "True", "Completed", nightlyVolume)
}

var errNotYet = errors.New("not yet")
