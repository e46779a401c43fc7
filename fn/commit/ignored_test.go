package commit

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
)

func TestIgnored(t *testing.T) {
	const secret, built = "apps/base/dr/secret-zync.yaml", "apps/overlays/dr/kustomization.yaml"
	text := func(s string) *string { return &s }
	cases := map[string]struct {
		reason, file, ignore string
		spec                 *string
		want                 string
	}{
		"nothing":         {"as most repositories are", "", "", nil, ""},
		"root":            {"a file at the root speaks for all below", ".sourceignore", "/apps/overlays\n", nil, built},
		"nested":          {"one below speaks for its folder", "apps/base/.sourceignore", "secret-*\n", nil, secret},
		"beside":          {"and for no other", "clusters/.sourceignore", "*\n", nil, ""},
		"all but":         {"a later pattern takes back an earlier one", ".sourceignore", "/*\n!/apps\n", nil, ""},
		"spec":            {"the GitRepository's owner says so", "", "", text("base/"), secret},
		"spec and files":  {"with spec.ignore, Flux reads .sourceignore too", ".sourceignore", "secret-*.yaml\n", text("/clusters"), secret},
		"spec over files": {"of which spec.ignore takes back what it names", ".sourceignore", "/apps\n", text("!/apps"), ""},
		"defaults":        {"the defaults count only where nobody says anything", ".sourceignore", "/clusters\n", nil, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			files := fstest.MapFS{"README.md": {Data: []byte("x")}}
			if c.file != "" {
				files[c.file] = &fstest.MapFile{Data: []byte(c.ignore)}
			}
			assert.Equal(t, c.want, ignored(files, c.spec, secret, built), c.reason)
		})
	}
}
