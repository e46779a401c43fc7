package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/recorded"
)

// testDumps describes a dump of PostgreSQL and one of Redis.
func testDumps() []recorded.Dump {
	start := epoch().AddDate(0, 0, 1)
	return []recorded.Dump{
		{
			Name: "backend-redis", Kind: recorded.Redis, ServerVersion: "7.0.15", Bytes: 16, Keys: 2,
			StartTime: start, CompletionTime: start.Add(time.Second),
		},
		{
			Name: "system-database", Kind: recorded.PostgreSQL, ServerVersion: "15.18", Tool: "pg_dump 15.18", Bytes: 38,
			StartTime: start.Add(time.Second), CompletionTime: start.Add(3 * time.Second),
		},
	}
}

// dump makes a file of a dump of the next run.
func (f *fixture) dump(path, content string) {
	f.t.Helper()
	full := filepath.Join(f.opts.Databases, path)
	require.NoError(f.t, os.MkdirAll(filepath.Dir(full), 0o755))
	require.NoError(f.t, os.WriteFile(full, []byte(content), 0o600))
}

// dumpSome makes new dumps of the next run, as containers do that had no part in those before: only the table of
// contents differs, in which pg_dump writes when it was made.
func (f *fixture) dumpSome(when string) {
	f.t.Helper()
	f.opts.Databases, f.opts.Dumps = f.t.TempDir(), testDumps()
	f.dump("backend-redis/keys.resp", "SET a b\nSET c d\n")
	f.dump("system-database/toc.dat", "dumped at "+when)
	f.dump("system-database/3456.dat", "1\tadmin\n")
	f.dump("system-database/blobs/1.dat", "a large object")
}

// dumpStored returns the path of a stored file of the dumps of a run.
func (f *fixture) dumpStored(r *Result, path string) string {
	return f.path("trees", r.Manifest.Databases.Tree, "files", path)
}

// extract extracts dumps of a run, and returns their files.
func (f *fixture) extract(run string, opts ExtractOptions) map[string]string {
	f.t.Helper()
	dir := f.t.TempDir()
	require.NoError(f.t, f.open(run).ExtractDatabases(f.t.Context(), dir, opts))
	return filesBelow(f.t, dir)
}

// filesBelow returns the content of all regular files below a directory, by their relative paths.
func filesBelow(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, relErr := filepath.Rel(dir, path)
		require.NoError(t, relErr)
		files[rel] = string(data)
		return err
	}))
	return files
}

// dumpEntriesOf returns the entries of the dumps of a run.
func dumpEntriesOf(t *testing.T, r *Run) []Entry {
	t.Helper()
	tree, err := r.openDatabases()
	require.NoError(t, err)
	defer tree.close()
	if !tree.isListed() {
		return nil
	}
	source, done, err := tree.openLists(t.Context())
	require.NoError(t, err)
	defer done()
	var entries []Entry
	for {
		e, err := source.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		require.NoError(t, err)
		entries = append(entries, e)
	}
}

func TestDatabases(t *testing.T) {
	key := identity(t)
	for name, tc := range map[string]struct {
		reason     string
		recipients []string
		linked     int64 // files of the second run's dumps
	}{
		"Plaintext": {"What has the same content is the same file", nil, 3},
		"Encrypted": {"Likewise, though each encryption of a file is another", []string{key.Recipient().String()}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			f.opts.Recipients = tc.recipients
			f.dumpSome("monday")
			want := filesBelow(t, f.opts.Databases)
			first := f.write("r1")
			f.verify("r1")
			assert.Equal(t, formatVersion, first.Manifest.FormatVersion)
			assert.Equal(t, testDumps(), f.open("r1").Dumps())
			assert.Equal(t, TreeTotals{Files: 4, Bytes: 54, Directories: 4}, first.Manifest.Databases.Totals)
			assert.Equal(t, int64(4), first.Manifest.Totals.Files, "those of the file storage alone")
			assert.Equal(t, want, f.extract("r1", ExtractOptions{Identities: []age.Identity{key}}))

			f.dumpSome("tuesday")
			second := f.write("r2")
			f.verify("r2")
			f.verify("r1")
			assert.Equal(t, tc.linked, second.Manifest.Databases.Totals.LinkedFiles, tc.reason)
			for _, path := range []string{"backend-redis/keys.resp", "system-database/3456.dat", "system-database/blobs/1.dat"} {
				assert.Equal(t, inode(t, f.dumpStored(first, path)), inode(t, f.dumpStored(second, path)), path)
			}
			want["system-database/toc.dat"] = "dumped at tuesday"
			assert.Equal(t, want, f.extract("r2", ExtractOptions{Identities: []age.Identity{key}}))
			assert.True(t, second.TreeShared, "the file storage has not changed")
			assert.Empty(t, second.Manifest.Warnings)

			f.dumpSome("tuesday")
			third := f.write("r3")
			assert.Equal(t, second.Manifest.Databases.Tree, third.Manifest.Databases.Tree, "dumps that are the same to the last byte are one tree")
			f.verify("r3")
		})
	}
}

func TestDatabasesChangeWithinTheirSize(t *testing.T) {
	f := newFixture(t)
	for name, recipients := range map[string][]string{"plain": nil, "sealed": {identity(t).Recipient().String()}} {
		f.opts.Recipients = recipients
		f.dumpSome("monday")
		f.write(name + "1")
		f.dumpSome("monday")
		f.dump("system-database/3456.dat", "2\tadmin\n")
		second := f.write(name + "2")
		assert.Equal(t, int64(3), second.Manifest.Databases.Totals.LinkedFiles, "no time and no size tells that a dump has changed")
		f.verify(name + "2")
	}
}

func TestDatabasesAreStoredAnewForOtherSecrets(t *testing.T) {
	f := newFixture(t)
	f.opts.Recipients = []string{identity(t).Recipient().String()}
	f.dumpSome("monday")
	f.write("r1")
	f.opts.Objects[0].Data = []byte("{\"kind\": \"Secret\", \"data\": {}}\n")
	f.dumpSome("monday")
	second := f.write("r2")
	assert.Zero(t, second.Manifest.Databases.Totals.LinkedFiles, "what tells unchanged dumps can be made only by who has the Secrets")
	third := f.write("r3")
	assert.Equal(t, int64(4), third.Manifest.Databases.Totals.LinkedFiles)
}

// TestDatabasesTakeLittle: a table that did not change takes no room, whatever its dump looks like to stat(2).
func TestDatabasesTakeLittle(t *testing.T) {
	for name, recipients := range map[string][]string{"Plaintext": nil, "Encrypted": {identity(t).Recipient().String()}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.opts.Recipients = recipients
			random := rand.New(rand.NewPCG(1, 2))
			tables := make(map[string]string)
			for i := range 60 {
				b := make([]byte, 20_000+random.IntN(100_000))
				for j := range b {
					b[j] = byte(random.Uint32())
				}
				tables[fmt.Sprintf("system-database/%d.dat", 3000+i)] = string(b)
			}
			all := func(when string) {
				f.dumpSome(when)
				for path, content := range tables {
					f.dump(path, content)
				}
			}
			all("monday")
			f.write("r1")
			before := f.held()
			all("tuesday")
			f.write("r2")
			after := f.held()
			assert.Less(t, float64(after-before), 0.05*float64(before), "one more run takes less than 5 %%")
			t.Logf("the first run takes %d bytes, the second %d", before, after-before)
		})
	}
}

func TestMixedRuns(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	f.dumpSome("monday")
	f.write("r2")
	f.opts.Databases, f.opts.Dumps = "", nil
	third := f.write("r3")
	f.opts.Files = ""
	f.dumpSome("tuesday")
	fourth := f.write("r4")
	assert.Equal(t, orderedVersion, third.Manifest.FormatVersion, "a run without dumps is of the format that older versions read")
	assert.Equal(t, int64(3), fourth.Manifest.Databases.Totals.LinkedFiles, "the newest run with dumps is another than the newest with files")
	report, err := f.volume.VerifyRuns(t.Context(), VerifyRunsOptions{})
	require.NoError(t, err)
	assert.Empty(t, report.Damages())
	assert.Len(t, ls(t, f.path("trees")), 3)
	var usage *UsageError
	r2, err := f.volume.OpenRun(t.Context(), "r2")
	require.NoError(t, err)
	r3 := f.open("r3")
	assert.Empty(t, r3.Dumps())
	require.ErrorAs(t, r3.ExtractDatabases(t.Context(), t.TempDir(), ExtractOptions{}), &usage)
	require.ErrorAs(t, r2.ExtractDatabases(t.Context(), t.TempDir(), ExtractOptions{Databases: []string{"zync-database"}}), &usage)
	require.ErrorContains(t, usage, "but: backend-redis, system-database")
	assert.Len(t, f.extract("r4", ExtractOptions{Databases: []string{"backend-redis"}}), 1)

	require.NoError(t, r2.Close())
	held := f.held()
	freed := f.freed("r2")
	removed := f.remove("r2")
	assert.Equal(t, freed, removed.FreedBytes)
	assert.Equal(t, held-freed, f.held())
	assert.Len(t, removed.Trees, 1, "the tree of its dumps; that of its files is others' too")
	f.verify("r4")
	f.verify("r3")
	f.verify("r1")
}

// TestEachByteOfDumps flips each byte that a run has of its dumps, lists included.
func TestEachByteOfDumps(t *testing.T) {
	f := newFixture(t)
	f.dumpSome("monday")
	result := f.write("r1")
	tree := result.Manifest.Databases.Tree
	flips := 0
	for path := range filesBelow(t, f.path("trees", tree)) {
		full := f.path("trees", tree, path)
		data, err := os.ReadFile(full)
		require.NoError(t, err)
		for i := range data {
			data[i] ^= 1
			require.NoError(t, os.WriteFile(full, data, 0o600))
			assert.NotEmpty(t, f.report("r1").Problems, "byte %d of %s", i, path)
			data[i] ^= 1
			flips++
		}
		require.NoError(t, os.WriteFile(full, data, 0o600))
	}
	f.report("r1")
	assert.Empty(t, f.report("r1").Problems)
	t.Logf("%d bytes were flipped one by one", flips)
}

func TestDamagedDumps(t *testing.T) {
	cases := map[string]struct {
		reason string
		do     func(t *testing.T, f *fixture, r *Result)
		want   []string // kinds and paths of problems without the tree's name
	}{
		"Flipped": {"What is loaded was dumped", func(t *testing.T, f *fixture, r *Result) {
			flip(t, f.dumpStored(r, "system-database/3456.dat"))
		}, []string{"changed trees/T/files/system-database/3456.dat"}},
		"Missing": {"A dump that lacks a file is told before a server finds out", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.Remove(f.dumpStored(r, "backend-redis/keys.resp")))
		}, []string{"missing trees/T/files/backend-redis/keys.resp"}},
		"MissingTree": {"Likewise", func(t *testing.T, f *fixture, r *Result) {
			require.NoError(t, os.RemoveAll(f.path("trees", r.Manifest.Databases.Tree)))
		}, []string{"missing trees/T/"}},
		"Lists": {"The lists are covered by the manifest", func(t *testing.T, f *fixture, r *Result) {
			flip(t, f.path("trees", r.Manifest.Databases.Tree, "SHA256SUMS"))
		}, []string{"malformed trees/T/"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			f.dumpSome("monday")
			result := f.write("r1")
			tc.do(t, f, result)
			var got []string
			for _, p := range f.report("r1").Problems {
				got = append(got, string(p.Kind)+" "+strings.Replace(p.Path, result.Manifest.Databases.Tree, "T", 1))
			}
			assert.Equal(t, tc.want, got, tc.reason)
			dir := t.TempDir()
			var damaged *IntegrityError
			require.ErrorAs(t, f.open("r1").ExtractDatabases(t.Context(), dir, ExtractOptions{}), &damaged, tc.reason)
			f.restoreTo(t.TempDir(), "r1", Fail)
			f.dumpSome("monday")
			f.opts.ProveLinks = true
			f.write("r2")
			f.verify("r2")
		})
	}
}

func TestMendDumps(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.dumpSome("monday")
	f.write("r1")
	f.dumpSome("tuesday")
	second := f.write("r2")
	flip(t, f.dumpStored(second, "system-database/3456.dat"))
	assert.NotEmpty(t, f.report("r1").Problems, "both have the file")
	f.opts.ProveLinks = true
	f.dumpSome("wednesday")
	f.write("r3")
	f.verify("r3")
	assert.Equal(t, int64(2), f.mend("r3").Files)
	f.verify("r2")
	f.verify("r1")
}

func TestRefusedDumps(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(t *testing.T, f *fixture)
		says   string
	}{
		"Missing": {"A run has what it says", func(t *testing.T, f *fixture) {
			require.NoError(t, os.RemoveAll(filepath.Join(f.opts.Databases, "backend-redis")))
		}, `there is no directory "backend-redis"`},
		"Additional": {"And nothing else", func(_ *testing.T, f *fixture) {
			f.dump("zync-database/toc.dat", "")
		}, "zync-database is not the directory of a dump"},
		"File": {"A dump is a directory", func(_ *testing.T, f *fixture) {
			f.dump("more", "")
		}, "more is not the directory of a dump"},
		"Symlink": {"What loads a dump might follow it", func(t *testing.T, f *fixture) {
			require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(f.opts.Databases, "system-database/a")))
		}, "system-database/a is a symlink"},
		"FIFO": {"It has no content", func(t *testing.T, f *fixture) {
			require.NoError(t, unix.Mkfifo(filepath.Join(f.opts.Databases, "system-database/a"), 0o600))
		}, "system-database/a is a fifo"},
		"NoDirectory": {"Whoever dumps has failed", func(_ *testing.T, f *fixture) {
			f.opts.Databases += "/none"
		}, "cannot read dumps of databases"},
		"NoDumps": {"The manifest says what is there", func(_ *testing.T, f *fixture) {
			f.opts.Dumps = nil
		}, "dumps without a directory of them, or the other way round"},
		"Twice": {"A name is one dump's", func(_ *testing.T, f *fixture) {
			f.opts.Dumps = append(f.opts.Dumps, f.opts.Dumps[0])
		}, `dump "backend-redis" is there twice`},
		"Many": {"A manifest is small", func(_ *testing.T, f *fixture) {
			for i := range maxDumps {
				f.opts.Dumps = append(f.opts.Dumps, recorded.Dump{Name: "d" + itoa(i), Kind: recorded.Redis})
			}
		}, "18 dumps, which are not 1 to 16"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			f.dumpSome("monday")
			tc.change(t, f)
			_, err := f.tryWrite("r1")
			require.ErrorContains(t, err, tc.says, tc.reason)
			runs, err := f.volume.Runs(t.Context())
			require.NoError(t, err)
			assert.False(t, slices.ContainsFunc(runs, func(r RunInfo) bool { return r.State == Complete }), tc.reason)
		})
	}
}

// TestExtractGoesOn extracts into a directory in which an earlier try was interrupted, and in one that holds other data.
func TestExtractGoesOn(t *testing.T) {
	f := newFixture(t)
	f.dumpSome("monday")
	want := filesBelow(t, f.opts.Databases)
	f.write("r1")
	dir := t.TempDir()
	ctx, cancel := contextWithCancel(t)
	opts := ExtractOptions{Workers: 1, Progress: func(p Progress) {
		if p.Phase == PhaseSync {
			cancel()
		}
	}}
	run := f.open("r1")
	err := run.ExtractDatabases(ctx, dir, opts)
	require.NoError(t, run.ExtractDatabases(t.Context(), dir, ExtractOptions{}), "after %v", err)
	assert.Equal(t, want, filesBelow(t, dir))

	require.NoError(t, os.WriteFile(filepath.Join(dir, "more"), nil, 0o600))
	var taken *NotEmptyError
	require.ErrorAs(t, run.ExtractDatabases(t.Context(), dir, ExtractOptions{}), &taken)
	var usage *UsageError
	require.ErrorAs(t, run.ExtractDatabases(t.Context(), f.path("runs"), ExtractOptions{}), &usage, "nothing is written into the volume")
}

// TestExtractNoSymlinks: lists that hold a symlink are not ours, whatever digest stands for them.
func TestExtractNoSymlinks(t *testing.T) {
	f := newFixture(t)
	f.dumpSome("monday")
	f.write("r1")
	g := newFixture(t)
	g.add("system-database/3456.dat", "1\tadmin\n")
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(g.files, "system-database/toc.dat")))
	foreign := g.write("r1").Manifest
	shell(t, f.root, "cp", "-a", g.path("trees", foreign.Tree), f.path("trees"))
	info, err := f.volume.find(t.Context(), "r1")
	require.NoError(t, err)
	m := *info.Manifest
	m.Databases = &Databases{Dumps: m.Databases.Dumps, Tree: foreign.Tree, Digests: foreign.Digests.TreeDigests, Totals: TreeTotals{Files: 1}}
	data, err := encodeManifest(&m)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(f.path("runs/r1/manifest.json"), data, 0o600))
	var damaged *IntegrityError
	require.ErrorAs(t, f.open("r1").ExtractDatabases(t.Context(), t.TempDir(), ExtractOptions{}), &damaged)
}

// TestRemoveScratch: what an interrupted run leaves of its dumps goes with one of the next runs.
func TestRemoveScratch(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("done")
	now := f.opts.Now()
	for name, age := range map[string]time.Duration{"done": time.Hour, "old": 49 * time.Hour, "young": 47 * time.Hour, "r1": 100 * time.Hour} {
		require.NoError(t, os.MkdirAll(f.path(ScratchDir, name, "system-database"), 0o770))
		for _, path := range []string{"system-database/toc.dat", "system-database", "."} {
			full := f.path(ScratchDir, name, path)
			if path == "system-database/toc.dat" {
				require.NoError(t, os.WriteFile(full, []byte("x"), 0o600))
			}
			require.NoError(t, os.Chtimes(full, now.Add(-age), now.Add(-age)))
		}
	}
	result := f.write("r1")
	assert.Empty(t, result.Manifest.Warnings)
	assert.Equal(t, []string{"r1", "young"}, ls(t, f.path(ScratchDir)), "that of the run itself is what it is written from")
	f.verify("r1")
	require.NoError(t, os.RemoveAll(f.path(ScratchDir)))
	require.NoError(t, os.Symlink("/", f.path(ScratchDir)))
	assert.Len(t, f.write("r2").Manifest.Warnings, 1, "a symlink is not followed, and no reason to make no backup")
}

// TestKilledWithDumps lets a run with dumps end between any two of its last steps. The next one makes its dumps anew.
func TestKilledWithDumps(t *testing.T) {
	rename := func(f *fixture, from, to string) { require.NoError(f.t, os.Rename(f.path(from), f.path(to))) }
	unnameRun := func(f *fixture) { rename(f, "runs/r2", "runs/.partial-r2") }
	unnameDumps := func(f *fixture, m *Manifest) {
		rename(f, "trees/"+m.Databases.Tree, "trees/.partial-r2+databases")
	}
	cases := map[string]struct {
		reason string
		undo   func(f *fixture, m *Manifest) // goes back from the finished run to what was there at the step
	}{
		"BeforeRunRename": {"Both trees have their names, the run has not", func(f *fixture, _ *Manifest) {
			unnameRun(f)
		}},
		"BetweenTrees": {"The file storage has its name, the dumps have not", func(f *fixture, m *Manifest) {
			unnameRun(f)
			unnameDumps(f, m)
		}},
		"BeforeTrees": {"All is written, nothing has its name", func(f *fixture, m *Manifest) {
			unnameRun(f)
			unnameDumps(f, m)
			rename(f, "trees/"+m.Tree, "trees/.partial-r2")
		}},
		"BeforeManifest": {"The run has all but its manifest", func(f *fixture, m *Manifest) {
			require.NoError(f.t, os.Remove(f.path("runs/r2/manifest.json")))
			unnameRun(f)
			unnameDumps(f, m)
			rename(f, "trees/"+m.Tree, "trees/.partial-r2")
		}},
		"BeforeObjects": {"Both trees are built, and there is no run yet", func(f *fixture, m *Manifest) {
			require.NoError(f.t, os.RemoveAll(f.path("runs/r2")))
			unnameDumps(f, m)
			rename(f, "trees/"+m.Tree, "trees/.partial-r2")
		}},
		"InDumps": {"The dumps are stored in part", func(f *fixture, m *Manifest) {
			require.NoError(f.t, os.RemoveAll(f.path("runs/r2")))
			unnameDumps(f, m)
			rename(f, "trees/"+m.Tree, "trees/.partial-r2")
			require.NoError(f.t, os.Remove(f.path("trees/.partial-r2+databases/SHA256SUMS")))
			require.NoError(f.t, os.Remove(f.path("trees/.partial-r2+databases/files/system-database/toc.dat")))
		}},
	}
	key := identity(t)
	for name, tc := range cases {
		for _, next := range []string{"r2", "r3"} {
			for kind, recipients := range map[string][]string{"Plain": nil, "Encrypted": {key.Recipient().String()}} {
				t.Run(name+"Then"+next+kind, func(t *testing.T) {
					f := newFixture(t)
					f.opts.Recipients = recipients
					f.addSome()
					f.dumpSome("monday")
					f.write("r1")
					f.add("more", "x")
					f.dumpSome("tuesday")
					tc.undo(f, f.write("r2").Manifest)
					require.NoError(t, os.Remove(f.path("latest")))
					require.NoError(t, os.Symlink("runs/r1", f.path("latest")))
					f.verify("r1")
					f.dumpSome("wednesday")
					want := filesBelow(t, f.opts.Databases)
					result := f.write(next)
					f.verify("r1")
					f.verify(next)
					assert.Equal(t, int64(3), result.Manifest.Databases.Totals.LinkedFiles, tc.reason)
					assert.Equal(t, want, f.extract(next, ExtractOptions{Identities: []age.Identity{key}}), tc.reason)
					assert.Len(t, ls(t, f.path("trees")), 4, tc.reason)
					assert.ElementsMatch(t, []string{"r1", next}, ls(t, f.path("runs")), tc.reason)
				})
			}
		}
	}
}

// TestDumpsOfADamagedRunStay: without its manifest, the links of a run tell which trees it has.
func TestDumpsOfADamagedRunStay(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.dumpSome("monday")
	f.write("r1")
	f.dumpSome("tuesday")
	second := f.write("r2").Manifest
	f.add("more", "x")
	f.dumpSome("wednesday")
	f.write("r3")
	manifest := f.read("runs/r2/manifest.json")
	flip(t, f.path("runs/r2/manifest.json"))
	f.remove("r1")
	assert.Contains(t, ls(t, f.path("trees")), second.Databases.Tree)
	assert.Contains(t, ls(t, f.path("trees")), second.Tree)
	require.NoError(t, os.WriteFile(f.path("runs/r2/manifest.json"), []byte(manifest), 0o600))
	f.verify("r2")
	f.verify("r3")
}

// TestDumpsOfAPlantedRun: what has the name of a run that was not noted is not gone on from.
func TestDumpsOfAPlantedRun(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.dumpSome("monday")
	m := f.write("r1").Manifest
	require.NoError(t, os.Rename(f.path("runs/r1"), f.path("runs/.partial-r1")))
	require.NoError(t, os.Rename(f.path("trees", m.Tree), f.path("trees/.partial-r1")))
	require.NoError(t, os.Rename(f.path("trees", m.Databases.Tree), f.path("trees/.partial-r1+databases")))
	f.opts.Witness = &noted{}
	f.dumpSome("tuesday")
	result := f.write("r1")
	assert.Zero(t, result.Manifest.Databases.Totals.LinkedFiles)
	f.verify("r1")
	assert.Len(t, ls(t, f.path("trees")), 2)
	assert.Equal(t, []string{"r1"}, ls(t, f.path("runs")))
}
