package archive

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReplacingATreeEndsBetweenItsRenames is for volumes that cannot exchange two names, such as NFS: a run that mends a
// tree ends when the old tree is hidden and the new one has not its name yet. Earlier runs still need the old one.
func TestReplacingATreeEndsBetweenItsRenames(t *testing.T) {
	for next, do := range map[string]func(f *fixture){
		"SameRun":    func(f *fixture) { f.write("r2") },
		"AnotherRun": func(f *fixture) { f.write("r3") },
		"Removal":    func(f *fixture) { f.remove("r0") },
	} {
		t.Run(next, func(t *testing.T) {
			f := newFixture(t)
			f.write("r0")
			f.addSome()
			f.opts.ProveLinks = true
			first := f.write("r1")
			f.write("r2")
			require.NoError(t, os.Rename(f.path("runs/r2"), f.path("runs/.partial-r2")))
			shell(t, f.path("trees"), "cp", "-a", first.Manifest.Tree, ".partial-r2")
			require.NoError(t, os.Rename(f.path("trees", first.Manifest.Tree), f.path("trees/.removed-"+first.Manifest.Tree)))
			f.add("tenant-002/.htaccess", "allow") // what it was is in the backup only
			do(f)
			f.verify("r1")
		})
	}
}

// TestReplacingATreeThatFailsKeepsTheOldOne has the second rename fail, as for want of space or of a server.
func TestReplacingATreeThatFailsKeepsTheOldOne(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	first := f.write("r1")
	opts := f.opts
	opts.Run = "r2"
	w, err := newWriter(f.volume, opts)
	require.NoError(t, err)
	require.NoError(t, w.open())
	defer w.close()
	require.ErrorIs(t, w.replaceInSteps(t.Context(), first.Manifest.Tree), os.ErrNotExist, "there is no partial tree")
	f.verify("r1")
}

// TestATreeThatIsReadIsNotTakenAway lets a run that proves its links come back to the tree of a run that is read.
func TestATreeThatIsReadIsNotTakenAway(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	first := f.write("r1")
	root, err := os.Stat(f.files)
	require.NoError(t, err)
	f.add("changing", "x")
	f.write("r2")
	r, err := f.volume.OpenRun("r1")
	require.NoError(t, err)
	defer r.Close()
	require.NoError(t, os.Remove(filepath.Join(f.files, "changing")))
	require.NoError(t, os.Chtimes(f.files, root.ModTime(), root.ModTime()))
	f.opts.ProveLinks = true
	assert.Equal(t, first.Manifest.Tree, f.write("r3").Manifest.Tree)
	assert.Len(t, restore(t, r), 4)
}

// TestATreeThatWasToBeSharedIsRemoved has another writer remove runs where there are no locks to keep it from that.
func TestATreeThatWasToBeSharedIsRemoved(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	first := f.write("r1")
	f.opts.Progress = func(p Progress) {
		if p.Phase == PhaseSync {
			require.NoError(t, os.RemoveAll(f.path("runs/r1")))
			require.NoError(t, os.RemoveAll(f.path("trees", first.Manifest.Tree)))
		}
	}
	_, err := f.tryWrite("r2")
	require.ErrorContains(t, err, "was removed by another writer")
	f.opts.Progress = nil
	f.write("r2")
	f.verify("r2")
}
