package archive

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
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
	for name, denied := range exchanges() {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			first := f.write("r1")
			out, err := childCommand(t, childArgs{Volume: f.root, Run: "r2", Replace: first.Manifest.Tree, Deny: denied}).CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(out), "no such file or directory", "there is no partial tree")
			f.verify("r1")
			assert.Equal(t, []string{first.Manifest.Tree}, ls(t, f.path("trees")))
		})
	}
}

// TestReplacingATree mends a tree on volumes that can exchange two names, and on those that cannot.
func TestReplacingATree(t *testing.T) {
	for name, denied := range exchanges() {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			first := f.write("r1")
			flip(t, f.stored(first, aFile))
			out, err := childCommand(t, childArgs{Volume: f.root, Files: f.files, Run: "r2", ProveLinks: true, Deny: denied}).CombinedOutput()
			require.NoError(t, err, "%s", out)
			f.verify("r1")
			f.verify("r2")
			assert.Equal(t, []string{first.Manifest.Tree}, ls(t, f.path("trees")))
		})
	}
}

// exchanges are the ways in which volumes answer to the exchange of two names.
func exchanges() map[string]map[int]int {
	return map[string]map[int]int{
		"Can":          nil,
		"Invalid":      {unix.SYS_RENAMEAT2: int(unix.EINVAL)}, // NFS, and others without the flag
		"NotThere":     {unix.SYS_RENAMEAT2: int(unix.ENOSYS)},
		"NotSupported": {unix.SYS_RENAMEAT2: int(unix.ENOTSUP)},
		"NotPermitted": {unix.SYS_RENAMEAT2: int(unix.EPERM)},
	}
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
	r, err := f.volume.OpenRun(t.Context(), "r1")
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
