package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzDocuments: an object is what it was, in YAML or in JSON, alone or beside others.
func FuzzDocuments(f *testing.F) {
	examples, err := filepath.Glob("../../../examples/*/claim.yaml")
	require.NoError(f, err)
	require.NotEmpty(f, examples)
	for _, example := range examples {
		text, err := os.ReadFile(example)
		require.NoError(f, err)
		f.Add(text)
	}
	f.Add([]byte("a: 1\n---\n# nothing\n---\nb: {c: [1.50, 0x1f, 12345678901234567890, ~]}\n"))
	f.Add([]byte(`{"a": 1} {"b": "\u00e4\ud800"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		documents, err := splitDocuments(text)
		if err != nil {
			return
		}
		var both []byte
		for _, document := range documents {
			object, err := decodeDocument(document)
			if err != nil || object == nil {
				continue
			}
			encoded, err := json.Marshal(object.Object)
			require.NoError(t, err)
			both = slices.Concat(encoded, []byte("\n"), encoded)
			again, err := splitDocuments(both)
			require.NoError(t, err)
			require.Len(t, again, 2)
			for _, one := range again {
				decoded, err := decodeDocument(one)
				require.NoError(t, err)
				assert.Equal(t, object, decoded)
			}
		}
	})
}
