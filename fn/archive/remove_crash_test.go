package archive

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestKilledWhileRemoving kills who removes several runs, at random points. After each kill the other runs are intact,
// and who goes on leaves nothing behind.
func TestKilledWhileRemoving(t *testing.T) {
	f := newFixture(t)
	random := rand.New(rand.NewPCG(2, 9))
	dataset{tenants: 3, files: 100, days: 20, size: 4000}.write(t, f.files)
	var going []string
	for i := range 6 {
		for j := range 30 {
			f.change("changing/"+itoa(j%7)+"/"+itoa(j), strings.Repeat("x", 1+i*100+j))
		}
		run := "r" + itoa(i)
		f.write(run)
		if i < 4 {
			going = append(going, run)
		}
	}
	killed := 0
	took := 100 * time.Millisecond
	for range 10 {
		copied := newFixture(t)
		shell(t, f.root, "cp", "-a", ".", copied.root)
		child := childProcess{childCommand(t, childArgs{Volume: copied.root, Remove: going})}
		if child.killAfter(t, time.Duration(random.Int64N(int64(took)))) {
			killed++
			took += took / 5
		} else {
			took -= took / 5
		}
		checkPruned(t, copied, going)
	}
	assert.NotZero(t, killed, "one was killed half-way at least once")
	t.Logf("%d of 10 were killed before they were done", killed)
}

// checkPruned proves that a volume whose removals were interrupted is in order, and that the next prune goes on.
func checkPruned(t *testing.T, f *fixture, going []string) {
	t.Helper()
	runs, err := f.volume.Runs(t.Context())
	require.NoError(t, err)
	var left []string
	for _, run := range runs {
		f.verify(run.ID)
		left = append(left, run.ID)
	}
	require.Subset(t, left, []string{"r4", "r5"}, "only what should go went")
	target, err := os.Readlink(f.path("latest"))
	require.NoError(t, err)
	assert.Equal(t, "runs/r5", target)
	f.freed(left...)
	out, err := childCommand(t, childArgs{Volume: f.root, Remove: append(going, "r4")}).CombinedOutput()
	require.NoError(t, err, "%s", out)
	f.verify("r5")
	assert.Equal(t, []string{"r5"}, ls(t, f.path("runs")), "nothing else is left")
	assert.Len(t, ls(t, f.path("trees")), 1)
}

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
