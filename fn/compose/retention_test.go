package compose_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/v1alpha1"
)

func TestRetentionIsPassedOn(t *testing.T) {
	t.Parallel()
	const policy = `retention: {keepLast: 2, keepDaily: 7, keepYearly: 3}, timeZone: Europe/Berlin`
	w := newWorld(t, beside(policy))
	w.untilJob()
	assert.Subset(t, w.args(), []string{"--keep-last=2", "--keep-daily=7", "--keep-yearly=3", "--time-zone=Europe/Berlin"})
	result := completed(w.runID())
	result.Removed, result.FreedBytes = []string{"20261101t020000z-00000000", "20261102t020000z-00000000"}, 4711
	w.report(result)
	w.endJob("Complete")
	rsp := w.reconcile()
	assert.Equal(t, []string{"Completed", "RunsRemoved"}, eventsOf(rsp))
	assert.Contains(t, rsp.GetResults()[1].GetMessage(), "20261101t020000z-00000000, 20261102t020000z-00000000")
	assert.Equal(t, []any{"20261101t020000z-00000000", "20261102t020000z-00000000"}, w.status("lastRun", "removed"))
	assert.EqualValues(t, 4711, w.status("lastRun", "freedBytes"))
}

func (w *world) args() []string {
	w.t.Helper()
	containers, _, _ := unstructured.NestedSlice(w.theJob().Object, "spec", "template", "spec", "containers")
	args, _, _ := unstructured.NestedStringSlice(containers[0].(map[string]any), "args")
	return args
}

// readerJob is a Job of a ThreeScaleRestore.
func readerJob(volume string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch/v1", "kind": "Job",
		"metadata": map[string]any{"name": "dr-inspect-1", "namespace": namespace, "labels": map[string]any{
			v1alpha1.LabelRestore: "dr", v1alpha1.LabelReads: volume,
		}},
	}}
}

func TestRetentionWaitsForARestore(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason, volume string
		waits          bool
	}{
		"Same":  {"what it reads must stay", "nightly-backup", true},
		"Other": {"another volume is none of its business", "weekly-backup", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, beside(`retention: {keepLast: 2}`))
			w.Put(readerJob(tc.volume))
			report := w.untilReport()
			if tc.waits {
				assert.Equal(t, "dr", report.GetAnnotations()[v1alpha1.AnnotationReaders], tc.reason)
				assert.Equal(t, v1alpha1.ReasonRetentionWaits, w.condition("Warning")["reason"], tc.reason)
				w.succeed()
				rsp := w.reconcile()
				assert.Equal(t, 30*time.Second, rsp.GetMeta().GetTtl().AsDuration(), "nobody tells when the restore has ended")
				w.Delete("Job", namespace, "dr-inspect-1")
				w.reconcile()
				report = w.only("ConfigMap")
			}
			assert.NotContains(t, report.GetAnnotations(), v1alpha1.AnnotationReaders, tc.reason)
			assert.Equal(t, v1alpha1.ReasonNoWarnings, w.condition("Warning")["reason"], tc.reason)
		})
	}
}

// untilReport reconciles until there is the report of a run.
func (w *world) untilReport() *unstructured.Unstructured {
	w.t.Helper()
	w.reconcile()
	w.reconcile()
	return w.only("ConfigMap")
}
