//go:build render

package render

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestCore renders every example with the render engine of Crossplane's own
// binary, calling the real binary of the function. What it prints equals the
// same golden files as that of crank, is valid, and deletes only what may go.
func TestCore(t *testing.T) {
	core := startCore(t)
	validate := validator(t)
	eachExample(t, func(t *testing.T, e Example) {
		answer := core.render(t, e)
		printed := answer.printed(t, e)
		validatePrinted(t, validate, e, printed)

		assert.ElementsMatch(t, identities(deleted(e.Observed, printed)), identities(answer.Deleted), "what is observed and not rendered")
		checkDeleted(t, e, printed[0], answer.Deleted)

		got, err := Golden(answer.asCrank(t, e, printed))
		require.NoError(t, err)
		assert.Equal(t, readGolden(t, e), string(got))
	})
}

// TestCoreDeletes shows that the engine tells what it deletes: a volume that the
// function does not know as the backup's.
func TestCoreDeletes(t *testing.T) {
	core := startCore(t)
	for _, scenario := range []Scenario{{Name: "completed"}, {Name: "first-backup-namespaced", Namespaced: true}} {
		t.Run(scenario.Name, func(t *testing.T) {
			e, err := Load(root, scenario)
			require.NoError(t, err)
			volume, err := parseObject([]byte(`{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: old-backups, namespace: 3scale}}`))
			require.NoError(t, err)
			claimComposed(e.XR, volume, "old-volume")
			e.Observed = append(e.Observed, volume)
			answer := core.render(t, e)
			assert.Contains(t, identities(answer.Deleted), identity(volume))
			assert.Error(t, mayGo(answer.Composite, volume))
		})
	}
}

// validatePrinted has `crossplane beta validate` read the composite as core
// leaves it, its own fields included.
func validatePrinted(t *testing.T, validate func(extension, resource string) ([]byte, error), e Example, printed []*unstructured.Unstructured) {
	t.Helper()
	data, err := encodeStream("", printed)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), RenderedFile)
	require.NoError(t, os.WriteFile(file, data, 0o600))
	out, err := validate(filepath.Join(root, "manifests", e.Flavour(), "xrd.yaml"), file)
	require.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), "Kind="+e.XR.GetKind()+", "+e.XR.GetName()+" validated successfully")
}

// asCrank turns what core prints into what crank prints. These are all the
// differences: core notes on the composite what it composed, which conditions
// the claim gets, and how its own work went; and results are events to it.
func (a coreAnswer) asCrank(t *testing.T, e Example, printed []*unstructured.Unstructured) []*unstructured.Unstructured {
	t.Helper()
	xr := printed[0].DeepCopy()
	references, _, err := unstructured.NestedSlice(xr.Object, machinery(e, "resourceRefs")...)
	require.NoError(t, err)
	assert.Len(t, references, len(a.Composed))
	unstructured.RemoveNestedField(xr.Object, machinery(e, "resourceRefs")...)

	conditions, theirs := ownConditions(t, xr)
	require.NoError(t, unstructured.SetNestedSlice(xr.Object, conditions, "status", "conditions"))
	onClaim, _, err := unstructured.NestedStringSlice(xr.Object, "status", "claimConditionTypes")
	require.NoError(t, err)
	if e.Namespaced {
		assert.Empty(t, onClaim)
	} else {
		assert.Equal(t, theirs, onClaim, "the claim gets all of the function's conditions")
	}
	unstructured.RemoveNestedField(xr.Object, "status", "claimConditionTypes")

	out := append([]*unstructured.Unstructured{xr}, printed[1:]...)
	for _, event := range a.Events {
		message, isOurs := strings.CutPrefix(event.Message, `Pipeline step "`+e.step+`": `)
		assert.True(t, isOurs, event.Message)
		out = append(out, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "render.crossplane.io/v1beta1",
			"kind":       "Result",
			"step":       e.step,
			"severity":   "SEVERITY_" + strings.ToUpper(event.Type),
			"message":    message,
		}})
	}
	return out
}

// ownConditions are Ready and those of the function, in crank's order, and the
// types of the latter. Core's own must say that all went well.
func ownConditions(t *testing.T, xr *unstructured.Unstructured) ([]any, []string) {
	t.Helper()
	assert.Equal(t, "ReconcileSuccess", condition(xr, "Synced")["reason"])
	all, _, err := unstructured.NestedSlice(xr.Object, "status", "conditions")
	require.NoError(t, err)
	var ready, theirs []any
	var types []string
	for _, c := range all {
		switch name := c.(map[string]any)["type"].(string); name {
		case "Synced", "Responsive":
		case "Ready":
			ready = append(ready, c)
		default:
			theirs, types = append(theirs, c), append(types, name)
		}
	}
	return append(ready, theirs...), types
}

func identities(objects []*unstructured.Unstructured) [][4]string {
	var out [][4]string
	for _, object := range objects {
		out = append(out, identity(object))
	}
	return out
}
