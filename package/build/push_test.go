package main

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPush(t *testing.T) {
	for _, c := range []struct {
		reason    string
		referrers bool
	}{
		{"a registry that lists what refers to an image", true},
		{"one that does not: a tag stands for the list", false},
	} {
		t.Run(c.reason, func(t *testing.T) {
			host := startRegistry(t, registry.WithReferrersSupport(c.referrers))
			r := newVersion(t, host+"/nested/backup", "v0.1.0")
			require.NoError(t, r.push())
			first := tagged(t, r)
			require.NoError(t, r.push(), "twice is fine")
			assert.Equal(t, first, tagged(t, r))

			for _, p := range programs() {
				image, err := remote.Index(reference(t, r, p.image))
				require.NoError(t, err)
				require.NoError(t, validate.Index(image))
				manifest, err := image.IndexManifest()
				require.NoError(t, err)
				require.Len(t, manifest.Manifests, 2)
				for _, one := range manifest.Manifests {
					assertSBOM(t, r, p, one)
				}
			}
			for _, flavour := range flavours() {
				image, err := remote.Image(reference(t, r, configurationRepository(flavour)))
				require.NoError(t, err)
				require.NoError(t, validate.Image(image))
				assertFunctionExists(t, r, image)
			}
		})
	}
}

func reference(t *testing.T, r *release, repository string) name.Tag {
	t.Helper()
	tag, err := r.tag(repository)
	require.NoError(t, err)
	return tag
}

// tagged are the digests of what is in the registry under the version's tag.
func tagged(t *testing.T, r *release) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, repository := range []string{functionName, controllerName, configurationRepository("claim"), configurationRepository("namespaced")} {
		found, err := remote.Head(reference(t, r, repository))
		require.NoError(t, err)
		out[repository] = found.Digest.String()
	}
	return out
}

// assertSBOM finds the SBOM as a scanner does: by what refers to the manifest.
func assertSBOM(t *testing.T, r *release, p program, image v1.Descriptor) {
	t.Helper()
	repository := reference(t, r, p.image).Context()
	referrers, err := remote.Referrers(repository.Digest(image.Digest.String()))
	require.NoError(t, err)
	list, err := referrers.IndexManifest()
	require.NoError(t, err)
	require.Len(t, list.Manifests, 1)
	assert.Equal(t, "application/vnd.cyclonedx+json", list.Manifests[0].ArtifactType)
	found, err := remote.Image(repository.Digest(list.Manifests[0].Digest.String()))
	require.NoError(t, err)
	manifest, err := found.Manifest()
	require.NoError(t, err)
	require.NotNil(t, manifest.Subject)
	assert.Equal(t, image.Digest, manifest.Subject.Digest)
	require.Len(t, manifest.Layers, 1)
	layer, err := remote.Layer(repository.Digest(manifest.Layers[0].Digest.String()))
	require.NoError(t, err)
	stream, err := layer.Compressed()
	require.NoError(t, err)
	want, err := r.sbom(p, image.Platform.Architecture)
	require.NoError(t, err)
	got, err := io.ReadAll(stream)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got))
}

// assertFunctionExists pulls the image that the Jobs of a configuration run.
func assertFunctionExists(t *testing.T, r *release, configuration v1.Image) {
	t.Helper()
	composition := objectsOf(t, configuration)[2]
	step := at(t, composition, "spec", "pipeline").([]any)[0].(map[string]any)
	named := step["input"].(map[string]any)["image"].(string)
	tag, digest, found := strings.Cut(named, "@")
	require.True(t, found, named)
	assert.Equal(t, reference(t, r, functionName).String(), tag)
	reference, err := name.ParseReference(named)
	require.NoError(t, err)
	assert.Equal(t, digest, reference.Identifier())
	image, err := remote.Index(reference)
	require.NoError(t, err)
	require.NoError(t, validate.Index(image))
}

func TestPushFails(t *testing.T) {
	for _, c := range []struct {
		reason string
		status int
		want   []string
	}{
		{"nobody is logged in", http.StatusUnauthorized, []string{"401 Unauthorized"}},
		{"not allowed", http.StatusForbidden, []string{"403 Forbidden"}},
		{"the registry is broken", http.StatusInternalServerError, []string{"500 Internal Server Error"}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
				if request.URL.Path == "/v2/" {
					return // it is a registry
				}
				w.WriteHeader(c.status)
			}))
			t.Cleanup(server.Close)
			r := newVersion(t, strings.TrimPrefix(server.URL, "http://"), "v0.1.0")
			err := r.push(remote.WithRetryBackoff(remote.Backoff{Steps: 1}))
			require.ErrorContains(t, err, `cannot push "`+r.repository(functionName)+`:v0.1.0"`)
			for _, text := range c.want {
				assert.ErrorContains(t, err, text)
			}
		})
	}
}

// TestPushOrder fails at the controller: no configuration is there then that
// somebody could install.
func TestPushOrder(t *testing.T) {
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if strings.Contains(request.URL.Path, controllerName) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		inner.ServeHTTP(w, request)
	}))
	t.Cleanup(server.Close)
	r := newVersion(t, strings.TrimPrefix(server.URL, "http://"), "v0.1.0")
	require.ErrorContains(t, r.push(), `cannot push "`+r.repository(controllerName)+`:v0.1.0"`)
	_, err := remote.Head(reference(t, r, functionName))
	require.NoError(t, err)
	for _, flavour := range flavours() {
		_, err := remote.Head(reference(t, r, configurationRepository(flavour)))
		require.ErrorContains(t, err, "404", flavour)
	}
}
