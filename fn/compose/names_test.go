package compose_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// refer has the APIManager name a Secret for each of the names, and the Secrets be there.
func (w *world) refer(names ...string) {
	w.t.Helper()
	var policies []any
	for _, name := range names {
		policies = append(policies, map[string]any{"name": "p", "version": "1", "secretRef": map[string]any{"name": name}})
		w.Put(&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": map[string]any{"name": name, "namespace": namespace},
			"data": map[string]any{"key": "eA=="},
		}})
	}
	w.editNamed("APIManager", "example", set(policies, "spec", "apicast", "stagingSpec", "customPolicies"))
}

// TestNamesThatPassCanBeComposed: with referenced Secrets of all lengths that pass, and a claim's name of each of some,
// whatever is composed has names, labels and keys that the API server takes, and paths that a kernel takes.
func TestNamesThatPassCanBeComposed(t *testing.T) {
	t.Parallel()
	for _, claim := range []int{1, 20, 63, 64, 200, 253} {
		t.Run(fmt.Sprint(claim), func(t *testing.T) {
			w := newWorld(t, "")
			require.NoError(t, unstructured.SetNestedField(w.Composite.Object, strings.Repeat("c", claim), "spec", "claimRef", "name"))
			var names []string
			for length := 1; length <= 250; length++ {
				names = append(names, fmt.Sprintf("%0*d", length, length%10))
			}
			w.refer(names...)
			w.untilJob()
			assert.Equal(t, "True", w.condition(v1alpha1.ConditionPreflightPassed)["status"])
			assert.Greater(t, w.count("Secret"), len(names))
			for _, object := range w.Composed() {
				requireAcceptable(t, object)
			}
			for _, volume := range w.typedJob().Spec.Template.Spec.Volumes {
				if volume.Projected == nil {
					continue
				}
				for _, source := range volume.Projected.Sources {
					for _, item := range source.Secret.Items {
						for part := range strings.SplitSeq(item.Path, "/") {
							assert.LessOrEqual(t, len(part), 255, item.Path)
						}
						assert.Empty(t, validation.IsConfigMapKey(item.Key))
					}
				}
			}
		})
	}
}

// requireAcceptable checks what the API server checks of any object's texts.
func requireAcceptable(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	what := object.GetKind() + " " + object.GetName()
	require.Empty(t, validation.IsDNS1123Subdomain(object.GetName()), what)
	if object.GetKind() == "Job" {
		require.Empty(t, validation.IsDNS1123Label(object.GetName()), what)
	}
	for key, value := range object.GetLabels() {
		require.Empty(t, validation.IsQualifiedName(key), what)
		require.Empty(t, validation.IsValidLabelValue(value), what)
	}
	data, _, err := unstructured.NestedMap(object.Object, "data")
	require.NoError(t, err)
	for key := range data {
		require.Empty(t, validation.IsConfigMapKey(key), what)
	}
}
