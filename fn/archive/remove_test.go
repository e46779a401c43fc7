package archive

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func (f *fixture) remove(run string) *RemoveResult {
	f.t.Helper()
	result, err := f.volume.Remove(f.t.Context(), []string{run}, RemoveOptions{Holder: "test"})
	require.NoError(f.t, err)
	require.NoError(f.t, result.Err())
	return result
}

func TestRemoveKeepsSharedTrees(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	first := f.write("r1")
	f.write("r2")
	f.add("more", "x")
	third := f.write("r3")
	assert.Empty(t, f.remove("r1").Trees, "r2 has the same tree")
	f.verify("r2")
	assert.Equal(t, []string{first.Manifest.Tree}, f.remove("r2").Trees)
	f.verify("r3")
	assert.Equal(t, "a logo", f.read("trees", third.Manifest.Tree, "files/tenant-001/2026/01/02/logo-0123456789abcdef.png"), "a file that was linked is still there")
	assert.Equal(t, []string{third.Manifest.Tree}, ls(t, f.path("trees")))
	assert.Equal(t, []string{"r3"}, ls(t, f.path("runs")))
}

func TestRemoveMovesLatest(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	f.opts.Recipients = []string{identity(t).Recipient().String()}
	f.write("r2")
	assert.NoFileExists(t, f.path("secrets"))
	f.remove("r2")
	target, err := os.Readlink(f.path("latest"))
	require.NoError(t, err)
	assert.Equal(t, "runs/r1", target)
	assert.FileExists(t, f.path("secrets/system-app.json"), "the newest run is in plaintext again")
	f.remove("r1")
	assert.Equal(t, []string{"runs", "trees"}, ls(t, f.root), "links to nothing are removed")
}

func TestRemoveWithUnknownTree(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	first := f.write("r1")
	f.add("more", "x")
	f.write("r2")
	flip(t, f.path("runs/r2/manifest.json"))
	result := f.remove("r1")
	assert.Equal(t, []string{first.Manifest.Tree}, result.Trees, "the link of the damaged run tells its tree")

	f.add("most", "x")
	third := f.write("r3")
	require.NoError(t, os.Remove(f.path("runs/r2/system-filestorage-pvc")))
	result = f.remove("r3")
	assert.Empty(t, result.Trees)
	require.Len(t, result.Warnings, 1, "no tree is removed that the damaged run may need")
	assert.Contains(t, ls(t, f.path("trees")), third.Manifest.Tree)
	result = f.remove("r2")
	assert.Len(t, result.Trees, 2, "a damaged run can be removed, and then the rest can be told")
	assert.Empty(t, ls(t, f.path("trees")))
}

func TestRemoveBesideANewerFormat(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	first := f.write("r1")
	f.opts.Files = ""
	f.write("r2")
	replaceIn(t, f.path("runs/r2/manifest.json"), `"formatVersion": 2`, `"formatVersion": 4`)
	result := f.remove("r1")
	assert.Len(t, result.Warnings, 1, "nobody knows what a run of a newer format refers to")
	assert.Contains(t, ls(t, f.path("trees")), first.Manifest.Tree)
}

func TestRemoveUsage(t *testing.T) {
	f := newFixture(t)
	f.write("r1")
	var usage *UsageError
	for _, run := range []string{Latest, UnverifiedRun, "", "../r1", ".partial-r1"} {
		_, err := f.volume.Remove(t.Context(), []string{run}, RemoveOptions{})
		require.ErrorAs(t, err, &usage, "%q", run)
	}
	require.ErrorIs(t, f.tryRemove("r2"), ErrRunNotFound)
	f.verify("r1")
}

func TestRemoveReadOnlyDirectories(t *testing.T) {
	f := newFixture(t)
	f.add("d/e/file", "x")
	for _, dir := range []string{"d/e", "d"} {
		require.NoError(t, os.Chmod(f.files+"/"+dir, 0o555))
	}
	t.Cleanup(func() { openTree(t, f.files) })
	f.write("r1")
	f.remove("r1")
	assert.Empty(t, ls(t, f.path("trees")))
}

// openTree lets the test's cleanup remove a tree.
func openTree(t *testing.T, root string) {
	t.Helper()
	shell(t, root, "chmod", "-R", "u+rwx", ".")
}
