package archive

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
)

func FuzzDecodeManifest(f *testing.F) {
	for _, name := range []string{"manifest.json", "manifest-databases.json"} {
		data, err := os.ReadFile("testdata/" + name)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Add([]byte(`{"formatVersion": 4}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeManifest(data)
		if err != nil {
			return
		}
		encoded, err := encodeManifest(m)
		require.NoError(t, err)
		again, err := decodeManifest(encoded)
		require.NoError(t, err)
		once, err := encodeManifest(again)
		require.NoError(t, err)
		assert.Equal(t, string(encoded), string(once))
	})
}

// FuzzReadRunSums: who reads the list of a run gets the paths of objects, each once, and no error only for the list whose
// digest the manifest has.
func FuzzReadRunSums(f *testing.F) {
	digest := dirfd.DigestOf([]byte("x"))
	f.Add([]byte(digest + "  secrets/a.json\n" + digest + "  configmaps/b.json.age\n"))
	f.Add([]byte(digest + "  secrets/a.json\n" + digest + "  secrets/a.json\n"))
	f.Add([]byte(digest + "  ../a.json\n"))
	f.Add([]byte("\\" + digest + "  secrets/a\\nb\n"))
	path := filepath.Join(f.TempDir(), lists.SumsName)
	f.Fuzz(func(t *testing.T, data []byte) {
		require.NoError(t, os.WriteFile(path, data, 0o600))
		run, err := dirfd.Open(filepath.Dir(path))
		require.NoError(t, err)
		defer run.Close()
		m := &Manifest{Totals: Totals{Objects: 3}, Digests: Digests{Objects: dirfd.DigestOf(data)}}
		list, err := readRunSums(run, m)
		seen := make(map[string]bool)
		for _, sum := range list {
			require.False(t, seen[sum.Path], "%q is listed twice", sum.Path)
			require.True(t, filepath.IsLocal(sum.Path))
			require.True(t, lists.IsDigest(sum.SHA256))
			seen[sum.Path] = true
		}
		require.LessOrEqual(t, len(list), 3)
		m.Digests.Objects = digest
		_, other := readRunSums(run, m)
		require.Error(t, other, "another list: %v", err)
	})
}
