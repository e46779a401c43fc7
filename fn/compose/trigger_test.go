package compose_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// runIDs are those of the history, newest first.
func (w *world) runIDs() []string {
	var out []string
	runs, _ := w.status("runs").([]any)
	for _, r := range runs {
		out = append(out, r.(map[string]any)["id"].(string))
	}
	return out
}

// cause is what the newest report says of its run.
func (w *world) cause() string {
	return w.only("ConfigMap").GetAnnotations()[v1alpha1.AnnotationCause]
}

func TestTriggerAtCreation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(`trigger: before-upgrade`))
	w.untilJob()
	assert.JSONEq(t, `{"kind":"Trigger","value":"before-upgrade"}`, w.cause())
	assert.Regexp(t, `^20261122t115900z-`, w.runID(), "the first run has the time of the creation")
	w.succeed()
	for range 3 {
		w.reconcile()
	}
	assert.Len(t, w.jobs, 1, "it is the first run's cause, not a second run")
	assert.Equal(t, "before-upgrade", w.status("lastHandledTrigger"))
}

func TestTriggersABA(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.backUp()
	assert.Nil(t, w.status("lastHandledTrigger"))
	for _, trigger := range []string{"A", "B", "A"} {
		w.setSpec(trigger, "trigger")
		w.backUp()
		assert.Equal(t, trigger, w.status("lastHandledTrigger"))
		assert.Equal(t, `{"kind":"Trigger","value":"`+trigger+`"}`, w.cause())
		w.reconcile()
		w.reconcile()
	}
	assert.Len(t, w.jobs, 4)
	ids := w.runIDs()
	require.Len(t, ids, 4)
	assert.NotEqual(t, ids[0], ids[2], "A again is another run")
	for _, id := range ids[:3] {
		assert.Regexp(t, `^trigger-[0-9a-f]{12}$`, id)
	}
}

// TestTriggerRemoved: no trigger asks for nothing, and neither does the one
// that was handled last.
func TestTriggerRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(`trigger: A`))
	w.backUp()
	for _, trigger := range []string{"", "A", ""} {
		w.setSpec(trigger, "trigger")
		w.reconcile()
		assert.Nil(t, w.theJob())
	}
	unstructured.RemoveNestedField(w.Composite.Object, "spec", "trigger")
	w.reconcile()
	assert.Len(t, w.jobs, 1)
	assert.Equal(t, "A", w.status("lastHandledTrigger"))
}

// TestTriggerInFlight: a run in flight is never replaced; the last trigger that
// came meanwhile is the next run.
func TestTriggerInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(`trigger: A`))
	w.reconcile()
	w.setSpec("B", "trigger")
	w.reconcile()
	running := w.theJob()
	require.NotNil(t, running)
	w.setSpec("C", "trigger")
	w.reconcile()
	assert.Equal(t, running.GetUID(), w.theJob().GetUID())
	assert.JSONEq(t, `{"kind":"Trigger","value":"A"}`, w.cause())
	assert.Equal(t, "A", w.status("lastHandledTrigger"))
	w.succeed()
	assert.Equal(t, true, w.status("completed"))
	w.untilJob()
	assert.JSONEq(t, `{"kind":"Trigger","value":"C"}`, w.cause())
	assert.Equal(t, true, w.status("completed"), "it stays true while the next run goes")
	w.succeed()
	assert.Equal(t, "C", w.status("lastHandledTrigger"))
	assert.Len(t, w.jobs, 2, "B was replaced before it was handled")
}

// TestTriggerWithoutReport: the report that names the cause may be deleted while
// a run goes; a trigger that came meanwhile must not pass for handled.
func TestTriggerWithoutReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(`trigger: A`))
	w.untilJob()
	w.setSpec("B", "trigger")
	w.Delete("ConfigMap", namespace, w.only("ConfigMap").GetName())
	w.reconcile()
	assert.JSONEq(t, `{"kind":"Trigger","value":"A"}`, w.cause())
	assert.Equal(t, "A", w.status("lastHandledTrigger"))
	w.succeed()
	w.backUp()
	assert.Equal(t, "B", w.status("lastHandledTrigger"))
	assert.Len(t, w.jobs, 2)
}

// TestTriggerOfAnyText: it is recorded, but names nothing.
func TestTriggerOfAnyText(t *testing.T) {
	t.Parallel()
	for name, trigger := range map[string]string{
		"Unicode":  "vor dem Upgrade auf 2.16 \u2014 \u00fc\u00f6\u00e4 \U0001F4BE",
		"Control":  "a\tb\nc",
		"Dollar":   "$(HOSTNAME)",
		"Longest":  strings.Repeat("x", 253),
		"Flag":     "--volume=/etc",
		"JSON":     `{"kind":"Creation"}`,
		"PathLike": "../../etc/passwd",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "")
			w.backUp()
			w.setSpec(trigger, "trigger")
			w.untilJob()
			assert.Regexp(t, `^trigger-[0-9a-f]{12}$`, w.runID())
			assert.NotContains(t, jsonOf(t, w.theJob().Object["spec"]), trigger, "free text stays out of a command line, in which Kubernetes expands $(...)")
			w.succeed()
			assert.Equal(t, trigger, w.status("lastHandledTrigger"))
			w.reconcile()
			assert.Len(t, w.jobs, 2)
		})
	}
}

// TestHistoryIsBounded: a status is not a log.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.function.quick = true
	w.backUp()
	for i := range 12 {
		w.setSpec(strings.Repeat("x", i+1), "trigger")
		w.backUp()
	}
	ids := w.runIDs()
	require.Len(t, ids, 10)
	assert.Equal(t, w.status("lastRun", "id"), ids[0], "newest first")
	seen := map[string]bool{}
	for _, id := range ids {
		assert.False(t, seen[id])
		seen[id] = true
	}
}
