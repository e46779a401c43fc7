package archive

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/parallel"
)

// TestKilledAtEveryStep lets a run end between any two of its last steps, which are too close for random kills.
func TestKilledAtEveryStep(t *testing.T) {
	cases := map[string]struct {
		reason string
		undo   func(f *fixture, tree string) // goes back from the finished run to what was there at the step
	}{
		"BeforeLinks": {"The run has its name, latest is that of the one before", func(f *fixture, _ string) {
			require.NoError(f.t, os.Remove(f.path("latest")))
			require.NoError(f.t, os.Symlink("runs/r1", f.path("latest")))
		}},
		"BeforeStamps": {"The run has its name, the list of its stamps has not", func(f *fixture, tree string) {
			require.NoError(f.t, os.Rename(f.path("trees", stampsPrefix+tree), f.path("trees", newStampsName)))
			require.NoError(f.t, os.Remove(f.path("latest")))
			require.NoError(f.t, os.Symlink("runs/r1", f.path("latest")))
		}},
		"BeforeRunRename": {"The tree has its name, the run has not", func(f *fixture, _ string) {
			require.NoError(f.t, os.Rename(f.path("runs/r2"), f.path("runs/.partial-r2")))
		}},
		"BeforeTreeRename": {"All is written, nothing has its name", func(f *fixture, tree string) {
			require.NoError(f.t, os.Rename(f.path("runs/r2"), f.path("runs/.partial-r2")))
			require.NoError(f.t, os.Rename(f.path("trees", tree), f.path("trees/.partial-r2")))
		}},
		"BeforeManifest": {"The run has all but its manifest", func(f *fixture, tree string) {
			require.NoError(f.t, os.Remove(f.path("runs/r2/manifest.json")))
			require.NoError(f.t, os.Rename(f.path("runs/r2"), f.path("runs/.partial-r2")))
			require.NoError(f.t, os.Rename(f.path("trees", tree), f.path("trees/.partial-r2")))
		}},
		"TornManifest": {"A power cut tore the manifest", func(f *fixture, tree string) {
			require.NoError(f.t, os.Truncate(f.path("runs/r2/manifest.json"), 20))
			require.NoError(f.t, os.Rename(f.path("runs/r2"), f.path("runs/.partial-r2")))
			require.NoError(f.t, os.Rename(f.path("trees", tree), f.path("trees/.partial-r2")))
		}},
	}
	for name, tc := range cases {
		for _, next := range []string{"r2", "r3"} {
			t.Run(name+"Then"+next, func(t *testing.T) {
				f := newFixture(t)
				f.addSome()
				f.write("r1")
				f.add("more", "x")
				tree := f.write("r2").Manifest.Tree
				tc.undo(f, tree)
				f.verify("r1")
				result := f.write(next)
				f.verify("r1")
				f.verify(next)
				assert.Equal(t, tree, result.Manifest.Tree, tc.reason)
				assert.Len(t, ls(t, f.path("trees")), 2, tc.reason)
				target, err := os.Readlink(f.path("latest"))
				require.NoError(t, err)
				assert.Equal(t, "runs/"+next, target, tc.reason)
				if next == "r3" && (name == "BeforeLinks" || name == "BeforeStamps") {
					f.verify("r2")
					return
				}
				assert.ElementsMatch(t, []string{"r1", next}, ls(t, f.path("runs")), tc.reason)
			})
		}
	}
}

func TestKilledBeforeRunRenameAndChanged(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	f.add("more", "x")
	superseded := f.write("r2").Manifest.Tree
	require.NoError(t, os.Rename(f.path("runs/r2"), f.path("runs/.partial-r2")))
	f.add("most", "x")
	result := f.write("r2")
	assert.Equal(t, int64(5), result.Manifest.Totals.LinkedFiles, "the tree that was finished serves")
	assert.NotContains(t, ls(t, f.path("trees")), superseded, "and is removed, since no run refers to it")
	f.verify("r1")
	f.verify("r2")
}

// interrupt writes a run and stops it after the first files are stored.
func interrupt(f *fixture, run string) {
	f.t.Helper()
	interruptAt(f, run, 1)
}

// interruptAt writes a run and stops it after so many files are stored.
func interruptAt(f *fixture, run string, files int64) {
	f.t.Helper()
	opts := f.opts
	opts.Run, opts.Workers = run, 1
	ctx, cancel := contextWithCancel(f.t)
	opts.Progress = func(p Progress) {
		if p.Phase == PhaseFileStorage && p.FilesDone >= files {
			cancel()
		}
	}
	_, err := f.volume.Write(ctx, opts)
	require.Error(f.t, err)
}

func TestResumeKeepsWhatAgrees(t *testing.T) {
	for name, encrypted := range map[string]bool{"Plaintext": false, "Encrypted": true} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			if encrypted {
				f.opts.Recipients = []string{identity(t).Recipient().String()}
			}
			for i := range 10 * parallel.BatchItems {
				f.add("f"+itoa(1000+i), "content "+itoa(i))
			}
			interrupt(f, "r1")
			files := f.path("trees/.partial-r1/files")
			stored := ls(t, files)
			require.NotEmpty(t, stored)
			require.Less(t, len(stored), 10*parallel.BatchItems)
			inodes := make(map[string]uint64)
			for _, name := range stored {
				inodes[name] = inode(t, filepath.Join(files, name))
			}
			damaged, changed, gone := stored[0], stored[1], stored[2]
			replaceIn(t, filepath.Join(files, damaged), "", "?")
			require.NoError(t, os.Truncate(filepath.Join(files, damaged), 5))
			f.add(changed, "content x")
			require.NoError(t, os.Chtimes(filepath.Join(f.files, changed), epoch(), epoch().Add(1)))
			require.NoError(t, os.Remove(filepath.Join(f.files, gone)))

			result := f.write("r1")
			f.verify("r1")
			assert.Equal(t, int64(10*parallel.BatchItems-1), result.Manifest.Totals.Files)
			keptFiles := 0
			for _, name := range stored {
				if name == gone {
					assert.NoFileExists(t, f.stored(result, name))
					continue
				}
				if inode(t, f.stored(result, name)) == inodes[name] && name != damaged && name != changed {
					keptFiles++
				}
			}
			assert.GreaterOrEqual(t, keptFiles, parallel.BatchItems-4, "what was stored and agrees is not stored again")
			if !encrypted {
				assert.Equal(t, "content x", f.read("trees", result.Manifest.Tree, "files", changed))
				assert.Equal(t, "content 0", f.read("trees", result.Manifest.Tree, "files", damaged))
			}
		})
	}
}

func TestResumeAfterSeveralInterruptions(t *testing.T) {
	f := newFixture(t)
	for i := range 10 * parallel.BatchItems {
		f.add("d"+itoa(i%5)+"/f"+itoa(1000+i), "content "+itoa(i))
	}
	before := 0
	for _, files := range []int64{3 * parallel.BatchItems, 1, 6 * parallel.BatchItems, 1} {
		interruptAt(f, "r1", files)
		now := strings.Count(shell(t, f.path("trees/.partial-r1"), "sh", "-c", "cat JOURNAL*"), "sha256=")
		assert.GreaterOrEqual(t, now, before, "an interruption loses nothing that was stored before")
		assert.GreaterOrEqual(t, int64(now), files)
		before = now
	}
	f.write("r1")
	f.verify("r1")
	assert.Equal(t, []string{"MTREE", "SHA256SUMS", "files"}, ls(t, f.path("trees", f.report("r1").tree(f))))
}

// tree returns the tree of the verified run.
func (r *VerifyReport) tree(f *fixture) string {
	info, err := f.volume.find(f.t.Context(), r.Run)
	require.NoError(f.t, err)
	return info.Manifest.Tree
}

func TestResumeNeverTouchesEarlierRuns(t *testing.T) {
	f := newFixture(t)
	for i := range 10 * parallel.BatchItems {
		f.add("f"+itoa(1000+i), "content "+itoa(i))
	}
	f.write("r1")
	f.add("f0000", "new")
	interrupt(f, "r2")
	for i := range 10 * parallel.BatchItems {
		f.add("f"+itoa(1000+i), "changed "+itoa(i))
		at := epoch().Add(time.Hour)
		require.NoError(t, os.Chtimes(filepath.Join(f.files, "f"+itoa(1000+i)), at, at))
	}
	f.write("r2")
	f.verify("r1")
	f.verify("r2")
}

func TestResumeWithOtherRecipients(t *testing.T) {
	f := newFixture(t)
	for i := range 10 * parallel.BatchItems {
		f.add("f"+itoa(1000+i), "content "+itoa(i))
	}
	interrupt(f, "r1")
	id := identity(t)
	f.opts.Recipients = []string{id.Recipient().String()}
	result := f.write("r1")
	assert.Len(t, restore(t, f.open("r1"), id), 10*parallel.BatchItems, "no plaintext file was kept")
	f.verify("r1")
	assert.Zero(t, result.Manifest.Totals.LinkedFiles)
}

func TestResumeFromStrangeLeftovers(t *testing.T) {
	cases := map[string]struct {
		reason string
		do     func(t *testing.T, tree string)
	}{
		"TornJournal": {"A power cut tears what was not synced", func(t *testing.T, tree string) {
			replaceIn(t, filepath.Join(tree, "JOURNAL.new"), "type=file", "type=\x00\x00\x00\x00")
		}},
		"NoJournal": {"Without a journal nothing can be checked", func(t *testing.T, tree string) {
			require.NoError(t, os.Remove(filepath.Join(tree, "JOURNAL.new")))
		}},
		"StrangeEntries": {"What no attempt of ours leaves is removed", func(t *testing.T, tree string) {
			shell(t, tree, "mkfifo", "files/fifo")
			shell(t, tree, "mkdir", "-p", "files/more/and/more")
			shell(t, tree, "ln", "-s", "/etc", "files/link")
		}},
		"DirectoryInPlaceOfFile": {"A stored entry of another type is removed", func(t *testing.T, tree string) {
			shell(t, tree, "sh", "-c", "rm files/f1000 && mkdir -p files/f1000/x")
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			for i := range 5 * parallel.BatchItems {
				f.add("f"+itoa(1000+i), "content "+itoa(i))
			}
			interrupt(f, "r1")
			tc.do(t, f.path("trees/.partial-r1"))
			f.write("r1")
			f.verify("r1")
		})
	}
}

func TestDamagedTreeIsNotUsed(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	first := f.write("r1")
	f.add("more", "x")
	second := f.write("r2")
	flip(t, f.path("trees", second.Manifest.Tree, "SHA256SUMS"))
	third := f.write("r3")
	require.Len(t, third.Manifest.Warnings, 1)
	assert.Contains(t, third.Manifest.Warnings[0], second.Manifest.Tree)
	assert.Equal(t, inode(t, f.stored(first, "tenant-002/.htaccess")), inode(t, f.stored(third, "tenant-002/.htaccess")), "the tree before it serves")
	assert.Equal(t, second.Manifest.Tree, third.Manifest.Tree)
	f.verify("r3")
	f.verify("r2")
}

func TestTruncatedFileIsNotLinked(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	first := f.write("r1")
	require.NoError(t, os.Truncate(f.stored(first, "tenant-002/.htaccess"), 1))
	require.NoError(t, os.Remove(f.stored(first, "tenant-001/2026/01/03/über uns.html")))
	f.add("more", "x")
	second := f.write("r2")
	f.verify("r2")
	assert.Equal(t, []string{"2 unchanged files could not be linked to the earlier tree and were copied"}, second.Manifest.Warnings)
}
