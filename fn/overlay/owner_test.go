package overlay

import (
	"path"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCheckOwner(t *testing.T) {
	tree, err := Build(input())
	require.NoError(t, err)
	base, kustomized := path.Join(BaseDir("dr"), kustomizationFile), path.Join(Dir("dr"), kustomizationFile)
	ours := kustomizationsOf(tree)
	cases := map[string]struct {
		reason    string
		previous  map[string][]byte
		namespace string
		want      error
	}{
		"nothing there":     {"the first restore", nil, "3scale", nil},
		"our own":           {"the restore runs again", ours, "3scale", nil},
		"another namespace": {"two restores of one name would take turns in overwriting each other", ours, "other", &TakenError{Path: kustomized, Namespace: "3scale"}},
		"foreign base":      {"a folder of the user's own", map[string][]byte{base: []byte("resources: [mine.yaml]\n")}, "3scale", &TakenError{Path: base}},
		"foreign overlay":   {"ours was edited so that it no longer says it is ours", map[string][]byte{base: ours[base], kustomized: []byte("namespace: 3scale\n")}, "3scale", &TakenError{Path: kustomized}},
		"no YAML":           {"what cannot be read is not ours", map[string][]byte{kustomized: []byte(header + "{")}, "3scale", &TakenError{Path: kustomized}},
		"others beside":     {"only the two folders are looked at", map[string][]byte{"base/other/kustomization.yaml": []byte("resources: []\n")}, "3scale", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := CheckOwner(c.previous, "dr", c.namespace)
			if c.want == nil {
				assert.NoError(t, err, c.reason)
				return
			}
			assert.Equal(t, c.want, err, c.reason)
			assert.Contains(t, err.Error(), "rename")
		})
	}
}
