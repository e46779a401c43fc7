package compose_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// manifests are those of the status, as RUN=SHA-256.
func (w *world) manifests() []string {
	w.t.Helper()
	var manifests []v1alpha1.RunManifest
	require.NoError(w.t, json.Unmarshal([]byte(jsonOf(w.t, w.status("manifests"))), &manifests))
	var out []string
	for _, m := range manifests {
		out = append(out, m.Run+"="+m.SHA256)
	}
	return out
}

// knownOf are the digests that a Job's pod is given.
func knownOf(o *unstructured.Unstructured) []string {
	containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	for _, container := range containers {
		env, _, _ := unstructured.NestedSlice(container.(map[string]any), "env")
		for _, variable := range env {
			if name, value := variable.(map[string]any)["name"], variable.(map[string]any)["value"]; name == job.KnownVariable {
				return strings.Split(value.(string), ",")
			}
		}
	}
	return nil
}

// TestDigestsAreKept: nothing on the volume can tell that a run was replaced.
func TestDigestsAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec+`, verify: {schedule: "0 5 * * 0"}`))
	w.reconcile()
	var want []string
	for day := range 4 {
		at := moment(t, "2026-11-23T02:00:00Z").AddDate(0, 0, day)
		w.at(at.Format(time.RFC3339))
		assert.Equal(t, want, knownOf(w.untilJob()), "the pod does not link to what was replaced")
		run := w.succeed()
		want = append([]string{run + "=" + digestOf(run)}, want...)
		assert.Equal(t, want, w.manifests())
	}
	w.at("2026-11-29T05:00:01Z")
	w.reconcileAll()
	if w.theJob() != nil { // the run of that night
		run := w.succeed()
		want = append([]string{run + "=" + digestOf(run)}, want...)
	}
	started := w.untilVerifying()
	newest, _, _ := strings.Cut(want[0], "=")
	assert.Contains(t, argsOf(started), "--expect-run="+newest, "the newest must be there")
	assert.Equal(t, want[1:], knownOf(started), "the others may have been removed")
}

func TestDigestsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.backUp()
	var manifests []any
	for i := range 100 {
		manifests = append(manifests, map[string]any{"run": fmt.Sprintf("20261121t%06dz-1a2b3c4d", i), "sha256": digestOf(fmt.Sprint(i))})
	}
	set(manifests, "status", "manifests")(w.Composite.Object)
	w.setSpec("again", "trigger")
	run := w.backUp()
	kept := w.manifests()
	assert.Len(t, kept, 100)
	assert.Equal(t, run+"="+digestOf(run), kept[0], "the newest stay")
	assert.True(t, strings.HasPrefix(kept[99], "20261121t000098z"))
}

// TestDigestIsKeptAsItWas: the report is written by more than the pod. What is
// known of a run stays.
func TestDigestIsKeptAsItWas(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ why, digest string }{
		"Empty":  {"none was told", ""},
		"Short":  {"it is no digest", "aa"},
		"Flag":   {"it would be another argument of the pod", strings.Repeat("a", 63) + "\n--volume=/"},
		"Expand": {"Kubernetes would expand it", "$(HOME)"},
		"Upper":  {"digests are compared as texts", strings.Repeat("A", 64)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "")
			w.untilJob()
			result := completed(w.runID())
			result.ManifestSHA256 = tc.digest
			w.report(result)
			w.endJob("Complete")
			w.reconcile()
			assert.Equal(t, true, w.status("completed"))
			assert.Nil(t, w.status("manifests"), tc.why)
			w.setSpec("again", "trigger")
			assert.Empty(t, knownOf(w.untilJob()), tc.why)
		})
	}
	w := newWorld(t, "")
	run := w.backUp()
	w.reportText(job.KeyResult, jsonOf(t, job.Result{Run: run, Completed: true, ManifestSHA256: digestOf("forged")}))
	w.reconcileAll()
	assert.Equal(t, []string{run + "=" + digestOf(run)}, w.manifests())
}

// TestDigestOfAnEarlierVersion: its status has that of the newest run only.
func TestDigestOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	first := w.backUp()
	unstructured.RemoveNestedField(w.Composite.Object, "status", "manifests")
	w.setSpec("again", "trigger")
	assert.Equal(t, []string{first + "=" + digestOf(first)}, knownOf(w.untilJob()))
}
