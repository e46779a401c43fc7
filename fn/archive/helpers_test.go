package archive

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/recorded"
)

// epoch is when the files of tests were last changed, and a day before their clocks start, but for the century:
// what is made in a test was not changed just now.
func epoch() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 890_123_456, time.UTC) }

// clock returns a clock that advances a second a call.
func clock() func() time.Time {
	now := epoch().AddDate(100, 0, 1)
	return func() time.Time {
		now = now.Add(time.Second)
		return now
	}
}

// fixture is a volume, a file storage, and what a run of them is made with.
type fixture struct {
	t      *testing.T
	root   string // of the volume
	files  string
	volume *Volume
	opts   WriteOptions
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	return newFixtureOn(t, t.TempDir())
}

// newFixtureOn is newFixture with a volume of the caller's.
func newFixtureOn(t *testing.T, root string) *fixture {
	t.Helper()
	v, err := OpenVolume(root)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, v.Close()) })
	f := &fixture{t: t, root: root, files: t.TempDir(), volume: v}
	f.opts = WriteOptions{
		Holder:  "test",
		Objects: testObjects(),
		Files:   f.files,
		Source:  Source{Namespace: "3scale", APIManager: "example", UID: "3b0f", Version: "2.16"},
		Cause:   recorded.Cause{Kind: "Trigger", Value: "before upgrade"},
		Workers: 2,
		Now:     clock(),
	}
	return f
}

func testObjects() []ObjectFile {
	return []ObjectFile{
		{Path: "secrets/system-app.json", Data: []byte("{\"kind\": \"Secret\"}\n")},
		{Path: "apimanager/apimanager-backup.json", Data: []byte("{\"kind\": \"APIManager\"}\n")},
		{Path: "configmaps/system-environment.json", Data: []byte("{\"kind\": \"ConfigMap\"}\n")},
	}
}

// add makes a file of the file storage, with the directories above it, last changed at the epoch.
func (f *fixture) add(path, content string) {
	f.t.Helper()
	full := filepath.Join(f.files, path)
	require.NoError(f.t, os.MkdirAll(filepath.Dir(full), 0o755))
	require.NoError(f.t, os.WriteFile(full, []byte(content), 0o644))
	f.touch(path)
}

// touch sets the mtime of an entry of the file storage to the epoch.
func (f *fixture) touch(path string) {
	f.t.Helper()
	ts, err := unix.TimeToTimespec(epoch())
	require.NoError(f.t, err)
	full := filepath.Join(f.files, path)
	require.NoError(f.t, unix.UtimesNanoAt(unix.AT_FDCWD, full, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
}

// addSome makes a few files.
func (f *fixture) addSome() {
	f.t.Helper()
	f.add("tenant-001/2026/01/02/logo-0123456789abcdef.png", "a logo")
	f.add("tenant-001/2026/01/03/über uns.html", "<html/>")
	f.add("tenant-002/.htaccess", "deny")
	f.add("tenant-002/empty", "")
}

// write makes a run that must succeed.
func (f *fixture) write(run string) *Result {
	f.t.Helper()
	result, err := f.tryWrite(run)
	require.NoError(f.t, err)
	return result
}

func (f *fixture) tryWrite(run string) (*Result, error) {
	opts := f.opts
	opts.Run = run
	return f.volume.Write(f.t.Context(), opts)
}

// verify verifies a run that must be intact.
func (f *fixture) verify(run string) *VerifyReport {
	f.t.Helper()
	report := f.report(run)
	assert.Empty(f.t, report.Problems, "run %q", run)
	return report
}

func (f *fixture) report(run string) *VerifyReport {
	f.t.Helper()
	report, err := f.volume.Verify(f.t.Context(), run, VerifyOptions{Workers: 2})
	require.NoError(f.t, err)
	return report
}

// path returns the path of something on the volume.
func (f *fixture) path(parts ...string) string {
	return filepath.Join(append([]string{f.root}, parts...)...)
}

// stored returns the path of the files of a run.
func (f *fixture) stored(r *Result, path string) string {
	return f.path("trees", r.Manifest.Tree, "files", path)
}

// read returns the content of a file on the volume.
func (f *fixture) read(parts ...string) string {
	f.t.Helper()
	data, err := os.ReadFile(f.path(parts...))
	require.NoError(f.t, err)
	return string(data)
}

// inode returns the number of a file's inode.
func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	require.NoError(t, unix.Lstat(path, &st))
	return st.Ino
}

// shell runs a program in a directory and returns what it prints; it must succeed.
func shell(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %v: %s", name, args, out)
	return string(out)
}

// needRoot skips a test that mounts or changes owners. CI runs as root.
func needRoot(t *testing.T, what string) {
	t.Helper()
	if os.Getuid() != 0 {
		skip(t, what+" needs root")
	}
}

// skip leaves a test out on a machine that cannot run it; where all of them have
// to run, as in CI, that is a failure.
func skip(t *testing.T, why string) {
	t.Helper()
	require.Empty(t, os.Getenv("THREESCALE_BACKUP_SKIP_NOTHING"), why)
	t.Skip(why)
}

// ids returns the IDs of runs in their order.
func ids(runs []RunInfo) []string {
	var ids []string
	for _, r := range runs {
		ids = append(ids, r.ID+" "+string(r.State))
	}
	return ids
}
