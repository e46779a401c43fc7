//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/test/peers"
)

// What is on a backup volume, read beside our own pods.

// volumeDir is the directory behind the PVC's PersistentVolume.
func (w *tenant) volumeDir(pvc string) string {
	w.t.Helper()
	return w.persistentVolumeDir(w.persistentVolume(pvc))
}

// persistentVolume is the name of the volume that a PVC is bound to.
func (w *tenant) persistentVolume(pvc string) string {
	w.t.Helper()
	return w.admin("get", "pvc", pvc, "-o", "jsonpath={.spec.volumeName}")
}

func (w *tenant) persistentVolumeDir(volume string) string {
	w.t.Helper()
	return w.admin("get", "pv", volume, "-o", "jsonpath={.spec.local.path}{.spec.hostPath.path}")
}

// runs lists the runs of a volume, oldest first.
func (w *tenant) runs(dir string) []archive.RunInfo {
	w.t.Helper()
	volume, err := archive.OpenVolume(dir)
	require.NoError(w.t, err)
	defer volume.Close()
	runs, err := volume.Runs(w.t.Context())
	require.NoError(w.t, err)
	return runs
}

// verified verifies every run of a volume, all of which must be complete, and
// returns their IDs, oldest first.
func (w *tenant) verified(dir string) []string {
	w.t.Helper()
	var ids []string
	for _, run := range w.runs(dir) {
		require.Equal(w.t, archive.Complete, run.State, "run %s: %s", run.ID, run.Message)
		w.verifyRun(dir, run.ID)
		ids = append(ids, run.ID)
	}
	return ids
}

// verifyRun verifies one run of a volume.
func (w *tenant) verifyRun(dir, id string) *archive.VerifyReport {
	w.t.Helper()
	volume, err := archive.OpenVolume(dir)
	require.NoError(w.t, err)
	defer volume.Close()
	report, err := volume.Verify(w.t.Context(), id, archive.VerifyOptions{})
	require.NoError(w.t, err)
	require.NoError(w.t, report.Err())
	return report
}

// assertSameFiles compares the file storage with what a run holds of it.
func (w *tenant) assertSameFiles(dir, run string) {
	w.t.Helper()
	out, err := exec.Command("diff", "-r", w.files, filepath.Join(dir, "runs", run, "system-filestorage-pvc")).CombinedOutput()
	assert.NoError(w.t, err, string(out))
}

// storedSecret reads a Secret from the newest run of a volume.
func (w *tenant) storedSecret(dir, name string) *corev1.Secret {
	w.t.Helper()
	return w.storedSecretOf(dir, "latest", name)
}

// storedSecretOf reads a Secret from the run in a folder of a volume.
func (w *tenant) storedSecretOf(dir, run, name string) *corev1.Secret {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, run, "secrets", name+".json"))
	require.NoError(w.t, err)
	secret := &corev1.Secret{}
	require.NoError(w.t, json.Unmarshal(data, secret))
	return secret
}

// sameSecret tells whether two Secrets have the same values. It is no
// assertion, which would print them.
func sameSecret(a, b *corev1.Secret) bool {
	return a.Type == b.Type && maps.EqualFunc(a.Data, b.Data, bytes.Equal)
}

// requireAbsent fails if a file below dir holds one of the texts. It does not
// print the text, which may be confidential.
func (w *tenant) requireAbsent(dir string, texts []string) {
	w.t.Helper()
	require.NoError(w.t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i, text := range texts {
			require.False(w.t, bytes.Contains(data, []byte(text)), "%s holds text %d", path, i)
		}
		return nil
	}))
}

// shell runs a script as an administrator would type it: with kubectl in the
// path, and set up for the cluster.
func (w *tenant) shell(script string, env ...string) string {
	w.t.Helper()
	kubectl, err := peers.Binary(w.t.Context(), "kubectl")
	require.NoError(w.t, err)
	cmd := exec.CommandContext(w.t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = w.t.TempDir()
	require.NoError(w.t, os.Symlink(kubectl, filepath.Join(cmd.Dir, "kubectl")))
	cmd.Env = append(os.Environ(), "KUBECONFIG="+w.c.Kubeconfig(), "PATH="+cmd.Dir+":"+os.Getenv("PATH"))
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	require.NoError(w.t, err, string(out))
	return string(out)
}
