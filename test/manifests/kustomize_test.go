package manifests_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/test/docs"
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
		"controller": {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Deployment", "Namespace", "NetworkPolicy", "PodDisruptionBudget", "Role", "RoleBinding", "ServiceAccount"},
		"openshift":  {"DeploymentRuntimeConfig"},
	} {
		t.Run(folder, func(t *testing.T) {
			assert.Equal(t, want, slices.Sorted(maps.Keys(build(t, folder))))
		})
	}
}

// TestImages: the spec.images of the page put both images where they belong,
// wherever over the controller they are given.
func TestImages(t *testing.T) {
	var shown strings.Builder
	for _, image := range []string{"threescale-backup-controller", "function-threescale-backup"} {
		fmt.Fprintf(&shown, "  - name: registry.example.com/%[1]s\n    newName: $REGISTRY/%[1]s\n    newTag: $VERSION\n", image)
	}
	require.Contains(t, string(read(t, "manifests/README.md")), "  images:\n"+shown.String())
	images := "images:\n" + strings.NewReplacer("$REGISTRY", "127.0.0.1:5000/backup", "$VERSION", "v1.2.3").Replace(shown.String())
	for name, tc := range map[string]struct{ reason, folder, kustomization string }{
		"All":               {"Flux writes them into the kustomization of the folder that it applies", "manifests", ""},
		"Controller":        {"who applies the rest by hand has Flux apply this alone", "manifests/controller", ""},
		"OverlayAll":        {"who has other changes, too, includes the folder", "overlay", "resources: [../manifests]\n"},
		"OverlayController": {"likewise", "overlay", "resources: [../manifests/controller]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.CopyFS(filepath.Join(dir, "manifests"), os.DirFS(filepath.Join(root, "manifests"))))
			folder := filepath.Join(dir, tc.folder)
			require.NoError(t, os.MkdirAll(folder, 0o755))
			file, err := os.OpenFile(filepath.Join(folder, "kustomization.yaml"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
			require.NoError(t, err)
			_, err = file.WriteString(tc.kustomization + images)
			require.NoError(t, errors.Join(err, file.Close()))
			controller, mover := imagesOf(t, folder)
			assert.Equal(t, "127.0.0.1:5000/backup/threescale-backup-controller:v1.2.3", controller, tc.reason)
			assert.Equal(t, "127.0.0.1:5000/backup/function-threescale-backup:v1.2.3", mover, tc.reason)
		})
	}
}

// TestPatchOfThePage: who installs no packages patches the image into the
// Composition, by what the page shows.
func TestPatchOfThePage(t *testing.T) {
	built := builtWith(t, shown(t, "Without packages"))
	assert.Contains(t, built, "image: registry.example.com/backup/function-threescale-backup:v0.1.0\n")
	assert.NotContains(t, built, "image: registry.example.com/function-threescale-backup")
}

// TestFlagsOfThePage: the patches that the page shows fit the shipped Deployment.
func TestFlagsOfThePage(t *testing.T) {
	built := builtWith(t, "resources: [threescale-backup/manifests]\n"+strings.ReplaceAll("\n"+shown(t, "Flags of the controller"), "\n  ", "\n"))
	for _, wanted := range []string{"- --enable-leader-election\n        - --children=3\n", "memory: 640Mi\n", "ephemeral-storage: 5Gi\n", "sizeLimit: 4Gi\n"} {
		assert.Contains(t, built, wanted)
	}
	assert.NotContains(t, built, "512Mi")
}

// shown is the first block of a section of the page.
func shown(t *testing.T, section string) string {
	t.Helper()
	page, err := docs.Read(root, "manifests/README.md")
	require.NoError(t, err)
	at := slices.IndexFunc(page.Blocks, func(b docs.Block) bool { return b.Section == section })
	require.GreaterOrEqual(t, at, 0)
	return page.Blocks[at].Text
}

// builtWith is what a kustomization makes of the manifests, in threescale-backup beside it.
func builtWith(t *testing.T, kustomization string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(dir, "threescale-backup", "manifests"), os.DirFS(filepath.Join(root, "manifests"))))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(kustomization), 0o644))
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	require.NoError(t, err)
	built, err := resources.AsYaml()
	require.NoError(t, err)
	return string(built)
}

// imagesOf are those of the container and of MOVER_IMAGE in the Deployment that
// kustomize makes of a folder.
func imagesOf(t *testing.T, folder string) (controller, mover any) {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	require.NoError(t, err)
	for _, resource := range resources.Resources() {
		if resource.GetKind() != "Deployment" {
			continue
		}
		deployment, err := resource.Map()
		require.NoError(t, err)
		container := at(t, deployment, "spec", "template", "spec", "containers")
		variables, ok := at(t, container, "env").([]any)
		require.True(t, ok)
		require.Equal(t, "MOVER_IMAGE", at(t, variables[0], "name"))
		return at(t, container, "image"), at(t, variables[0], "value")
	}
	require.Fail(t, "no Deployment was built")
	return nil, nil
}

// TestDrain: a node is drained of the controller while another pod of it is
// ready, or while none is: it waits for what others install, and a drain with it.
func TestDrain(t *testing.T) {
	var budget policyv1.PodDisruptionBudget
	require.NoError(t, yaml.UnmarshalStrict(read(t, "manifests/controller/poddisruptionbudget.yaml"), &budget))
	var deployment appsv1.Deployment
	require.NoError(t, yaml.UnmarshalStrict(read(t, "manifests/controller/deployment.yaml"), &deployment))
	assert.Equal(t, deployment.Namespace, budget.Namespace)
	assert.Equal(t, deployment.Spec.Selector, budget.Spec.Selector)
	assert.Less(t, budget.Spec.MinAvailable.IntVal, *deployment.Spec.Replicas)
	require.NotNil(t, budget.Spec.UnhealthyPodEvictionPolicy)
	assert.Equal(t, policyv1.AlwaysAllow, *budget.Spec.UnhealthyPodEvictionPolicy)
}

// TestDisk: what child processes fetch for tenants is bounded, and fits: two run at once, of which each may fetch 1 GiB.
func TestDisk(t *testing.T) {
	var deployment appsv1.Deployment
	require.NoError(t, yaml.UnmarshalStrict(read(t, "manifests/controller/deployment.yaml"), &deployment))
	pod := deployment.Spec.Template.Spec
	require.Len(t, pod.Volumes, 1)
	require.NotNil(t, pod.Volumes[0].EmptyDir)
	size := pod.Volumes[0].EmptyDir.SizeLimit
	require.NotNil(t, size)
	assert.Positive(t, size.CmpInt64(2<<30))
	limit := pod.Containers[0].Resources.Limits[corev1.ResourceEphemeralStorage]
	assert.Positive(t, limit.Cmp(*size), "the log has its place beside it")
	request := pod.Containers[0].Resources.Requests[corev1.ResourceEphemeralStorage]
	assert.Positive(t, request.Sign())
	assert.Negative(t, request.Cmp(limit))
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
