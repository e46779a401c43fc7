package examples_test

import (
	"testing"

	"github.com/fluxcd/pkg/runtime/cel"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestHealthCheckWaits evaluates the expression as kustomize-controller does.
func TestHealthCheckWaits(t *testing.T) {
	condition := func(kind, status string) map[string]any {
		return map[string]any{"conditions": []any{map[string]any{"type": kind, "status": status}}}
	}
	eachExample(t, func(t *testing.T, _ string, e *example) {
		evaluator, err := cel.NewStatusEvaluator(&e.kustomization.Spec.HealthCheckExprs[0].HealthCheckExpressions)
		require.NoError(t, err)
		for name, test := range map[string]struct {
			reason string
			status any
			want   string // "" for an error, upon which Flux waits and looks again
		}{
			"just applied":   {"the operator has not seen it", nil, ""},
			"no conditions":  {"it has seen it", map[string]any{}, ""},
			"none yet":       {"nothing is said of it", map[string]any{"conditions": []any{}}, "InProgress"},
			"other ones":     {"another condition is no sign", condition("Preflights", "True"), "InProgress"},
			"not available":  {"it starts", condition("Available", "False"), "InProgress"},
			"not known":      {"likewise", condition("Available", "Unknown"), "InProgress"},
			"all of it runs": {"this is what is waited for", condition("Available", "True"), "Current"},
		} {
			object := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "example"}}}
			if test.status != nil {
				object.Object["status"] = test.status
			}
			got, err := evaluator.Evaluate(t.Context(), object)
			if test.want == "" {
				assert.Error(t, err, "%s: %s", name, test.reason)
				continue
			}
			require.NoError(t, err, name)
			assert.Equal(t, test.want, got.Status.String(), "%s: %s", name, test.reason)
		}
	})
}
