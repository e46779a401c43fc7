package render

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// deletions is all that Crossplane deletes after rendering the examples: Jobs
// whose result is recorded, and the snapshot of a run that another one follows.
func deletions() map[string]map[string]int {
	const first = "20261122t020000z-ea660486"
	return map[string]map[string]int{
		"completed":   {"Job of " + first: 1},
		"triggered":   {"Secret of " + first: 19, "ConfigMap of " + first: 1},
		"thinned-out": {"Job of 20261123t020000z-bf3d3ca5": 1},
		"damaged":     {"Job of 20261129t050000z-86390726": 1},
	}
}

// TestDeletions reads from the files of an example what its rendered output
// would delete. Those of kind PersistentVolumeClaim hold the backups.
func TestDeletions(t *testing.T) {
	volumes := 0
	eachExample(t, func(t *testing.T, e Example) {
		rendered, err := readStream(goldenFile(e))
		require.NoError(t, err)
		checkDeleted(t, e, rendered[0], deleted(e.Observed, rendered))
		volumes += count(e.Observed, "PersistentVolumeClaim")
	})
	assert.GreaterOrEqual(t, volumes, 6, "examples with a volume that could be deleted")
	for name := range deletions() {
		assert.True(t, slices.ContainsFunc(Scenarios(), func(s Scenario) bool { return s.Name == name }), name)
	}
}

// TestMayGo shows that the check can fail.
func TestMayGo(t *testing.T) {
	xr, err := parseObject([]byte(`{status: {runs: [{id: new, state: Running}, {id: done, state: Completed}, {id: bad, state: Failed}]}}`))
	require.NoError(t, err)
	for _, c := range []struct{ why, object, refused string }{
		{"the backups are on it", `{kind: PersistentVolumeClaim}`, "must stay"},
		{"no label makes a volume less worth", `{kind: PersistentVolumeClaim, metadata: {labels: {backup.threescale.dev/run: done}}}`, "must stay"},
		{"its pod copies", `{kind: Job, status: {active: 1}}`, "at work"},
		{"its pod may have started", `{kind: Job}`, "at work"},
		{"a condition that does not hold", `{kind: Job, status: {conditions: [{type: Complete, status: "False"}]}}`, "at work"},
		{"complete", `{kind: Job, status: {conditions: [{type: Complete, status: "True"}]}}`, ""},
		{"failed for good", `{kind: Job, status: {conditions: [{type: Failed, status: "True"}]}}`, ""},
		{"its pod mounts it", `{kind: Secret, metadata: {labels: {backup.threescale.dev/run: new}}}`, "not over"},
		{"of no run that the status knows", `{kind: Secret, metadata: {labels: {backup.threescale.dev/run: lost}}}`, "not over"},
		{"of no run", `{kind: ConfigMap}`, "not over"},
		{"the copies of a run that is over", `{kind: Secret, metadata: {labels: {backup.threescale.dev/run: done}}}`, ""},
		{"the report of one that failed", `{kind: ConfigMap, metadata: {labels: {backup.threescale.dev/run: bad}}}`, ""},
		{"the next run needs it", `{kind: ServiceAccount, metadata: {labels: {backup.threescale.dev/run: done}}}`, "must stay"},
	} {
		t.Run(c.why, func(t *testing.T) {
			object, err := parseObject([]byte(c.object))
			require.NoError(t, err)
			err = mayGo(xr, object)
			if c.refused == "" {
				require.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, c.refused)
		})
	}
}

// TestDeleted shows that a volume is missed under whatever it is not found again.
func TestDeleted(t *testing.T) {
	const volume = `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: %s, namespace: %s, annotations: {crossplane.io/composition-resource-name: %s}}}`
	observed, err := parseObject(fmt.Appendf(nil, volume, "a", "b", "c"))
	require.NoError(t, err)
	for _, c := range []struct {
		why, name, namespace, resource string
		lost                           bool
	}{
		{"it is rendered", "a", "b", "c", false},
		{"another volume under its resource name", "other", "b", "c", true},
		{"its name in another namespace", "a", "other", "c", true},
		{"under another resource name, Crossplane deletes what has the old one", "a", "b", "other", true},
	} {
		t.Run(c.why, func(t *testing.T) {
			rendered, err := parseObject(fmt.Appendf(nil, volume, c.name, c.namespace, c.resource))
			require.NoError(t, err)
			lost := deleted([]*unstructured.Unstructured{observed}, []*unstructured.Unstructured{rendered})
			assert.Equal(t, c.lost, len(lost) == 1)
		})
	}
}

// deleted are the observed objects that are not rendered again.
func deleted(observed, rendered []*unstructured.Unstructured) []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	for _, object := range observed {
		if !slices.ContainsFunc(rendered, func(r *unstructured.Unstructured) bool { return identity(r) == identity(object) }) {
			out = append(out, object)
		}
	}
	return out
}

// identity is an object's resource name in the Composition, and what it is.
func identity(o *unstructured.Unstructured) [4]string {
	return [4]string{o.GetAnnotations()[annotationResourceName], o.GroupVersionKind().GroupKind().String(), o.GetNamespace(), o.GetName()}
}

// checkDeleted holds what is deleted after rendering an example to what may be.
func checkDeleted(t *testing.T, e Example, xr *unstructured.Unstructured, gone []*unstructured.Unstructured) {
	t.Helper()
	got := map[string]int{}
	for _, object := range gone {
		assert.NoError(t, mayGo(xr, object))
		labels := object.GetLabels()
		got[object.GetKind()+" of "+labels[v1alpha1.LabelRun]+labels[v1alpha1.LabelVerification]]++
	}
	want := deletions()[e.Name]
	if want == nil {
		want = map[string]int{}
	}
	assert.Equal(t, want, got)
}

// mayGo returns an error if an observed object is still needed by the composite.
func mayGo(xr, object *unstructured.Unstructured) error {
	switch object.GetKind() {
	case "Job":
		if condition(object, "Complete")["status"] != "True" && condition(object, "Failed")["status"] != "True" {
			return fmt.Errorf("Job %q is at work", object.GetName())
		}
		return nil
	case "Secret", "ConfigMap":
		runs, _, _ := unstructured.NestedSlice(xr.Object, "status", "runs")
		for _, run := range runs {
			fields, _ := run.(map[string]any)
			isOver := fields["state"] == string(v1alpha1.RunCompleted) || fields["state"] == string(v1alpha1.RunFailed)
			if isOver && fields["id"] == object.GetLabels()[v1alpha1.LabelRun] {
				return nil
			}
		}
		return fmt.Errorf("%s %q: its run is not over", object.GetKind(), object.GetName())
	}
	return fmt.Errorf("%s %q must stay", object.GetKind(), object.GetName())
}
