package archive

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/parallel"
	"threescale.dev/backup/fn/archive/internal/progress"
)

const (
	aFile       = "tenant-002/.htaccess"
	anotherFile = "tenant-001/2026/01/02/logo-0123456789abcdef.png"
)

// TestWithoutProofDamageIsLinked is why there is ProveLinks: a file of the same size, mtime and mode is taken for
// unchanged, and what is stored of it for good.
func TestWithoutProofDamageIsLinked(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	first := f.write("r1")
	flip(t, f.stored(first, aFile))
	assert.True(t, f.write("r2").TreeShared)
	f.add("more", "x")
	third := f.write("r3")
	assert.Equal(t, inode(t, f.stored(first, aFile)), inode(t, f.stored(third, aFile)))
	for _, run := range []string{"r1", "r2", "r3"} {
		assert.Len(t, f.report(run).Problems, 1, run)
	}
}

// TestProveLinks: damage ends with the next run that proves what it links.
func TestProveLinks(t *testing.T) {
	cases := map[string]struct {
		reason  string
		do      func(t *testing.T, f *fixture, r *Result)
		fresh   []string // files that are stored anew
		warning []string // what the warnings hold, one each
	}{
		"Nothing": {"An intact tree is shared", func(*testing.T, *fixture, *Result) {}, nil, nil},
		"FlippedBit": {"Size and mtime tell nothing of a bit", func(t *testing.T, f *fixture, r *Result) {
			flip(t, f.stored(r, aFile))
		}, []string{aFile}, []string{"files/" + aFile + " is damaged and was not linked: its SHA-256 is not the listed one"}},
		"Missing": {"What is gone cannot be linked", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Remove(f.stored(r, aFile)))
		}, []string{aFile}, []string{aFile + " is missing", "files/" + aFile + " is damaged"}},
		"MissingDirectory": {"Nor can what was in a directory", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.RemoveAll(f.stored(r, "tenant-002")))
		}, []string{aFile, "tenant-002/empty"}, []string{"tenant-002 is missing", "files/" + aFile, "files/tenant-002/empty"}},
		"Longer": {"A file is read no further than it should be", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Truncate(f.stored(r, aFile), 1<<40))
		}, []string{aFile}, []string{"files/" + aFile + " is damaged"}},
		"BecameLink": {"A symlink to the same content is not followed", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Rename(f.stored(r, aFile), f.path("elsewhere")))
			require.NoError(t, os.Symlink(f.path("elsewhere"), f.stored(r, aFile)))
		}, []string{aFile}, []string{aFile + " is changed", "files/" + aFile + " is damaged"}},
		"Additional": {"A tree with more than is listed is not shared", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.WriteFile(f.stored(r, "tenant-002/more"), nil, 0o644))
		}, nil, []string{"tenant-002/more is additional"}},
		"AdditionalDirectory": {"An empty directory is an entry too", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Mkdir(f.stored(r, "zzz"), 0o755))
		}, nil, []string{"zzz is additional"}},
		"BesideTheFiles": {"Nor one with more than lists and files", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.WriteFile(f.path("trees", r.Manifest.Tree, "more"), nil, 0o644))
		}, nil, []string{"more is not part of a tree"}},
		"SwappedLink": {"A symlink that leads elsewhere is no reason to share it", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Remove(f.stored(r, "link")))
			require.NoError(t, os.Symlink("/etc/passwd", f.stored(r, "link")))
		}, nil, []string{"link is changed"}},
		"Lists": {"A tree whose lists are damaged is not linked from at all", func(t *testing.T, f *fixture, r *Result) {
			flip(t, f.path("trees", r.Manifest.Tree, "SHA256SUMS"))
		}, []string{aFile, anotherFile, "tenant-002/empty"}, []string{"is damaged and was not used"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			require.NoError(t, os.Symlink("somewhere", filepath.Join(f.files, "link")))
			first := f.write("r1")
			before := map[string]uint64{}
			for _, file := range []string{aFile, anotherFile, "tenant-002/empty"} {
				before[file] = inode(t, f.stored(first, file))
			}
			tc.do(t, f, first)
			f.opts.ProveLinks = true
			second := f.write("r2")
			assert.Equal(t, first.Manifest.Tree, second.Manifest.Tree, "the same content is the same tree")
			assert.Equal(t, name == "Nothing", second.TreeShared, tc.reason)
			f.verify("r2")
			f.verify("r1") // which shares the tree that was mended
			for file, was := range before {
				now := inode(t, f.stored(second, file))
				if contains(tc.fresh, file) {
					assert.Equal(t, readSource(t, f, file), f.read("trees", second.Manifest.Tree, "files", file), tc.reason)
				} else {
					assert.Equal(t, was, now, "%s is linked: %s", file, tc.reason)
				}
			}
			require.Len(t, second.Manifest.Warnings, len(tc.warning), "%q", second.Manifest.Warnings)
			for i, want := range tc.warning {
				assert.Contains(t, second.Manifest.Warnings[i], want)
			}
			assert.Equal(t, []string{first.Manifest.Tree}, ls(t, f.path("trees")))
			third := f.write("r3")
			assert.True(t, third.TreeShared, "the next run finds nothing to mend")
		})
	}
}

func contains(list []string, text string) bool {
	return strings.Contains("\n"+strings.Join(list, "\n")+"\n", "\n"+text+"\n")
}

func readSource(t *testing.T, f *fixture, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(f.files, path))
	require.NoError(t, err)
	return string(data)
}

// TestProveLinksOfAChangedFileStorage: a tree that cannot be shared is linked from file by file.
func TestProveLinksOfAChangedFileStorage(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	first := f.write("r1")
	flip(t, f.stored(first, aFile))
	f.add("more", "x")
	f.opts.ProveLinks = true
	last := make(map[string]Progress)
	f.opts.Progress = func(p Progress) { last[p.Phase] = p }
	second := f.write("r2")
	f.verify("r2")
	assert.Equal(t, int64(3), second.Manifest.Totals.LinkedFiles)
	assert.Equal(t, inode(t, f.stored(first, anotherFile)), inode(t, f.stored(second, anotherFile)))
	assert.Len(t, second.Manifest.Warnings, 1)
	assert.Equal(t, Progress{Phase: progress.Verify, FilesDone: 4, FilesTotal: 4, BytesDone: 17, BytesTotal: 17}, last[progress.Verify], "only what is linked is read")
	assert.Len(t, f.report("r1").Problems, 1, "a tree of another name is not touched")
}

// TestProveLinksMendsAnOlderTree: what comes back to an earlier state does not come back to its damage.
func TestProveLinksMendsAnOlderTree(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	first := f.write("r1")
	f.add("changing", "x")
	f.write("r2")
	flip(t, f.stored(first, aFile)) // which the second tree shares
	require.NoError(t, os.Remove(filepath.Join(f.files, "changing")))
	at := epoch()
	require.NoError(t, os.Chtimes(f.files, at, at))
	second := f.write("r3")
	require.NoError(t, os.WriteFile(filepath.Join(f.files, "changing"), []byte("y"), 0o644))
	f.write("r4")
	require.NoError(t, os.Remove(filepath.Join(f.files, "changing")))
	require.NoError(t, os.Chtimes(f.files, at, at))
	f.opts.ProveLinks = true
	fifth := f.write("r5")
	assert.Equal(t, second.Manifest.Tree, fifth.Manifest.Tree)
	f.verify("r3")
	f.verify("r5")
}

// TestProveLinksEncrypted: what is encrypted anew has another digest, so that it is in another tree.
func TestProveLinksEncrypted(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	id := identity(t)
	f.opts.Recipients = []string{id.Recipient().String()}
	f.opts.ProveLinks = true
	first := f.write("r1")
	assert.True(t, f.write("r2").TreeShared)
	flip(t, f.stored(first, aFile))
	third := f.write("r3")
	assert.NotEqual(t, first.Manifest.Tree, third.Manifest.Tree)
	assert.Equal(t, int64(3), third.Manifest.Totals.LinkedFiles)
	assert.Equal(t, inode(t, f.stored(first, anotherFile)), inode(t, f.stored(third, anotherFile)))
	assert.Equal(t, "deny", restore(t, f.open("r3"), id)[aFile])
	f.verify("r3")
	assert.Len(t, f.report("r1").Problems, 1, "nobody but an identity's holder can mend what is encrypted")
	assert.True(t, f.write("r4").TreeShared)
}

// TestProveLinksNamesSomeOfMany: a list of warnings has an end.
func TestProveLinksNamesSomeOfMany(t *testing.T) {
	f := newFixture(t)
	for i := range 150 {
		f.add("f"+itoa(1000+i), "content")
	}
	first := f.write("r1")
	for i := range 150 {
		flip(t, f.stored(first, "f"+itoa(1000+i)))
	}
	f.opts.ProveLinks = true
	second := f.write("r2")
	require.Len(t, second.Manifest.Warnings, 101)
	assert.Equal(t, "50 more stored files of tree "+first.Manifest.Tree+" are damaged and were not linked", second.Manifest.Warnings[100])
	f.verify("r1")
	f.verify("r2")
}

// TestProveLinksAfterAnInterruption: what was linked without proof is not kept for it.
func TestProveLinksAfterAnInterruption(t *testing.T) {
	for name, provedBefore := range map[string]bool{"BeforeWithout": false, "BeforeToo": true} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			for i := range 10 * parallel.BatchItems {
				f.add("f"+itoa(1000+i), "content "+itoa(i))
			}
			first := f.write("r1")
			flip(t, f.stored(first, "f1001"))
			last := "f" + itoa(1000+10*parallel.BatchItems-1)
			flip(t, f.stored(first, last))
			f.add("a-new-one", "x")
			f.opts.ProveLinks = provedBefore
			interruptAt(f, "r2", parallel.BatchItems)
			require.FileExists(t, f.path("trees/.partial-r2/files/f1001"))
			require.NoFileExists(t, f.path("trees/.partial-r2/files", last))
			f.opts.ProveLinks = true
			second := f.write("r2")
			f.verify("r2")
			assert.NotEqual(t, inode(t, f.stored(first, "f1001")), inode(t, f.stored(second, "f1001")))
			assert.Equal(t, inode(t, f.stored(first, "f1002")), inode(t, f.stored(second, "f1002")))
		})
	}
}

// TestProveLinksWhenTheOldTreeWasExchanged lets a run end before it removed the damaged tree, which then has the name
// of a partial one.
func TestProveLinksWhenTheOldTreeWasExchanged(t *testing.T) {
	for _, next := range []string{"r2", "r3"} {
		t.Run(next, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			first := f.write("r1")
			damaged := t.TempDir()
			shell(t, f.path(), "cp", "-a", f.path("trees", first.Manifest.Tree), damaged)
			f.opts.ProveLinks = true
			f.write("r2")
			require.NoError(t, os.Rename(f.path("runs/r2"), f.path("runs/.partial-r2")))
			shell(t, f.path(), "mv", filepath.Join(damaged, first.Manifest.Tree), f.path("trees/.partial-r2"))
			flip(t, f.path("trees/.partial-r2/files", aFile))
			result := f.write(next)
			assert.True(t, result.TreeShared)
			f.verify("r1")
			f.verify(next)
			assert.Equal(t, []string{first.Manifest.Tree}, ls(t, f.path("trees")))
		})
	}
}
