//go:build e2e

package e2e

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/test/dataset"
)

// maxLate is how late a slot may start.
const maxLate = 15 * time.Second

// beside returns the spec of a claim of ten gibibytes with other fields.
func beside(fields string) string {
	return `{backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}}}, ` + fields + `}`
}

// TestScheduleOfAMinute: ten runs, each at its slot, each storing nothing but
// what changed since the one before.
func TestScheduleOfAMinute(t *testing.T) {
	parallel(t)
	const runs = 10
	w := newTenant(t, func(o *options) { o.set = dataset.SetM })
	require.NoError(t, w.apply(claim(nightly, beside(`schedule: "* * * * *"`))))
	var ids []string
	for i := range runs {
		done := w.untilCompleted(nightly, ids...)
		ids = append(ids, lastRun(done))
		if i > 0 {
			assert.EqualValues(t, 3000+i-1, status(done, "lastRun", "linkedFiles"), "run %d", i)
		}
		w.writeFile(fmt.Sprintf("changed-%d.txt", i), []byte("one file more"))
	}
	require.NoError(t, w.apply(claim(nightly, beside(`schedule: "* * * * *", suspend: true`))))
	w.untilWarned(nightly, "spec.suspend", true)
	w.assertOnTime(ids)
	dir := w.volumeDir(nightlyVolume)
	assert.Equal(t, ids, w.verified(dir))
	assert.Equal(t, w.computedBytes(dir), w.bytesOn(dir), "nothing is stored that the runs do not need")
}

// assertOnTime compares the slots of the runs, one a minute, with when they started.
func (w *tenant) assertOnTime(ids []string) {
	w.t.Helper()
	u, err := w.get(w.t.Context(), nightly)
	require.NoError(w.t, err)
	list, _ := status(u, "runs").([]any)
	var latest time.Duration
	var before time.Time
	for i := range ids {
		record := list[len(list)-1-i].(map[string]any)
		require.Equal(w.t, ids[i], record["id"])
		slot, err := time.Parse("20060102t150405z", ids[i][:len("20060102t150405z")])
		require.NoError(w.t, err)
		started, err := time.Parse(time.RFC3339, record["startTime"].(string))
		require.NoError(w.t, err)
		late := started.Sub(slot)
		latest = max(latest, late)
		assert.LessOrEqual(w.t, late, maxLate, "run %s", ids[i])
		assert.GreaterOrEqual(w.t, late, time.Duration(0), "run %s", ids[i])
		if i > 0 {
			assert.Equal(w.t, time.Minute, slot.Sub(before), "no slot is left out")
		}
		before = slot
	}
	w.t.Logf("%d runs, one a minute; the latest started %s after its slot", len(ids), latest)
}

// computedBytes is what the manifests and lists of a volume say that it holds.
func (w *tenant) computedBytes(dir string) int64 {
	w.t.Helper()
	var sum int64
	for _, run := range w.runs(dir) {
		m := run.Manifest
		sum += m.Totals.ObjectBytes + m.Totals.Bytes - m.Totals.LinkedBytes
	}
	require.NoError(w.t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch entry.Name() {
		case "manifest.json", "SHA256SUMS", "MTREE", ".lock":
			info, err := entry.Info()
			if err != nil {
				return err
			}
			sum += info.Size()
		case "files":
			return fs.SkipDir
		}
		return nil
	}))
	return sum
}

// TestRetentionThinsOut: runs go as told, what is removed is told, and while a
// restore reads the volume none goes.
func TestRetentionThinsOut(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	var ids []string
	run := func(trigger string) *unstructured.Unstructured {
		require.NoError(t, w.apply(claim(nightly, beside(fmt.Sprintf(`retention: {keepLast: 2}, trigger: %q`, trigger)))))
		done := w.untilCompleted(nightly, ids...)
		ids = append(ids, lastRun(done))
		return done
	}
	run("first")
	dir := w.volumeDir(nightlyVolume)
	run("second")
	done := run("third")
	assert.Equal(t, ids[1:], w.verified(dir))
	assert.Equal(t, []any{ids[0]}, status(done, "lastRun", "removed"))
	w.eventually("an event that tells of it", w.hasEvent("RunsRemoved", ids[0]))

	reader := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "dr-inspect-1", Namespace: w.namespace, Labels: map[string]string{
			v1alpha1.LabelRestore: "dr", v1alpha1.LabelReads: nightlyVolume,
		}},
		Spec: batchv1.JobSpec{Suspend: new(true), Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "mover", Image: image}},
		}}},
	}
	require.NoError(t, w.c.Client().Create(t.Context(), reader))
	w.untilWarned(nightly, "No run is removed while", true)
	done = run("beside a restore")
	assert.Equal(t, ids[1:], w.verified(dir))
	assert.Nil(t, status(done, "lastRun", "removed"))

	w.admin("delete", "job", reader.Name, "--cascade=foreground")
	w.untilWarned(nightly, "No run is removed while", false)
	done = run("after it")
	assert.Equal(t, ids[3:], w.verified(dir))
	assert.Equal(t, []any{ids[1], ids[2]}, status(done, "lastRun", "removed"))
}
