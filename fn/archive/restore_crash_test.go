package archive

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestRestoreKilledAtEveryStep goes back from a finished restore to what is there at a step.
func TestRestoreKilledAtEveryStep(t *testing.T) {
	const marker, temporary = ".threescale-refill-r1", ".threescale-refill-0123456789abcdef-3.tmp"
	var content string
	cases := map[string]struct {
		reason string
		undo   func(t *testing.T, dir string)
		marked bool
	}{
		"MarkerIsWritten": {"There is nothing but the marker", func(t *testing.T, dir string) {
			shell(t, dir, "sh", "-c", "rm -rf ./*")
		}, true},
		"FirstFile": {"A file is being written", func(t *testing.T, dir string) {
			shell(t, dir, "sh", "-c", "rm -rf ./*; mkdir -m 0700 tenant-001; printf '<ht' > tenant-001/"+temporary)
		}, true},
		"Half": {"Some files are there, some are not", func(t *testing.T, dir string) {
			shell(t, dir, "sh", "-c", "rm -rf tenant-002; touch tenant-001; chmod 0700 tenant-001")
		}, true},
		"PowerCut": {"A file has its name, and not its content", func(t *testing.T, dir string) {
			shell(t, dir, "sh", "-c", ": > tenant-002/.htaccess; printf garbag > tenant-001/2026/01/02/logo-0123456789abcdef.png")
		}, true},
		"DirectoriesOpen": {"No directory has its mode and time yet", func(t *testing.T, dir string) {
			shell(t, dir, "sh", "-c", "find . -mindepth 1 -type d -exec chmod 0700 {} + -exec touch {} +")
		}, true},
		"Synced":       {"All is there, and the marker", func(*testing.T, string) {}, true},
		"MarkerIsGone": {"Only the root has not its time", func(t *testing.T, dir string) { shell(t, dir, "touch", ".") }, false},
	}
	f := newFixture(t)
	f.addSome()
	f.touch(".")
	f.write("r1")
	dir := target(t)
	interruptRestore(t, f, dir, 1)
	data, err := os.ReadFile(filepath.Join(dir, marker))
	require.NoError(t, err)
	content = string(data)
	for name, tc := range cases {
		for _, existing := range []Existing{Fail, Overwrite, Mirror, Skip} {
			t.Run(name+string(existing), func(t *testing.T) {
				t.Parallel()
				f, dir := f.in(t), target(t)
				f.restoreTo(dir, "r1", Fail)
				tc.undo(t, dir)
				if tc.marked {
					require.NoError(t, os.WriteFile(filepath.Join(dir, marker), []byte(content), 0o600))
					assert.Equal(t, Comparison{Empty: name == "MarkerIsWritten", Interrupted: true}, f.compare(dir, "r1"), tc.reason)
				}
				result := f.restoreTo(dir, "r1", existing)
				if existing == Skip && !tc.marked {
					assert.True(t, result.Skipped, tc.reason)
					return
				}
				assertEqualTrees(t, f.files, dir)
			})
		}
	}
}

// TestRestoreKilledBeforeItsMarker leaves the marker half-written, and with it
// nothing that tells of a run.
func TestRestoreKilledBeforeItsMarker(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	for _, existing := range []Existing{Fail, Overwrite, Mirror, Skip} {
		t.Run(string(existing), func(t *testing.T) {
			dir := target(t)
			require.NoError(t, os.WriteFile(filepath.Join(dir, ".threescale-refill-0123456789abcdef-0.tmp"), []byte("The ref"), 0o600))
			assert.Equal(t, Comparison{Empty: true}, f.compare(dir, "r1"), "nothing of anybody else is there")
			result := f.restoreTo(dir, "r1", existing)
			assert.False(t, result.Skipped)
			assertEqualTrees(t, f.files, dir)
		})
	}
}

// interruptRestore restores a run and stops it after so many files.
func interruptRestore(t *testing.T, f *fixture, dir string, files int64) {
	t.Helper()
	ctx, cancel := contextWithCancel(t)
	_, err := f.open("r1").Restore(ctx, dir, RestoreOptions{Existing: Fail, Workers: 1, Progress: func(p Progress) {
		if p.Phase == PhaseFileStorage && p.FilesDone >= files {
			cancel()
		}
	}})
	require.ErrorIs(t, err, ctx.Err())
}

func TestRestoreInterruptedGoesOn(t *testing.T) {
	f := newFixture(t)
	for i := range 1000 {
		f.add("d"+itoa(i%7)+"/f"+itoa(i), "content "+itoa(i))
	}
	f.touch(".")
	f.write("r1")
	dir := target(t)
	interruptRestore(t, f, dir, 200)
	there := len(listed(t, dir))
	require.Greater(t, there, 200)
	require.Less(t, there, 1000)
	assert.Empty(t, shell(t, dir, "find", ".", "-name", "*.tmp"), "one that is told to stop clears up")
	result := f.restoreTo(dir, "r1", Fail)
	assert.Less(t, result.WrittenFiles, int64(900), "what was there is not written again")
	assertEqualTrees(t, f.files, dir)
}

func TestRestoreInterruptedIsToldFromForeignData(t *testing.T) {
	cases := map[string]struct {
		reason string
		do     func(t *testing.T, f *fixture, dir string)
		want   string // in the error of Fail
	}{
		"ForeignFile": {"What came in the meantime is data", func(t *testing.T, f *fixture, dir string) {
			shell(t, dir, "sh", "-c", "echo x > upload")
		}, "upload is not of the run whose refill was interrupted"},
		"OtherRun": {"An interrupted refill of another run is not ours", func(t *testing.T, f *fixture, dir string) {
			shell(t, dir, "mv", ".threescale-refill-r1", ".threescale-refill-r0")
		}, "is not of the run"},
		"OtherContent": {"A marker of a run of the same name is not that of this run", func(t *testing.T, f *fixture, dir string) {
			replaceIn(t, filepath.Join(dir, ".threescale-refill-r1"), "sha256:", "sha256:0")
		}, "is not of the run"},
		"DirectoryInPlaceOfFile": {"Nobody but somebody else makes a directory where the run has a file", func(t *testing.T, f *fixture, dir string) {
			shell(t, dir, "sh", "-c", "rm -f f001; mkdir f001")
		}, "f001 is a directory where the run has none"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			for i := range 300 {
				f.add("f"+strings.Repeat("0", 3-len(itoa(i)))+itoa(i), "x")
			}
			f.touch(".")
			f.write("r1")
			dir := target(t)
			interruptRestore(t, f, dir, 100)
			tc.do(t, f, dir)
			before := shell(t, dir, "find", ".", "-ls")
			_, err := f.tryRestore(dir, "r1", Fail)
			var notEmpty *NotEmptyError
			require.ErrorAs(t, err, &notEmpty, tc.reason)
			assert.Contains(t, err.Error(), tc.want, tc.reason)
			assert.Equal(t, before, shell(t, dir, "find", ".", "-ls"), "nothing was written")
			f.restoreTo(dir, "r1", Mirror)
			assertEqualTrees(t, f.files, dir)
		})
	}
}

func TestRestoreRefusesARunThatHoldsItsMarker(t *testing.T) {
	f := newFixture(t)
	f.add(".threescale-refill-r1", "x")
	f.write("r1")
	_, err := f.tryRestore(target(t), "r1", Fail)
	require.ErrorContains(t, err, "would mark the refill")
	f.touch(".")
	f.write("r2")
	dir := target(t)
	f.restoreTo(dir, "r2", Fail)
	assertEqualTrees(t, f.files, dir)
}

func TestRestoreOntoAVolumeThatIsTooSmall(t *testing.T) {
	cases := map[string]struct {
		reason, options string
		files, size     int
	}{
		"Bytes":  {"Sizes are added up before the first is written", "size=2m", 3, 1 << 20},
		"Blocks": {"A file takes whole blocks", "size=2m", 1000, 1},
		"Inodes": {"Files are counted", "size=64m,nr_inodes=200", 300, 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			for i := range tc.files {
				f.add("big"+itoa(i), strings.Repeat("x", tc.size))
			}
			f.write("r1")
			dir := mountTmpfs(t, tc.options)
			_, err := f.tryRestore(dir, "r1", Fail)
			var full *NoSpaceError
			require.ErrorAs(t, err, &full, tc.reason)
			require.NoError(t, full.Err, "it was foreseen")
			assert.Empty(t, ls(t, dir), "nothing was written")
		})
	}
}

func TestRestoreOntoAVolumeThatFillsUp(t *testing.T) {
	f := newFixture(t)
	for i := range 200 {
		f.add("big"+itoa(10+i), strings.Repeat("x", 20<<10))
	}
	f.touch(".")
	f.write("r1")
	dir := mountTmpfs(t, "size=8m")
	filler := filepath.Join(dir, "lost+found")
	_, err := f.open("r1").Restore(t.Context(), dir, RestoreOptions{Existing: Fail, Workers: 1, Progress: func(p Progress) {
		if p.Phase == PhaseFileStorage && p.FilesDone == 0 {
			require.NoError(t, os.WriteFile(filler, make([]byte, 6<<20), 0o600))
		}
	}})
	var full *NoSpaceError
	require.ErrorAs(t, err, &full)
	require.ErrorIs(t, err, unix.ENOSPC)
	require.NoError(t, os.Remove(filler))
	f.restoreTo(dir, "r1", Fail)
	assertEqualTrees(t, f.files, dir)
}

func TestRestoreFromAndToAReadOnlyVolume(t *testing.T) {
	f := newFixtureOn(t, mountTmpfs(t, "size=4m"))
	f.addSome()
	f.touch(".")
	f.write("r1")
	require.NoError(t, unix.Mount("", f.root, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	dir := target(t)
	f.restoreTo(dir, "r1", Fail)
	assertEqualTrees(t, f.files, dir)
	frozen := mountTmpfs(t, "size=4m")
	require.NoError(t, unix.Mount("", frozen, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	assert.Equal(t, Comparison{Empty: true}, f.compare(frozen, "r1"), "looking takes no writing")
	_, err := f.tryRestore(frozen, "r1", Fail)
	require.ErrorIs(t, err, unix.EROFS)
}

// restoreInChild restores in a process of its own and returns what it prints.
func (f *fixture) restoreInChild(args childArgs) string {
	f.t.Helper()
	args.Volume, args.Run, args.Workers, args.Existing = f.root, "r1", 2, Fail
	out, err := childCommand(f.t, args).CombinedOutput()
	require.NoError(f.t, err, "%s", out)
	return string(out)
}

func TestRestoreOntoAVolumeThatLacksACall(t *testing.T) {
	cases := map[string]struct {
		reason   string
		deny     map[int]int
		warnings []string
	}{
		"NoSymlinks": {"Symlinks are left out, which is said", map[int]int{unix.SYS_SYMLINKAT: int(unix.EPERM)},
			[]string{"volume cannot hold symlinks: 1 symlinks of the run were left out"}},
		"NoModes": {"Modes are left, which is said", map[int]int{unix.SYS_FCHMOD: int(unix.EPERM), unix.SYS_FCHMODAT: int(unix.EPERM)},
			[]string{"10 modes or times could not be set"}},
		"NoTimes":         {"Times are left, which is said", map[int]int{unix.SYS_UTIMENSAT: int(unix.EINVAL)}, []string{"12 modes or times could not be set"}},
		"NoDirectorySync": {"Some file systems cannot sync a directory", map[int]int{unix.SYS_FSYNC: int(unix.EINVAL)}, nil},
		"NoNewRename":     {"Some have no rename that replaces nothing", map[int]int{unix.SYS_RENAMEAT2: int(unix.EINVAL)}, nil},
		"NoLocks": {"Two restores are not noticed, which is said", map[int]int{unix.SYS_FLOCK: int(unix.EBADF)},
			[]string{"directory cannot be locked"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.addSome()
			require.NoError(t, os.Symlink("target", filepath.Join(f.files, "link")))
			f.touch(".")
			f.write("r1")
			dir := target(t)
			for range 2 {
				out := f.restoreInChild(childArgs{Target: dir, Deny: tc.deny})
				for _, warning := range tc.warnings {
					assert.Contains(t, out, "warning: "+warning, tc.reason)
				}
				assert.Equal(t, len(tc.warnings), strings.Count(out, "warning"), out)
			}
			f.restoreTo(dir, "r1", Overwrite)
			assertEqualTrees(t, f.files, dir)
		})
	}
}

func TestRestoreWithoutPrivilege(t *testing.T) {
	needRoot(t, "changing an owner")
	f := newFixture(t)
	f.addSome()
	f.add("modes/setuid", "x")
	shell(t, f.files, "sh", "-c", "chown -R 1234:5678 modes; chmod 6755 modes/setuid; chmod 2775 modes; touch -d @1 modes")
	f.write("r1")
	dir := target(t)
	shell(t, f.root, "chmod", "-R", "a+rX", ".")
	openUp(t, f.root)
	openUp(t, filepath.Dir(dir))
	shell(t, dir, "sh", "-c", "chgrp 65532 .; chmod 2770 .")
	for range 2 {
		out := f.restoreInChild(childArgs{Target: dir, User: 65532})
		assert.Contains(t, out, "restored 5 files")
	}
	want := "65532 65532 755 modes/setuid\n65532 65532 2775 modes\n0 65532 2770 .\n"
	assert.Equal(t, want, shell(t, dir, "stat", "-c", "%u %g %a %n", "modes/setuid", "modes", "."), "another user's file gets no privilege, and the volume stays its group's")
	if _, err := exec.LookPath("rsync"); err == nil {
		require.NoError(t, os.Chmod(filepath.Join(f.files, "modes/setuid"), 0o755))
		require.NoError(t, os.Chmod(f.files, 0o2770|os.ModeSetgid))
		assert.Empty(t, shell(t, dir, "rsync", "-rlptnic", "--omit-dir-times", "--delete", f.files+"/", dir+"/"))
	}
}

func TestRestoreGivesOwnersBack(t *testing.T) {
	needRoot(t, "changing an owner")
	f := newFixture(t)
	f.addSome()
	shell(t, f.files, "sh", "-c", "chown -R 1234:5678 tenant-001; chown -h 4321:8765 tenant-002/empty; chmod 6755 tenant-002/empty; ln -s x tenant-001/l; chown -h 1:2 tenant-001/l")
	f.touch(".")
	f.write("r1")
	dir := target(t)
	f.restoreTo(dir, "r1", Fail)
	assertEqualTrees(t, f.files, dir)
	shell(t, dir, "chown", "-R", "0:0", "tenant-001", "tenant-002")
	f.restoreTo(dir, "r1", Overwrite)
	assertEqualTrees(t, f.files, dir)
}

// TestRestoreOntoFAT: names that are one on the volume must not overwrite each other.
func TestRestoreOntoFAT(t *testing.T) {
	cases := map[string]struct {
		reason string
		paths  []string
		want   string
	}{
		"Case":      {"Two files", []string{"README", "readme"}, "another entry has that name"},
		"Directory": {"Two directories", []string{"Dir/a", "dir/b"}, "another entry has that name"},
		"Colon":     {"A name that the volume cannot hold", []string{"a:b"}, "a:b"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			for _, path := range tc.paths {
				f.add(path, path)
			}
			f.write("r1")
			dir := mountFAT(t)
			for range 2 {
				_, err := f.tryRestore(dir, "r1", Fail)
				require.ErrorContains(t, err, tc.want, tc.reason)
			}
		})
	}
}

func TestRestoreOfManyFiles(t *testing.T) {
	f := newFixture(t)
	dataset{tenants: 20, files: 500, days: 365, size: 300}.write(t, f.files)
	f.touch(".")
	f.write("r1")
	dir := target(t)
	out := f.restoreInChild(childArgs{Target: dir})
	assert.Contains(t, out, "restored 10000 files")
	t.Log(strings.TrimSpace(out))
	assertEqualTrees(t, f.files, dir)
}
