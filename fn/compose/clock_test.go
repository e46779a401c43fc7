package compose_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// TestClockOfANode: what a status says of time is what the API server's clock and
// ours say; a node's that contradicts both is told, and believed in nothing. A
// success of the future would hide for years that there is none since.
func TestClockOfANode(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		why        string
		start, end time.Time
		completed  time.Time
		told       bool
	}{
		"Right":       {"a minute's run", noon, noon.Add(time.Minute), noon.Add(time.Minute), false},
		"AlmostRight": {"clocks are never the same", noon.Add(-4 * time.Minute), noon.Add(4 * time.Minute), noon.Add(4 * time.Minute), false},
		"Ahead":       {"ten years", noon.AddDate(10, 0, 0), noon.AddDate(10, 0, 0), noon, true},
		"Behind":      {"no battery", time.Unix(0, 0), time.Unix(60, 0), noon, true},
		"NoTime":      {"whoever writes the report can leave it out", time.Time{}, time.Time{}, noon, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, beside(nightlySpec+`, trigger: now`))
			w.untilJob()
			result := completed(w.runID())
			result.StartTime, result.CompletionTime = tc.start, tc.end
			w.report(result)
			w.endJob("Complete")
			w.reconcileAll()
			at := tc.completed.UTC().Format(time.RFC3339)
			assert.Equal(t, at, w.status("completionTime"), tc.why)
			assert.Equal(t, at, w.status("lastSuccessfulTime"), tc.why)
			assert.Equal(t, true, w.status("completed"))
			warning := w.condition(v1alpha1.ConditionWarning)
			if !tc.told {
				assert.NotContains(t, warning["message"], "clock", tc.why)
				return
			}
			assert.Equal(t, v1alpha1.ReasonRunWarnings, warning["reason"])
			assert.Contains(t, warning["message"], "The clock of the node that run ")
		})
	}
}

// TestClockOfANodeOfAVerification likewise: damage counts until a run after it.
func TestClockOfANodeOfAVerification(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(weeklySpec))
	w.backUp()
	w.at("2026-11-29T05:00:10Z")
	started := w.untilVerifying()
	id := started.GetLabels()[v1alpha1.LabelVerification]
	w.edit(w.Composed()["verify-report/"+id], set(jsonOf(t, job.Verification{Completed: true, CompletionTime: w.now().AddDate(10, 0, 0), DamagedRuns: []string{"r"}, Problems: []string{"p"}}), "data", job.KeyVerification))
	w.endJobNamed(started, "Complete")
	w.reconcileAll()
	assert.Equal(t, "2026-11-29T05:10:00Z", w.status("verification", "completionTime"), "as its Job ended")
}

// TestStartOfTheFuture: an API server's clock that was ahead does not keep a backup
// from being stale.
func TestStartOfTheFuture(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(nightlySpec))
	w.reconcile()
	w.runAt("2026-11-23T02:00:00Z")
	w.reconcileAll()
	before := w.status("staleTime")
	runs := w.status("runs").([]any)
	set("2036-11-23T02:00:05Z", "startTime")(runs[0].(map[string]any))
	w.reconcileAll()
	assert.NotNil(t, before)
	stale, _ := w.status("staleTime").(string)
	assert.Less(t, stale, "2026-12", "and not in ten years")
}
