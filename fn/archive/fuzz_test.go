package archive

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
