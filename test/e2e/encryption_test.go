//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
)

// TestEncryptedBackup: with a recipient, nobody reads the volume without the
// identity, and everybody can verify it.
func TestEncryptedBackup(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	const phrase = "a phrase that only the plaintext has"
	w.writeFile("secret.txt", bytes.Repeat([]byte(phrase+"\n"), 1000))
	identity, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	require.NoError(t, w.apply(claim(nightly, fmt.Sprintf(`{encryption: {age: {recipients: [%s]}}, backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}}}}`, identity.Recipient()))))
	done := w.untilCompleted(nightly)
	dir := w.volumeDir(nightlyVolume)

	assert.Equal(t, []string{lastRun(done)}, w.verified(dir))
	w.requireAbsent(dir, append(dataset.MarkerForms(), phrase))
	_, err = os.Lstat(filepath.Join(dir, "secrets"))
	assert.ErrorIs(t, err, os.ErrNotExist, "APIManagerRestore would take what is encrypted for data")

	volume, err := archive.OpenVolume(dir)
	require.NoError(t, err)
	defer volume.Close()
	run, err := volume.OpenRun(t.Context(), archive.Latest)
	require.NoError(t, err)
	defer run.Close()
	_, err = run.Objects(t.Context())
	require.ErrorIs(t, err, archive.ErrNoIdentity)
	objects, err := run.Objects(t.Context(), identity)
	require.NoError(t, err)
	referenced := threescale.ReferencedSecrets(w.apiManager())
	require.NotEmpty(t, referenced)
	assert.Len(t, objects, 13+len(referenced)+3+1, "13 Secrets, those that the APIManager refers to, 3 ConfigMaps and the APIManager")
	restored := t.TempDir()
	_, err = run.Restore(t.Context(), restored, archive.RestoreOptions{Existing: archive.Fail, Identities: []age.Identity{identity}})
	require.NoError(t, err)
	files := 0
	for entry, err := range run.Entries(t.Context()) {
		require.NoError(t, err)
		if entry.Kind != "file" {
			continue
		}
		files++
		got, err := os.ReadFile(filepath.Join(restored, entry.Path))
		require.NoError(t, err)
		want, err := os.ReadFile(filepath.Join(w.files, entry.Path))
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got), "file %q", entry.Path)
	}
	assert.Equal(t, 121, files)
}
