package archive

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPointedInBucket: a newest run that cannot be read is told, so that nobody takes an older one for the newest.
func TestPointedInBucket(t *testing.T) {
	cases := map[string]struct {
		reason  string
		damaged map[string]string // manifests
		want    string            // empty: none
	}{
		"None":     {"All can be read", nil, ""},
		"Newest":   {"IDs begin with times", map[string]string{"r3": "{"}, "r3"},
		"Newer":    {"A newer version still has a sequence", map[string]string{"r1": `{"formatVersion": 9, "sequence": 9}`}, "r1"},
		"Older":    {"There is a newer one that is whole", map[string]string{"r2": "{"}, ""},
		"Several":  {"The newest of them", map[string]string{"r2": "{", "r3": ""}, "r3"},
		"All":      {"None is whole", map[string]string{"r1": "{", "r2": "{", "r3": "{"}, "r3"},
		"Foreign":  {"What has no manifest is no run", map[string]string{"r9/x": ""}, ""},
		"AnOlder1": {"A sequence that is lower is of an older one", map[string]string{"r1": `{"formatVersion": 9, "sequence": 1}`}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b := openBucket(t)
			threeRuns(t, b)
			for run, manifest := range tc.damaged {
				put(t, b, manifestPath(run), manifest)
			}
			got, err := b.Pointed(t.Context())
			require.NoError(t, err)
			if tc.want == "" {
				assert.Nil(t, got, tc.reason)
				return
			}
			require.NotNil(t, got, tc.reason)
			assert.Equal(t, tc.want, got.ID, tc.reason)
		})
	}
}
