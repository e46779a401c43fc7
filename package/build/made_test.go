//go:build image

package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// realRelease is what `make image package` has just made in build/; `make
// check-image` says for which registry and version.
func realRelease(t *testing.T) *release {
	t.Helper()
	r, err := newRelease(repositoryRoot, filepath.Join(repositoryRoot, "build"), os.Getenv("REGISTRY"), os.Getenv("VERSION"))
	require.NoError(t, err)
	return r
}

// TestMadeSizes holds the limits of both images, all layers unpacked.
func TestMadeSizes(t *testing.T) {
	const mb = 1_000_000
	r := realRelease(t)
	for _, c := range []struct {
		reason string
		program
		limit int64
	}{
		{"each pod of a backup starts with it; 4 MB of it speak to object stores and know whom to trust, 2 MB to databases", functionProgram(), 70 * mb},
		{"one pod a cluster", controllerProgram(), 200 * mb},
	} {
		for _, architecture := range architectures() {
			image, err := r.image(c.program, architecture)
			require.NoError(t, err)
			var size int64
			for _, f := range contents(t, image) {
				size += f.size
			}
			packed := packedSize(t, image)
			t.Logf("%s %s: %.1f MB of %d MB, %.1f MB to pull", c.image, architecture, float64(size)/mb, c.limit/mb, float64(packed)/mb)
			assert.LessOrEqual(t, size, c.limit, c.reason)
		}
	}
}

func packedSize(t *testing.T, image v1.Image) int64 {
	t.Helper()
	manifest, err := image.Manifest()
	require.NoError(t, err)
	var out int64
	for _, layer := range manifest.Layers {
		out += layer.Size
	}
	return out
}

// TestMadeSBOMs looks for what the product is known to be made of.
func TestMadeSBOMs(t *testing.T) {
	r := realRelease(t)
	for _, c := range []struct {
		program
		modules []string
	}{
		{functionProgram(), []string{"stdlib", "github.com/crossplane/function-sdk-go", "google.golang.org/grpc", "k8s.io/apimachinery", "github.com/alecthomas/kong"}},
		{controllerProgram(), []string{"stdlib", "github.com/fluxcd/kustomize-controller/api", "sigs.k8s.io/controller-runtime", "github.com/getsops/sops/v3", "github.com/fluxcd/pkg/runtime"}},
	} {
		for _, architecture := range architectures() {
			data, err := os.ReadFile(filepath.Join(r.output, "sbom", c.image+"-"+r.tagName()+"-"+architecture+".cdx.json"))
			require.NoError(t, err)
			found := versions(readSBOM(t, data))
			t.Logf("%s %s: %d modules", c.image, architecture, len(found))
			for _, module := range c.modules {
				assert.Len(t, found[module], 1, module)
			}
		}
	}
}

func TestMadeVersion(t *testing.T) {
	r := realRelease(t)
	for _, p := range programs() {
		for _, name := range p.binaries {
			out, err := exec.CommandContext(t.Context(), r.binary(runtime.GOARCH, name), "--version").Output()
			require.NoError(t, err)
			assert.Equal(t, r.tagName()+"\n", string(out), name)
		}
	}
}

// TestMadeAgain makes all of it from a copy of the source in another folder,
// without Git.
func TestMadeAgain(t *testing.T) {
	r := realRelease(t)
	source := copyTree(t, repositoryRoot)
	command := exec.CommandContext(t.Context(), "make", "image", "package")
	command.Dir = source
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
	again := readFiles(t, filepath.Join(source, "build"), "images", "sbom", "packages")
	require.NotEmpty(t, again)
	for path, data := range again {
		want, err := os.ReadFile(filepath.Join(r.output, path))
		if assert.NoError(t, err) {
			digest, _, err := v1.SHA256(strings.NewReader(data))
			require.NoError(t, err)
			before, _, err := v1.SHA256(strings.NewReader(string(want)))
			require.NoError(t, err)
			assert.Equal(t, before, digest, path)
		}
	}
}

// copyTree copies the source, but nothing that was made of it.
func copyTree(t *testing.T, root string) string {
	t.Helper()
	target := t.TempDir()
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case name == ".git", name == "build", name == "bin":
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(target, name), 0o755)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(target, name), data, 0o644)
	}))
	return target
}

// TestDockerfile builds the images of the Dockerfile with buildah, and compares
// them with what `make image` makes.
func TestDockerfile(t *testing.T) {
	r := realRelease(t)
	for target, p := range map[string]program{"function": functionProgram(), "controller": controllerProgram()} {
		for _, architecture := range architectures() {
			t.Run(target+" "+architecture, func(t *testing.T) {
				want, err := r.image(p, architecture)
				require.NoError(t, err)
				got := bud(t, target, architecture)
				assert.Equal(t, contents(t, want), contents(t, got))
				ours, err := want.ConfigFile()
				require.NoError(t, err)
				theirs, err := got.ConfigFile()
				require.NoError(t, err)
				assert.Equal(t, ours.Config.Entrypoint, theirs.Config.Entrypoint)
				assert.Equal(t, ours.Config.Cmd, theirs.Config.Cmd)
				assert.Equal(t, ours.Config.User, theirs.Config.User)
				assert.Equal(t, ours.Config.ExposedPorts, theirs.Config.ExposedPorts)
				assert.Equal(t, ours.Platform().String(), theirs.Platform().String())
			})
		}
	}
}

// bud builds one target of the Dockerfile for an architecture.
func bud(t *testing.T, target, architecture string) v1.Image {
	t.Helper()
	dir := t.TempDir()
	storage := []string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--storage-driver", "vfs"}
	buildah := func(args ...string) {
		out, err := exec.CommandContext(t.Context(), "buildah", append(storage, args...)...).CombinedOutput()
		require.NoError(t, err, "buildah %v: %s", args, out)
	}
	buildah("bud", "--isolation", "chroot", "--platform", "linux/"+architecture, "--target", target, "--tag", "made", repositoryRoot)
	buildah("push", "--disable-compression", "localhost/made", "oci:"+filepath.Join(dir, "image")+":made")
	index, err := layout.ImageIndexFromPath(filepath.Join(dir, "image"))
	require.NoError(t, err)
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	require.Len(t, manifest.Manifests, 1)
	image, err := index.Image(manifest.Manifests[0].Digest)
	require.NoError(t, err)
	return image
}

// content is a file of an image, however it came there.
type content struct {
	mode        int64
	user, group int
	size        int64
	digest      string
}

func contents(t *testing.T, image v1.Image) map[string]content {
	t.Helper()
	layers, err := image.Layers()
	require.NoError(t, err)
	out := map[string]content{}
	for _, layer := range layers {
		for _, f := range filesOf(t, layer) {
			// An engine's mode also has the bits of the type.
			digest, size, err := v1.SHA256(strings.NewReader(f.content))
			require.NoError(t, err)
			out[f.name] = content{f.mode & 0o7777, f.user, f.group, size, digest.String()}
		}
	}
	return out
}
