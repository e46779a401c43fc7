//go:build e2e

package e2e

import (
	"context"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/test/dataset"
)

// bytesOn adds up what the files of a volume take, each hard link once.
func (w *tenant) bytesOn(dir string) int64 {
	w.t.Helper()
	var sum int64
	seen := map[uint64]bool{}
	require.NoError(w.t, filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || strings.HasPrefix(entry.Name(), ".stamps-") { // which are no part of a backup
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if inode := info.Sys().(*syscall.Stat_t).Ino; !seen[inode] {
			seen[inode] = true
			sum += info.Size()
		}
		return nil
	}))
	return sum
}

// versions are the resourceVersions of the backup's PVC and Secret copies.
func (w *tenant) versions(ctx context.Context) map[string]string {
	w.t.Helper()
	out := map[string]string{}
	for _, list := range []client.ObjectList{&corev1.PersistentVolumeClaimList{}, &corev1.SecretList{}} {
		require.NoError(w.t, shared.Client().List(ctx, list, client.InNamespace(w.namespace), client.HasLabels{v1alpha1.LabelBackup}))
		switch l := list.(type) {
		case *corev1.PersistentVolumeClaimList:
			for _, item := range l.Items {
				out[item.Name] = item.ResourceVersion
			}
		case *corev1.SecretList:
			for _, item := range l.Items {
				out[item.Name] = item.ResourceVersion
			}
		}
	}
	return out
}

// TestTriggeredRunsStoreWhatChanged: a second run after one changed file stores
// less than 1 % of the first, a third after none even less, and both are whole.
func TestTriggeredRunsStoreWhatChanged(t *testing.T) {
	parallel(t)
	w := newTenant(t, func(o *options) { o.set = dataset.SetM })
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	first := lastRun(w.untilCompleted(nightly))
	dir := w.volumeDir(nightlyVolume)
	one := w.bytesOn(dir)

	w.writeFile("changed.txt", []byte("one file more"))
	require.NoError(t, w.apply(withTrigger(nightly, "changed")))
	second := lastRun(w.untilCompleted(nightly, first))
	two := w.bytesOn(dir) - one

	require.NoError(t, w.apply(withTrigger(nightly, "unchanged")))
	third := lastRun(w.untilCompleted(nightly, first, second))
	three := w.bytesOn(dir) - one - two

	percent := func(part int64) float64 { return 100 * float64(part) / float64(one) }
	t.Logf("stored: first run %d bytes; one file changed %d (%.2f %%); nothing changed %d (%.2f %%)", one, two, percent(two), three, percent(three))
	assert.Less(t, percent(two), 1.0)
	assert.Less(t, percent(three), 1.0)
	assert.Equal(t, []string{first, second, third}, w.verified(dir))
	runs := w.runs(dir)
	assert.NotEqual(t, runs[0].Manifest.Tree, runs[1].Manifest.Tree)
	assert.Equal(t, runs[1].Manifest.Tree, runs[2].Manifest.Tree, "nothing changed, so both runs share the tree")
	w.assertSameFiles(dir, third)
}

// TestTriggers: triggers A, B and A again are three runs; A once more, or
// anything else that core is asked to look at, is none.
func TestTriggers(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	ids := []string{lastRun(w.untilCompleted(nightly))}
	awkward := "A: before \"2.16\" — $(date) 'ü' 🚀"
	for _, trigger := range []string{awkward, "B", awkward} {
		require.NoError(t, w.apply(withTrigger(nightly, trigger)))
		done := w.untilCompleted(nightly, ids...)
		assert.Equal(t, trigger, status(done, "lastHandledTrigger"))
		ids = append(ids, lastRun(done))
	}
	dir := w.volumeDir(nightlyVolume)
	assert.Equal(t, ids, w.verified(dir))
	assert.Equal(t, awkward, w.runs(dir)[3].Manifest.Cause.Value)

	w.untilReconciled(nightly, "settled")
	before := w.versions(t.Context())
	require.NotEmpty(t, before)
	require.NoError(t, w.apply(withTrigger(nightly, awkward)))
	for _, token := range []string{"again", "and-again"} {
		w.untilReconciled(nightly, token)
		jobs, err := w.jobs(t.Context())
		require.NoError(t, err)
		assert.Empty(t, jobs)
		assert.Equal(t, before, w.versions(t.Context()), "a finished backup is left alone")
	}
	assert.Equal(t, ids, w.verified(dir))
}
