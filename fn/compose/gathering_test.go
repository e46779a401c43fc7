package compose_test

import (
	"context"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose"
	"threescale.dev/backup/fn/simulate"
)

// TestGathering: before core has read what was asked for, nothing is said of it.
func TestGathering(t *testing.T) {
	t.Parallel()
	desired := compose.Compose(compose.Observed{
		Image:     "i",
		Composite: compose.Composite{Name: "x", Namespace: namespace, UID: "u", Created: noon},
	})
	assert.Empty(t, desired.Resources)
	assert.NoError(t, desired.Fatal)
	require.Len(t, desired.Conditions, 1)
	assert.Equal(t, metav1.Condition{
		Type: v1alpha1.ConditionPreflightPassed, Status: "Unknown", Reason: v1alpha1.ReasonGathering,
		Message: "Reading the installation; if this stays, Crossplane does not hand over what is asked for: upgrade it to 2.0 or later",
	}, desired.Conditions[0])
}

// oldCore hands nothing over that is required, as Crossplane 1.20 does.
type oldCore struct {
	simulate.Runner
	// once: it does not ask again, or forgets that it did, so that the answer
	// without what is required is the last word.
	once bool
}

// RunFunction implements simulate.Runner.
func (o oldCore) RunFunction(ctx context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	req.RequiredResources = nil
	if o.once {
		req.Context = nil
	}
	return o.Runner.RunFunction(ctx, req)
}

// TestOldCrossplaneLosesNothing: whatever exists when Crossplane is put back to
// a version that hands nothing over stays as it is, and goes on afterwards.
func TestOldCrossplaneLosesNothing(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason  string
		arrange func(*world)
	}{
		"Snapshot":  {reason: "copies of Secrets are there, and no Job", arrange: func(w *world) { w.reconcile() }},
		"AtWork":    {reason: "a Job deleted is a run lost", arrange: func(w *world) { w.untilJob(); w.reconcile() }},
		"Failed":    {reason: "a failed Job stays for its log", arrange: func(w *world) { w.untilJob(); w.endJob("Failed"); w.reconcileAll() }},
		"Completed": {reason: "the volume and the copies stay", arrange: func(w *world) { w.backUp() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "")
			tc.arrange(w)
			before := map[string]*unstructured.Unstructured{}
			for key, object := range w.Composed() {
				before[key] = object.DeepCopy()
			}
			require.Greater(t, len(before), 10)
			status := w.Composite.DeepCopy().Object["status"].(map[string]any)
			today := w.Function
			for range 3 {
				w.Function = oldCore{Runner: today}
				w.Restart()
				_, err := w.Reconcile(t.Context())
				require.ErrorIs(t, err, simulate.ErrFatal)
				require.ErrorContains(t, err, "upgrade it to 2.0 or later")
				assert.Equal(t, v1alpha1.ReasonCrossplaneTooOld, w.condition(v1alpha1.ConditionPreflightPassed)["reason"])
				w.Function = oldCore{Runner: today, once: true}
				_, err = w.Reconcile(t.Context())
				require.NoError(t, err)
				assert.Equal(t, v1alpha1.ReasonGathering, w.condition(v1alpha1.ConditionPreflightPassed)["reason"])
			}
			assert.Equal(t, before, w.Composed(), tc.reason)
			after := w.Composite.DeepCopy().Object["status"].(map[string]any)
			delete(status, "conditions")
			delete(after, "conditions")
			assert.Equal(t, status, after)
			w.Function = today
			if w.theJob() == nil && w.status("completed") != true {
				w.untilJob()
			}
			w.reconcileAll()
			assert.Equal(t, v1alpha1.ReasonPassed, w.condition(v1alpha1.ConditionPreflightPassed)["reason"])
		})
	}
}

// TestCrossplaneThatHandsNothingOver says so itself, and is told what to do.
func TestCrossplaneThatHandsNothingOver(t *testing.T) {
	t.Parallel()
	desired := compose.Compose(compose.Observed{
		Image: "i", NoRequired: true,
		Composite: compose.Composite{Name: "x", Namespace: namespace, UID: "u", Created: noon},
	})
	require.ErrorContains(t, desired.Fatal, "upgrade it to 2.0 or later", "a fatal result changes nothing")
	require.Len(t, desired.Conditions, 2)
	for _, condition := range desired.Conditions {
		assert.Equal(t, v1alpha1.ReasonCrossplaneTooOld, condition.Reason)
		assert.Equal(t, metav1.ConditionFalse, condition.Status)
		requireSentence(t, condition.Message)
	}
}
