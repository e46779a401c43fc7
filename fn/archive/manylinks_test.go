package archive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/test/disk"
)

// TestManyLinks: a file in more runs than the file system can link is stored anew, and that is linked from then on.
func TestManyLinks(t *testing.T) {
	needRoot(t, "mounting a file system")
	needProgram(t, "mkfs.ext4", "e2fsprogs")
	f := newFixtureOn(t, disk.Image(t, "ext4", 256<<20))
	f.addSome()
	first := f.write("r1")
	stored := f.stored(first, aFile)
	links := f.linkAll(stored)
	t.Logf("%d links to one file", links)
	require.Greater(t, links, 60_000, "the limit of the file system")

	f.add("changing", "1")
	second := f.write("r2")
	assert.Equal(t, []string{"1 unchanged files could not be linked to the earlier tree and were copied"}, second.Manifest.Warnings)
	assert.Equal(t, int64(3), second.Manifest.Totals.LinkedFiles)
	assert.NotEqual(t, inode(t, stored), inode(t, f.stored(second, aFile)))

	f.add("changing", "12")
	third := f.write("r3")
	assert.Empty(t, third.Manifest.Warnings)
	assert.Equal(t, int64(4), third.Manifest.Totals.LinkedFiles)
	assert.Equal(t, inode(t, f.stored(second, aFile)), inode(t, f.stored(third, aFile)))

	flip(t, stored)
	f.opts.ProveLinks = true
	f.write("r4")
	mended, err := f.volume.Mend(t.Context(), "r4", "test")
	require.NoError(t, err)
	assert.Equal(t, int64(1), mended.Files, "the good copy takes the place of the damaged one")
	for _, run := range []string{"r1", "r2", "r3", "r4"} {
		f.verify(run)
	}
	f.remove("r1")
	f.verify("r2")
}

// linkAll links a file of the volume until there can be no more, outside of all trees, and returns the number of its
// links.
func (f *fixture) linkAll(stored string) int {
	f.t.Helper()
	dir := f.path("links")
	require.NoError(f.t, os.Mkdir(dir, 0o700))
	for links := 2; ; links++ {
		err := os.Link(stored, filepath.Join(dir, fmt.Sprint(links)))
		if errors.Is(err, unix.EMLINK) {
			return links - 1
		}
		require.NoError(f.t, err)
	}
}

// TestManyNames: the names of one file of the source are files of their own in a run, so that the source may have more
// than the volume could link.
func TestManyNames(t *testing.T) {
	names, volume, source := 300, t.TempDir(), t.TempDir()
	if proving() {
		names = 66_000
		source = disk.Image(t, "xfs", 1<<30)
		volume = disk.Image(t, "ext4", 2<<30, "-O", "inline_data", "-I", "256", "-N", "400000")
	}
	f := newFixtureOn(t, volume)
	f.files, f.opts.Files = source, source
	f.add("name-0", "content")
	for i := range names - 1 {
		require.NoError(t, os.Link(filepath.Join(source, "name-0"), filepath.Join(source, fmt.Sprintf("name-%d", i+1))))
	}
	f.touch(".")
	first := f.write("r1")
	assert.EqualValues(t, names, first.Manifest.Totals.Files)
	assert.NotEqual(t, inode(t, f.stored(first, "name-0")), inode(t, f.stored(first, "name-1")))
	f.add("more", "more")
	second := f.write("r2")
	assert.EqualValues(t, names, second.Manifest.Totals.LinkedFiles)
	assert.Empty(t, second.Manifest.Warnings)
	assert.Equal(t, inode(t, f.stored(first, "name-1")), inode(t, f.stored(second, "name-1")))
	f.verify("r1")
	f.verify("r2")
	r, err := f.volume.OpenRun(t.Context(), "r2")
	require.NoError(t, err)
	result, err := r.Restore(t.Context(), target(t), RestoreOptions{Existing: Fail, Workers: 2})
	require.NoError(t, err)
	assert.EqualValues(t, names+1, result.WrittenFiles)
	require.NoError(t, r.Close())
	t.Logf("%d names of one file", names)
}
