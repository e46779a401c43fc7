package archive

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// FuzzRunIDs: an ID of a run, which anybody who writes to a volume or a bucket can choose, is one name, and none of ours.
func FuzzRunIDs(f *testing.F) {
	for _, id := range []string{"20261122t020000z-1a2b3c4d", "trigger-1a2b3c4d5e6f", "..", ".partial-x", "-x", "LATEST", "apimanagerbackup", "a/b", "a\x00", strings.Repeat("x", 129)} {
		f.Add(id)
	}
	one := regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\z`)
	f.Fuzz(func(t *testing.T, id string) {
		want := one.MatchString(id) && !strings.EqualFold(id, "latest") && id != "apimanagerbackup"
		assert.Equal(t, want, validRunID(id) == nil)
		if !want {
			return
		}
		assert.False(t, isLeftover(id))
		assert.True(t, isLeftover(partialPrefix+id) && isLeftover(removedPrefix+id))
		if !strings.Contains(id, ".") {
			for _, name := range []string{asidePrefix + id, asidePrefix + id + ".2", asidePrefix + id + ".13"} {
				assert.Equal(t, id, asideRun(name))
			}
		}
		of, ok := runOf(runsDir + "/" + id + "/" + manifestName)
		assert.True(t, ok)
		assert.Equal(t, id, of)
	})
}
