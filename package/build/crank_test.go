//go:build render

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/test/peers"
)

// TestCrankFunction has Crossplane's own `crossplane xpkg build` and `push` make
// the function's package of the same runtime and objects.
func TestCrankFunction(t *testing.T) {
	host := startRegistry(t, registry.WithReferrersSupport(true))
	r := newVersion(t, host+"/ours", "v0.1.0")
	require.NoError(t, r.push())
	files := make([]string, 0, len(architectures()))
	for _, architecture := range architectures() {
		runtime, err := r.image(functionProgram(), architecture)
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "runtime.tar")
		require.NoError(t, tarball.WriteToFile(file, reference(t, r, functionName), runtime))
		files = append(files, crankBuild(t, filepath.Join(repositoryRoot, "package"), "--embed-runtime-image-tarball", file))
	}
	theirs := newTag(t, host+"/theirs/"+functionName)
	crank(t, "xpkg", "push", "--package-files", strings.Join(files, ","), theirs.String())
	ours := newTag(t, host+"/ours/"+functionName)
	for _, architecture := range architectures() {
		t.Run(architecture, func(t *testing.T) {
			want, got := pull(t, theirs, architecture), pull(t, ours, architecture)
			assertSamePackage(t, want, got)
			before, err := want.ConfigFile()
			require.NoError(t, err)
			after, err := got.ConfigFile()
			require.NoError(t, err)
			assert.Equal(t, before.Platform().String(), after.Platform().String())
			assert.Equal(t, before.RootFS.DiffIDs[0], after.RootFS.DiffIDs[0], "the runtime's files")
		})
	}
}

// TestCrankConfiguration does likewise with what has been bound to a registry.
func TestCrankConfiguration(t *testing.T) {
	host := startRegistry(t)
	r := newVersion(t, host+"/ours", "v0.1.0")
	require.NoError(t, r.push())
	for _, flavour := range flavours() {
		t.Run(flavour, func(t *testing.T) {
			objects, err := r.configurationObjects(flavour)
			require.NoError(t, err)
			dir := t.TempDir()
			for i, object := range objects {
				data, err := yaml.Marshal(object)
				require.NoError(t, err)
				name := "crossplane.yaml"
				if i > 0 {
					name = fmt.Sprintf("%d.yaml", i)
				}
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
			}
			theirs := newTag(t, host+"/theirs/"+configurationRepository(flavour))
			crank(t, "xpkg", "push", "--package-files", crankBuild(t, dir), theirs.String())
			ours := newTag(t, host+"/ours/"+configurationRepository(flavour))
			assertSamePackage(t, pull(t, theirs), pull(t, ours))
		})
	}
}

// TestCrankPushes pushes the files of `make package` with Crossplane's command:
// what is in the registry then is the package that `make push` pushes.
func TestCrankPushes(t *testing.T) {
	host := startRegistry(t, registry.WithReferrersSupport(true))
	r := newVersion(t, host+"/ours", "v0.1.0")
	require.NoError(t, r.push())
	require.NoError(t, (&packageCommand{}).Run(r))
	file := func(name string) string { return filepath.Join(r.output, "packages", name+".xpkg") }

	theirs := newTag(t, host+"/theirs/"+functionName)
	crank(t, "xpkg", "push", "--package-files", file(functionName+"-v0.1.0-amd64")+","+file(functionName+"-v0.1.0-arm64"), theirs.String())
	for _, architecture := range architectures() {
		assertSamePackage(t, pull(t, theirs, architecture), pull(t, newTag(t, host+"/ours/"+functionName), architecture))
	}
	for _, flavour := range flavours() {
		repository := configurationRepository(flavour)
		theirs := newTag(t, host+"/theirs/"+repository)
		crank(t, "xpkg", "push", "--package-files", file(repository+"-v0.1.0"), theirs.String())
		assertSamePackage(t, pull(t, theirs), pull(t, newTag(t, host+"/ours/"+repository)))
	}
}

// crankBuild builds a package of a folder, and returns its file.
func crankBuild(t *testing.T, folder string, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "package.xpkg")
	crank(t, append([]string{
		"xpkg", "build", "--package-root", folder, "--examples-root", filepath.Join(t.TempDir(), "none"), "--package-file", file,
	}, args...)...)
	return file
}

func crank(t *testing.T, args ...string) {
	t.Helper()
	binary, err := peers.Binary(t.Context(), "crank")
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), binary, args...).CombinedOutput()
	require.NoError(t, err, "%v: %s", args, out)
}

// assertSamePackage compares what Crossplane reads of a package, and what runs.
// objectsOf demands the same annotation and label of both.
func assertSamePackage(t *testing.T, want, got v1.Image) {
	t.Helper()
	assert.Equal(t, normal(objectsOf(t, want)), normal(objectsOf(t, got)))
	before, err := want.ConfigFile()
	require.NoError(t, err)
	after, err := got.ConfigFile()
	require.NoError(t, err)
	assert.Equal(t, runtimeConfig(before), runtimeConfig(after))
	assert.Len(t, after.RootFS.DiffIDs, len(before.RootFS.DiffIDs))
}

// runtimeConfig is the configuration without the label that has a layer's digest.
func runtimeConfig(file *v1.ConfigFile) v1.Config {
	config := file.DeepCopy().Config
	for label := range config.Labels {
		if strings.HasPrefix(label, packageAnnotation+":") {
			delete(config.Labels, label)
		}
	}
	return config
}

// normal leaves out what Crossplane's builder adds: it decodes and encodes each
// object as its Go type, whose empty fields it writes.
func normal(objects []unstructured.Unstructured) map[string]map[string]any {
	out := map[string]map[string]any{}
	for _, object := range objects {
		if object.Object == nil {
			continue // after the last separator
		}
		key := object.GroupVersionKind().String() + " " + object.GetName()
		object = *object.DeepCopy()
		delete(object.Object, "status")
		unstructured.RemoveNestedField(object.Object, "metadata", "creationTimestamp")
		out[key] = object.Object
	}
	return out
}

func newTag(t *testing.T, repository string) name.Tag {
	t.Helper()
	tag, err := name.NewTag(repository + ":v0.1.0")
	require.NoError(t, err)
	return tag
}

// pull pulls a package; one that runs something has an architecture.
func pull(t *testing.T, tag name.Tag, architecture ...string) v1.Image {
	t.Helper()
	var options []remote.Option
	for _, a := range architecture {
		options = append(options, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: a}))
	}
	image, err := remote.Image(tag, options...)
	require.NoError(t, err)
	return image
}
