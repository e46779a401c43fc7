package main

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// file is what a layer holds.
type file struct {
	name    string
	mode    int64
	user    int
	group   int
	time    time.Time
	content string
}

func filesOf(t *testing.T, layer v1.Layer) []file {
	t.Helper()
	stream, err := layer.Uncompressed()
	require.NoError(t, err)
	var out []file
	for r := tar.NewReader(stream); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		require.Equal(t, byte(tar.TypeReg), header.Typeflag, header.Name)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		out = append(out, file{header.Name, header.Mode, header.Uid, header.Gid, header.ModTime.UTC(), string(data)})
	}
}

func TestImage(t *testing.T) {
	r := newTestRelease(t)
	for _, c := range []struct {
		reason string
		program
		entrypoint string
		ports      map[string]struct{}
		files      []string
	}{
		{"the function listens, and has the mover beside it", functionProgram(), "/function", map[string]struct{}{"9443/tcp": {}}, []string{"function", "mover"}},
		{"nobody is to know the controller's ports", controllerProgram(), "/controller", nil, []string{"controller"}},
	} {
		for _, architecture := range architectures() {
			t.Run(c.image+" "+architecture, func(t *testing.T) {
				image, err := r.image(c.program, architecture)
				require.NoError(t, err)
				config, err := image.ConfigFile()
				require.NoError(t, err)
				assert.Equal(t, "linux", config.OS)
				assert.Equal(t, architecture, config.Architecture)
				assert.Equal(t, epoch(), config.Created.UTC())
				assert.Equal(t, []string{c.entrypoint}, config.Config.Entrypoint, c.reason)
				assert.Equal(t, "65532:65532", config.Config.User, "a number: there is no /etc/passwd")
				assert.Equal(t, c.ports, config.Config.ExposedPorts)
				assert.Equal(t, map[string]string{
					"org.opencontainers.image.title":       c.image,
					"org.opencontainers.image.description": c.description,
					"org.opencontainers.image.version":     "v0.1.0",
					"org.opencontainers.image.licenses":    "Apache-2.0",
				}, config.Config.Labels)
				layers, err := image.Layers()
				require.NoError(t, err)
				require.Len(t, layers, 1)
				want := make([]file, 0, len(c.files))
				for _, name := range c.files {
					data, err := os.ReadFile(r.binary(architecture, name))
					require.NoError(t, err)
					want = append(want, file{name, 0o755, 0, 0, epoch(), string(data)})
				}
				assert.Equal(t, want, filesOf(t, layers[0]))
			})
		}
	}
}

func TestIndex(t *testing.T) {
	r := newTestRelease(t)
	all, err := index(func(architecture string) (v1.Image, error) { return r.image(functionProgram(), architecture) })
	require.NoError(t, err)
	manifest, err := all.IndexManifest()
	require.NoError(t, err)
	assert.Equal(t, types.OCIImageIndex, manifest.MediaType)
	require.Len(t, manifest.Manifests, 2)
	for i, architecture := range []string{"amd64", "arm64"} {
		assert.Equal(t, types.OCIManifestSchema1, manifest.Manifests[i].MediaType)
		assert.Equal(t, &v1.Platform{OS: "linux", Architecture: architecture}, manifest.Manifests[i].Platform)
	}
	assert.NotEqual(t, manifest.Manifests[0].Digest, manifest.Manifests[1].Digest)
}

// TestSameBytes makes all that a release consists of twice, in two folders.
func TestSameBytes(t *testing.T) {
	one, two := newTestRelease(t), newTestRelease(t)
	require.NotEqual(t, one.output, two.output)
	assert.Equal(t, made(t, one), made(t, two))
}

// TestOtherBytes shows that the comparison above can fail: one more module in
// one binary is another digest of all that refers to it.
func TestOtherBytes(t *testing.T) {
	one, two := newTestRelease(t), newTestRelease(t)
	writeBinary(t, two.output, "arm64", "mover", "go1.26.8")
	before, after := made(t, one), made(t, two)
	for _, name := range []string{
		"images/index.json",
		"packages/function-threescale-backup-v0.1.0-arm64.xpkg",
		"packages/configuration-threescale-backup-v0.1.0.xpkg",
		"packages/configuration-threescale-backup-namespaced-v0.1.0.xpkg",
		"sbom/function-threescale-backup-v0.1.0-arm64.cdx.json",
	} {
		assert.Contains(t, before, name)
		assert.NotEqual(t, before[name], after[name], name)
	}
	for _, name := range []string{"packages/function-threescale-backup-v0.1.0-amd64.xpkg", "sbom/threescale-backup-controller-v0.1.0-arm64.cdx.json"} {
		assert.Contains(t, before, name)
		assert.Equal(t, before[name], after[name], name)
	}
}

// made runs both commands, and returns the files that they write.
func made(t *testing.T, r *release) map[string]string {
	t.Helper()
	require.NoError(t, (&imageCommand{}).Run(r))
	require.NoError(t, (&packageCommand{}).Run(r))
	return readFiles(t, r.output, "images", "packages", "sbom")
}

func readFiles(t *testing.T, root string, folders ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, folder := range folders {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, folder), func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			name, _ := filepath.Rel(root, path)
			out[name] = string(data)
			return err
		}))
	}
	return out
}

// TestLayout reads what the command wrote; a second call leaves nothing of the
// first.
func TestLayout(t *testing.T) {
	r := newTestRelease(t)
	require.NoError(t, (&imageCommand{}).Run(r))
	require.NoError(t, (&imageCommand{}).Run(r))
	images, err := layout.ImageIndexFromPath(filepath.Join(r.output, "images"))
	require.NoError(t, err)
	require.NoError(t, validate.Index(images))
	manifest, err := images.IndexManifest()
	require.NoError(t, err)
	var names []string
	for _, image := range manifest.Manifests {
		names = append(names, image.Annotations[refName])
	}
	assert.Equal(t, []string{"function-threescale-backup:v0.1.0", "threescale-backup-controller:v0.1.0"}, names)
}

func TestMissingBinary(t *testing.T) {
	r := newTestRelease(t)
	require.NoError(t, os.Remove(r.binary("arm64", "mover")))
	for name, run := range map[string]func() error{
		"image":   func() error { return (&imageCommand{}).Run(r) },
		"package": func() error { return (&packageCommand{}).Run(r) },
		"push":    func() error { return r.push() },
	} {
		t.Run(name, func(t *testing.T) {
			err := run()
			require.ErrorContains(t, err, `cannot read binary "mover" for arm64`)
			require.ErrorContains(t, err, "make image")
		})
	}
}
