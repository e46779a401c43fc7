package overlay

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
)

// encrypted returns the files as SOPS leaves them: values replaced, and its own
// data at the top level.
func encrypted(t *testing.T, files []File) []File {
	t.Helper()
	out := slices.Clone(files)
	for i, file := range out {
		if !file.Secret {
			continue
		}
		var secret map[string]any
		require.NoError(t, yaml.Unmarshal(file.Data, &secret))
		data := secret["data"].(map[string]any)
		for key := range data {
			data[key] = "ENC[AES256_GCM,data:p+/Q=,iv:9Zk=,tag:aGk=,type:str]"
		}
		secret["sops"] = map[string]any{
			"age":          []any{map[string]any{"recipient": "age1x", "enc": "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n"}},
			"lastmodified": "2026-11-22T12:00:00Z", "mac": "ENC[AES256_GCM,data:bWFj,iv:aXY=,tag:dGFn,type:str]", "mac_only_encrypted": true,
			"encrypted_regex": "^(data|stringData)$", "version": "3.13.2", "unencrypted_suffix": nil, "shamir_threshold": int64(0),
		}
		content, err := yaml.Marshal(secret)
		require.NoError(t, err)
		out[i] = File{Path: file.Path, Data: content}
	}
	return out
}

// TestEncryptedTree: encrypted Secrets are built as they are, and all else as in
// plain text.
func TestEncryptedTree(t *testing.T) {
	in := input()
	in.Namespace, in.WildcardDomain, in.StorageClass = "copy", "apps.other.example.org", "fast"
	tree, err := Build(in)
	require.NoError(t, err)
	files := encrypted(t, tree.Files)
	built, err := BuildFiles(files, Dir(tree.Name))
	require.NoError(t, err)
	require.Equal(t, slices.SortedFunc(maps.Keys(tree.Objects), compareKeys), slices.SortedFunc(maps.Keys(built), compareKeys))
	for key, object := range built {
		if !threescale.IsSensitive(key.Kind, key.Name) {
			assert.Equal(t, tree.Objects[key], object)
			continue
		}
		var want map[string]any
		i := slices.IndexFunc(files, func(f File) bool { return f.Path == "base/dr/"+fileName(key) })
		require.NoError(t, yaml.Unmarshal(files[i].Data, &want))
		want["metadata"].(map[string]any)["namespace"] = "copy"
		want["sops"].(map[string]any)["shamir_threshold"] = int64(0)
		assert.Equal(t, want, object.Object)
	}
}

func TestBuildFilesRefuses(t *testing.T) {
	const header = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
	object := File{Path: "a/x.yaml", Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")}
	list := func(resources string) File {
		return File{Path: "a/kustomization.yaml", Data: []byte(header + "resources: [" + resources + "]\n")}
	}
	cases := map[string]struct {
		reason string
		files  []File
		want   string
	}{
		"Remote":      {"nothing is fetched", []File{list("https://example.com/x.yaml")}, "not in the tree"},
		"Repository":  {"nothing is cloned", []File{list("github.com/example/x")}, "not in the tree"},
		"Absent":      {"a file is missing", []File{list("x.yaml")}, "not in the tree"},
		"Outside":     {"nothing is read from elsewhere", []File{list("../../etc/x.yaml")}, "not in the tree"},
		"Absolute":    {"paths are relative", []File{list("x.yaml"), {Path: "/a/x.yaml"}}, "outside of the tree"},
		"Parent":      {"paths stay below", []File{{Path: "../x.yaml"}}, "outside of the tree"},
		"Twice":       {"which would count?", []File{object, object}, "there twice"},
		"Generator":   {"a tree has none", []File{{Path: "a/kustomization.yaml", Data: []byte(header + "secretGenerator: []\n")}}, "unknown field"},
		"PatchFile":   {"a tree has none", []File{{Path: "a/kustomization.yaml", Data: []byte(header + "patches: [{path: /etc/passwd}]\n")}}, "unknown field"},
		"NotYAML":     {"it cannot be read", []File{{Path: "a/kustomization.yaml", Data: []byte("\t")}}, "cannot read file"},
		"NoFolder":    {"there is nothing to build", []File{{Path: "b/x.yaml"}}, "cannot build"},
		"BadResource": {"kustomize itself refuses", []File{list("x.yaml"), {Path: "a/x.yaml", Data: []byte("kind: X")}}, "cannot build"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := BuildFiles(tc.files, "a")
			require.ErrorContains(t, err, tc.want, tc.reason)
		})
	}
	built, err := BuildFiles([]File{list("x.yaml"), object}, "a")
	require.NoError(t, err)
	assert.Contains(t, built, Key{"ConfigMap", "x"})
}

// TestCompare: each difference is found and named, and no value is shown.
func TestCompare(t *testing.T) {
	tree, err := Build(input())
	require.NoError(t, err)
	seed, copied := Key{"Secret", "system-seed"}, func() map[Key]*unstructured.Unstructured { return copyOf(tree.Objects) }
	cases := map[string]struct {
		reason string
		change func(objects map[Key]*unstructured.Unstructured)
		want   string
	}{
		"Value": {"a value is another", func(o map[Key]*unstructured.Unstructured) {
			o[seed].Object["data"].(map[string]any)["ADMIN_USER"] = hidden
		}, "Secret/system-seed data.ADMIN_USER"},
		"NoValue": {"a value is gone", func(o map[Key]*unstructured.Unstructured) {
			delete(o[seed].Object["data"].(map[string]any), "ADMIN_USER")
		}, "Secret/system-seed data.ADMIN_USER"},
		"More":    {"a value is new", func(o map[Key]*unstructured.Unstructured) { o[seed].Object["data"].(map[string]any)["NEW"] = hidden }, "Secret/system-seed data.NEW"},
		"Type":    {"a value has another type", func(o map[Key]*unstructured.Unstructured) { o[seed].Object["type"] = []any{hidden} }, "Secret/system-seed type"},
		"Missing": {"an object is gone", func(o map[Key]*unstructured.Unstructured) { delete(o, seed) }, "differ in Secret/system-seed"},
		"Foreign": {"an object is new", func(o map[Key]*unstructured.Unstructured) { o[Key{"Secret", "x"}] = o[seed] }, "differ in Secret/x"},
		"Namespace": {"it would go elsewhere", func(o map[Key]*unstructured.Unstructured) {
			o[seed].Object["metadata"].(map[string]any)["namespace"] = "x"
		},
			"Secret/system-seed metadata.namespace"},
	}
	assert.NoError(t, compare(tree.Objects, copied()))
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			objects := copied()
			tc.change(objects)
			err := compare(tree.Objects, objects)
			require.ErrorContains(t, err, tc.want, tc.reason)
			assert.Equal(t, 0, strings.Count(err.Error(), dataset.SecretMarker))
		})
	}
}

func copyOf(objects map[Key]*unstructured.Unstructured) map[Key]*unstructured.Unstructured {
	out := map[Key]*unstructured.Unstructured{}
	for key, object := range objects {
		out[key] = object.DeepCopy()
	}
	return out
}
