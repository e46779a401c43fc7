package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// Who can mount the volume and knows the ID that the next run will have can put
// anything there under that ID before the run begins.

// noted is a Witness that remembers, and has lost an earlier note or not.
type noted struct {
	begun   bool
	notes   int
	failing error
}

func (n *noted) Begun(context.Context) (bool, error) { return n.begun, n.failing }

func (n *noted) Begin(context.Context) error {
	n.begun = true
	n.notes++
	return n.failing
}

const (
	theLogo    = "tenant-001/2026/01/02/logo-0123456789abcdef.png"
	trueLogo   = "a logo"
	forgedLogo = "A LOGO"
)

// forgery is a volume with a run r1 whose lists agree with what is stored, and whose files seem to be those of the
// fixture's file storage, but for what is in one of them.
func (f *fixture) forgery() *fixture {
	f.t.Helper()
	forged := newFixture(f.t)
	forged.files, forged.opts.Files = f.files, f.files
	tree := forged.write("r1").Manifest.Tree
	in := forged.path("trees", tree)
	stored := filepath.Join(in, "files", theLogo)
	info, err := os.Stat(stored)
	require.NoError(f.t, err)
	require.NoError(f.t, os.WriteFile(stored, []byte(forgedLogo), 0o644))
	require.NoError(f.t, os.Chtimes(stored, info.ModTime(), info.ModTime()))
	before := dirfd.DigestOf([]byte(forged.read("trees", tree, "SHA256SUMS")))
	replaceIn(f.t, filepath.Join(in, "SHA256SUMS"), dirfd.DigestOf([]byte(trueLogo)), dirfd.DigestOf([]byte(forgedLogo)))
	name := strings.Fields(shell(f.t, in, "sh", "-c", "sha256sum MTREE SHA256SUMS | sha256sum"))[0]
	replaceIn(f.t, forged.path("trees", ".stamps-"+tree), tree, name)
	require.NoError(f.t, os.Rename(forged.path("trees", ".stamps-"+tree), forged.path("trees", ".stamps-"+name)))
	require.NoError(f.t, os.Rename(in, forged.path("trees", name)))
	manifest := forged.path("runs/r1/manifest.json")
	replaceIn(f.t, manifest, tree, name)
	replaceIn(f.t, manifest, before, dirfd.DigestOf([]byte(forged.read("trees", name, "SHA256SUMS"))))
	link := forged.path("runs/r1", storageName)
	require.NoError(f.t, os.Remove(link))
	require.NoError(f.t, os.Symlink(filesTarget(name), link))
	require.Equal(f.t, forgedLogo, contentOf(f.t, forged.open("r1"), theLogo), "it is intact by all that is in it")
	forged.verify("r1")
	return forged
}

// plant copies the directories of runs and trees of a volume.
func (f *fixture) plant(forged *fixture) {
	f.t.Helper()
	for _, dir := range []string{runsDir, treesDir} {
		require.NoError(f.t, os.MkdirAll(f.path(dir), 0o755))
		shell(f.t, "/", "cp", "-a", forged.path(dir)+"/.", f.path(dir))
	}
}

// asPartialTree makes the tree of the forged run the beginning of one, with its journal.
func (f *fixture) asPartialTree() {
	f.t.Helper()
	info, err := f.volume.find(f.t.Context(), "r1")
	require.NoError(f.t, err)
	tree := info.Manifest.Tree
	stamps := strings.Fields(f.read("trees", ".stamps-"+tree))[2:]
	sums := strings.Split(f.read("trees", tree, "SHA256SUMS"), "\n")[1:] // the first is that of MTREE
	journal := bytes.NewBufferString("#journal 3 plaintext\n")
	for line := range strings.Lines(f.read("trees", tree, "MTREE")) {
		if strings.Contains(line, " type=file ") {
			fmt.Fprintf(journal, "%s stamp=%s sha256=%s\n", strings.TrimSuffix(line, "\n"), strings.TrimLeft(stamps[0], "0"), sums[0][:64])
			stamps, sums = stamps[1:], sums[1:]
		}
	}
	partial := f.path("trees/.partial-r1")
	require.NoError(f.t, os.Rename(f.path("trees", tree), partial))
	require.NoError(f.t, os.RemoveAll(f.path("runs/r1")))
	for _, name := range []string{"MTREE", "SHA256SUMS"} {
		require.NoError(f.t, os.Remove(filepath.Join(partial, name)))
	}
	require.NoError(f.t, os.WriteFile(filepath.Join(partial, "JOURNAL"), journal.Bytes(), 0o644))
}

// plants are what may lie on a volume under the ID of a run.
func plants() map[string]struct {
	reason  string
	arrange func(f *fixture)
	kept    bool // it may be a good backup, and is there to be looked at
} {
	rename := func(from, to string) func(*fixture) {
		return func(f *fixture) {
			f.plant(f.forgery())
			require.NoError(f.t, os.Rename(f.path(from), f.path(to)))
		}
	}
	return map[string]struct {
		reason  string
		arrange func(f *fixture)
		kept    bool
	}{
		"Run":         {"a whole run, which says of itself that it is intact", func(f *fixture) { f.plant(f.forgery()) }, true},
		"PartialRun":  {"one that lacks only its name, with its tree and its stamps", rename("runs/r1", "runs/.partial-r1"), false},
		"PartialTree": {"files, and a journal by which they are what the file storage has", func(f *fixture) { f.plant(f.forgery()); f.asPartialTree() }, false},
		"EmptyRun":    {"a directory without a manifest", func(f *fixture) { require.NoError(f.t, os.MkdirAll(f.path("runs/r1"), 0o755)) }, true},
		"File": {"something else of the name", func(f *fixture) {
			require.NoError(f.t, os.MkdirAll(f.path("runs"), 0o755))
			require.NoError(f.t, os.WriteFile(f.path("runs/r1"), nil, 0o644))
		}, true},
		"Link": {"which leads elsewhere", func(f *fixture) {
			require.NoError(f.t, os.MkdirAll(f.path("runs"), 0o755))
			require.NoError(f.t, os.Symlink("/etc", f.path("runs/r1")))
		}, true},
		"LinkForTree": {"likewise", func(f *fixture) {
			require.NoError(f.t, os.MkdirAll(f.path("trees"), 0o755))
			require.NoError(f.t, os.Symlink(f.files, f.path("trees/.partial-r1")))
		}, false},
		"EarlierAside": {"the name that it would be moved to is taken too", func(f *fixture) {
			f.plant(f.forgery())
			require.NoError(f.t, os.MkdirAll(f.path("runs/.aside-r1/x"), 0o755))
			require.NoError(f.t, os.MkdirAll(f.path("trees/.removed-r1/x"), 0o755))
		}, true},
	}
}

func TestPlantedRunIsNotTheRun(t *testing.T) {
	for name, tc := range plants() {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.add("earlier", "x")
			f.opts.Known = map[string]string{"r0": f.write("r0").ManifestSHA256}
			f.addSome()
			tc.arrange(f)
			witness := &noted{}
			f.opts.Witness = witness
			result := f.write("r1")
			assert.False(t, result.AlreadyComplete, tc.reason)
			assert.Equal(t, 1, witness.notes)
			assert.Equal(t, trueLogo, contentOf(t, f.open("r1"), theLogo), tc.reason)
			f.verify("r1")
			f.verify("r0")
			told := strings.Join(result.Manifest.Warnings, "\n")
			assert.Contains(t, told, `before run "r1" began`, tc.reason)
			assert.Equal(t, tc.kept, strings.Contains(told, "runs/.aside-r1"), told)
			runs, err := f.volume.Runs(t.Context())
			require.NoError(t, err)
			assert.Equal(t, []string{"r0 Complete", "r1 Complete"}, ids(runs), "what was set aside is no run")
			assert.Equal(t, "r1", f.report(Latest).Run)
			assert.NotContains(t, shell(t, f.root, "ls", "-A", "runs", "trees"), "partial")

			again := f.write("r1")
			assert.True(t, again.AlreadyComplete, "the note tells that it is our own")
			assert.Equal(t, result.ManifestSHA256, again.ManifestSHA256)
			assert.Equal(t, 1, witness.notes)
		})
	}
}

// TestOwnRunGoesOn: what an attempt left whose note is there is used, be it a whole run or the beginning of one.
func TestOwnRunGoesOn(t *testing.T) {
	for _, name := range []string{"Run", "PartialRun", "PartialTree"} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			plants()[name].arrange(f)
			f.opts.Witness = &noted{begun: true}
			result := f.write("r1")
			assert.Equal(t, name == "Run", result.AlreadyComplete)
			assert.Equal(t, forgedLogo, contentOf(t, f.open("r1"), theLogo), "here it stands for what an attempt had stored")
			assert.Empty(t, result.Manifest.Warnings)
		})
	}
}

// TestSetAsideIsKept: it may be a good run whose note was lost.
func TestSetAsideIsKept(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.opts.Witness = &noted{}
	own := f.write("r1")
	f.add("tenant-002/.htaccess", "allow")
	for _, run := range []string{"r1", "r2", "r3"} { // with the notes lost each time
		f.opts.Witness = &noted{}
		result := f.write(run)
		assert.NotEqual(t, own.Manifest.Tree, result.Manifest.Tree)
		require.Len(t, result.Manifest.Warnings, 1, "it is told of as long as it is there")
		assert.Contains(t, result.Manifest.Warnings[0], "runs/.aside-r1")
	}
	for _, run := range []string{"r1", "r2"} {
		f.remove(run)
	}
	freed, err := f.volume.Freed(t.Context(), []string{"r3"})
	require.NoError(t, err)
	assert.NotZero(t, freed)
	require.NoError(t, os.Rename(f.path("runs/.aside-r1"), f.path("runs/r1")), "as the documents say")
	f.verify("r1")
	info, err := f.volume.find(f.t.Context(), "r1")
	require.NoError(t, err)
	assert.Equal(t, own.ManifestSHA256, info.ManifestSHA256)
	f.opts.Witness = &noted{}
	assert.Empty(t, f.write("r4").Manifest.Warnings)
}

// TestNoRunBeginsUnnoted: without a note, the next attempt could not tell the run from a planted one.
func TestNoRunBeginsUnnoted(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	errBoom := errors.New("boom")
	f.opts.Witness = &noted{failing: errBoom}
	_, err := f.tryWrite("r1")
	require.ErrorIs(t, err, errBoom)
	assert.Empty(t, ls(t, f.path("runs")))
	assert.Empty(t, ls(t, f.path("trees")))

	// Killed after the note, before anything was written.
	f.opts.Witness = &noted{begun: true}
	assert.Empty(t, f.write("r1").Manifest.Warnings)
}

// TestManySetAside: who can write to the volume makes as many such names as he likes, of any bytes. What else a run
// warns of is told all the same.
func TestManySetAside(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	require.NoError(t, os.MkdirAll(f.path("runs"), 0o755))
	for i := range walk.MaxListed + 1 {
		require.NoError(t, os.WriteFile(f.path("runs", fmt.Sprintf(".aside-r%d\x1b[2J\n\xff", i)), nil, 0o644))
	}
	require.NoError(t, os.Mkdir(f.path("latest"), 0o755))
	warnings := f.write("r1").Manifest.Warnings
	require.Len(t, warnings, 7)
	assert.Contains(t, warnings[0], "APIManagerRestore cannot read this run")
	assert.Contains(t, warnings[6], "runs has 1001 such entries in all")
	told := strings.Join(warnings, "")
	assert.NotContains(t, told, "\x1b")
	assert.NotContains(t, told, "\n")
}
