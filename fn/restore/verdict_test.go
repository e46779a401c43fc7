package restore

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/v1alpha1"
)

func object(kind string, fields map[string]any, metadata ...map[string]any) *unstructured.Unstructured {
	meta := map[string]any{"name": "it"}
	for _, m := range metadata {
		maps.Copy(meta, m)
	}
	o := map[string]any{"apiVersion": "v1", "kind": kind, "metadata": meta}
	maps.Copy(o, fields)
	return &unstructured.Unstructured{Object: o}
}

func labels(pairs map[string]any) map[string]any      { return map[string]any{"labels": pairs} }
func annotations(pairs map[string]any) map[string]any { return map[string]any{"annotations": pairs} }
func data(pairs map[string]any) map[string]any        { return map[string]any{"data": pairs} }

// spec is a spec with one value, the last of the path.
func spec(path ...any) map[string]any {
	value := path[len(path)-1]
	for i := len(path) - 2; i >= 0; i-- {
		switch field := path[i].(type) {
		case string:
			value = map[string]any{field: value}
		case int:
			list := make([]any, field+1)
			list[field] = value
			value = list
		}
	}
	return map[string]any{"spec": value}
}

// TestHoldsForms has pairs of values in each kind of field: another form of the same is the same only where somebody
// writes it in his own form.
func TestHoldsForms(t *testing.T) {
	type place struct {
		reason string
		kind   string
		at     func(value any) map[string]any
	}
	in := func(path ...any) func(any) map[string]any {
		return func(value any) map[string]any { return spec(append(slices.Clone(path), value)...) }
	}
	plain := map[string]place{
		"Image":         {"a tag is a text", "APIManager", in("apicast", "image")},
		"Version":       {"of whatever", "APIManager", in("monitoring", "version")},
		"Label":         {"labels are texts", "APIManager", in("backend", "workerSpec", "labels", "release")},
		"Environment":   {"in a list", "APIManager", in("apicast", "productionSpec", "env", 1, "value")},
		"LabelRequests": {"a name alone makes no quantity", "APIManager", in("labels", "requests")},
		"LabelResource": {"nor this one", "APIManager", in("nodeSelector", "resources")},
		"ClaimName":     {"the only text in resources", "APIManager", in("resources", "claims", 0, "name")},
		"VolumeName":    {"a PVC's texts too", "PersistentVolumeClaim", in("volumeName")},
		"ConfigMap":     {"it holds texts only", "ConfigMap", func(value any) map[string]any { return data(map[string]any{"a": value}) }},
		"SecretType":    {"it is no base64", "Secret", func(value any) map[string]any { return map[string]any{"type": value} }},
		"SecretData":    {"nor a quantity", "Secret", func(value any) map[string]any { return data(map[string]any{"a": value}) }},
	}
	quantities := map[string]place{
		"Requests":    {"as the 3scale chapter has it", "APIManager", in("system", "fileStorage", "persistentVolumeClaim", "resources", "requests")},
		"Limits":      {"of a component", "APIManager", in("apicast", "productionSpec", "resources", "limits", "cpu")},
		"InAList":     {"of a sidecar", "APIManager", in("containers", 2, "resources", "requests", "memory")},
		"ClaimsSizes": {"the API server itself writes them anew", "PersistentVolumeClaim", in("resources", "requests", "storage")},
	}
	pairs := []struct{ a, b any }{
		{"2.10", "2.1"}, {"1", "1.0"}, {"1e3", "1000"}, {"1k", "1000"}, {"1Gi", "1024Mi"}, {"0", "-0"}, {"500m", "0.5"}, {"+1", "1"},
		{int64(1), "1"}, {float64(2), "2"}, {"3", int64(3)},
	}
	for _, pair := range pairs {
		for name, p := range plain {
			assert.False(t, Holds(object(p.kind, p.at(pair.a)), object(p.kind, p.at(pair.b))), "%s: %v, %v: %s", name, pair.a, pair.b, p.reason)
			assert.True(t, Holds(object(p.kind, p.at(pair.a)), object(p.kind, p.at(pair.a))), "%s: %v", name, pair.a)
		}
		for name, p := range quantities {
			assert.True(t, Holds(object(p.kind, p.at(pair.a)), object(p.kind, p.at(pair.b))), "%s: %v, %v: %s", name, pair.a, pair.b, p.reason)
			assert.True(t, Holds(object(p.kind, p.at(pair.b)), object(p.kind, p.at(pair.a))), "%s: %v, %v: %s", name, pair.b, pair.a, p.reason)
		}
	}
	for name, p := range quantities {
		for _, pair := range []struct{ a, b any }{{"1Gi", "1G"}, {"1", "1m"}, {"x", "y"}, {"1", nil}, {nil, "<nil>"}, {"", "0"}} {
			assert.False(t, Holds(object(p.kind, p.at(pair.a)), object(p.kind, p.at(pair.b))), "%s: %v, %v", name, pair.a, pair.b)
		}
		assert.True(t, Holds(object(p.kind, p.at("x")), object(p.kind, p.at("x"))), "what is no quantity is itself")
	}
}

func TestVerdicts(t *testing.T) {
	secret := object("Secret", data(map[string]any{"a": "YQ=="}))
	cases := map[string]struct {
		reason     string
		want, have *unstructured.Unstructured
		verdict    v1alpha1.Verdict
		says       string
	}{
		"Absent":       {"", secret, nil, v1alpha1.VerdictCreate, ""},
		"Same":         {"", secret, secret, v1alpha1.VerdictUnchanged, ""},
		"MoreKeys":     {"The operator adds keys", secret, object("Secret", data(map[string]any{"a": "YQ==", "b": "Yg=="})), v1alpha1.VerdictUnchanged, ""},
		"OtherValue":   {"", secret, object("Secret", data(map[string]any{"a": "Yg=="})), v1alpha1.VerdictReplace, ""},
		"LessKeys":     {"", secret, object("Secret", data(map[string]any{})), v1alpha1.VerdictReplace, ""},
		"Immutable":    {"Nobody can replace it", secret, object("Secret", map[string]any{"immutable": true, "data": map[string]any{}}), v1alpha1.VerdictConflict, "immutable"},
		"GoingAway":    {"", secret, object("Secret", nil, map[string]any{"deletionTimestamp": "2026-11-22T12:00:00Z"}), v1alpha1.VerdictConflict, "being deleted"},
		"OurFlux":      {"The Kustomization that applies us", secret, object("Secret", data(map[string]any{}), labels(map[string]any{labelKustomizationName: "apps", labelKustomizationNamespace: namespace})), v1alpha1.VerdictReplace, ""},
		"OtherFlux":    {"Two would fight", secret, object("Secret", nil, labels(map[string]any{labelKustomizationName: "infra", labelKustomizationNamespace: namespace})), v1alpha1.VerdictConflict, `Kustomization "3scale/infra"`},
		"Helm":         {"", secret, object("Secret", nil, labels(map[string]any{labelHelmRelease: "x"})), v1alpha1.VerdictConflict, `HelmRelease "x"`},
		"Argo":         {"", secret, object("Secret", nil, annotations(map[string]any{annotationArgoTracking: "x"})), v1alpha1.VerdictConflict, `Argo CD application "x"`},
		"APIManager":   {"A running installation is not changed", object("APIManager", map[string]any{"spec": map[string]any{"wildcardDomain": "a"}}), object("APIManager", map[string]any{"spec": map[string]any{"wildcardDomain": "b"}}), v1alpha1.VerdictConflict, "first stop the 3scale operator"},
		"Defaulted":    {"The operator fills in its defaults", object("APIManager", map[string]any{"spec": map[string]any{"wildcardDomain": "a"}}), object("APIManager", map[string]any{"spec": map[string]any{"wildcardDomain": "a", "appLabel": "3scale"}}), v1alpha1.VerdictUnchanged, ""},
		"OtherPVC":     {"A PVC is immutable; its files are planned by themselves", object("PersistentVolumeClaim", map[string]any{"spec": map[string]any{"resources": map[string]any{"requests": map[string]any{"storage": "1Gi"}}}}), object("PersistentVolumeClaim", map[string]any{"spec": map[string]any{}}), v1alpha1.VerdictUnchanged, ""},
		"Quantity":     {"The operator rewrites them", object("APIManager", spec("resources", "requests", "1Gi")), object("APIManager", spec("resources", "requests", "1024Mi")), v1alpha1.VerdictUnchanged, ""},
		"NotQuantity":  {"In a ConfigMap it is text", object("ConfigMap", data(map[string]any{"a": "1"})), object("ConfigMap", data(map[string]any{"a": "1.0"})), v1alpha1.VerdictReplace, ""},
		"NotBase64":    {"And so is this", object("ConfigMap", data(map[string]any{"a": "YQ=="})), object("ConfigMap", data(map[string]any{"a": "YQ==\n"})), v1alpha1.VerdictReplace, ""},
		"Number":       {"Decoders differ", object("APIManager", map[string]any{"spec": map[string]any{"n": int64(3)}}), object("APIManager", map[string]any{"spec": map[string]any{"n": float64(3)}}), v1alpha1.VerdictUnchanged, ""},
		"ShorterList":  {"", object("APIManager", map[string]any{"spec": map[string]any{"l": []any{"a"}}}), object("APIManager", map[string]any{"spec": map[string]any{"l": []any{"a", "b"}}}), v1alpha1.VerdictConflict, ""},
		"EmptyAndGone": {"The API server drops what is empty", object("Secret", data(map[string]any{})), object("Secret", nil), v1alpha1.VerdictUnchanged, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			planned := []v1alpha1.PlannedObject{Judge(observed(), tc.want, tc.have)}
			require.Len(t, planned, 1)
			assert.Equal(t, tc.verdict, planned[0].Verdict, tc.reason)
			assert.Contains(t, planned[0].Message, tc.says)
		})
	}
}

func TestConflictsStop(t *testing.T) {
	o := observed(branchRead, inspected, planned)
	o.Restore.Status.Plan.Objects[1].Verdict = v1alpha1.VerdictConflict
	assert.Equal(t, MakePlan, told(o).Action, "whatever woke it may have mended it")
	o.Planned = true
	requireProblem(t, told(o), v1alpha1.ReasonObjectConflict, true)
	o.Restore.Status.Plan.Objects[0].Verdict = v1alpha1.VerdictConflict
	d := told(o)
	requireProblem(t, d, v1alpha1.ReasonAPIManagerExists, true)
	assert.Contains(t, d.Problem.Message, "annotate --overwrite threescalerestore", "how to tell that it is mended")
	existing(v1alpha1.ExistingFail)(o)
	planned(o)
	requireProblem(t, told(o), v1alpha1.ReasonNotEmpty, true)
	requested("now")(o)
	assert.Equal(t, DropInspect, told(o).Action, "what is in the storage only a pod can tell")
}
