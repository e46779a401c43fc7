package peers

import (
	"os"
	"path/filepath"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRecipes(t *testing.T) {
	require.True(t, sort.StringsAreSorted(Names()))
	for _, name := range Names() {
		folder, err := sourceFolder(t.Context(), recipes()[name].folder)
		require.NoError(t, err)
		require.FileExists(t, filepath.Join(folder, "go.sum"), "%s should be pinned", name)
	}
	for peer := range modules() {
		folder, err := sourceFolder(t.Context(), peer)
		require.NoError(t, err)
		require.FileExists(t, filepath.Join(folder, "go.sum"), "%s should be pinned", peer)
	}
}

// TestFrontEndIsOfItsEngine keeps the two from speaking different messages.
func TestFrontEndIsOfItsEngine(t *testing.T) {
	for _, name := range []string{"crossplane", "crossplane-render"} {
		folder, err := sourceFolder(t.Context(), recipes()[name].folder)
		require.NoError(t, err)
		module, err := os.ReadFile(filepath.Join(folder, "go.mod"))
		require.NoError(t, err)
		require.Contains(t, string(module), "github.com/crossplane/crossplane/v2 "+recipes()["crossplane"].version, name)
	}
}

func TestUnknownPeer(t *testing.T) {
	_, err := Binary(t.Context(), "unknown")
	require.ErrorContains(t, err, `cannot build peer "unknown"`)
	_, err = ModuleDir(t.Context(), "unknown")
	require.ErrorContains(t, err, `cannot find module of peer "unknown"`)
}

func TestCachePath(t *testing.T) {
	t.Setenv(cacheVariable, t.TempDir())
	folder := t.TempDir()
	path := func(r recipe) string {
		p, err := cachePath(folder, "peer", r)
		require.NoError(t, err)
		return p
	}
	plain := recipe{folder: "peer", version: "v1.0.0", pkg: "."}
	first := path(plain)
	require.Equal(t, first, path(plain), "the same inputs should be built once")
	require.NotEqual(t, first, path(recipe{folder: "peer", version: "v1.0.0", pkg: ".", variables: []string{"a=b"}}), "other flags should be built again")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "go.sum"), []byte("changed"), 0o600))
	require.NotEqual(t, first, path(plain), "other sources should be built again")
}
