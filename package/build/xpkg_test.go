package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/check"
)

// objectsOf finds the package's objects in an image as Crossplane does: by the
// annotation of a layer. The label by which a file's layer is found has to
// name the same one.
func objectsOf(t *testing.T, image v1.Image) []unstructured.Unstructured {
	t.Helper()
	manifest, err := image.Manifest()
	require.NoError(t, err)
	last := len(manifest.Layers) - 1
	for _, layer := range manifest.Layers[:last] {
		require.Empty(t, layer.Annotations)
	}
	require.Equal(t, map[string]string{"io.crossplane.xpkg": "base"}, manifest.Layers[last].Annotations)
	config, err := image.ConfigFile()
	require.NoError(t, err)
	require.Equal(t, "base", config.Config.Labels["io.crossplane.xpkg:"+manifest.Layers[last].Digest.String()])
	layers, err := image.Layers()
	require.NoError(t, err)
	files := filesOf(t, layers[last])
	require.Len(t, files, 1)
	text := files[0].content
	files[0].content = ""
	require.Equal(t, file{"package.yaml", 0o644, 0, 0, epoch(), ""}, files[0])
	assert.NotContains(t, text, "registry.example.com", "a placeholder of the manifests")
	var out []unstructured.Unstructured
	for document := range strings.SplitSeq(strings.TrimPrefix(text, "---\n"), "\n---\n") {
		var object unstructured.Unstructured
		require.NoError(t, yaml.UnmarshalStrict([]byte(document), &object.Object))
		out = append(out, object)
	}
	return out
}

// inRepository is an object as it stands in the repository.
func inRepository(t *testing.T, path string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(repositoryRoot, path))
	require.NoError(t, err)
	var out map[string]any
	require.NoError(t, yaml.UnmarshalStrict(data, &out))
	return out
}

func TestFunctionPackage(t *testing.T) {
	r := newTestRelease(t)
	for _, architecture := range architectures() {
		t.Run(architecture, func(t *testing.T) {
			runtime, err := r.image(functionProgram(), architecture)
			require.NoError(t, err)
			image, err := r.functionPackage(architecture)
			require.NoError(t, err)

			objects := objectsOf(t, image)
			require.Len(t, objects, 2)
			assert.Equal(t, inRepository(t, "package/crossplane.yaml"), objects[0].Object)
			assert.Equal(t, "meta.pkg.crossplane.io/v1, Kind=Function", objects[0].GroupVersionKind().String())
			assert.Equal(t, inRepository(t, "package/input/input.yaml"), objects[1].Object)
			data, err := objects[1].MarshalJSON()
			require.NoError(t, err)
			var crd apiextensionsv1.CustomResourceDefinition
			require.NoError(t, yaml.UnmarshalStrict(data, &crd))
			assert.Equal(t, "Input", crd.Spec.Names.Kind)

			before, err := runtime.Manifest()
			require.NoError(t, err)
			after, err := image.Manifest()
			require.NoError(t, err)
			require.Len(t, after.Layers, 2, "the program, and one more")
			assert.Equal(t, before.Layers[0].Digest, after.Layers[0].Digest)
			want, err := runtime.ConfigFile()
			require.NoError(t, err)
			got, err := image.ConfigFile()
			require.NoError(t, err)
			assert.NotContains(t, want.Config.Labels, "io.crossplane.xpkg:"+after.Layers[1].Digest.String(), "the runtime's own labels stay as they are")
			got = got.DeepCopy()
			delete(got.Config.Labels, "io.crossplane.xpkg:"+after.Layers[1].Digest.String())
			assert.Equal(t, want.Config, got.Config, "what runs is the same")
			assert.Equal(t, architecture, got.Architecture)
		})
	}
}

func TestConfiguration(t *testing.T) {
	for _, c := range []struct {
		flavour, version          string
		name, constraint          string
		compositeKind, functionIn string
	}{
		{"claim", "v0.1.0", "configuration-threescale-backup", ">=v0.1.0, <v0.2.0", "XThreeScaleBackup", "v0.1.0"},
		{"namespaced", "v0.1.0", "configuration-threescale-backup-namespaced", ">=v0.1.0, <v0.2.0", "ThreeScaleBackup", "v0.1.0"},
		{"claim", "v1.2.3-rc.1", "configuration-threescale-backup", ">=v1.2.3-rc.1, <v1.3.0-0", "XThreeScaleBackup", "v1.2.3-rc.1"},
	} {
		t.Run(c.flavour+" "+c.version, func(t *testing.T) {
			r := newVersion(t, aRegistry, c.version)
			image, err := r.configuration(c.flavour)
			require.NoError(t, err)
			manifest, err := image.Manifest()
			require.NoError(t, err)
			require.Len(t, manifest.Layers, 1, "it runs nothing")
			objects := objectsOf(t, image)
			require.Len(t, objects, 3)
			meta, xrd, composition := objects[0], objects[1], objects[2]

			assert.Equal(t, "Configuration", meta.GetKind())
			assert.Equal(t, c.name, meta.GetName())
			assert.Equal(t, []any{map[string]any{
				"apiVersion": "pkg.crossplane.io/v1", "kind": "Function",
				"package": "127.0.0.1:5000/backup/function-threescale-backup", "version": c.constraint,
			}}, at(t, meta, "spec", "dependsOn"))

			assert.Equal(t, inRepository(t, "manifests/"+c.flavour+"/xrd.yaml"), xrd.Object)

			assert.Equal(t, c.compositeKind, at(t, composition, "spec", "compositeTypeRef", "kind"))
			function, err := index(r.functionPackage)
			require.NoError(t, err)
			digest, err := function.Digest()
			require.NoError(t, err)
			want := inRepository(t, "manifests/"+c.flavour+"/composition.yaml")
			step := want["spec"].(map[string]any)["pipeline"].([]any)[0].(map[string]any)
			step["functionRef"].(map[string]any)["name"] = "backup-function-threescale-backup"
			step["input"].(map[string]any)["image"] = "127.0.0.1:5000/backup/function-threescale-backup:" + c.version + "@" + digest.String()
			assert.Equal(t, want, composition.Object, "nothing else is changed")
		})
	}
}

func at(t *testing.T, object unstructured.Unstructured, fields ...string) any {
	t.Helper()
	value, found, err := unstructured.NestedFieldNoCopy(object.Object, fields...)
	require.NoError(t, err)
	require.True(t, found, fields)
	return value
}

// TestPackageFiles reads the files as `crossplane xpkg push` does.
func TestPackageFiles(t *testing.T) {
	r := newTestRelease(t)
	require.NoError(t, (&packageCommand{}).Run(r))
	want := []string{
		"packages/configuration-threescale-backup-namespaced-v0.1.0.xpkg",
		"packages/configuration-threescale-backup-v0.1.0.xpkg",
		"packages/function-threescale-backup-v0.1.0-amd64.xpkg",
		"packages/function-threescale-backup-v0.1.0-arm64.xpkg",
	}
	var got []string
	for path := range readFiles(t, r.output, "packages") {
		got = append(got, path)
		image, err := tarball.ImageFromPath(filepath.Join(r.output, path), nil)
		require.NoError(t, err)
		config, err := image.ConfigFile()
		require.NoError(t, err)
		layers, err := image.Layers()
		require.NoError(t, err)
		digest, err := layers[len(layers)-1].Digest()
		require.NoError(t, err)
		assert.Equal(t, "base", config.Config.Labels["io.crossplane.xpkg:"+digest.String()], path)
	}
	slices.Sort(got)
	assert.Equal(t, want, got)
}

func TestReplace(t *testing.T) {
	for _, c := range []struct {
		reason string
		path   []any
		want   string // what the object is then
		err    string
	}{
		{"a field", []any{"a"}, `{"a":"new","b":[{"c":2}],"d":null}`, ""},
		{"a field in a list", []any{"b", 0, "c"}, `{"a":1,"b":[{"c":"new"}],"d":null}`, ""},
		{"an element", []any{"b", 0}, `{"a":1,"b":["new"],"d":null}`, ""},
		{"a field without a value is there", []any{"d"}, `{"a":1,"b":[{"c":2}],"d":"new"}`, ""},
		{"no such field", []any{"x"}, "", "there is no x"},
		{"no such field further down", []any{"b", 0, "x"}, "", "cannot replace [b 0 x]: there is no x"},
		{"no such element", []any{"b", 1, "c"}, "", "there is no element 1"},
		{"a list has no fields", []any{"b", "c"}, "", "there is no element c"},
		{"an object has no elements", []any{0}, "", "there is no 0"},
		{"a value has nothing", []any{"a", "x"}, "", "there is no x in a value"},
		{"nor has none", []any{"d", "x"}, "", "there is no x in a value"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			const before = `{"a":1,"b":[{"c":2}],"d":null}`
			var object map[string]any
			require.NoError(t, yaml.Unmarshal([]byte(before), &object))
			err := replace(object, "new", c.path...)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				c.want = before
			} else {
				require.NoError(t, err)
			}
			got, err := yaml.Marshal(object)
			require.NoError(t, err)
			assert.YAMLEq(t, c.want, string(got))
		})
	}
}

// TestMovedManifest shows what a change of the repository gives that this
// package does not know.
func TestMovedManifest(t *testing.T) {
	for _, c := range []struct {
		reason, file, old, changed string
		want                       string
	}{
		{"a field was renamed", "manifests/claim/composition.yaml", "functionRef:", "function:", "cannot replace [spec pipeline 0 functionRef name]: there is no functionRef"},
		{"no dependency is left", "crossplane.yaml", "dependsOn:", "needs:", "there is no dependsOn"},
		{"no YAML", "crossplane.yaml", "spec:", "spec", `cannot read object "crossplane.yaml" of package`},
		{"no file", "manifests/claim/xrd.yaml", "", "", "xrd.yaml"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			r := newTestRelease(t)
			r.root = t.TempDir()
			for _, path := range []string{"crossplane.yaml", "package/crossplane.yaml", "package/input/input.yaml", "manifests/claim/xrd.yaml", "manifests/claim/composition.yaml"} {
				data, err := os.ReadFile(filepath.Join(repositoryRoot, path))
				require.NoError(t, err)
				if path == c.file && c.old == "" {
					continue
				}
				if path == c.file {
					require.Contains(t, string(data), c.old)
					data = []byte(strings.Replace(string(data), c.old, c.changed, 1))
				}
				require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(r.root, path)), 0o755))
				require.NoError(t, os.WriteFile(filepath.Join(r.root, path), data, 0o644))
			}
			_, err := r.configuration("claim")
			require.ErrorContains(t, err, c.want)
		})
	}
}

// TestCheckNamesThePackages: who lacks the API is told the packages as they are pushed.
func TestCheckNamesThePackages(t *testing.T) {
	lacking := check.Observed{Served: map[schema.GroupVersionKind]check.Read[bool]{}}
	for _, kind := range check.Kinds() {
		lacking.Served[kind] = check.Read[bool]{Value: true}
	}
	for _, finding := range check.Findings(lacking) {
		if finding.Area == "Backups" && finding.Check == "XRD" {
			for _, flavour := range flavours() {
				assert.Contains(t, strings.Fields(strings.ReplaceAll(finding.Do, ",", "")), configurationRepository(flavour))
			}
			return
		}
	}
	require.Fail(t, "nobody misses the API")
}
