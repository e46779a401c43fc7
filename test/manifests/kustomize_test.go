package manifests_test

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// build runs kustomize on a folder of manifests/ and returns the objects by
// kind, of which there is one each.
func build(t *testing.T, folder string) map[string]map[string]any {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).
		Run(filesys.MakeFsOnDisk(), filepath.Join(root, "manifests", folder))
	require.NoError(t, err)
	objects := map[string]map[string]any{}
	for _, resource := range resources.Resources() {
		object, err := resource.Map()
		require.NoError(t, err)
		require.NotContains(t, objects, resource.GetKind())
		objects[resource.GetKind()] = object
	}
	return objects
}

func TestKustomize(t *testing.T) {
	flavour := []string{"ClusterRole", "CompositeResourceDefinition", "Composition"}
	for folder, want := range map[string][]string{
		"rbac":       {"ClusterRole"},
		"claim":      flavour,
		"namespaced": flavour,
		"crd":        {"CustomResourceDefinition"},
		"controller": {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Deployment", "Namespace", "Role", "RoleBinding", "ServiceAccount"},
		"resync":     {"Role", "RoleBinding"},
	} {
		t.Run(folder, func(t *testing.T) {
			assert.Equal(t, want, slices.Sorted(maps.Keys(build(t, folder))))
		})
	}
}

// TestControllerImages: the two images are where the README's patches replace them.
func TestControllerImages(t *testing.T) {
	containers, ok := at(t, build(t, "controller")["Deployment"], "spec", "template", "spec", "containers").([]any)
	require.True(t, ok)
	require.Len(t, containers, 1)
	variables, ok := at(t, containers, "env").([]any)
	require.True(t, ok)
	assert.Equal(t, map[string]any{"name": "MOVER_IMAGE", "value": "registry.example.com/function-threescale-backup:v0.1.0"}, variables[0])
	readme := string(read(t, "README.md"))
	for _, path := range []string{"/spec/template/spec/containers/0/image", "/spec/template/spec/containers/0/env/0/value"} {
		_, _, shown := strings.Cut(readme, "path: "+path)
		assert.True(t, shown, path)
	}
}

// at walks maps, and lists of one entry, to a field.
func at(t *testing.T, object any, path ...string) any {
	t.Helper()
	for _, name := range path {
		if list, ok := object.([]any); ok {
			require.Len(t, list, 1, "before %s", name)
			object = list[0]
		}
		fields, ok := object.(map[string]any)
		require.True(t, ok, "%s is in no object", name)
		require.Contains(t, fields, name)
		object = fields[name]
	}
	return object
}

// object decodes a file of the repository.
func object(t *testing.T, path ...string) map[string]any {
	t.Helper()
	var out map[string]any
	require.NoError(t, yaml.Unmarshal(read(t, path...), &out))
	return out
}
