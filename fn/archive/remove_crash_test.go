package archive

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRemovingEndsAtEveryStep lets the removal of r1 end between any two of its steps. The next removal of another run
// clears what is left, and so does the next run.
func TestRemovingEndsAtEveryStep(t *testing.T) {
	cases := map[string]struct {
		reason string
		do     func(f *fixture, tree string)
	}{
		"RunHidden": {"The run has no name any more, its tree is there", func(f *fixture, _ string) {
			require.NoError(f.t, os.Rename(f.path("runs/r1"), f.path("runs/.removed-r1")))
		}},
		"TreeHidden": {"And its tree has none", func(f *fixture, tree string) {
			require.NoError(f.t, os.Rename(f.path("runs/r1"), f.path("runs/.removed-r1")))
			require.NoError(f.t, os.Rename(f.path("trees", tree), f.path("trees/.removed-"+tree)))
		}},
		"TreeInPart": {"And is there in part", func(f *fixture, tree string) {
			require.NoError(f.t, os.Rename(f.path("runs/r1"), f.path("runs/.removed-r1")))
			require.NoError(f.t, os.Rename(f.path("trees", tree), f.path("trees/.removed-"+tree)))
			require.NoError(f.t, os.Remove(f.path("trees/.removed-"+tree, "MTREE")))
		}},
		"RunInPart": {"The tree is gone, the run is there in part", func(f *fixture, tree string) {
			require.NoError(f.t, os.Rename(f.path("runs/r1"), f.path("runs/.removed-r1")))
			require.NoError(f.t, os.RemoveAll(f.path("trees", tree)))
			require.NoError(f.t, os.Remove(f.path("runs/.removed-r1/manifest.json")))
		}},
	}
	for name, tc := range cases {
		for next, do := range map[string]func(f *fixture) []string{
			"Remove": func(f *fixture) []string { f.remove("r2"); return []string{"r3"} },
			"Write":  func(f *fixture) []string { f.write("r4"); return []string{"r2", "r3", "r4"} },
		} {
			t.Run(name+"Then"+next, func(t *testing.T) {
				f := newFixture(t)
				f.addSome()
				tree := f.write("r1").Manifest.Tree
				for _, run := range []string{"r2", "r3"} {
					f.change("changed", "by "+run+strings.Repeat("!", len(ls(t, f.path("runs")))))
					f.write(run)
				}
				tc.do(f, tree)
				f.verify("r2")
				f.verify("r3")
				want := do(f)
				assert.Equal(t, want, ls(t, f.path("runs")), tc.reason)
				trees := make(map[string]bool)
				for _, run := range want {
					trees[f.verify(run).tree(f)] = true
				}
				assert.Len(t, ls(t, f.path("trees")), len(trees), tc.reason)
			})
		}
	}
}
