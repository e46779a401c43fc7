package archive

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// mountTmpfs mounts a file system of a limited size.
func mountTmpfs(t *testing.T, options string) string {
	t.Helper()
	needRoot(t, "mounting a file system")
	dir := t.TempDir()
	require.NoError(t, unix.Mount("none", dir, "tmpfs", 0, options))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

func TestFullDiskIsForeseen(t *testing.T) {
	cases := map[string]struct {
		reason  string
		options string
		files   int
		size    int
		want    func(*NoSpaceError) bool
	}{
		"Bytes":  {"Sizes are added up before the first is copied", "size=2m", 3, 1 << 20, func(e *NoSpaceError) bool { return e.NeededBytes > 3<<20 && e.AvailableBytes < 2<<20 }},
		"Blocks": {"A file takes whole blocks", "size=2m", 1000, 1, func(e *NoSpaceError) bool { return e.NeededBytes > 1000*4096 }},
		"Inodes": {"Files are counted before the first is copied", "size=64m,nr_inodes=200", 300, 1, func(e *NoSpaceError) bool { return e.NeededInodes > 300 && e.AvailableInodes < 200 }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixtureOn(t, mountTmpfs(t, tc.options))
			f.addSome()
			f.write("r1")
			for i := range tc.files {
				f.add("big"+itoa(i), strings.Repeat("x", tc.size))
			}
			_, err := f.tryWrite("r2")
			var full *NoSpaceError
			require.ErrorAs(t, err, &full, tc.reason)
			assert.True(t, tc.want(full), "%s: %+v", tc.reason, full)
			require.NoError(t, full.Err)
			f.verify("r1")
			assert.Empty(t, ls(t, f.path("trees/.partial-r2/files")), "nothing was copied")
			shell(t, f.files, "sh", "-c", "rm big*")
			f.add("small", "x")
			f.write("r2")
			f.verify("r2")
		})
	}
}

func TestDumpsThatDoNotFitAreForeseen(t *testing.T) {
	f := newFixtureOn(t, mountTmpfs(t, "size=4m"))
	f.add("big", strings.Repeat("x", 1<<20))
	f.dumpSome("monday")
	f.write("r1")
	f.add("bigger", strings.Repeat("y", 1<<20))
	f.dumpSome("tuesday")
	f.dump("system-database/4000.dat", strings.Repeat("z", 2<<20))
	_, err := f.tryWrite("r2")
	var full *NoSpaceError
	require.ErrorAs(t, err, &full)
	assert.Greater(t, full.NeededBytes, uint64(3<<20), "what follows the file storage counts")
	assert.Empty(t, ls(t, f.path("trees/.partial-r2/files")), "nothing was copied")
	f.dumpSome("wednesday")
	f.write("r2")
	f.verify("r2")
	f.verify("r1")
}

func TestFullDiskInTheMiddle(t *testing.T) {
	f := newFixtureOn(t, mountTmpfs(t, "size=8m"))
	f.addSome()
	f.write("r1")
	for i := range 16 {
		f.add("big"+itoa(10+i), strings.Repeat("x", 256<<10))
	}
	filler := f.path("filler")
	f.opts.Progress = func(p Progress) {
		if p.Phase == PhaseFileStorage && p.FilesDone == 0 {
			require.NoError(t, os.WriteFile(filler, make([]byte, 6<<20), 0o644))
		}
	}
	_, err := f.tryWrite("r2")
	var full *NoSpaceError
	require.ErrorAs(t, err, &full)
	require.ErrorIs(t, err, unix.ENOSPC)
	assert.Contains(t, err.Error(), "big")
	f.verify("r1")
	f.opts.Progress = nil
	require.NoError(t, os.Remove(filler))
	f.write("r2")
	f.verify("r1")
	f.verify("r2")
}

func TestFullDiskUnchangedRunStillFits(t *testing.T) {
	f := newFixtureOn(t, mountTmpfs(t, "size=4m"))
	f.add("big", strings.Repeat("x", 3<<20))
	f.write("r1")
	assert.True(t, f.write("r2").TreeShared, "a shared tree needs no room")
	_ = os.WriteFile(f.path("filler"), make([]byte, 1<<20), 0o644) // as much of it as fits
	_, err := f.tryWrite("r3")
	var full *NoSpaceError
	require.ErrorAs(t, err, &full, "not even the objects fit")
	f.verify("r2")
}

// TestRemoveFromAFullVolume: who frees space cannot be asked to have some.
func TestRemoveFromAFullVolume(t *testing.T) {
	f := newFixtureOn(t, mountTmpfs(t, "size=4m"))
	f.add("big", strings.Repeat("x", 1<<20))
	f.write("r1")
	f.change("big", strings.Repeat("y", 1<<20))
	f.write("r2")
	_ = os.WriteFile(f.path("filler"), make([]byte, 4<<20), 0o644) // as much of it as fits
	for i := 0; os.WriteFile(f.path("drop"+itoa(i)), make([]byte, 1), 0o644) == nil; i++ {
		require.Less(t, i, 2000, "it never is full")
	}
	f.remove("r1")
	f.verify("r2")
	f.change("big", "z")
	f.write("r3")
	f.verify("r3")
}

func TestReadOnlyVolume(t *testing.T) {
	f := newFixtureOn(t, mountTmpfs(t, "size=4m"))
	f.addSome()
	f.write("r1")
	require.NoError(t, unix.Mount("", f.root, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	f.verify("r1")
	assert.Equal(t, wantFiles(), restore(t, f.open(Latest)))
	_, err := f.tryWrite("r2")
	require.ErrorIs(t, err, unix.EROFS)
}

func TestOtherFileSystems(t *testing.T) {
	for name, debian := range map[string]string{"ext4": "e2fsprogs", "xfs": "xfsprogs"} {
		t.Run(name, func(t *testing.T) {
			needRoot(t, "mounting a file system")
			needProgram(t, "mkfs."+name, debian)
			image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
			shell(t, dir, "truncate", "-s", "320M", image)
			shell(t, dir, "mkfs."+name, "-q", image)
			shell(t, dir, "mount", "-o", "loop", image, dir)
			t.Cleanup(func() { shell(t, "/", "umount", dir) })
			f := newFixtureOn(t, dir)
			typical(f)
			f.write("r1")
			f.add("more", "x")
			f.write("r2")
			f.verify("r1")
			f.verify("r2")
		})
	}
}
