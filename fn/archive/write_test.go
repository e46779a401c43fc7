package archive

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/progress"
)

func TestWriteFirstRun(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	result := f.write("r1")
	m := result.Manifest
	assert.Equal(t, Totals{Objects: 3, ObjectBytes: 64, TreeTotals: TreeTotals{Files: 4, Bytes: 17, Directories: 7}}, m.Totals)
	assert.Equal(t, Stored, m.FileStorage)
	assert.Empty(t, m.Warnings)
	assert.False(t, result.TreeShared)
	assert.Equal(t, "a logo", f.read("latest", "system-filestorage-pvc", "tenant-001/2026/01/02/logo-0123456789abcdef.png"))
	assert.Equal(t, "deny", f.read("system-filestorage-pvc", "tenant-002/.htaccess"))
	assert.Equal(t, string(testObjects()[0].Data), f.read("secrets", "system-app.json"))
	assert.Equal(t, dirfd.DigestOf([]byte(f.read("runs", "r1", "manifest.json"))), result.ManifestSHA256)
	report := f.verify("r1")
	assert.Equal(t, int64(4), report.Files)
	assert.Equal(t, int64(3), report.Objects)
	assert.Empty(t, report.Warnings)
	assert.Empty(t, f.read(".lock"), "the lock file names nobody once the run is written")
}

func TestWriteUnchangedSharesTheTree(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	first := f.write("r1")
	before := inode(t, f.path("trees", first.Manifest.Tree))
	second := f.write("r2")
	assert.True(t, second.TreeShared)
	assert.Equal(t, first.Manifest.Tree, second.Manifest.Tree)
	assert.Equal(t, int64(4), second.Manifest.Totals.LinkedFiles)
	assert.Equal(t, int64(17), second.Manifest.Totals.LinkedBytes)
	assert.Equal(t, before, inode(t, f.path("trees", first.Manifest.Tree)))
	assert.Equal(t, []string{first.Manifest.Tree}, ls(t, f.path("trees")))
	f.verify("r1")
	f.verify("r2")
}

func TestWriteLinksWhatIsUnchanged(t *testing.T) {
	const unchanged = "tenant-002/.htaccess"
	cases := map[string]struct {
		reason string
		change func(f *fixture)
		path   string
		linked int64
	}{
		"FileAdded":   {"A new file is copied and the others are linked", func(f *fixture) { f.add("tenant-003/new", "new") }, "tenant-003/new", 4},
		"FileRemoved": {"A deleted file is not in the new tree", func(f *fixture) { require.NoError(f.t, os.Remove(filepath.Join(f.files, "tenant-002/empty"))) }, "tenant-002", 3},
		"SizeChanged": {"A file of another size is copied", func(f *fixture) { f.add("tenant-002/empty", "no more") }, "tenant-002/empty", 3},
		"TimeChanged": {"A file with another mtime is copied, by a nanosecond too", func(f *fixture) {
			at := epoch().Add(time.Nanosecond)
			require.NoError(f.t, os.Chtimes(filepath.Join(f.files, "tenant-002/empty"), at, at))
		}, "tenant-002/empty", 3},
		"ModeChanged": {"A file with another mode is copied: a link shares its mode", func(f *fixture) {
			require.NoError(f.t, os.Chmod(filepath.Join(f.files, "tenant-002/empty"), 0o600))
		}, "tenant-002/empty", 3},
		"Renamed": {"A file under another name is copied", func(f *fixture) {
			require.NoError(f.t, os.Rename(filepath.Join(f.files, "tenant-002/empty"), filepath.Join(f.files, "tenant-002/other")))
		}, "tenant-002/other", 3},
		"BecameDirectory": {"A directory in place of a file is none of the earlier entry", func(f *fixture) {
			require.NoError(f.t, os.Remove(filepath.Join(f.files, "tenant-002/empty")))
			require.NoError(f.t, os.Mkdir(filepath.Join(f.files, "tenant-002/empty"), 0o755))
		}, "tenant-002/empty", 3},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			first := f.write("r1")
			tc.change(f)
			second := f.write("r2")
			assert.False(t, second.TreeShared, tc.reason)
			assert.NotEqual(t, first.Manifest.Tree, second.Manifest.Tree, tc.reason)
			assert.Equal(t, tc.linked, second.Manifest.Totals.LinkedFiles, tc.reason)
			assert.Equal(t, inode(t, f.stored(first, unchanged)), inode(t, f.stored(second, unchanged)), tc.reason)
			assert.FileExists(t, f.stored(first, "tenant-002/empty"), "the earlier run is as it was")
			f.verify("r1")
			f.verify("r2")
			assert.Empty(t, second.Manifest.Warnings)
		})
	}
}

func TestWriteOwnerChangeLinksTheFile(t *testing.T) {
	needRoot(t, "changing an owner")
	f := newFixture(t)
	f.addSome()
	first := f.write("r1")
	require.NoError(t, os.Lchown(filepath.Join(f.files, "tenant-002/.htaccess"), 1234, 5678))
	second := f.write("r2")
	assert.NotEqual(t, first.Manifest.Tree, second.Manifest.Tree, "owners are part of a tree")
	assert.Equal(t, int64(4), second.Manifest.Totals.LinkedFiles, "a stored file belongs to the writer in any case")
	assert.Contains(t, f.read("trees", second.Manifest.Tree, "MTREE"), " uid=1234 gid=5678 size=4 ")
	f.verify("r2")
}

func TestWriteCompleteRunIsVerified(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	first := f.write("r1")
	f.add("tenant-003/later", "later")
	again := f.write("r1")
	assert.True(t, again.AlreadyComplete)
	assert.Equal(t, first.ManifestSHA256, again.ManifestSHA256)
	assert.Equal(t, first.Manifest, again.Manifest, "what the earlier call reported is not changed by what happened since")
	require.NoError(t, os.WriteFile(f.stored(first, "tenant-002/empty"), []byte("x"), 0o644))
	_, err := f.tryWrite("r1")
	var damaged *IntegrityError
	require.ErrorAs(t, err, &damaged)
	assert.Equal(t, "r1", damaged.Run)
}

func TestWriteCompleteRunRepairsLatest(t *testing.T) {
	f := newFixture(t)
	f.write("r1")
	f.write("r2")
	require.NoError(t, os.Remove(f.path("latest")))
	require.NoError(t, os.Remove(f.path("secrets")))
	f.write("r1")
	target, err := os.Readlink(f.path("latest"))
	require.NoError(t, err)
	assert.Equal(t, "runs/r2", target, "the newest run, whichever was asked for")
	assert.Equal(t, string(testObjects()[0].Data), f.read("secrets", "system-app.json"))
}

func TestWriteUsage(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*WriteOptions)
	}{
		"NoRun":             {"A run needs an ID", func(o *WriteOptions) { o.Run = "" }},
		"RunWithSlash":      {"An ID is a file name", func(o *WriteOptions) { o.Run = "a/b" }},
		"RunWithDot":        {"A leading dot is ours", func(o *WriteOptions) { o.Run = ".partial-x" }},
		"RunLatest":         {"latest stands for the newest run", func(o *WriteOptions) { o.Run = "latest" }},
		"RunOperator":       {"The ID of the operator's backup is reserved", func(o *WriteOptions) { o.Run = UnverifiedRun }},
		"RunTooLong":        {"An ID is a file name with a prefix", func(o *WriteOptions) { o.Run = strings.Repeat("x", 129) }},
		"NoObjects":         {"A run without an object is no backup", func(o *WriteOptions) { o.Objects = nil }},
		"ObjectTwice":       {"Two objects cannot have one path", func(o *WriteOptions) { o.Objects = append(o.Objects, o.Objects[0]) }},
		"ObjectElsewhere":   {"Objects are in three directories", func(o *WriteOptions) { o.Objects[0].Path = "other/x.json" }},
		"ObjectDeeper":      {"Objects are right in their directories", func(o *WriteOptions) { o.Objects[0].Path = "secrets/a/x.json" }},
		"ObjectEscapes":     {"No path leaves the run", func(o *WriteOptions) { o.Objects[0].Path = "secrets/../x.json" }},
		"ObjectNamedAge":    {"The suffix says that an object is encrypted", func(o *WriteOptions) { o.Objects[0].Path = "secrets/x.json.age" }},
		"ObjectWithNewline": {"Names of objects are plain", func(o *WriteOptions) { o.Objects[0].Path = "secrets/x\n.json" }},
		"Recipient":         {"A recipient must be one of age's", func(o *WriteOptions) { o.Recipients = []string{"age1nonsense"} }},
		"RecipientSSH":      {"SSH keys are not accepted", func(o *WriteOptions) { o.Recipients = []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"} }},
		"RecipientComment":  {"A comment is no recipient", func(o *WriteOptions) { o.Recipients = []string{"# comment"} }},
		"NoClock":           {"There is no default clock", func(o *WriteOptions) { o.Now = nil }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			opts := f.opts
			opts.Run = "r1"
			tc.change(&opts)
			_, err := f.volume.Write(t.Context(), opts)
			var usage *UsageError
			require.ErrorAs(t, err, &usage, tc.reason)
			assert.Empty(t, ls(t, f.root), "nothing was touched")
		})
	}
}

func TestWriteRefusesVolumeInItsSource(t *testing.T) {
	for name, files := range map[string]func(root string) string{
		"Same":   func(root string) string { return root },
		"Parent": filepath.Dir,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.opts.Files = files(f.root)
			_, err := f.tryWrite("r1")
			var usage *UsageError
			require.ErrorAs(t, err, &usage)
		})
	}
}

func TestWriteWithoutFileStorage(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	f.opts.Files = ""
	second := f.write("r2")
	assert.Equal(t, Skipped, second.Manifest.FileStorage)
	assert.Empty(t, second.Manifest.Tree)
	assert.NoFileExists(t, f.path("system-filestorage-pvc"), "a link to nothing would mislead APIManagerRestore")
	assert.Equal(t, []string{"SHA256SUMS", "apimanager", "configmaps", "manifest.json", "secrets"}, ls(t, f.path("runs", "r2")))
	f.verify("r2")
	f.opts.Files = f.files
	third := f.write("r3")
	assert.True(t, third.TreeShared, "the tree of the run before the last serves as well")
	assert.FileExists(t, f.path("system-filestorage-pvc", "tenant-002/empty"))
}

func TestWriteEmptyFileStorage(t *testing.T) {
	f := newFixture(t)
	result := f.write("r1")
	assert.Equal(t, int64(1), result.Manifest.Totals.Directories)
	f.verify("r1")
	shell(t, f.path("trees", result.Manifest.Tree), "sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS")
}

func TestWriteCancelled(t *testing.T) {
	for name, phase := range map[string]string{"Scan": progress.Scan, "FileStorage": PhaseFileStorage} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			earlier := f.write("r1")
			f.add("tenant-009/big", strings.Repeat("x", 1<<20))
			ctx, cancel := context.WithCancel(t.Context())
			opts := f.opts
			opts.Run = "r2"
			opts.Progress = func(p Progress) {
				if p.Phase == phase {
					cancel()
				}
			}
			_, err := f.volume.Write(ctx, opts)
			require.ErrorIs(t, err, context.Canceled)
			f.verify("r1")
			runs, err := f.volume.Runs(t.Context())
			require.NoError(t, err)
			assert.Contains(t, ids(runs), "r1 Complete")
			assert.NotContains(t, ids(runs), "r2 Complete")
			second := f.write("r2")
			assert.NotEqual(t, earlier.Manifest.Tree, second.Manifest.Tree)
			f.verify("r2")
		})
	}
}

func TestWriteProgress(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	last := make(map[string]Progress)
	f.opts.Progress = func(p Progress) { last[p.Phase] = p }
	f.write("r1")
	assert.Equal(t, Progress{Phase: progress.Scan, FilesDone: 10}, last[progress.Scan], "all entries but the root")
	assert.Equal(t, Progress{Phase: PhaseFileStorage, FilesDone: 4, FilesTotal: 4, BytesDone: 17, BytesTotal: 17}, last[PhaseFileStorage])
	assert.Contains(t, last, PhaseSync)
}

func TestWriteLocked(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	held := false
	opts := f.opts
	opts.Run, opts.Holder = "r1", "pod backup-r1-abcde"
	opts.Progress = func(Progress) {
		if held {
			return
		}
		held = true
		other, err := OpenVolume(f.root)
		require.NoError(t, err)
		defer other.Close()
		_, err = other.Write(t.Context(), WriteOptions{Run: "r2", Objects: testObjects(), Now: clock()})
		var locked *LockedError
		require.ErrorAs(t, err, &locked)
		assert.Equal(t, "pod backup-r1-abcde", locked.Holder)
		_, err = other.Remove(t.Context(), []string{"r0"}, RemoveOptions{})
		require.ErrorAs(t, err, &locked)
	}
	_, err := f.volume.Write(t.Context(), opts)
	require.NoError(t, err)
	assert.True(t, held)
	f.opts.Progress = nil
	f.write("r2")
}

func TestWriteWithoutLocks(t *testing.T) {
	for name, errno := range map[string]error{"NoLocks": unix.ENOLCK, "NotSupported": unix.ENOTSUP, "NoCall": unix.ENOSYS} {
		t.Run(name, func(t *testing.T) { assert.True(t, lockless(errno)) })
	}
	assert.False(t, lockless(nil))
	assert.False(t, lockless(unix.EWOULDBLOCK))
	assert.False(t, lockless(errors.New("other")))
}

// ls returns the sorted names in a directory, without the lock file.
func ls(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	names := []string{}
	for _, e := range entries {
		if e.Name() != lockName && !strings.HasPrefix(e.Name(), stampsPrefix) {
			names = append(names, e.Name())
		}
	}
	return names
}
