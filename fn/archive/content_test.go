package archive

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/walk"
)

// oddNames returns names that are hard to write down.
func oddNames() []string {
	return []string{
		"-dash", "--", " leading and trailing ", "a\nb", "a\rb", "a\tb", `back\slash`, `\n`, "new\nline\\and\rmore", "#hash", "*",
		"[brackets]?", "=equals=", "quote\"'`", "dot.", "..dots", ".hidden", "é", "日本", "\xff\xfe\x80", "\x01\x7f", "~", "$HOME", "%00",
		strings.Repeat("n", 255),
	}
}

func TestStoreOddNames(t *testing.T) {
	f := newFixture(t)
	for _, name := range oddNames() {
		f.add(name+"/in", "x")
		f.add("d/"+name, name)
		require.NoError(t, os.Symlink(name, filepath.Join(f.files, "d", "l"+strings.TrimPrefix(name, "n"))))
	}
	result := f.write("r1")
	f.verify("r1")
	for _, name := range oddNames() {
		data, err := os.ReadFile(f.stored(result, "d/"+name))
		require.NoError(t, err)
		assert.Equal(t, name, string(data))
	}
	assert.Equal(t, shell(t, f.files, "find", ".", "-printf", `%p %y %m %T@ %s %l\0`), shell(t, f.stored(result, ""), "find", ".", "-printf", `%p %y %m %T@ %s %l\0`))
	assert.True(t, f.write("r2").TreeShared, "names are read back as they were written")
}

func TestStoreOrder(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"a/b", "a.txt", "a!", "a/", "a0/x", "a\x01", "Z", "a/b c", "a/b-c/d"} {
		if path != "a/" {
			f.add(path, "x")
		}
	}
	result := f.write("r1")
	want := []string{"MTREE", "files/Z", "files/a/b", "files/a/b c", "files/a/b-c/d", "files/a\x01", "files/a!", "files/a.txt", "files/a0/x"}
	var got []string
	for line := range strings.SplitSeq(strings.TrimSuffix(f.read("trees", result.Manifest.Tree, "SHA256SUMS"), "\n"), "\n") {
		got = append(got, line[66:])
	}
	assert.Equal(t, want, got, "the slash is lowest: a directory's files come right after it")
}

func TestStoreSymlinks(t *testing.T) {
	f := newFixture(t)
	f.add("dir/file", "content")
	targets := map[string]string{
		"relative": "dir/file", "dangling": "nowhere", "absolute": "/etc/passwd", "outside": "../../../../etc", "self": "self",
		"todir": "dir", "odd": "a b\n#\\=\xff",
	}
	for name, target := range targets {
		require.NoError(t, os.Symlink(target, filepath.Join(f.files, name)))
		f.touch(name)
	}
	result := f.write("r1")
	assert.Equal(t, int64(1), result.Manifest.Totals.Files, "links are not followed")
	assert.Equal(t, int64(len(targets)), result.Manifest.Totals.Symlinks)
	for name, target := range targets {
		got, err := os.Readlink(f.stored(result, name))
		require.NoError(t, err)
		assert.Equal(t, target, got)
		info, err := os.Lstat(f.stored(result, name))
		require.NoError(t, err)
		assert.True(t, info.ModTime().Equal(epoch()), "the time of a link survives too")
	}
	f.verify("r1")
	assert.True(t, f.write("r2").TreeShared)
	require.NoError(t, os.Remove(filepath.Join(f.files, "self")))
	require.NoError(t, os.Symlink("other", filepath.Join(f.files, "self")))
	f.touch("self")
	third := f.write("r3")
	assert.False(t, third.TreeShared, "a link with another target is a change")
	f.verify("r3")
}

func TestStoreModes(t *testing.T) {
	modes := map[string]struct {
		reason string
		mode   uint32
		stored uint32
	}{
		"plain":     {"Permission bits survive", 0o644, 0o644},
		"open":      {"No umask is applied", 0o666, 0o666},
		"execute":   {"Execute bits survive", 0o755, 0o755},
		"readonly":  {"A file that its owner cannot write survives", 0o444, 0o444},
		"locked":    {"The owner of a backup can read all of it", 0o000, 0o400},
		"writeonly": {"The owner of a backup can read all of it", 0o200, 0o600},
		"setuid":    {"A copy must not get the privilege of its source", 0o4755, 0o755},
		"setgid":    {"A copy must not get the privilege of its source", 0o2755, 0o755},
	}
	needRoot(t, "reading a file without a permission")
	f := newFixture(t)
	for name, tc := range modes {
		f.add(name, name)
		require.NoError(t, syscall.Chmod(filepath.Join(f.files, name), tc.mode))
	}
	for name, mode := range map[string]uint32{"d-closed": 0o000, "d-setgid": 0o2775, "d-sticky": 0o1777} {
		f.add(name+"/file", "x")
		require.NoError(t, syscall.Chmod(filepath.Join(f.files, name), mode))
		f.touch(name)
	}
	result := f.write("r1")
	for name, tc := range modes {
		assert.Equal(t, tc.stored, storedBits(t, f.stored(result, name)), "%s: %s", name, tc.reason)
		assert.Contains(t, f.read("trees", result.Manifest.Tree, "MTREE"), "./"+name+" type=file mode=0"+octalOf(tc.mode)+" ")
	}
	assert.Equal(t, uint32(0o500), storedBits(t, f.stored(result, "d-closed")), "the owner can enter every directory")
	assert.Equal(t, uint32(0o2775), storedBits(t, f.stored(result, "d-setgid")))
	assert.Equal(t, uint32(0o1777), storedBits(t, f.stored(result, "d-sticky")))
	report := f.verify("r1")
	assert.Empty(t, report.Warnings)
	assert.True(t, f.write("r2").TreeShared)
	f.add("more", "x")
	third := f.write("r3")
	assert.Equal(t, int64(len(modes)+3), third.Manifest.Totals.LinkedFiles)
	f.verify("r3")
}

func octalOf(mode uint32) string {
	if mode == 0 {
		return "0"
	}
	var digits string
	for ; mode > 0; mode >>= 3 {
		digits = string(rune('0'+mode&7)) + digits
	}
	return digits
}

func storedBits(t *testing.T, path string) uint32 {
	t.Helper()
	var st unix.Stat_t
	require.NoError(t, unix.Lstat(path, &st))
	return st.Mode & 0o7777
}

func TestStoreTimes(t *testing.T) {
	times := map[string]time.Time{
		"now":      epoch(),
		"before":   time.Unix(-12345, 678_901_234),
		"zero":     time.Unix(0, 0),
		"nanosec":  time.Unix(1_700_000_000, 1),
		"tomorrow": time.Unix(4_102_444_800, 999_999_999),
	}
	f := newFixture(t)
	for name, at := range times {
		f.add("d-"+name+"/file", "x")
		require.NoError(t, os.Chtimes(filepath.Join(f.files, "d-"+name, "file"), at, at))
		require.NoError(t, os.Chtimes(filepath.Join(f.files, "d-"+name), at, at))
	}
	result := f.write("r1")
	for name, at := range times {
		for _, path := range []string{"d-" + name, "d-" + name + "/file"} {
			info, err := os.Lstat(f.stored(result, path))
			require.NoError(t, err)
			assert.True(t, info.ModTime().Equal(at), "%s: got %v, want %v", path, info.ModTime(), at)
		}
	}
	assert.Empty(t, f.verify("r1").Warnings)
	assert.True(t, f.write("r2").TreeShared)
}

func TestStoreSpecialFiles(t *testing.T) {
	f := newFixture(t)
	f.add("a file", "x")
	require.NoError(t, unix.Mkfifo(filepath.Join(f.files, "a fifo"), 0o600))
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	require.NoError(t, err)
	defer unix.Close(socket)
	require.NoError(t, os.Mkdir(filepath.Join(f.files, "d"), 0o755))
	require.NoError(t, bindIn(f.files, socket, "d/s"))
	want := []SkippedEntry{{Path: `a\040fifo`, Type: "fifo"}, {Path: "d/s", Type: "socket"}}
	if os.Getuid() == 0 && unix.Mknod(filepath.Join(f.files, "null"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))) == nil {
		want = append(want, SkippedEntry{Path: "null", Type: "char"})
	}
	result := f.write("r1")
	assert.Equal(t, want, result.Manifest.Skipped)
	assert.Equal(t, int64(len(want)), result.Manifest.SkippedCount)
	assert.Equal(t, []string{"a file", "d"}, ls(t, f.stored(result, "")))
	f.verify("r1")
	second := f.write("r2")
	assert.True(t, second.TreeShared)
	assert.Equal(t, want, second.Manifest.Skipped, "a run that shares a tree tells of them as well")
}

// bindIn binds a socket by a path relative to dir, since the absolute one may be too long for an address.
func bindIn(dir string, socket int, path string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Bind(socket, &unix.SockaddrUnix{Name: filepath.Join("/proc/self/fd", itoa(int(d.Fd())), path)})
}

func itoa(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}

func TestStoreManySkipped(t *testing.T) {
	f := newFixture(t)
	for i := range walk.MaxListed + 5 {
		require.NoError(t, unix.Mkfifo(filepath.Join(f.files, "fifo"+itoa(i)), 0o600))
	}
	result := f.write("r1")
	assert.Len(t, result.Manifest.Skipped, walk.MaxListed)
	assert.Equal(t, int64(walk.MaxListed+5), result.Manifest.SkippedCount)
	f.verify("r1")
}

func TestStoreLeavesOutWhatIsNoData(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"lost+found/x", ".snapshot/x", "d/lost+found/x", "d/.snapshot/x", ".snapshots/x"} {
		f.add(path, "x")
	}
	result := f.write("r1")
	assert.Equal(t, []string{".snapshots", "d"}, ls(t, f.stored(result, "")))
	assert.Equal(t, []string{".snapshot", "lost+found"}, ls(t, f.stored(result, "d")), "only at the root are they the file system's")
}

func TestStoreEmptyDirectories(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, os.MkdirAll(filepath.Join(f.files, "a/b/c"), 0o700))
	result := f.write("r1")
	assert.DirExists(t, f.stored(result, "a/b/c"))
	assert.Equal(t, int64(4), result.Manifest.Totals.Directories)
	f.verify("r1")
}

func TestStoreHardLinksOfTheSource(t *testing.T) {
	f := newFixture(t)
	f.add("a", "same")
	require.NoError(t, os.Link(filepath.Join(f.files, "a"), filepath.Join(f.files, "b")))
	result := f.write("r1")
	assert.NotEqual(t, inode(t, f.stored(result, "a")), inode(t, f.stored(result, "b")), "they are stored as independent files")
	f.verify("r1")
}

func TestStoreVanishedEntries(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.add("gone/deep/file", "x")
	f.opts.Progress = func(p Progress) {
		if p.Phase == PhaseFileStorage && p.FilesDone == 0 {
			require.NoError(t, os.Remove(filepath.Join(f.files, "tenant-002/empty")))
			require.NoError(t, os.RemoveAll(filepath.Join(f.files, "gone")))
		}
	}
	result := f.write("r1")
	assert.Equal(t, int64(3), result.Manifest.Totals.Files, "the files that were there when they were to be read")
	f.verify("r1")
}

func TestStoreReplacedEntries(t *testing.T) {
	cases := map[string]struct {
		reason string
		by     func(t *testing.T, path string)
	}{
		"Symlink":   {"A link in place of a file is not followed", func(t *testing.T, p string) { require.NoError(t, os.Symlink("/etc/passwd", p)) }},
		"FIFO":      {"A FIFO in place of a file does not block", func(t *testing.T, p string) { require.NoError(t, unix.Mkfifo(p, 0o600)) }},
		"Directory": {"A directory in place of a file is for the next run", func(t *testing.T, p string) { require.NoError(t, os.Mkdir(p, 0o755)) }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			f.opts.Progress = func(p Progress) {
				if p.Phase == PhaseFileStorage && p.FilesDone == 0 {
					path := filepath.Join(f.files, "tenant-002/empty")
					require.NoError(t, os.Remove(path))
					tc.by(t, path)
				}
			}
			result := f.write("r1")
			assert.NoFileExists(t, f.stored(result, "tenant-002/empty"), tc.reason)
			f.verify("r1")
		})
	}
}

func TestStoreChangingFile(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.add("busy", strings.Repeat("busy ", 1<<20))
	stop := make(chan struct{})
	var keepBusy sync.WaitGroup
	f.opts.Progress = func(p Progress) {
		if p.Phase == PhaseFileStorage && p.FilesDone == 0 {
			keepBusy.Go(func() { change(t, filepath.Join(f.files, "busy"), stop) })
		}
	}
	result := f.write("r1")
	close(stop)
	keepBusy.Wait()
	for _, warning := range result.Manifest.Warnings {
		assert.Equal(t, "file busy kept changing: it is stored as it was last read", warning)
	}
	f.verify("r1")
}

// change changes the mtime of a file again and again.
func change(t *testing.T, path string, stop <-chan struct{}) {
	for at := epoch(); ; at = at.Add(time.Second) {
		select {
		case <-stop:
			return
		default:
			assert.NoError(t, os.Chtimes(path, at, at))
		}
	}
}

func TestStoreGrowingFile(t *testing.T) {
	f := newFixture(t)
	f.add("log", "first line\n")
	f.opts.Progress = func(p Progress) {
		if p.Phase == PhaseFileStorage && p.FilesDone == 0 {
			file, err := os.OpenFile(filepath.Join(f.files, "log"), os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = io.WriteString(file, "second line\n")
			require.NoError(t, err)
			require.NoError(t, file.Close())
		}
	}
	result := f.write("r1")
	assert.Equal(t, "first line\nsecond line\n", f.read("trees", result.Manifest.Tree, "files", "log"), "it is stored as it was when it was read")
	assert.Equal(t, int64(23), result.Manifest.Totals.Bytes)
	assert.Empty(t, result.Manifest.Warnings)
	f.verify("r1")
}

func TestStoreUnreadable(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.add("closed/file", "x")
	require.NoError(t, os.Chmod(filepath.Join(f.files, "closed"), 0))
	require.NoError(t, os.Chmod(filepath.Join(f.files, "tenant-002"), 0))
	err := asUser(t, f, "r1")
	assert.Contains(t, err, "unreadable: closed tenant-002")
	for _, dir := range []string{"closed", "tenant-002"} {
		require.NoError(t, os.Chmod(filepath.Join(f.files, dir), 0o755))
	}
	for _, file := range []string{"closed/file", "tenant-002/empty"} {
		require.NoError(t, os.Chmod(filepath.Join(f.files, file), 0))
	}
	err = asUser(t, f, "r1")
	assert.Contains(t, err, "unreadable: closed/file tenant-002/empty")
	for _, file := range []string{"closed/file", "tenant-002/empty"} {
		require.NoError(t, os.Chmod(filepath.Join(f.files, file), 0o644))
	}
	assert.Contains(t, asUser(t, f, "r1"), "written")
	f.verify("r1")
}

// asUser writes a run in a process without root's rights and returns what it prints.
func asUser(t *testing.T, f *fixture, run string) string {
	t.Helper()
	args := childArgs{Volume: f.root, Files: f.files, Run: run}
	if os.Getuid() == 0 {
		const nobody = 65534
		for _, dir := range []string{f.root, f.files} {
			openUp(t, dir)
		}
		require.NoError(t, os.Chown(f.root, nobody, nobody))
		args.User = nobody
	}
	out, err := childCommand(t, args).Output()
	var exit *exec.ExitError
	if err != nil {
		require.ErrorAs(t, err, &exit, "%s", out)
		require.Equal(t, 1, exit.ExitCode(), "%s", exit.Stderr)
	}
	return string(out)
}

// openUp lets other users reach a temporary directory.
func openUp(t *testing.T, dir string) {
	t.Helper()
	for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		require.NoError(t, os.Chmod(dir, 0o755))
	}
}
