package archive

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// writeDenied writes a run in a process whose system calls fail as told.
func (f *fixture) writeDenied(run string, calls map[int]int) RunInfo {
	f.t.Helper()
	args := childArgs{Volume: f.root, Files: f.files, Databases: f.opts.Databases, Run: run, Recipients: f.opts.Recipients, Workers: 2, Deny: calls}
	out, err := childCommand(f.t, args).CombinedOutput()
	require.NoError(f.t, err, "%s", out)
	info, err := f.volume.find(f.t.Context(), run)
	require.NoError(f.t, err)
	return info
}

func TestVolumeWithoutLinks(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	require.NoError(t, os.Symlink("../target", filepath.Join(f.files, "link")))
	require.NoError(t, os.Chmod(filepath.Join(f.files, "tenant-002/empty"), 0o640))
	first := f.writeDenied("r1", linklessVolume()).Manifest
	assert.True(t, first.LinksOmitted)
	assert.Equal(t, []string{
		"volume cannot hold symlinks: 1 symlinks of the file storage are in MTREE only",
		"volume cannot hold symlinks: the file LATEST names the newest run, and APIManagerRestore cannot read the volume",
	}, first.Warnings)
	assert.Equal(t, []string{"LATEST", "runs", "trees"}, ls(t, f.root))
	assert.Equal(t, "r1\n", f.read("LATEST"))
	pointed, err := f.volume.Pointed(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "r1", pointed.ID)
	assert.Len(t, f.verify("r1").Warnings, 2, "modes and times are not those of MTREE")

	second := f.writeDenied("r2", linklessVolume()).Manifest
	assert.Equal(t, first.Tree, second.Tree)
	assert.Equal(t, "r2\n", f.read("LATEST"))
	f.add("more", "more")
	third := f.writeDenied("r3", linklessVolume()).Manifest
	assert.Zero(t, third.Totals.LinkedFiles)
	assert.Contains(t, third.Warnings, "volume cannot hold hard links: unchanged files are stored once for each run")
	assert.Equal(t, "r3", f.verify(Latest).Run)

	r, err := f.volume.OpenRun(t.Context(), Latest)
	require.NoError(t, err)
	entries := make(map[string]Entry)
	for _, e := range entriesOf(t, r) {
		entries[e.Path] = e
	}
	assert.Equal(t, "../target", entries["link"].Link, "the target of a symlink is read from MTREE")
	assert.Equal(t, uint32(0o640), entries["tenant-002/empty"].Mode, "and so is a mode")
	assert.True(t, entries["more"].ModTime.Equal(epoch()), "and a time")
	assert.Len(t, restore(t, r), 5)
	require.NoError(t, r.Close())

	require.NoError(t, os.Remove(f.path("trees", third.Tree, "files/more")))
	assert.Len(t, f.report("r3").Problems, 1, "only symlinks may be absent")
	f.remove("r3")
	assert.Equal(t, []string{"apimanager", "configmaps", "latest", "runs", "secrets", "system-filestorage-pvc", "trees"}, ls(t, f.root), "a volume that got symlinks gets its links")
}

func TestDumpsOnAVolumeWithoutLinks(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.dumpSome("monday")
	f.writeDenied("r1", linklessVolume())
	f.dumpSome("tuesday")
	want := filesBelow(t, f.opts.Databases)
	second := f.writeDenied("r2", linklessVolume()).Manifest
	assert.Equal(t, []string{
		"volume cannot hold hard links: unchanged files are stored once for each run",
		"volume cannot hold symlinks: the file LATEST names the newest run, and APIManagerRestore cannot read the volume",
	}, second.Warnings, "once, though both trees meet with it")
	assert.Zero(t, second.Databases.Totals.LinkedFiles)
	f.verify("r1")
	f.verify("r2")
	assert.Equal(t, want, f.extract("r2", ExtractOptions{}))
	f.remove("r1")
	f.verify("r2")
	assert.Equal(t, want, f.extract("r2", ExtractOptions{}))
}

func TestVolumeThatLacksACall(t *testing.T) {
	cases := map[string]struct {
		reason   string
		deny     map[int]int
		warnings []string
	}{
		"NoLocks": {"Two writers are not noticed, which is said", map[int]int{unix.SYS_FLOCK: int(unix.ENOLCK)},
			[]string{"volume has no locks (no locks available): two writers at a time are not noticed"}},
		"NoLocksOnNFS": {"Two writers are not noticed, which is said", map[int]int{unix.SYS_FLOCK: int(unix.ENOTSUP)},
			[]string{"volume has no locks (operation not supported): two writers at a time are not noticed"}},
		"NoHardLinks": {"Unchanged files are copied, which is said", map[int]int{unix.SYS_LINKAT: int(unix.ENOTSUP)},
			[]string{"volume cannot hold hard links: unchanged files are stored once for each run"}},
		"NoModes":         {"MTREE has the modes", map[int]int{unix.SYS_FCHMOD: int(unix.EPERM), unix.SYS_FCHMODAT: int(unix.EPERM)}, nil},
		"NoExactTimes":    {"MTREE has the times", map[int]int{unix.SYS_UTIMENSAT: int(unix.EINVAL)}, nil},
		"NoDirectorySync": {"Some file systems cannot sync a directory", map[int]int{unix.SYS_FSYNC: int(unix.EINVAL)}, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			f.write("r1")
			f.add("more", "x")
			info := f.writeDenied("r2", tc.deny)
			assert.Equal(t, tc.warnings, info.Manifest.Warnings, tc.reason)
			f.verify("r1")
			f.verify("r2")
			assert.Len(t, restore(t, f.open("r2")), 5)
		})
	}
}

// mountFAT mounts a file system with few characters in names and no case, through FUSE. It loses what is in a
// directory that is renamed.
func mountFAT(t *testing.T) string {
	t.Helper()
	needRoot(t, "mounting a file system")
	needProgram(t, "fusefat", "fusefat")
	needProgram(t, "mkfs.vfat", "dosfstools")
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	shell(t, dir, "truncate", "-s", "64M", image)
	shell(t, dir, "mkfs.vfat", "-F", "32", image)
	shell(t, dir, "fusefat", "-o", "rw+", image, dir)
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// TestVolumeThatLosesWhatItRenames must not have a run reported as complete.
func TestVolumeThatLosesWhatItRenames(t *testing.T) {
	f := newFixtureOn(t, mountFAT(t))
	f.add("fine", "x")
	_, err := f.tryWrite("r1")
	require.ErrorContains(t, err, "volume loses what is in a directory when it is renamed")
}

func TestVolumeThatCannotHoldAName(t *testing.T) {
	cases := map[string]struct {
		reason string
		paths  []string
		want   string
	}{
		"Colon":     {"A name that cannot be stored fails the run", []string{"a:b"}, "a:b"},
		"NotUTF8":   {"So does one that is no text", []string{"a\xff"}, `a\xff`},
		"Case":      {"Two names that are one on the volume must not overwrite each other", []string{"README", "readme"}, "readme"},
		"Directory": {"So for directories", []string{"Dir/a", "dir/b"}, "dir"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixtureOn(t, mountFAT(t))
			f.add("fine", "x")
			for _, path := range tc.paths {
				f.add(path, path)
			}
			for range 2 {
				_, err := f.tryWrite("r1")
				require.Error(t, err, tc.reason)
				assert.Contains(t, err.Error(), tc.want, tc.reason)
			}
		})
	}
}
