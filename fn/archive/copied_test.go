package archive

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// copyRegular copies what an object store takes: regular files, with nothing but their names and bytes.
func copyRegular(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(from, path)
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(to, rel)), 0o755))
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		return os.WriteFile(filepath.Join(to, rel), data, 0o644)
	}))
}

// copyTools are ways to copy a volume that lose one thing or another.
func copyTools() map[string]struct {
	reason string
	copy   func(t *testing.T, from, to string)
} {
	rsync := func(args ...string) func(t *testing.T, from, to string) {
		return func(t *testing.T, from, to string) {
			t.Helper()
			needProgram(t, "rsync", "rsync")
			shell(t, "/", "rsync", append(args, from+"/", to+"/")...)
		}
	}
	return map[string]struct {
		reason string
		copy   func(t *testing.T, from, to string)
	}{
		"ObjectStore":    {"it knows nothing but files", copyRegular},
		"NoLinks":        {"symlinks left out", rsync("-rt", "--no-links")},
		"NoEmptyDirs":    {"directories without files left out", rsync("-rlt", "--prune-empty-dirs")},
		"NoTimes":        {"neither modes nor times", rsync("-rl")},
		"NoHardLinks":    {"what runs share becomes files of their own", rsync("-a")},
		"WithEverything": {"as good as it gets", rsync("-aHAX")},
		"CopyLinks": {"symlinks become what they lead to", func(t *testing.T, from, to string) {
			t.Helper()
			needProgram(t, "rsync", "rsync")
			shell(t, "/", "sh", "-c", `rsync -rL "$1/" "$2/" || [ $? = 23 ]`, "sh", from, to) // it tells of those that lead to nothing
		}},
	}
}

// TestCopiesOfAVolume copies a volume by tools that lose all but the bytes of files. Every digest is right: so the copy
// verifies, and gives back all that the volume did.
func TestCopiesOfAVolume(t *testing.T) {
	needRoot(t, "reading a file without a permission")
	for name, tool := range copyTools() {
		for _, encrypted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%t", name, encrypted), func(t *testing.T) {
				f := newFixture(t)
				f.addAwkward()
				require.NoError(t, os.Remove(filepath.Join(f.files, "loop"))) // whoever follows links would never end
				require.NoError(t, os.Remove(filepath.Join(f.files, "absolute")))
				f.touch(".")
				var identities []age.Identity
				if encrypted {
					key := identity(t)
					f.opts.Recipients, identities = []string{key.Recipient().String()}, []age.Identity{key}
				}
				f.write("r1")
				f.add("later", "later")
				f.touch(".")
				f.write("r2")

				c := newFixtureOn(t, t.TempDir())
				tool.copy(t, f.root, c.root)
				c.files, c.opts.Files, c.opts.Recipients = f.files, f.files, f.opts.Recipients
				c.verify("r1")
				report := c.verify("r2")
				t.Logf("%q", report.Warnings)
				all, err := c.volume.VerifyRuns(t.Context(), VerifyRunsOptions{})
				require.NoError(t, err)
				for _, r := range all.Runs {
					if r.State == Complete {
						assert.Empty(t, r.Problems, tool.reason)
					}
				}
				dir := target(t)
				c.restoreTo(dir, Latest, Fail, identities...)
				assertEqualTrees(t, f.files, dir)
				assert.Equal(t, Comparison{Same: true}, c.compare(dir, "r2", identities...))

				result := c.write("r3")
				if !encrypted {
					assert.Equal(t, result.Manifest.Totals.Files, result.Manifest.Totals.LinkedFiles, "what is stored need not be stored again")
				}
				whole := c.verify("r3").Warnings
				if name != "NoEmptyDirs" { // which shows in nothing but the tree, and is not looked for
					assert.NotContains(t, fmt.Sprint(whole), "lacks", "a run makes the tree whole that it shares")
				}
				assert.Equal(t, "r3", c.report(Latest).Run)
				dir = target(t)
				c.restoreTo(dir, "r3", Fail, identities...)
				assertEqualTrees(t, f.files, dir)

				assert.Len(t, c.remove("r1").Trees, 1, tool.reason)
				c.verify("r2")
				c.verify("r3")
			})
		}
	}
}

// TestCopyOfNoFiles copies what has no regular file: nothing is left of it but the lists.
func TestCopyOfNoFiles(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, os.MkdirAll(filepath.Join(f.files, "empty/nested"), 0o750))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(f.files, "link")))
	touchAll(f)
	f.write("r1")
	c := newFixtureOn(t, t.TempDir())
	c.files, c.opts.Files = f.files, f.files
	copyRegular(t, f.root, c.root)
	assert.Equal(t, []string{
		"the run lacks 1 symlinks and 0 directories, as after a copy by a tool that does not know them: a restore makes them from the lists",
		"its tree lacks 1 symlinks and 3 directories, as after a copy by a tool that does not know them: a restore makes them from the lists",
		`latest does not lead to the newest run "r1"`,
	}, c.verify("r1").Warnings)
	dir := target(t)
	c.restoreTo(dir, "r1", Fail)
	assertEqualTrees(t, f.files, dir)
	c.write("r2")
	assert.NotContains(t, fmt.Sprint(c.verify("r1").Warnings), "its tree", "the next run makes the tree whole")
	assertEqualTrees(t, f.files, c.path("system-filestorage-pvc"))
}

// TestACopyHidesNoDamage takes files away too.
func TestACopyHidesNoDamage(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	require.NoError(t, os.Symlink("tenant-002", filepath.Join(f.files, "link")))
	f.write("r1")
	c := newFixtureOn(t, t.TempDir())
	shell(t, "/", "cp", "-rL", f.root+"/.", c.root)
	tree := c.path("trees", ls(t, c.path("trees"))[0])
	require.NoError(t, os.Remove(filepath.Join(tree, "files/tenant-002/.htaccess")))
	require.NoError(t, os.WriteFile(filepath.Join(tree, "files/linked"), nil, 0o644))
	report := c.report("r1")
	require.Len(t, report.Problems, 2)
	assert.Equal(t, Additional, report.Problems[0].Kind)
	assert.Equal(t, Missing, report.Problems[1].Kind)
	_, err := c.tryRestore(target(t), "r1", Fail)
	var damaged *IntegrityError
	require.ErrorAs(t, err, &damaged)
}
