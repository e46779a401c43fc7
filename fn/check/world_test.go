package check_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/check"
	"threescale.dev/backup/manifests"
)

const (
	claimXRD      = "xthreescalebackups.backup.threescale.dev"
	namespacedXRD = "threescalebackups.backup.threescale.dev"
)

// decoded keeps the large manifests, which nearly all cases start from.
var decoded = map[string]*unstructured.Unstructured{}

func object(t testing.TB, text []byte) *unstructured.Unstructured {
	t.Helper()
	if decoded[string(text)] == nil {
		u := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal(text, &u.Object))
		decoded[string(text)] = u
	}
	return decoded[string(text)].DeepCopy()
}

// with sets the conditions of an object.
func with(t testing.TB, o *unstructured.Unstructured, conditions ...string) *unstructured.Unstructured {
	t.Helper()
	var list []any
	for _, condition := range conditions {
		var entry map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(condition), &entry))
		list = append(list, entry)
	}
	require.NoError(t, unstructured.SetNestedSlice(o.Object, list, "status", "conditions"))
	return o
}

func established(t testing.TB, xrd []byte) *unstructured.Unstructured {
	t.Helper()
	return with(t, object(t, xrd), `{type: Established, status: "True"}`, `{type: Offered, status: "True"}`)
}

// remove removes a field of an object that has it.
func remove(t testing.TB, o map[string]any, path ...string) {
	t.Helper()
	_, ok, err := unstructured.NestedFieldNoCopy(o, path...)
	require.True(t, ok && err == nil, path)
	unstructured.RemoveNestedField(o, path...)
}

// properties are those of the schema in an XRD or CRD.
func properties(t testing.TB, o *unstructured.Unstructured) map[string]any {
	t.Helper()
	versions, _, _ := unstructured.NestedFieldNoCopy(o.Object, "spec", "versions")
	found, ok, err := unstructured.NestedFieldNoCopy(versions.([]any)[0].(map[string]any), "schema", "openAPIV3Schema")
	require.True(t, ok && err == nil)
	return found.(map[string]any)
}

// installed is an installation that lacks nothing.
func installed(t testing.TB) check.Observed {
	t.Helper()
	o := check.Observed{
		Version: "v1.37.2",
		Served:  map[schema.GroupVersionKind]check.Read[bool]{},
		XRDs:    check.Read[map[string]*unstructured.Unstructured]{Value: map[string]*unstructured.Unstructured{claimXRD: established(t, manifests.ClaimXRD())}},
		Compositions: check.Read[map[string]*unstructured.Unstructured]{Value: map[string]*unstructured.Unstructured{
			"threescalebackup-claim": object(t, []byte(`{spec: {compositeTypeRef: {apiVersion: backup.threescale.dev/v1alpha1, kind: XThreeScaleBackup}, pipeline: [
				{step: other, functionRef: {name: other}, input: {apiVersion: x/v1, kind: Input, image: none}},
				{step: backup, functionRef: {name: function-threescale-backup}, input: {apiVersion: backup.threescale.dev/v1alpha1, kind: Input, image: "r.example.org/function:v0.1.0"}}]}}`)),
			"somebodys": object(t, []byte(`{spec: {compositeTypeRef: {apiVersion: x/v1, kind: XDatabase}}}`)),
		}},
		Functions: check.Read[map[string]*unstructured.Unstructured]{Value: map[string]*unstructured.Unstructured{
			"function-threescale-backup": with(t, object(t, []byte(`{spec: {package: "r.example.org/function-package:v0.1.0"}}`)),
				`{type: Installed, status: "True"}`, `{type: Healthy, status: "True"}`),
		}},
		RestoreSchema: check.Read[map[string]any]{Value: properties(t, object(t, manifests.RestoreCRD()))},
		Crossplane:    check.Program{Account: check.Account{Namespace: "crossplane-system", Name: "crossplane"}, Exists: check.Read[bool]{Value: true}},
		Controller:    check.Program{Account: check.Account{Namespace: "threescale-backup", Name: "threescale-backup"}, Exists: check.Read[bool]{Value: true}},
	}
	for _, kind := range check.Kinds() {
		o.Served[kind] = check.Read[bool]{Value: true}
	}
	o.Crossplane.Deployment.Value = object(t, []byte(`{metadata: {labels: {app.kubernetes.io/version: 2.4.0}}}`))
	o.Controller.Deployment.Value = with(t, object(t, []byte(`{metadata: {namespace: threescale-backup, name: threescale-backup}, spec: {template: {spec: {containers: [
		{name: proxy, image: "x:v9"},
		{name: controller, image: "r.example.org:5000/controller:v0.1.0", env: [{name: MOVER_IMAGE, value: "r.example.org:5000/function:v0.1.0@sha256:00"}]}]}}}}`)),
		`{type: Available, status: "True"}`)
	return o
}

// kind finds one of those that are looked for.
func kind(t testing.TB, name, version string) schema.GroupVersionKind {
	t.Helper()
	for _, k := range check.Kinds() {
		if k.Kind == name && k.Version == version {
			return k
		}
	}
	require.Fail(t, "no such kind", name)
	return schema.GroupVersionKind{}
}
