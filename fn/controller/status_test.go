package controller

import (
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/restore"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func someRestore() *v1alpha1.ThreeScaleRestore {
	r := &v1alpha1.ThreeScaleRestore{ObjectMeta: metav1.ObjectMeta{Name: "dr", Namespace: "3scale"}}
	r.Spec.Interval.Duration = 10 * time.Minute
	r.Status.Attempt = "0123456789abcdef"
	r.Status.StartTime = &metav1.Time{Time: noon.Add(-time.Minute)}
	return r
}

// TestConclude: whatever was said before, the conditions agree with each other.
func TestConclude(t *testing.T) {
	decisions := map[string]struct {
		reason      string
		decision    restore.Decision
		ready       metav1.ConditionStatus
		why         string
		reconciling bool
		stalled     bool
	}{
		"Waits":   {"Others wake it", restore.Wait{Message: "m"}, metav1.ConditionUnknown, meta.ProgressingReason, true, false},
		"Failing": {"It tries again", restore.Stop{Problem: &restore.Problem{Reason: "IO", Message: "m"}}, metav1.ConditionFalse, "IO", true, false},
		"Stalled": {"Somebody has to do something", restore.Stop{Problem: &restore.Problem{Reason: "Integrity", Message: "m", Terminal: true}}, metav1.ConditionFalse, "Integrity", false, true},
		"Done":    {"Nothing is left", restore.End{}, metav1.ConditionTrue, v1alpha1.ReasonRestored, false, false},
	}
	for from, before := range decisions {
		for to, tc := range decisions {
			t.Run(from+"/"+to, func(t *testing.T) {
				r := someRestore()
				conclude(r, before.decision)
				r.Status.Completed = false
				conclude(r, tc.decision)
				ready := conditions.Get(r, meta.ReadyCondition)
				assert.Equal(t, tc.ready, ready.Status, tc.reason)
				assert.Equal(t, tc.why, ready.Reason)
				assert.Equal(t, tc.reconciling, conditions.IsReconciling(r))
				assert.Equal(t, tc.stalled, conditions.IsStalled(r))
			})
		}
	}
}

func TestFinish(t *testing.T) {
	r := someRestore()
	r.Status.RestoredRun, r.Status.LastPushCommit = "r1", "c1"
	r.Status.WaitingSince = r.Status.StartTime
	state := restore.State{Facts: restore.Facts{Restore: r}}
	state.Note(restore.Complete, restore.Result{}, noon)
	assert.True(t, r.Status.Completed)
	conclude(r, restore.End{})
	assert.Equal(t, noon, r.Status.CompletionTime.Time)
	assert.Nil(t, r.Status.WaitingSince)
	assert.Len(t, r.Status.History, 1)
	before := r.DeepCopy()
	conclude(r, restore.End{})
	assert.Equal(t, before.Status, r.Status, "a finished restore writes nothing again")

	r.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
	conclude(r, restore.End{})
	before.Status.LastHandledReconcileAt = "now"
	assert.Equal(t, before.Status, r.Status, "it only answers a request")
}

func TestFinishedDryRun(t *testing.T) {
	r := someRestore()
	r.Spec.DryRun = true
	conclude(r, restore.End{Message: "Planned: all"})
	assert.False(t, r.Status.Completed)
	assert.Equal(t, v1alpha1.ReasonPlanned, conditions.GetReason(r, meta.ReadyCondition))
	assert.Equal(t, "Planned: all", conditions.GetMessage(r, meta.ReadyCondition))
	assert.Nil(t, r.Status.CompletionTime)
}
