package compose_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

func (w *world) relabel(key, label, value string) {
	w.t.Helper()
	require.NotNil(w.t, w.Composed()[key], key)
	w.edit(w.Composed()[key], set(value, "metadata", "labels", label))
}

// Whoever may write ConfigMaps in the namespace can write what he likes into a
// report. None of it starts a run, stops one, or fills the status.

// TestForgedRunLabelStartsNothing: with retention, each run that it started would
// remove another.
func TestForgedRunLabelStartsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec+`, retention: {keepLast: 1}`))
	w.reconcile()
	run := w.runAt("2026-11-23T02:00:00Z")
	w.reconcileAll()
	w.relabel("report/"+run, v1alpha1.LabelRun, "20270101t000000z-00000000")
	w.reconcileAll()
	assert.Nil(t, w.theJob())
	assert.Len(t, w.jobs, 1)
	assert.Equal(t, []string{run}, w.runIDs())
}

func TestForgedVerificationLabel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(weeklySpec))
	w.backUp()
	w.at("2026-11-29T05:00:01Z")
	j := w.untilVerifying()
	id := j.GetLabels()[v1alpha1.LabelVerification]
	w.relabel("verify-report/"+id, v1alpha1.LabelVerification, "20990101t000000z-00000000")
	w.reconcile()
	assert.Equal(t, j.GetUID(), w.verifyJob().GetUID())
}

func TestForgedVerificationLabelBesideRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(`schedule: "0 6 * * 0,1", `+weeklySpec))
	w.reconcile()
	w.runAt("2026-11-23T06:00:00Z")
	w.at("2026-11-29T05:00:01Z")
	j := w.untilVerifying()
	w.verified(job.Verification{Runs: 1})
	w.at("2026-11-29T06:00:01Z")
	for range 4 {
		w.reconcile()
	}
	id := j.GetLabels()[v1alpha1.LabelVerification]
	require.Nil(t, w.verifyJob())
	w.relabel("verify-report/"+id, v1alpha1.LabelVerification, "20990101t000000z-00000000")
	w.reconcileAll()
	assert.Nil(t, w.verifyJob(), "beside a run")
}

// TestForgedResourceName: the name of a composed resource is an annotation of its
// object, and so whoever may write a ConfigMap can have it counted as a Job.
func TestForgedResourceName(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]string{
		"job/x": "ConfigMap", "objects/x": "ConfigMap", "secret/x": "ConfigMap", "report/20990101t000000z-00000000": "Secret",
		"verify-job/20990101t000000z-00000000": "ConfigMap", "verify-report/20990101t000000z-00000000": "Secret",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPocket(t, beside(nightlySpec))
			p.reconcile()
			p.observed.Composed[name] = object(t, `{apiVersion: v1, kind: `+kind+`, metadata: {name: x, namespace: 3scale,
				labels: {backup.threescale.dev/run: 20990101t000000z-00000000}}}`)
			desired := p.reconcile() // which fails the test if the answer is fatal
			assert.Empty(t, desired.Status.Runs)
			assert.Nil(t, desired.Status.Verification)
			assert.NotContains(t, slices.Collect(maps.Keys(desired.Resources)), name)
		})
	}
}

func TestForgedCauseIsShort(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec))
	w.reconcile()
	w.at("2026-11-23T02:00:00Z")
	w.untilJob()
	w.edit(w.Composed()["report/"+w.runID()], set(`{"kind":"Trigger","value":"`+strings.Repeat("x", 200<<10)+`"}`, "metadata", "annotations", v1alpha1.AnnotationCause))
	w.reconcile()
	trigger, _ := w.status("lastHandledTrigger").(string)
	assert.Less(t, len(trigger), 1<<10)
	assert.Equal(t, "2026-11-23T02:00:00Z", w.status("schedule", "lastSlot"))
}

func TestForgedHandledIsShort(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec))
	w.reconcile()
	run := w.runAt("2026-11-23T02:00:00Z")
	w.edit(w.Composed()["report/"+run], set(`{"trigger":"`+strings.Repeat("x", 200<<10)+`"}`, "metadata", "annotations", v1alpha1.AnnotationHandled))
	w.wipeStatus()
	w.reconcile()
	trigger, _ := w.status("lastHandledTrigger").(string)
	assert.Less(t, len(trigger), 1<<10)
}

// awkward are texts of a report that would leave core without an answer, which
// each reconcile marshals, if they came into it as anything but valid UTF-8: of
// several bytes at the begin and where they are cut, and what is no character.
func awkward(t *testing.T) map[string]string {
	t.Helper()
	return map[string]string{
		"Umlaut":    "über",
		"Emoji":     "💥",
		"Cut":       strings.Repeat("ü", 600),
		"CutOdd":    "u" + strings.Repeat("💥", 300),
		"Surrogate": decodedJSON(t, `"\ud800"`),
		"Malformed": decodedJSON(t, "\"\xc3\""),
	}
}

func decodedJSON(t *testing.T, text string) string {
	t.Helper()
	var decoded string
	require.NoError(t, json.Unmarshal([]byte(text), &decoded))
	return decoded
}

func TestForgedTextsOfRun(t *testing.T) {
	t.Parallel()
	for name, text := range awkward(t) {
		for how, end := range map[string]string{"Failed": "Failed", "Completed": "Complete"} {
			t.Run(name+how, func(t *testing.T) {
				w := newWorld(t, beside(nightlySpec))
				w.reconcile()
				w.at("2026-11-23T02:00:00Z")
				w.untilJob()
				w.reportText(job.KeyProgress, jsonOf(t, v1alpha1.Progress{Phase: text}))
				w.reconcile()
				many := slices.Repeat([]string{text}, 30)
				w.report(job.Result{
					Run: w.runID(), Completed: end == "Complete", Reason: "IO", Message: text, ManifestSHA256: text,
					CompletionTime: noon, Skipped: many, Warnings: many, Removed: many,
				})
				w.endJob(end)
				w.reconcile()
				w.reconcile()
			})
		}
	}
}

func TestForgedTextsOfVerification(t *testing.T) {
	t.Parallel()
	for name, text := range awkward(t) {
		for how, end := range map[string]string{"Failed": "Failed", "Completed": "Complete"} {
			t.Run(name+how, func(t *testing.T) {
				w := newWorld(t, beside(weeklySpec))
				w.backUp()
				w.at("2026-11-29T05:00:01Z")
				j := w.untilVerifying()
				many := slices.Repeat([]string{text}, 30)
				w.reportVerification(jsonOf(t, job.Verification{
					Completed: end == "Complete", Reason: "IO", Message: text, DamagedRuns: many, Problems: many, Warnings: many, CompletionTime: w.now(),
				}))
				w.endJobNamed(j, end)
				w.reconcile()
				w.reconcile()
			})
		}
	}
}

func TestForgedTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(weeklySpec))
	w.backUp()
	w.at("2026-11-29T05:00:01Z")
	j := w.untilVerifying()
	w.reportVerification(`{"completed":true,"runs":1,"completionTime":"9999-12-31T23:59:59-23:59"}`)
	w.endJobNamed(j, "Complete")
	w.reconcile()
	assert.Equal(t, "2026-11-29T05:10:00Z", w.status("verification", "completionTime"), "as its Job ended")
	w.reconcile()
}

func TestForgedSlots(t *testing.T) {
	t.Parallel()
	for name, annotation := range map[string][2]string{
		"Handled": {v1alpha1.AnnotationHandled, `{"slot":"2026-11-24T02:00:00Z"}`},
		"Cause":   {v1alpha1.AnnotationCause, `{"kind":"Schedule","value":"2026-11-24T02:00:00Z"}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, beside(nightlySpec))
			w.reconcile()
			run := w.runAt("2026-11-23T02:00:00Z")
			w.edit(w.Composed()["report/"+run], set(annotation[1], "metadata", "annotations", annotation[0]))
			w.at("2026-11-24T02:00:01Z")
			w.untilJob()
			assert.Contains(t, w.runID(), "20261124t020000z")
		})
	}
}
