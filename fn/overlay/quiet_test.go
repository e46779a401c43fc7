package overlay

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestQuiet: of all that is committed, only the mail account is another, and it
// keeps its keys: porta's pods refer to them.
func TestQuiet(t *testing.T) {
	loud, err := Build(input())
	require.NoError(t, err)
	in := input()
	in.Quiet = true
	quiet, err := Build(in)
	require.NoError(t, err)
	mail := Key{"Secret", "system-smtp"}
	require.Contains(t, quiet.Objects, mail)
	for key, object := range quiet.Objects {
		if key != mail {
			assert.Equal(t, loud.Objects[key], object, "%s", key)
			continue
		}
		was, _ := loud.Objects[key].Object["data"].(map[string]any)
		data, _ := object.Object["data"].(map[string]any)
		require.NotEmpty(t, was["address"])
		for name := range was {
			assert.Empty(t, data[name], "system-smtp data.%s", name)
		}
		assert.Len(t, data, len(was))
	}
	assert.NotEmpty(t, find(t, in.Objects, "Secret", "system-smtp").Object["data"].(map[string]any)["address"], "the input is not changed")
}
