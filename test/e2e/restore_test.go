//go:build e2e

package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/sops"
	"threescale.dev/backup/fn/threescale"
)

// inNamespace sets the namespace of an object of YAML.
func inNamespace(t *testing.T, text, namespace string) string {
	t.Helper()
	var object map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &object))
	object["metadata"].(map[string]any)["namespace"] = namespace
	out, err := yaml.Marshal(object)
	require.NoError(t, err)
	return string(out)
}

// lose deletes an installation, and empties its file storage.
func (w *tenant) lose() {
	w.t.Helper()
	objects := append(threescale.Secrets(w.apiManager().Object), threescale.ConfigMaps()...)
	w.admin("delete", "apimanagers.apps.3scale.net", "--all", "--timeout=1m")
	names := []string{}
	for _, object := range objects {
		names = append(names, strings.ToLower(object.Kind)+"/"+object.Name)
	}
	w.admin(append([]string{"delete", "--ignore-not-found"}, names...)...)
	entries, err := os.ReadDir(w.files)
	require.NoError(w.t, err)
	for _, entry := range entries {
		if entry.Name() != "lost+found" {
			require.NoError(w.t, os.RemoveAll(filepath.Join(w.files, entry.Name())))
		}
	}
}

// TestRestoreOfALostInstallation is the way that the README shows: the objects
// are deleted and the file storage is empty; one ThreeScaleRestore and one
// commit later all of it is back, and stays so.
func TestRestoreOfALostInstallation(t *testing.T) {
	withFlux(t)
	w := newTenant(t)
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	run := lastRun(w.untilCompleted(nightly))
	before := map[string]*corev1.Secret{}
	for _, object := range threescale.Secrets(w.apiManager().Object) {
		before[object.Name] = w.secret(object.Name)
	}
	kept := filepath.Join(t.TempDir(), "files")
	out, err := exec.Command("cp", "-a", w.files, kept).CombinedOutput()
	require.NoError(t, err, string(out))

	w.lose()
	w.operate()
	d := w.deliver()
	d.create(`{apiVersion: backup.threescale.dev/v1alpha1, kind: ThreeScaleRestore, metadata: {name: dr}, spec: {
		restoreSource: {backupRef: {name: nightly}}, sourceRef: {name: apps}, path: ./apps, kustomizationRef: {name: apps}, retryInterval: 10s, timeout: 2m}}`)
	done := w.untilRestore("dr", "Ready", "True", "Restored")
	assert.Equal(t, run, status(done, "restoredRun"))
	assert.Equal(t, true, status(done, "completed"))

	commits, err := d.repository.Commits(t.Context(), branch)
	require.NoError(t, err)
	require.Len(t, commits, 2, "one commit")
	assert.Equal(t, status(done, "lastPushCommit"), commits[0].Hash)
	assert.Equal(t, []string{fmt.Sprintf("%s/dr %s %s", w.namespace, status(done, "attempt"), run)}, commits[0].Trailers["Threescale-Restore"])
	changed, err := d.repository.Changed(t.Context(), commits[0].Hash)
	require.NoError(t, err)
	for _, path := range changed {
		assert.Regexp(t, `^apps/(base|overlays)/dr/`, path)
		if strings.HasPrefix(filepath.Base(path), "secret-") {
			data, err := d.repository.ReadFile(t.Context(), branch, path)
			require.NoError(t, err)
			assert.True(t, sops.Encrypted(data), "%s is encrypted", path)
		}
	}
	for name, secret := range before {
		live := w.secret(name)
		for key, value := range secret.Data {
			assert.True(t, bytes.Equal(value, live.Data[key]), "Secret %s has key %s again", name, key)
			for _, path := range changed {
				data, err := d.repository.ReadFile(t.Context(), branch, path)
				require.NoError(t, err)
				if len(value) > 8 {
					assert.False(t, bytes.Contains(data, []byte(base64.StdEncoding.EncodeToString(value))), "%s holds a value of Secret %s", path, name)
				}
			}
		}
	}
	diff, err := exec.Command("rsync", "-rlptnic", "--delete", "--exclude=lost+found", kept+"/", w.files+"/").CombinedOutput()
	require.NoError(t, err, string(diff))
	assert.Empty(t, strings.TrimPrefix(string(diff), ".d..tp..... ./\n"), "but for the volume's root and the owners the files are the same: content, modes, times, links")
	assert.Empty(t, w.admin("get", "jobs,secrets,configmaps,roles,rolebindings,serviceaccounts", "-l", "backup.threescale.dev/restore", "-o", "name"), "nothing of the restore stays")
}
