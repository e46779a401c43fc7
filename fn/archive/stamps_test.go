package archive

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/progress"
)

// inPlace writes over a file of the file storage, and leaves its size and mtime as they are.
func (f *fixture) inPlace(path, content string) {
	f.t.Helper()
	full := filepath.Join(f.files, path)
	before, err := os.Stat(full)
	require.NoError(f.t, err)
	out, err := os.OpenFile(full, os.O_WRONLY, 0)
	require.NoError(f.t, err)
	_, err = out.WriteAt([]byte(content), 0)
	require.NoError(f.t, err)
	require.NoError(f.t, out.Close())
	require.NoError(f.t, os.Chtimes(full, before.ModTime(), before.ModTime()))
	after, err := os.Stat(full)
	require.NoError(f.t, err)
	require.Equal(f.t, before.Size(), after.Size())
	require.Equal(f.t, before.ModTime(), after.ModTime())
}

// TestWhatLooksUnchanged makes changes that size, mtime and mode do not show.
func TestWhatLooksUnchanged(t *testing.T) {
	const path = "tenant-001/2026/01/02/logo-0123456789abcdef.png"
	cases := map[string]struct {
		reason string
		change func(f *fixture)
		want   string
		linked int64
		shared bool
	}{
		"Nothing": {"what has not changed is linked", func(*fixture) {}, "a logo", 4, true},
		"InPlace": {"the file was written over, and its time set back", func(f *fixture) { f.inPlace(path, "A LOGO") }, "A LOGO", 3, false},
		"Replaced": {"another file has taken its place", func(f *fixture) {
			f.add("new", "A LOGO")
			require.NoError(f.t, os.Rename(filepath.Join(f.files, "new"), filepath.Join(f.files, path)))
			f.touchAll()
		}, "A LOGO", 3, false},
		"SwappedBack": {"another file, with the same content", func(f *fixture) {
			f.add("new", "a logo")
			require.NoError(f.t, os.Rename(filepath.Join(f.files, "new"), filepath.Join(f.files, path)))
			f.touchAll()
		}, "a logo", 4, true},
		"Future": {"what is dated in the future is known as well as any other", func(f *fixture) {
			ahead := time.Now().AddDate(10, 0, 0)
			require.NoError(f.t, os.Chtimes(filepath.Join(f.files, path), ahead, ahead))
		}, "a logo", 3, false},
		"Restored": {"a file storage that was restored is another one throughout", func(f *fixture) {
			copied := f.t.TempDir()
			shell(f.t, "/", "cp", "-a", f.files+"/.", copied)
			f.opts.Files = copied
		}, "a logo", 4, true},
	}
	for name, tc := range cases {
		for _, encrypted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%t", name, encrypted), func(t *testing.T) {
				f := newFixture(t)
				f.addSome()
				f.touchAll()
				var key *age.X25519Identity
				if encrypted {
					key = identity(t)
					f.opts.Recipients = []string{key.Recipient().String()}
				}
				f.write("r1")
				tc.change(f)
				result := f.write("r2")
				run := f.open("r2")
				if encrypted {
					assert.Equal(t, tc.want, contentOf(t, run, path, key), tc.reason)
					if name == "Nothing" {
						assert.True(t, result.TreeShared, tc.reason)
					}
				} else {
					assert.Equal(t, tc.want, contentOf(t, run, path), tc.reason)
					assert.Equal(t, tc.linked, result.Manifest.Totals.LinkedFiles, tc.reason)
					assert.Equal(t, tc.shared, result.TreeShared, tc.reason)
				}
				f.verify("r1")
				f.verify("r2")
				again := f.write("r3")
				assert.True(t, again.TreeShared, "once it was read, it is known")
			})
		}
	}
}

// contentOf returns the plaintext of a file of a run.
func contentOf(t *testing.T, r *Run, path string, keys ...*age.X25519Identity) string {
	t.Helper()
	var identities []age.Identity
	for _, key := range keys {
		identities = append(identities, key)
	}
	for _, e := range entriesOf(t, r) {
		if e.Path == path {
			in, err := r.Open(e, identities...)
			require.NoError(t, err)
			defer in.Close()
			var b strings.Builder
			_, err = io.Copy(&b, in)
			require.NoError(t, err)
			return b.String()
		}
	}
	require.Fail(t, "no such entry", path)
	return ""
}

// touchAll sets the mtimes of all entries to the epoch.
func (f *fixture) touchAll() { touchAll(f) }

// TestCoarseTimes changes files at once after they were stored, where the times of a file system are whole seconds: a
// change in the same second shows in nothing.
func TestCoarseTimes(t *testing.T) {
	needRoot(t, "mounting")
	f := newFixture(t)
	f.opts.Now = time.Now
	f.files = mountExt4(t, "-I", "128")
	f.opts.Files = f.files
	path := filepath.Join(f.files, "logo")
	for i := range 8 {
		content := fmt.Sprintf("logo-v%d", i)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		f.touch("logo")
		run := fmt.Sprintf("r%d", i)
		f.write(run)
		require.Equal(t, content, contentOf(t, f.open(run), "logo"))
	}
}

// mountExt4 mounts a new ext4 for the time of the test.
func mountExt4(t *testing.T, args ...string) string {
	t.Helper()
	needProgram(t, "mkfs.ext4", "e2fsprogs")
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, 16<<20))
	shell(t, "/", "mkfs.ext4", append(append([]string{"-q"}, args...), image)...)
	shell(t, "/", "mount", "-o", "loop", image, dir)
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// TestUnchangedIsNotRead looks at what the second run tells of what it does.
func TestUnchangedIsNotRead(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	var phases []string
	f.opts.Progress = func(p Progress) { phases = append(phases, p.Phase) }
	result := f.write("r2")
	assert.True(t, result.TreeShared)
	assert.NotContains(t, phases, progress.Verify, "nothing was read")
	assert.NotContains(t, phases, PhaseFileStorage)
}

// TestStampsAreNoPartOfABackup damages and removes the lists of stamps: more is read, and nothing is wrong.
func TestStampsAreNoPartOfABackup(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(t *testing.T, path string)
	}{
		"Removed":   {"a copy of the volume may lack it, and so does what an older version wrote", func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }},
		"Empty":     {"a crash left it empty", func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 0)) }},
		"Torn":      {"or torn", func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 8+64+1+17+5)) }},
		"OtherTree": {"it is that of another tree", func(t *testing.T, path string) { replaceIn(t, path, "#stamps ", "#stamps f") }},
		"Garbage":   {"its lines are none", func(t *testing.T, path string) { replaceIn(t, path, "\n", "\n\x00\xff") }},
		"Directory": {"something else has its name", func(t *testing.T, path string) {
			require.NoError(t, os.Remove(path))
			require.NoError(t, os.Mkdir(path, 0o755))
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			tree := f.write("r1").Manifest.Tree
			tc.change(t, f.path("trees", ".stamps-"+tree))
			f.inPlace("tenant-002/.htaccess", "DENY")
			assert.Empty(t, f.verify("r1").Warnings, tc.reason)
			result := f.write("r2")
			assert.Equal(t, "DENY", contentOf(t, f.open("r2"), "tenant-002/.htaccess"), tc.reason)
			assert.EqualValues(t, 3, result.Manifest.Totals.LinkedFiles, tc.reason)
			f.verify("r2")
		})
	}
}

func TestStampsGoWithTheirTree(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	first := f.write("r1").Manifest.Tree
	f.add("more", "more")
	second := f.write("r2").Manifest.Tree
	f.remove("r1")
	assert.NoFileExists(t, f.path("trees", ".stamps-"+first))
	assert.FileExists(t, f.path("trees", ".stamps-"+second))
}
