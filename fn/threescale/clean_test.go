package threescale_test

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/threescale"
)

// TestCleanForBackup has a live object and what is left of it as files.
func TestCleanForBackup(t *testing.T) {
	inputs, err := filepath.Glob(filepath.Join("testdata", "clean", "*", "input.json"))
	require.NoError(t, err)
	require.NotEmpty(t, inputs)
	for _, input := range inputs {
		t.Run(filepath.Base(filepath.Dir(input)), func(t *testing.T) {
			object := decode(t, read(t, input))
			cleaned := threescale.CleanForBackup(object)
			want := decode(t, read(t, filepath.Join(filepath.Dir(input), "expected.json")))
			assert.Equal(t, want, cleaned)
			assert.Equal(t, decode(t, read(t, input)), object, "the argument must not change")
			assert.Equal(t, cleaned, threescale.CleanForBackup(cleaned), "cleaning twice must change nothing")
		})
	}
}

func TestCleanForBackupOdd(t *testing.T) {
	cases := map[string]struct {
		reason, object, want string
	}{
		"NoMetadata":    {"what has no metadata loses its status only", `{"kind": "X", "status": {}}`, `{"kind": "X"}`},
		"OddMetadata":   {"metadata of another type is left alone", `{"metadata": "x"}`, `{"metadata": "x"}`},
		"OddLabels":     {"labels of another type are left alone", `{"metadata": {"labels": "x", "uid": "1"}}`, `{"metadata": {"labels": "x"}}`},
		"StatusInside":  {"only the top level status is one", `{"spec": {"status": 1}, "data": {"status": "x"}}`, `{"spec": {"status": 1}, "data": {"status": "x"}}`},
		"NamesLikeIt":   {"a group is compared whole", `{"metadata": {"labels": {"myargocd.argoproj.io/x": "1", "x.crossplane.io/y": "1"}}}`, `{"metadata": {"labels": {"myargocd.argoproj.io/x": "1", "x.crossplane.io/y": "1"}}}`},
		"EmptyArgument": {"nothing comes from nothing", `{}`, `{}`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, decode(t, []byte(tc.want)), threescale.CleanForBackup(decode(t, []byte(tc.object))), tc.reason)
		})
	}
	assert.Equal(t, map[string]any{}, threescale.CleanForBackup(nil).Object)
}

// TestCleaningChangesNothing of the object that is cleaned.
func TestCleaningChangesNothing(t *testing.T) {
	const text = `{"metadata": {"name": "x", "uid": "1", "labels": {"crossplane.io/claim-name": "y", "a": "b"},
		"annotations": {"helm.sh/hook": "z"}}, "data": {"a": "eA=="}, "status": {}}`
	object := decode(t, []byte(text))
	for name, clean := range map[string]func(*unstructured.Unstructured) *unstructured.Unstructured{
		"Backup": threescale.CleanForBackup, "Restore": threescale.CleanForRestore, "Secret": threescale.SecretMeta,
	} {
		assert.NotEqual(t, object, clean(object), name)
		assert.Equal(t, decode(t, []byte(text)), object, name)
	}
}

func TestInstanceLabel(t *testing.T) {
	const label = `"labels": {"app.kubernetes.io/instance": "x"}`
	const fields = `"fieldsV1": {"f:metadata": {"f:labels": {"f:app.kubernetes.io/instance": {}}}}`
	cases := map[string]struct {
		reason, metadata string
		kept             bool
	}{
		"Alone":       {"without a trace of Argo CD it is the user's", `{` + label + `}`, true},
		"Helm":        {"charts set it too", `{` + label + `, "managedFields": [{"manager": "helm", ` + fields + `}]}`, true},
		"OtherFields": {"Argo CD wrote something else", `{` + label + `, "managedFields": [{"manager": "argocd-controller", "fieldsV1": {"f:data": {}}}]}`, true},
		"TrackingID":  {"Argo CD tracks by both", `{` + label + `, "annotations": {"argocd.argoproj.io/tracking-id": "x"}}`, false},
		"Manager":     {"Argo CD wrote it", `{` + label + `, "managedFields": [{"manager": "helm"}, {"manager": "argocd-application-controller", ` + fields + `}]}`, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cleaned := threescale.CleanForBackup(decode(t, []byte(`{"metadata": `+tc.metadata+`}`)))
			_, kept := cleaned.Object["metadata"].(map[string]any)["labels"]
			assert.Equal(t, tc.kept, kept, tc.reason)
		})
	}
}

func TestIsOperatorStamp(t *testing.T) {
	keys := []string{
		threescale.AnnotationVersion, threescale.AnnotationOperatorVersion, threescale.AnnotationRequirementsConfirmed,
		"secret.apimanager.apps.3scale.net/0b0a", threescale.LabelWatchedBy, "apps.3scale.net/disable-async", "app",
	}
	assert.Equal(t, keys[:4], slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return !threescale.IsOperatorStamp(key) }))
}

func TestCleanForRestore(t *testing.T) {
	kept := `"team": "a", "apimanager.apps.3scale.net/watched-by": "apimanager", "apps.3scale.net/disable-async": "true", "x.myhelm.sh/y": "z",
		"app.kubernetes.io/managed-by": "operator"`
	cases := map[string]struct{ reason, key, value string }{
		"Version":         {"Flux would revert the operator's upgrades", "apps.3scale.net/apimanager-threescale-version", "2.16.0"},
		"OperatorVersion": {"of an operator that is not there", "apps.3scale.net/threescale-operator-version", "0.13.0"},
		"Requirements":    {"it is a resourceVersion of another cluster", "apps.3scale.net/apimanager-confirmed-requirements-version", "1"},
		"FutureVersion":   {"the operator adds to them", "apps.3scale.net/some-version-of-later", "1"},
		"SecretUID":       {"it is a UID of another cluster", "secret.apimanager.apps.3scale.net/0b0a", "true"},
		"FluxOwner":       {"the old Kustomization would prune it", "kustomize.toolkit.fluxcd.io/name", "apps"},
		"FluxRequest":     {"an order about the original", "reconcile.fluxcd.io/requestedAt", "x"},
		"Argo":            {"Argo CD would prune it", "argocd.argoproj.io/tracking-id", "x"},
		"HelmRelease":     {"Helm would take it for its own", "meta.helm.sh/release-name", "x"},
		"HelmChart":       {"a note of a chart that did not write it", "helm.sh/chart", "x"},
		"LastApplied":     {"it may hold values", "kubectl.kubernetes.io/last-applied-configuration", "{}"},
		"LocalConfig":     {"kustomize would leave the object out", "config.kubernetes.io/local-config", "true"},
		"Internal":        {"kustomize would rename the object", "internal.config.kubernetes.io/needsHashSuffix", "enabled"},
		"Kustomize":       {"an order to kustomize", "kustomize.config.k8s.io/behavior", "merge"},
		"Function":        {"an order to kpt", "config.k8s.io/function", "x"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for _, field := range []string{"labels", "annotations"} {
				object := decode(t, []byte(`{"metadata": {"name": "x", "uid": "1", "`+field+`": {"`+tc.key+`": "`+tc.value+`", `+kept+`}}, "status": {}}`))
				want := decode(t, []byte(`{"metadata": {"name": "x", "`+field+`": {`+kept+`}}}`))
				assert.Equal(t, want, threescale.CleanForRestore(object), tc.reason)
				assert.Contains(t, object.Object, "status", "the argument must not change")
			}
		})
	}
	helm := decode(t, []byte(`{"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}}`))
	assert.Equal(t, decode(t, []byte(`{"metadata": {}}`)), threescale.CleanForRestore(helm))
	assert.Equal(t, decode(t, []byte(`{"metadata": "x"}`)), threescale.CleanForRestore(decode(t, []byte(`{"metadata": "x", "status": 1}`))))
}

func TestSecretManifest(t *testing.T) {
	secret := decode(t, []byte(`{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "immutable": true,
		"metadata": {"name": "x", "uid": "1", "labels": {"a": "b"}},
		"data": {"tls.crt": "Y2VydA==", "empty": "", "binary": "//4A"}, "stringData": {"x": "y"}}`))
	meta := threescale.SecretMeta(secret)
	assert.Equal(t, decode(t, []byte(`{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "immutable": true,
		"metadata": {"name": "x", "labels": {"a": "b"}}}`)), meta)

	got := threescale.SecretManifest(meta, map[string][]byte{"tls.crt": []byte("cert"), "empty": nil, "binary": {0xff, 0xfe, 0}})
	want := maps.Clone(meta.Object)
	want["data"] = secret.Object["data"]
	assert.Equal(t, want, got.Object)
	assert.NotContains(t, meta.Object, "data", "the argument must not change")
}

func TestSecretManifestDefaults(t *testing.T) {
	assert.Equal(t, map[string]any{"apiVersion": "v1", "kind": "Secret"}, threescale.SecretManifest(nil, nil).Object)
	stale := decode(t, []byte(`{"metadata": {"name": "x"}, "data": {"old": "eA=="}, "stringData": {"old": "x"}}`))
	assert.Equal(t, decode(t, []byte(`{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "data": {"new": "eQ=="}}`)),
		threescale.SecretManifest(stale, map[string][]byte{"new": []byte("y")}), "values in the metadata are not values")
}
