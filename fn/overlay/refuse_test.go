package overlay

import (
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/test/dataset"
)

// hidden stands for a value that no error may show.
const hidden = dataset.SecretMarker + "hidden"

// secretNamed returns a Secret that may be committed, with fields replaced.
func secretNamed(name string, fields map[string]any) *unstructured.Unstructured {
	secret := map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": name}, "type": "Opaque",
		"data": map[string]any{"password": "czNjcjN0LWhpZGRlbg=="},
	}
	maps.Copy(secret, fields)
	return &unstructured.Unstructured{Object: secret}
}

func TestRefusals(t *testing.T) {
	metadata := func(fields map[string]any) map[string]any {
		return map[string]any{"metadata": merged(fields, map[string]any{"name": "x"})}
	}
	cases := map[string]struct {
		reason  string
		object  *unstructured.Unstructured
		foreign bool // not in the manifest of the run
		kind    string
		name    string
		problem string
	}{
		"ClusterRoleBinding": {
			"a volume that anybody wrote to must not hand out rights",
			secretNamed("x", map[string]any{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding"}), false,
			"ClusterRoleBinding", "x", "is not of a kind",
		},
		"OtherGroup": {
			"a kind of ours in another group is another kind",
			secretNamed("x", map[string]any{"apiVersion": "example.com/v1"}), false, "Secret", "x", "is not of a kind",
		},
		"OtherAPIManager": {
			"a later version of the APIManager is not known",
			secretNamed("x", map[string]any{"apiVersion": "apps.3scale.net/v1", "kind": "APIManager"}), false, "APIManager", "x", "is not of a kind",
		},
		"List": {
			"a List would bring objects that were not looked at",
			secretNamed("x", map[string]any{"kind": "List"}), false, "List", "x", "is not of a kind",
		},
		"NoKind":       {"an empty kind is none", secretNamed("x", map[string]any{"kind": "", "apiVersion": ""}), false, "", "x", "is not of a kind"},
		"OddKind":      {"a kind that is no text is none", secretNamed("x", map[string]any{"kind": 1.5}), false, "", "x", "is not of a kind"},
		"Nothing":      {"nothing is no object", &unstructured.Unstructured{}, false, "", "", "is not of a kind"},
		"ForeignName":  {"the manifest is what was backed up", secretNamed("flux-system", nil), true, "Secret", "flux-system", "is not listed"},
		"Twice":        {"which of two would be applied is nobody's guess", secretNamed("system-seed", nil), false, "Secret", "system-seed", "is there twice"},
		"Path":         {"a name becomes that of a file", secretNamed("../../x", nil), false, "Secret", "../../x", "has a name that"},
		"UpperCase":    {"the API server has no such name", secretNamed("X", nil), false, "Secret", "X", "has a name that"},
		"NoName":       {"the API server has no such name", secretNamed("", nil), false, "Secret", "", "has a name that"},
		"LongName":     {"the API server has no such name", secretNamed(strings.Repeat("x", 254), nil), false, "Secret", strings.Repeat("x", 254), "has a name that"},
		"Namespace":    {"the overlay alone says where to", secretNamed("x", metadata(map[string]any{"namespace": "kube-system"})), false, "Secret", "x", "names a namespace"},
		"OddNamespace": {"of whatever type", secretNamed("x", metadata(map[string]any{"namespace": 1.0})), false, "Secret", "x", "names a namespace"},
		"Token": {
			"it would be a credential of another namespace's account",
			secretNamed("x", map[string]any{"type": "kubernetes.io/service-account-token"}), false, "Secret", "x", "is a token",
		},
		"NotUTF8":   {"JSON would silently replace the bytes", secretNamed("x", map[string]any{"stringData": map[string]any{"a": hidden + "\xff"}}), false, "Secret", "x", "not UTF-8"},
		"OddType":   {"the type decides what it is", secretNamed("x", map[string]any{"type": map[string]any{"a": hidden}}), false, "Secret", "x", "has a type"},
		"OddData":   {"values of a Secret are base64 texts", secretNamed("x", map[string]any{"data": map[string]any{"a": 1.0}}), false, "Secret", "x", "not texts"},
		"ListData":  {"data is an object", secretNamed("x", map[string]any{"data": []any{hidden}}), false, "Secret", "x", "not texts"},
		"NotBase64": {"what cannot be decoded cannot be applied", secretNamed("x", map[string]any{"data": map[string]any{"a": hidden}}), false, "Secret", "x", "not base64"},
		"OddPlain":  {"stringData has texts", secretNamed("x", map[string]any{"stringData": map[string]any{"a": nil}}), false, "Secret", "x", "not texts"},
		"OddKey":    {"the API server has no such key", secretNamed("x", map[string]any{"stringData": map[string]any{"a/" + hidden: "b"}}), false, "Secret", "x", "has a key in data"},
		"ConfigMapData": {
			"a ConfigMap holds texts",
			secretNamed("x", map[string]any{"kind": "ConfigMap", "data": map[string]any{"a": true}}), false, "ConfigMap", "x", "not texts",
		},
		"ConfigMapBinary": {
			"binaryData is base64",
			secretNamed("x", map[string]any{"kind": "ConfigMap", "binaryData": map[string]any{"a": hidden}}), false, "ConfigMap", "x", "not base64",
		},
		"OddLabels":      {"labels are texts", secretNamed("x", metadata(map[string]any{"labels": map[string]any{"a": true}})), false, "Secret", "x", "not texts"},
		"OddAnnotations": {"annotations are texts", secretNamed("x", metadata(map[string]any{"annotations": hidden})), false, "Secret", "x", "not texts"},
		"BadLabel": {
			"the commit would never be applied",
			secretNamed("x", metadata(map[string]any{"labels": map[string]any{"a": hidden + " !"}})), false, "Secret", "x", "the API server refuses",
		},
		"BadAnnotation": {
			"the commit would never be applied",
			secretNamed("x", metadata(map[string]any{"annotations": map[string]any{hidden + " !": "a"}})), false, "Secret", "x", "the API server refuses",
		},
		"HugeAnnotation": {
			"the API server takes 256 KiB",
			secretNamed("x", metadata(map[string]any{"annotations": map[string]any{"a": strings.Repeat("x", 256<<10)}})), false, "Secret", "x", "the API server refuses",
		},
		"SecondAPIManager": {
			"a namespace has one",
			&unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps.3scale.net/v1alpha1", "kind": "APIManager", "metadata": map[string]any{"name": "z"}, "spec": map[string]any{}}},
			false, "APIManager", "z", "is a second one",
		},
		"NoSpec": {
			"an APIManager says what to install",
			&unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps.3scale.net/v1alpha1", "kind": "APIManager", "metadata": map[string]any{"name": "z"}, "spec": hidden}},
			false, "APIManager", "z", "has no spec",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in := input()
			in.Objects = append(in.Objects, tc.object)
			if !tc.foreign {
				in.Admitted = append(in.Admitted, keyOf(tc.object))
			}
			tree, err := Build(in)
			assert.Nil(t, tree)
			var unexpected *UnexpectedObjectError
			require.ErrorAs(t, err, &unexpected, tc.reason)
			assert.Equal(t, tc.kind, unexpected.Kind)
			assert.Equal(t, tc.name, unexpected.Name)
			assert.Contains(t, unexpected.Problem, tc.problem)
			assert.NotContains(t, err.Error(), dataset.SecretMarker, "no error may show a value")
			assert.Less(t, len(err.Error()), 1000)
			if tc.kind == "Secret" && len(tc.name) < 253 {
				assert.Contains(t, err.Error(), `"Secret" "`+tc.name+`"`)
			}
		})
	}
}

// TestRefusalsAreTheObjects: without the object, or once it is right, the same
// input builds.
func TestRefusalsAreTheObjects(t *testing.T) {
	in := input()
	in.Objects = append(in.Objects, secretNamed("x", nil))
	in.Admitted = append(in.Admitted, Key{"Secret", "x"}, Key{"Secret", "not-there"})
	tree, err := Build(in)
	require.NoError(t, err)
	assert.Contains(t, tree.Objects, Key{"Secret", "x"})
}

func TestNoAPIManager(t *testing.T) {
	in := input()
	in.Objects = []*unstructured.Unstructured{secretNamed("system-seed", nil)}
	_, err := Build(in)
	var unexpected *UnexpectedObjectError
	require.ErrorAs(t, err, &unexpected)
	assert.Equal(t, "is missing", unexpected.Problem)
}

func TestFileStorageThatIsNoObject(t *testing.T) {
	in := input()
	in.StorageClass = "fast"
	find(t, in.Objects, "APIManager", "example").Object["spec"].(map[string]any)["system"] = hidden
	_, err := Build(in)
	var unexpected *UnexpectedObjectError
	require.ErrorAs(t, err, &unexpected)
	assert.NotContains(t, err.Error(), hidden)
}

func TestInputThatCannotBeUsed(t *testing.T) {
	storage := func(change func(s *FileStorage)) func(in *Input) {
		return func(in *Input) {
			in.FileStorage = fileStorage()
			change(in.FileStorage)
		}
	}
	cases := map[string]struct {
		reason string
		change func(in *Input)
		want   string
	}{
		"NoName":          {"it names two folders", func(in *Input) { in.Name = "" }, "must be a DNS label"},
		"Parent":          {"it must not lead elsewhere", func(in *Input) { in.Name = ".." }, "must be a DNS label"},
		"Nested":          {"it must not lead into another restore", func(in *Input) { in.Name = "a/b" }, "must be a DNS label"},
		"NoNamespace":     {"objects without one go where Flux happens to be", func(in *Input) { in.Namespace = "" }, "target namespace"},
		"BadNamespace":    {"there is no such namespace", func(in *Input) { in.Namespace = "A" }, "target namespace"},
		"BadDomain":       {"it is the end of host names", func(in *Input) { in.WildcardDomain = "https://apps.example.org" }, "not a DNS name"},
		"WildcardDomain":  {"the asterisk is not part of it", func(in *Input) { in.WildcardDomain = "*.apps.example.org" }, "not a DNS name"},
		"BadClass":        {"there is no such class", func(in *Input) { in.StorageClass = "a b" }, "storage class"},
		"NoSize":          {"a PVC has a size", storage(func(s *FileStorage) { s.Size = resource.Quantity{} }), "no size"},
		"NegativeSize":    {"a PVC has a size", storage(func(s *FileStorage) { s.Size = resource.MustParse("-1") }), "no size"},
		"NoMode":          {"a PVC has a mode", storage(func(s *FileStorage) { s.AccessModes = []corev1.PersistentVolumeAccessMode{} }), "no access mode"},
		"BadStorageClass": {"there is no such class", storage(func(s *FileStorage) { s.StorageClass = new("A") }), "class"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in := input()
			tc.change(&in)
			_, err := Build(in)
			require.ErrorContains(t, err, tc.want, tc.reason)
			assert.ErrorContains(t, err, "cannot build the tree of restore")
		})
	}
}
