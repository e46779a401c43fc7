//go:build e2e

package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/test/dataset"
)

// TestClaimBecomesVerifiedBackup is the way that the README shows, with data
// set M, and prints how long it takes.
func TestClaimBecomesVerifiedBackup(t *testing.T) {
	w := newTenant(t, func(o *options) { o.set = dataset.SetM })
	applied := time.Now()
	require.NoError(t, w.apply(claim("nightly", tenGi)))
	done := w.untilCompleted("nightly")
	t.Logf("claim applied to completed: %s", time.Since(applied).Round(10*time.Millisecond))

	logCore(t)

	dir := w.volumeDir("nightly-backup")
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
	diff := exec.Command("diff", "-r", w.files, filepath.Join(dir, "system-filestorage-pvc"))
	out, err = diff.CombinedOutput()
	require.NoError(t, err, string(out))
}
