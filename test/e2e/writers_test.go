//go:build e2e

package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/test/cluster"
)

// TestTwoWriters: two claims write to one volume; the second waits for the
// first and says so, and both runs are whole.
func TestTwoWriters(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	volume := w.destination(cluster.VolumeOptions{})
	w.bind("mine", cluster.VolumeOptions{Name: volume.Name, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}})
	const onMine = `{backupDestination: {persistentVolumeClaim: {claimName: mine}}}`
	g := newGate(t, w.writeFile("gate.txt", []byte("the first writer stands here")))
	require.NoError(t, w.apply(claim("one", onMine)))
	g.reached()
	require.NoError(t, w.apply(claim("two", onMine)))
	w.until("two", "the second writer to tell that it waits", func(u *unstructured.Unstructured) bool {
		return status(u, "progress", "phase") == job.PhaseLocked
	})
	g.open()
	one, two := lastRun(w.untilCompleted("one")), lastRun(w.untilCompleted("two"))
	assert.ElementsMatch(t, []string{one, two}, w.verified(volume.Path))
}
