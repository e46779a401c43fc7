package archive

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// addAwkward makes all that a file storage can hold.
func (f *fixture) addAwkward() {
	f.t.Helper()
	f.addSome()
	for _, name := range oddNames() {
		f.add("odd/"+name, name)
		f.add("odder/"+name+"/"+name, "")
	}
	f.add(".dot", "at the root")
	f.add("modes/setuid", "x")
	f.add("modes/read-only", "x")
	f.add("modes/secret", "x")
	f.add("modes/old", "before 1970")
	f.add("read-only/inner/file", "x")
	shell(f.t, f.files, "sh", "-c", `
		chmod 6755 modes/setuid; chmod 0400 modes/read-only; chmod 0 modes/secret
		touch -d '1965-01-02 03:04:05.678901234 UTC' modes/old
		mkdir -p empty/nested sticky; chmod 1777 sticky; chmod 2775 empty
		ln -s ../tenant-002/empty empty/link; ln -s /etc/passwd absolute; ln -s . loop; ln -s nowhere dangling
		chmod 0555 read-only/inner read-only`)
	f.t.Cleanup(func() { shell(f.t, f.files, "chmod", "-R", "u+rwX", ".") })
	require.NoError(f.t, filepath.WalkDir(f.files, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(f.files, path)
		if err == nil && (d.IsDir() || d.Type() == fs.ModeSymlink) {
			f.touch(rel)
		}
		return err
	}))
}

// target returns an empty directory to restore into, and its path.
func target(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() { shell(t, dir, "chmod", "-R", "u+rwX", ".") })
	return dir
}

// listed returns all entries below a directory, as our own walk tells of them, with the digests of their files.
func listed(t *testing.T, dir string) []lists.Entry {
	t.Helper()
	root, err := dirfd.Open(dir)
	require.NoError(t, err)
	defer root.Close()
	found, err := walk.Scan(t.Context(), root, walk.Options{Source: true})
	require.NoError(t, err)
	require.Empty(t, found.Unreadable)
	var entries []lists.Entry
	var e lists.Entry
	for c := found.List.Cursor(); c.Next(&e) != nil; {
		if e.Kind == lists.File {
			data, err := os.ReadFile(filepath.Join(dir, e.Path))
			require.NoError(t, err)
			e.SHA256 = dirfd.DigestOf(data)
		}
		entries = append(entries, e)
	}
	return entries
}

// assertEqualTrees compares by our own walk, and by rsync, which knows nothing of us.
func assertEqualTrees(t *testing.T, want, got string) {
	t.Helper()
	assert.Equal(t, listed(t, want), listed(t, got))
	if _, err := exec.LookPath("rsync"); err == nil {
		assert.Empty(t, shell(t, got, "rsync", "-anic", "--delete", "--exclude=/lost+found", "--exclude=/.snapshot", want+"/", got+"/"))
	}
}

// in returns the fixture for a subtest, whose failures are then its own.
func (f *fixture) in(t *testing.T) *fixture {
	shared := *f
	shared.t = t
	return &shared
}

// restoreTo restores a run, which must succeed.
func (f *fixture) restoreTo(dir, run string, existing Existing, identities ...age.Identity) *Restored {
	f.t.Helper()
	result, err := f.tryRestore(dir, run, existing, identities...)
	require.NoError(f.t, err)
	return result
}

func (f *fixture) tryRestore(dir, run string, existing Existing, identities ...age.Identity) (*Restored, error) {
	return f.open(run).Restore(f.t.Context(), dir, RestoreOptions{Existing: existing, Identities: identities, Workers: 2})
}

// compare compares a directory with a run.
func (f *fixture) compare(dir, run string, identities ...age.Identity) Comparison {
	f.t.Helper()
	c, err := f.open(run).Compare(f.t.Context(), dir, RestoreOptions{Identities: identities, Workers: 2})
	require.NoError(f.t, err)
	return c
}

func TestRestoreGivesBackWhatWasWritten(t *testing.T) {
	needRoot(t, "reading a file without a permission")
	for name, encrypted := range map[string]bool{"Plaintext": false, "Encrypted": true} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addAwkward()
			var identities []age.Identity
			if encrypted {
				key := identity(t)
				f.opts.Recipients, identities = []string{key.Recipient().String()}, []age.Identity{key}
			}
			written := f.write("r1").Manifest.Totals
			for _, existing := range []Existing{Fail, Overwrite, Mirror, Skip} {
				dir := target(t)
				assert.Equal(t, Comparison{Empty: true}, f.compare(dir, "r1", identities...))
				result := f.restoreTo(dir, "r1", existing, identities...)
				assert.Equal(t, &Restored{Files: written.Files, Bytes: written.Bytes, WrittenFiles: written.Files, WrittenBytes: written.Bytes}, result)
				assertEqualTrees(t, f.files, dir)
				assert.Equal(t, Comparison{Same: true}, f.compare(dir, "r1", identities...))
			}
			f.verify("r1")
		})
	}
}

func TestRestoreOfAnEmptyFileStorage(t *testing.T) {
	f := newFixture(t)
	f.touch(".")
	f.write("r1")
	dir := target(t)
	for range 2 {
		f.restoreTo(dir, "r1", Fail)
		assertEqualTrees(t, f.files, dir)
		assert.Equal(t, Comparison{Empty: true, Same: true}, f.compare(dir, "r1"))
	}
}

// changes returns when each entry was last changed in any way.
func changes(t *testing.T, dir string) map[string]time.Time {
	t.Helper()
	out := make(map[string]time.Time)
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		require.NoError(t, unix.Lstat(path, &st))
		out[path] = time.Unix(st.Ctim.Unix())
		return err
	}))
	return out
}

func TestRestoreAgainWritesNothing(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.touch(".")
	f.write("r1")
	dir := target(t)
	f.restoreTo(dir, "r1", Fail)
	before := changes(t, dir)
	result := f.restoreTo(dir, "r1", Fail)
	assert.Equal(t, before, changes(t, dir), "not even a time is set")
	assert.Equal(t, &Restored{Files: 4, Bytes: 17}, result)
	for _, existing := range []Existing{Overwrite, Mirror} {
		result = f.restoreTo(dir, "r1", existing)
		assert.Zero(t, result.WrittenFiles)
		after := changes(t, dir)
		delete(after, dir) // the marker was made in it
		delete(before, dir)
		assert.Equal(t, before, after)
		assertEqualTrees(t, f.files, dir)
	}
	assert.True(t, f.restoreTo(dir, "r1", Skip).Skipped)
}

func TestRestoreIntoADirectoryThatIsNotEmpty(t *testing.T) {
	type outcome struct {
		refuses map[Existing]string // why; the others succeed
		keeps   bool                // Overwrite leaves what was there
	}
	nothing := func(*testing.T, string) {}
	cases := map[string]struct {
		reason string
		add    func(t *testing.T, dir string)
		want   outcome
	}{
		"LostAndFound": {"What belongs to the file system is not data", func(t *testing.T, dir string) {
			shell(t, dir, "sh", "-c", "mkdir lost+found .snapshot; touch lost+found/x")
		}, outcome{}},
		"Nothing": {"An empty directory is filled", nothing, outcome{}},
		"ForeignFile": {"Data of somebody else is refused, kept or removed", func(t *testing.T, dir string) {
			shell(t, dir, "sh", "-c", "mkdir -p other; echo x > other/file")
		}, outcome{map[Existing]string{Fail: "other is not of the run"}, true}},
		"ForeignFIFO": {"A FIFO is data of somebody else too, and is not opened", func(t *testing.T, dir string) {
			shell(t, dir, "mkfifo", "fifo")
		}, outcome{map[Existing]string{Fail: "fifo is not of the run"}, true}},
		"SomeOfIt": {"A part of the run is not the run: somebody has removed the rest", func(t *testing.T, dir string) {
			shell(t, dir, "sh", "-c", "mkdir -p tenant-002; printf deny > tenant-002/.htaccess")
		}, outcome{refuses: map[Existing]string{Fail: "tenant-001 of the run is missing"}}},
		"OtherContent": {"A file that was changed since is data", func(t *testing.T, dir string) {
			shell(t, dir, "sh", "-c", "mkdir -p tenant-002; printf nope > tenant-002/.htaccess")
		}, outcome{refuses: map[Existing]string{Fail: ""}}},
		"FileInPlaceOfDirectory": {"What is in the way is replaced", func(t *testing.T, dir string) {
			shell(t, dir, "sh", "-c", "echo x > tenant-001")
		}, outcome{refuses: map[Existing]string{Fail: ""}}},
		"FIFOInPlaceOfFile": {"So is a FIFO", func(t *testing.T, dir string) {
			shell(t, dir, "sh", "-c", "mkdir tenant-002; mkfifo tenant-002/empty; mkfifo tenant-001")
		}, outcome{refuses: map[Existing]string{Fail: ""}}},
		"DirectoryInPlaceOfFile": {"A directory may hold more than the run knows of", func(t *testing.T, dir string) {
			shell(t, dir, "sh", "-c", "mkdir -p tenant-002/empty/much; touch tenant-002/empty/much/more")
		}, outcome{refuses: map[Existing]string{Fail: "", Overwrite: "tenant-002/empty is a directory where the run has none"}}},
		"ReadOnlyDirectory": {"A directory that is there already can be one that nothing can be made in", func(t *testing.T, dir string) {
			shell(t, dir, "sh", "-c", "mkdir -p tenant-002; chmod 0500 tenant-002")
		}, outcome{refuses: map[Existing]string{Fail: ""}}},
	}
	for name, tc := range cases {
		for _, existing := range []Existing{Fail, Overwrite, Mirror, Skip} {
			t.Run(name+string(existing), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				f.addSome()
				f.touch(".")
				f.write("r1")
				dir := target(t)
				tc.add(t, dir)
				before, nonEmpty := shell(t, dir, "find", ".", "-ls"), !f.compare(dir, "r1").Empty
				result, err := f.tryRestore(dir, "r1", existing)
				why, refused := tc.want.refuses[existing]
				switch {
				case refused:
					var notEmpty *NotEmptyError
					require.ErrorAs(t, err, &notEmpty, tc.reason)
					assert.Contains(t, err.Error(), why, tc.reason)
					assert.Equal(t, before, shell(t, dir, "find", ".", "-ls"), "nothing was written")
				case existing == Skip && nonEmpty:
					require.NoError(t, err)
					assert.True(t, result.Skipped, tc.reason)
					assert.Equal(t, before, shell(t, dir, "find", ".", "-ls"), "nothing was written")
				case tc.want.keeps && existing == Overwrite:
					require.NoError(t, err, tc.reason)
					assert.Zero(t, result.Removed)
					out, _ := exec.Command("rsync", "-anic", "--delete", f.files+"/", dir+"/").Output()
					assert.Contains(t, string(out), "deleting", "what is not of the run stays")
				default:
					require.NoError(t, err, tc.reason)
					assert.Equal(t, tc.want.keeps, result.Removed > 0)
					assertEqualTrees(t, f.files, dir)
				}
			})
		}
	}
}

// TestRestoreDoesNotFollow plants symlinks that lead out of the directory, wherever the run has something.
func TestRestoreDoesNotFollow(t *testing.T) {
	outside := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(outside, "2026"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(outside, "empty"), []byte("precious"), 0o600))
	for _, existing := range []Existing{Overwrite, Mirror} {
		f := newFixture(t)
		f.addSome()
		f.touch(".")
		f.write("r1")
		dir := target(t)
		before := shell(t, outside, "find", ".", "-ls")
		shell(t, dir, "sh", "-c", `ln -s "$1" tenant-001; mkdir tenant-002; ln -s "$1"/empty tenant-002/empty; ln -s "$1"/new tenant-002/.htaccess; ln -s "$1" foreign`, "sh", outside)
		f.restoreTo(dir, "r1", existing)
		assert.Equal(t, before, shell(t, outside, "find", ".", "-ls"), "nothing out there was changed, made or removed")
		if existing == Mirror {
			assertEqualTrees(t, f.files, dir)
		}
	}
}

// TestRestoreTellsItsMarkerFromASymlink: whoever plants one where the marker goes must not have it written through.
func TestRestoreTellsItsMarkerFromASymlink(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	dir, outside := target(t), filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.WriteFile(outside, []byte("precious"), 0o600))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, ".threescale-refill-r1")))
	_, err := f.tryRestore(dir, "r1", Fail)
	var notEmpty *NotEmptyError
	require.ErrorAs(t, err, &notEmpty)
	f.restoreTo(dir, "r1", Overwrite)
	data, err := os.ReadFile(outside)
	require.NoError(t, err)
	assert.Equal(t, "precious", string(data))
}

func TestRestoreOfADamagedRun(t *testing.T) {
	cases := map[string]struct {
		reason string
		do     func(f *fixture, r *Result)
		writes bool // files before the damaged one are there, the marker says that they are not all
	}{
		"File":  {"A bit of a file", func(f *fixture, r *Result) { flip(f.t, f.stored(r, "tenant-002/.htaccess")) }, true},
		"MTREE": {"A bit of the list of entries", func(f *fixture, r *Result) { flip(f.t, f.path("trees", r.Manifest.Tree, "MTREE")) }, false},
		"Mode": {"A mode in the list of entries", func(f *fixture, r *Result) {
			replaceIn(f.t, f.path("trees", r.Manifest.Tree, "MTREE"), "mode=0644", "mode=0666")
		}, false},
		"Sums":    {"A bit of the list of digests", func(f *fixture, r *Result) { flip(f.t, f.path("trees", r.Manifest.Tree, "SHA256SUMS")) }, false},
		"Missing": {"A file that is gone", func(f *fixture, r *Result) { require.NoError(f.t, os.Remove(f.stored(r, "tenant-002/.htaccess"))) }, true},
		"Short":   {"A file that was cut", func(f *fixture, r *Result) { require.NoError(f.t, os.Truncate(f.stored(r, "tenant-002/.htaccess"), 1)) }, true},
		"Symlink": {"A file that leads elsewhere", func(f *fixture, r *Result) {
			require.NoError(f.t, os.Remove(f.stored(r, "tenant-002/.htaccess")))
			require.NoError(f.t, os.Symlink("/etc/hostname", f.stored(r, "tenant-002/.htaccess")))
		}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.addSome()
			tc.do(f, f.write("r1"))
			dir := target(t)
			for range 2 {
				_, err := f.tryRestore(dir, "r1", Fail)
				var damaged *IntegrityError
				require.ErrorAs(t, err, &damaged, tc.reason)
				assert.NoFileExists(t, filepath.Join(dir, "tenant-002/.htaccess"), "no file is there that was not proven")
				assert.Equal(t, tc.writes, f.exists(dir, ".threescale-refill-r1"), tc.reason)
				assert.Empty(t, shell(t, dir, "find", ".", "-name", "*.tmp"), "nothing temporary is left")
			}
		})
	}
}

// exists reports whether there is a file.
func (f *fixture) exists(parts ...string) bool {
	_, err := os.Lstat(filepath.Join(parts...))
	return err == nil
}

func TestRestoreRefusals(t *testing.T) {
	f := newFixture(t)
	key, other := identity(t), identity(t)
	f.opts.Recipients = []string{key.Recipient().String()}
	f.addSome()
	f.write("r1")
	f.opts.Files = ""
	f.write("without")
	cases := map[string]struct {
		reason     string
		run        string
		dir        string
		existing   Existing
		identities []age.Identity
		want       func(error) bool
	}{
		"NoIdentity":    {"Nothing is written that cannot be decrypted", "r1", target(t), Fail, nil, isError(ErrNoIdentity)},
		"OtherIdentity": {"So with a key that does not fit", "r1", target(t), Fail, []age.Identity{other}, isError(ErrNoIdentity)},
		"NoFiles":       {"A run without a file storage brings none back", "without", target(t), Fail, nil, isUsage},
		"NoPolicy":      {"What to do with existing files is said", "r1", target(t), "", []age.Identity{key}, isUsage},
		"Volume":        {"The backup is not written over", "r1", f.root, Mirror, []age.Identity{key}, isUsage},
		"InVolume":      {"Nor is what is in it", "r1", f.path("trees"), Mirror, []age.Identity{key}, isUsage},
		"AroundVolume":  {"Nor is it removed with what is around it", "r1", filepath.Dir(f.root), Mirror, []age.Identity{key}, isUsage},
		"NoDirectory":   {"A volume that is not mounted is not made", "r1", filepath.Join(t.TempDir(), "x"), Fail, []age.Identity{key}, isError(fs.ErrNotExist)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := f.tryRestore(tc.dir, tc.run, tc.existing, tc.identities...)
			require.Error(t, err, tc.reason)
			assert.True(t, tc.want(err), "%s: %v", tc.reason, err)
			if !strings.HasSuffix(name, "Volume") && name != "NoDirectory" {
				assert.Empty(t, ls(t, tc.dir))
			}
			f.verify("r1")
		})
	}
}

func TestRestoreOneAtATime(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	dir := target(t)
	lock, err := os.Open(dir)
	require.NoError(t, err)
	require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	_, err = f.tryRestore(dir, "r1", Fail)
	var locked *LockedError
	require.ErrorAs(t, err, &locked)
	assert.Empty(t, ls(t, dir))
	require.NoError(t, lock.Close())
	f.restoreTo(dir, "r1", Fail)
}

// TestRestoreUnlocksWhatAChildHolds: a process that is forked off during a restore holds all open files until it
// executes its program, and with them the lock, unless it is given up.
func TestRestoreUnlocksWhatAChildHolds(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	dir := target(t)
	var held []int
	_, err := f.open("r1").Restore(t.Context(), dir, RestoreOptions{Existing: Fail, Progress: func(Progress) {
		if held == nil {
			held = duplicatesOf(t, dir)
		}
	}})
	require.NoError(t, err)
	require.NotEmpty(t, held)
	f.restoreTo(dir, "r1", Fail)
	for _, fd := range held {
		require.NoError(t, unix.Close(fd))
	}
}

// duplicatesOf duplicates this process' descriptors of a directory, as a fork does.
func duplicatesOf(t *testing.T, dir string) (fds []int) {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, e := range open {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err != nil || to != dir {
			continue
		}
		fd, err := strconv.Atoi(e.Name())
		require.NoError(t, err)
		fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		require.NoError(t, err)
		fds = append(fds, fd)
	}
	return fds
}

func TestRestoreOfAnOperatorBackup(t *testing.T) {
	f := newFixture(t)
	addOperatorBackup(f)
	dir := target(t)
	assert.Equal(t, Comparison{Empty: true}, f.compare(dir, Latest))
	result := f.restoreTo(dir, Latest, Fail)
	assert.Equal(t, []string{"written by APIManagerBackup: there are no digests to verify the files by"}, result.Warnings)
	assertEqualTrees(t, f.path("system-filestorage-pvc"), dir)
	assert.Equal(t, Comparison{Same: true}, f.compare(dir, Latest))
	assert.Zero(t, f.restoreTo(dir, Latest, Fail).WrittenFiles)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tenant/logo.png"), []byte("a l0go"), 0o644))
	assert.Equal(t, Comparison{}, f.compare(dir, Latest))
	assert.Equal(t, int64(1), f.restoreTo(dir, Latest, Overwrite).WrittenFiles)
	assertEqualTrees(t, f.path("system-filestorage-pvc"), dir)
}

func TestRestorePutsMetadataRight(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.touch(".")
	f.write("r1")
	dir := target(t)
	f.restoreTo(dir, "r1", Fail)
	cases := map[string]struct {
		reason, script string
		want           Comparison
	}{
		"Group": {"A kubelet gives a volume to a group", "find . -type f -exec chmod g+rw {} +; find . -mindepth 1 -type d -exec chmod g+rwxs {} +", Comparison{Same: true}},
		"Root":  {"The root is a volume's own", "touch .; chmod 2775 .", Comparison{Same: true}},
		"Time":  {"A time is no data", "touch tenant-002/empty tenant-001", Comparison{}},
		"Mode":  {"Nor is a mode", "chmod 0600 tenant-002/empty; chmod 0700 tenant-002", Comparison{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			shell(t, dir, "sh", "-c", tc.script)
			assert.Equal(t, tc.want, f.compare(dir, "r1"), tc.reason)
			node := inode(t, filepath.Join(dir, "tenant-002/empty"))
			f.restoreTo(dir, "r1", Overwrite)
			assertEqualTrees(t, f.files, dir)
			shell(t, dir, "sh", "-c", tc.script)
			f.restoreTo(dir, "r1", Fail)
			if !tc.want.Same || name == "Root" {
				assertEqualTrees(t, f.files, dir)
			}
			f.restoreTo(dir, "r1", Mirror)
			assertEqualTrees(t, f.files, dir)
			assert.Equal(t, node, inode(t, filepath.Join(dir, "tenant-002/empty")), "no file is written again")
		})
	}
}

func isError(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func isUsage(err error) bool {
	var usage *UsageError
	return errors.As(err, &usage)
}
