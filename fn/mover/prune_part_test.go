package mover

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/retention"
)

// TestPruneTellsARunThatWentInPart has a directory of a tree that cannot be
// removed, such as one of another user or one that an NFS client has open.
func TestPruneTellsARunThatWentInPart(t *testing.T) {
	if os.Getuid() != 0 {
		require.Empty(t, os.Getenv("THREESCALE_BACKUP_SKIP_NOTHING"), "mounting a file system needs root")
		t.Skip("mounting a file system needs root")
	}
	dir, files := t.TempDir(), t.TempDir()
	volume, err := archive.OpenVolume(dir)
	require.NoError(t, err)
	defer volume.Close()
	var last *archive.Result
	for i, run := range []string{"r1", "r2"} {
		now := func() time.Time { return time.Date(2026, 11, 22, i, 0, 0, 0, time.UTC) }
		require.NoError(t, os.Mkdir(filepath.Join(files, run), 0o755))
		last, err = volume.Write(t.Context(), archive.WriteOptions{Run: run, Now: now, Files: files, Objects: []archive.ObjectFile{{Path: "secrets/a.json", Data: []byte("{}")}}})
		require.NoError(t, err)
	}
	link, err := os.Readlink(filepath.Join(dir, "runs/r1/system-filestorage-pvc"))
	require.NoError(t, err)
	busy := filepath.Join(dir, "runs/r1", link, "r1")
	require.NoError(t, syscall.Mount("none", busy, "tmpfs", 0, ""))
	t.Cleanup(func() {
		found, _ := filepath.Glob(filepath.Join(dir, "trees/*/files/r1"))
		hidden, _ := filepath.Glob(filepath.Join(dir, "trees/.removed-*/files/r1"))
		for _, f := range append(found, hidden...) {
			_ = syscall.Unmount(f, syscall.MNT_DETACH)
		}
	})
	p := &pruner{rules: rules{policy: retention.Policy{KeepLast: 1}}, volume: volume, progress: func(v1alpha1.Progress) {}}
	p.prune(t.Context(), last.Manifest)
	runs, err := volume.Runs(t.Context())
	require.NoError(t, err)
	require.Len(t, runs, 1)
	assert.Equal(t, []string{"r1"}, p.removed)
	require.Len(t, p.warnings, 1)
	assert.Contains(t, p.warnings[0], `cannot remove all of runs that are gone, such as "r1": `)

	require.NoError(t, os.Mkdir(filepath.Join(files, "r3"), 0o755))
	_, err = volume.Write(t.Context(), archive.WriteOptions{Run: "r3", Now: time.Now, Files: files, Objects: []archive.ObjectFile{{Path: "secrets/a.json", Data: []byte("{}")}}})
	require.NoError(t, err, "what cannot be removed is no reason to make no backup")
	_, err = volume.Remove(t.Context(), []string{"r2"}, archive.RemoveOptions{})
	require.Error(t, err)
	trees, err := filepath.Glob(filepath.Join(dir, "trees/[0-9a-f]*"))
	require.NoError(t, err)
	assert.Len(t, trees, 1, "nor to keep the rest")
}
