package overlay

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/test/dataset"
)

// kustomizationsOf returns what a repository holds of an earlier tree.
func kustomizationsOf(tree *Tree) map[string][]byte {
	out := map[string][]byte{}
	for _, file := range tree.Files {
		if path.Base(file.Path) == kustomizationFile {
			out[file.Path] = file.Data
		}
	}
	return out
}

// TestRemovedBetweenTrees: what an earlier run had and a later one has not.
func TestRemovedBetweenTrees(t *testing.T) {
	in := input()
	old, err := Build(in)
	require.NoError(t, err)
	assert.Empty(t, Removed(kustomizationsOf(old), old), "the same tree again")
	assert.Empty(t, Removed(nil, old), "the first tree")

	in.OmitDatabaseSecrets, in.FileStorage = true, nil
	in.Objects = slices.DeleteFunc(in.Objects, func(object *unstructured.Unstructured) bool { return object.GetName() == "registry-pull" })
	next, err := Build(in)
	require.NoError(t, err)
	want := []string{
		"base/dr/secret-backend-redis.yaml", "base/dr/secret-registry-pull.yaml", "base/dr/secret-system-database.yaml",
		"base/dr/secret-system-redis.yaml", "base/dr/secret-zync.yaml", "overlays/dr/persistentvolumeclaim.yaml",
	}
	assert.Equal(t, want, Removed(kustomizationsOf(old), next))
	assert.Empty(t, Removed(kustomizationsOf(next), old), "files that come back are not removed")
}

func TestRemoved(t *testing.T) {
	objects := backup(dataset.Options{})
	tree, err := Build(Input{Name: "dr", Namespace: "a", Objects: objects, Admitted: keys(objects)})
	require.NoError(t, err)
	const base, overlay = "base/dr/kustomization.yaml", "overlays/dr/kustomization.yaml"
	cases := map[string]struct {
		reason, file, content string
		want                  []string
	}{
		"Secret":       {"it was ours", base, "resources: [secret-old.yaml]", []string{"base/dr/secret-old.yaml"}},
		"Twice":        {"a file goes once", base, "resources: [secret-old.yaml, secret-old.yaml]", []string{"base/dr/secret-old.yaml"}},
		"ConfigMap":    {"it was ours", base, "resources: [configmap-old.yaml, secret-zync.yaml]", []string{"base/dr/configmap-old.yaml"}},
		"PVC":          {"it was ours", overlay, "resources: [persistentvolumeclaim.yaml]", []string{"overlays/dr/persistentvolumeclaim.yaml"}},
		"UsersFile":    {"a tree gives no such name", base, "resources: [mine.yaml, secret-mine.txt, kustomization.yaml, README.md, secret-x.yaml.bak]", nil},
		"InOverlay":    {"a Secret of the overlay is the user's", overlay, "resources: [secret-mine.yaml]", nil},
		"PVCInBase":    {"a PVC of the base is the user's", base, "resources: [persistentvolumeclaim.yaml]", nil},
		"Parent":       {"it is not in the folder", base, "resources: [../secret-x.yaml, ../../base/other/secret-x.yaml, ./../x/secret-x.yaml]", nil},
		"OtherFolder":  {"each folder lists its own", overlay, "resources: [../../base/dr/secret-old.yaml, ../../base/dr]", nil},
		"Nested":       {"a tree has no folders in its folders", base, "resources: [secret-x/secret-x.yaml, secret-x]", nil},
		"Absolute":     {"it is not in the folder", base, "resources: [/base/dr/secret-x.yaml, /etc/secret-x.yaml]", nil},
		"Remote":       {"it is no file", base, `resources: ["https://example.com/secret-x.yaml", "github.com/x/secret-x.yaml"]`, nil},
		"Backslash":    {"it is a folder elsewhere", base, `resources: ['secret-..\x.yaml', "secret-\0.yaml"]`, nil},
		"Dots":         {"these are no files", base, `resources: [., .., "", "secret-"]`, nil},
		"Patches":      {"only resources are files of a tree", base, "patches: [{path: secret-x.yaml}]", nil},
		"OtherRestore": {"another restore's folder is not looked at", "base/other/kustomization.yaml", "resources: [secret-x.yaml]", nil},
		"NotYAML":      {"what cannot be read removes nothing", base, "resources: [", nil},
		"OddType":      {"what cannot be read removes nothing", base, "resources: {a: b}", nil},
		"OddItem":      {"what cannot be read removes nothing", base, "resources: [[secret-x.yaml]]", nil},
		"Huge":         {"a tree's own is small", base, "resources: [secret-x.yaml]\n" + strings.Repeat("#", 1<<20), nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, Removed(map[string][]byte{tc.file: []byte(tc.content)}, tree), tc.reason)
		})
	}
}

// FuzzRemoved: whatever stands in a kustomization.yaml, nothing outside of the
// two folders goes, and nothing that the new tree has.
func FuzzRemoved(f *testing.F) {
	tree := &Tree{Name: "dr", Files: []File{
		{Path: "base/dr/apimanager.yaml"}, {Path: "base/dr/kustomization.yaml"}, {Path: "base/dr/secret-zync.yaml"}, {Path: "overlays/dr/kustomization.yaml"},
	}}
	for _, seed := range []string{
		"resources: [secret-zync.yaml, secret-old.yaml, apimanager.yaml]", "resources:\n- ../../base/dr\n- persistentvolumeclaim.yaml", "resources: [../secret-x.yaml]",
		`resources: ["secret-\u0000.yaml", 'secret-a\b.yaml']`, "a: &a [secret-x.yaml]\nresources: *a", "resources: [secret-/../x.yaml]", "resources: null", "[",
	} {
		f.Add([]byte(seed), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, base, overlay []byte) {
		removed := Removed(map[string][]byte{"base/dr/kustomization.yaml": base, "overlays/dr/kustomization.yaml": overlay, "base/x/kustomization.yaml": base}, tree)
		assert.True(t, slices.IsSorted(removed))
		for _, file := range removed {
			dir, name := path.Split(file)
			assert.Equal(t, path.Clean(file), file)
			assert.Contains(t, []string{"base/dr/", "overlays/dr/"}, dir)
			assert.NotContains(t, name, `\`)
			assert.NotEqual(t, "kustomization.yaml", name)
			list := base
			if dir == "overlays/dr/" {
				list = overlay
				assert.Equal(t, "persistentvolumeclaim.yaml", name)
			}
			assert.Contains(t, listed(list), name)
			assert.False(t, slices.ContainsFunc(tree.Files, func(kept File) bool { return kept.Path == file }))
		}
	})
}
