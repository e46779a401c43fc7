package archive

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/test/objectstore"
)

// vault is a store with r0 and r1 whose stored files a test alters.
type vault struct {
	*fixture
	store  medium
	digest string            // of the manifest of r1
	stored map[string]string // what it stores, by path
	put    func(path, content string)

	scratch string // for what is restored
}

// smallVault has a small run on a volume, with dumps and a link.
func smallVault(t *testing.T) *vault {
	t.Helper()
	f := newFixture(t)
	f.addSome()
	require.NoError(t, os.Symlink("tenant-002", filepath.Join(f.files, "link")))
	touchAll(f)
	f.dumpSome("monday")
	f.write("r0")
	f.change(aFile, "allow from all")
	f.dumpSome("tuesday")
	v := &vault{fixture: f, scratch: t.TempDir(), store: f.volume, digest: f.write("r1").ManifestSHA256}
	v.stored = filesBelow(t, f.root)
	v.put = func(path, content string) { require.NoError(t, os.WriteFile(f.path(path), []byte(content), 0o644)) }
	return v
}

// inBucket returns the vault's runs in a bucket.
func (v *vault) inBucket(t *testing.T) *vault {
	t.Helper()
	b := reopen(t, objectstore.StartStandIn(t), bucketPrefix)
	copyRuns(t, b, v.volume, "r0", "r1")
	c := *v
	c.fixture, c.store, c.stored = v.in(t), b, make(map[string]string)
	for _, path := range paths(t, b) {
		data, err := b.read(t.Context(), path, 1<<20)
		require.NoError(t, err)
		c.stored[path] = string(data)
	}
	c.put = func(path, content string) { put(t, b, path, content) }
	return &c
}

// ofBackup returns the stored paths that are parts of r1.
func (v *vault) ofBackup() (parts []string) {
	v.t.Helper()
	info, err := v.store.find(v.t.Context(), "r1")
	require.NoError(v.t, err)
	blobs, dirs := make(map[string]bool), []string{"runs/r1/"}
	for _, tree := range info.Manifest.trees() {
		dirs = append(dirs, tree.path()+"/")
		for _, content := range filesBelow(v.t, v.path(tree.path(), "files")) {
			blobs[blobPath(digest([]byte(content)))] = true
		}
	}
	for _, path := range slices.Sorted(maps.Keys(v.stored)) {
		if blobs[path] || slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(path, dir) }) {
			parts = append(parts, path)
		}
	}
	return parts
}

// found is who finds an alteration.
type found struct{ verify, restore, unknown bool }

// finds tells who finds that a stored path is altered: verifying and restoring, and verifying by who does not know the
// digest of the manifest. What a restore writes is proven to be what was backed up.
func (v *vault) finds(path string) found {
	v.t.Helper()
	ctx := v.t.Context()
	failed := func(opts VerifyRunsOptions) bool {
		report, err := v.store.VerifyRuns(ctx, opts)
		return err != nil || report.Err() != nil
	}
	return found{
		verify:  failed(VerifyRunsOptions{Expect: map[string]string{"r1": v.digest}, Workers: 1}),
		unknown: failed(VerifyRunsOptions{Workers: 1}),
		restore: v.restores(path) != nil,
	}
}

// restores does with r1 what inspect and refill do with it, but for verifying it first.
func (v *vault) restores(path string) error {
	v.t.Helper()
	ctx := v.t.Context()
	run, err := v.store.OpenRun(ctx, "r1")
	if err != nil {
		return err
	}
	defer run.Close()
	if got := run.Info().ManifestSHA256; got != v.digest {
		return fmt.Errorf("manifest is %s", got)
	}
	if _, err := run.Objects(ctx); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(v.scratch, "")
	require.NoError(v.t, err)
	defer os.RemoveAll(dir)
	files, dumps := filepath.Join(dir, "files"), filepath.Join(dir, "dumps")
	require.NoError(v.t, os.Mkdir(files, 0o700))
	require.NoError(v.t, os.Mkdir(dumps, 0o700))
	if err := run.ExtractDatabases(ctx, dumps, ExtractOptions{Workers: 1}); err != nil {
		v.proven(dumps, v.opts.Databases, path)
		return err
	}
	_, err = run.Restore(ctx, files, RestoreOptions{Existing: Fail, Workers: 1})
	v.proven(files, v.files, path)
	return err
}

// proven checks that all that was written is what was backed up, and that nothing was if lists are altered.
func (v *vault) proven(dir, source, altered string) {
	v.t.Helper()
	want := filesBelow(v.t, source)
	for path, content := range filesBelow(v.t, dir) {
		if strings.HasPrefix(filepath.Base(path), ".threescale-") {
			continue // says that it is not done
		}
		require.Equal(v.t, want[path], content, "%s is written", path)
		require.Contains(v.t, []string{"files", "blobs"}, kindOf(altered), "nothing is written when %s is altered", altered)
	}
}

// kindOf tells what a stored path is.
func kindOf(path string) string {
	switch parts := strings.Split(path, "/"); {
	case parts[0] == "trees" && len(parts) > 3:
		return "files"
	case parts[0] == "trees":
		return parts[2]
	case parts[0] == "runs" && len(parts) > 3:
		return "objects"
	case parts[0] == "runs":
		return parts[2]
	default:
		return parts[0]
	}
}

// TestFlippedBits flips each bit of a small run, or some of them. Verifying finds all, and so does a restore.
func TestFlippedBits(t *testing.T) {
	v := smallVault(t)
	t.Run("Volume", func(t *testing.T) { v.flipBits(t, 3) })
	t.Run("Bucket", func(t *testing.T) { v.inBucket(t).flipBits(t, 1) })
}

func (v *vault) flipBits(t *testing.T, few int) {
	t.Helper()
	var places [][2]int // of bits: a path, and a bit of it
	all := v.ofBackup()
	for i, path := range all {
		for bit := range 8 * len(v.stored[path]) {
			places = append(places, [2]int{i, bit})
		}
	}
	tried := min(40*points(few), len(places)) // all of them, at 1,000 points
	flipped, unknown := make(map[string]int), make(map[string]int)
	for _, n := range spread(rand.New(rand.NewPCG(1, 2)), tried, len(places)) {
		path, bit := all[places[n-1][0]], places[n-1][1]
		data := []byte(v.stored[path])
		data[bit/8] ^= 1 << (bit % 8)
		who := v.alter(path, string(data))
		require.True(t, who.verify && who.restore, "bit %d of %s: %+v", bit, path, who)
		flipped[kindOf(path)]++
		if !who.unknown {
			unknown[kindOf(path)]++
			require.Equal(t, manifestName, kindOf(path), "all but the manifest is found without its digest: bit %d of %s", bit, path)
		}
	}
	t.Logf("%d of %d bits flipped (%s): all found by verifying and by restoring; not found by who does not know the digest of the manifest: %s",
		tried, len(places), counts(flipped), counts(unknown))
}

// alter tells who finds that a path holds something else, and puts back what it held.
func (v *vault) alter(path, content string) found {
	v.t.Helper()
	v.put(path, content)
	defer v.put(path, v.stored[path])
	return v.finds(path)
}

// alteration is a stored path that holds something else.
type alteration struct{ path, how, content string }

// alterations has each stored file cut, longer, exchanged with another of the run, and as it was in an earlier run.
func (v *vault) alterations() (all []alteration) {
	parts := v.ofBackup()
	for i, path := range parts {
		was := v.stored[path]
		for _, a := range []alteration{
			{path, "empty", ""},
			{path, "half", was[:len(was)/2]},
			{path, "a byte less", was[:max(0, len(was)-1)]},
			{path, "a byte more", was + "\n"},
			{path, "twice", was + was},
			{path, "another file of the run", v.stored[parts[(i+1)%len(parts)]]},
			{path, "as in an earlier run", v.stored[strings.Replace(path, "runs/r1", "runs/r0", 1)]},
		} {
			if a.content != was {
				all = append(all, a)
			}
		}
	}
	return all
}

// TestAlteredFiles alters stored files. Verifying finds all, and so does a restore.
func TestAlteredFiles(t *testing.T) {
	v := smallVault(t)
	for name, v := range map[string]*vault{"Volume": v, "Bucket": v.inBucket(t)} {
		t.Run(name, func(t *testing.T) {
			tried, all := make(map[string]int), v.alterations()
			places := spread(rand.New(rand.NewPCG(1, 2)), min(points(20), len(all)), len(all))
			for _, n := range places {
				a := all[n-1]
				who := v.alter(a.path, a.content)
				require.True(t, who.verify && who.restore, "%s is %s: %+v", a.path, a.how, who)
				tried[a.how]++
			}
			t.Logf("%d of %d alterations: all found: %s", len(places), len(all), counts(tried))
		})
	}
}

// TestReplayedRun: a run as it was before it was made anew is whole by all that is in it.
func TestReplayedRun(t *testing.T) {
	v := smallVault(t)
	earlier := t.TempDir()
	shell(t, v.root, "cp", "-a", ".", earlier)
	v.remove("r1")
	v.add("more", "x")
	v.digest = v.write("r1").ManifestSHA256
	shell(t, v.root, "sh", "-c", `rm -rf ./* && cp -a "$0/." .`, earlier)
	assert.Equal(t, found{verify: true, restore: true}, v.finds("runs/r1/manifest.json"), "nothing but its digest tells")
}

// TestFlippedBitsOfStamps: the lists of stamps are no part of a backup, and nothing verifies them. The next run is what it
// would have been.
func TestFlippedBitsOfStamps(t *testing.T) {
	v := smallVault(t)
	parts := v.ofBackup()
	tried := make(map[string]int)
	for _, path := range slices.Sorted(maps.Keys(v.stored)) {
		if !strings.HasPrefix(filepath.Base(path), stampsPrefix) || slices.Contains(parts, path) {
			continue
		}
		for _, bit := range spread(rand.New(rand.NewPCG(1, 2)), min(points(3), 8*len(v.stored[path])), 8*len(v.stored[path])) {
			data := []byte(v.stored[path])
			data[(bit-1)/8] ^= 1 << ((bit - 1) % 8)
			require.False(t, bytes.Equal(data, []byte(v.stored[path])))
			require.NoError(t, os.WriteFile(v.path(path), data, 0o644))
			v.write("r2")
			run, err := v.volume.OpenRun(t.Context(), "r2")
			require.NoError(t, err)
			require.Equal(t, filesBelow(t, v.files), restore(t, run))
			require.NoError(t, run.Close())
			v.remove("r2")
			v.put(path, v.stored[path])
			tried["stamps"]++
		}
	}
	require.NotEmpty(t, tried)
	t.Logf("bits flipped, after which the next run is what it would have been: %s", counts(tried))
}

// TestFlippedBitsOfMany flips bits of a run of 2,000 files, by chance, one at a time.
func TestFlippedBitsOfMany(t *testing.T) {
	f := newFixture(t)
	dataset{tenants: 20, files: 100, days: 60, size: 20_000}.write(t, f.files)
	f.touch(".")
	f.write("r1")
	b := openBucket(t)
	copyRuns(t, b, f.volume, "r1")
	info, err := f.volume.find(t.Context(), "r1")
	require.NoError(t, err)
	stored := f.path("trees", info.Manifest.Tree, "files")
	files := filesBelow(t, stored)
	names := slices.Sorted(maps.Keys(files))
	total := 0
	for _, name := range names {
		total += len(files[name])
	}
	random := rand.New(rand.NewPCG(19, 23))
	places := spread(random, points(2), total)
	for i, place := range places {
		name, at := locate(names, files, place-1)
		data := []byte(files[name])
		data[at] ^= 1 << random.IntN(8)
		require.NoError(t, os.WriteFile(filepath.Join(stored, name), data, 0o644))
		f.findsOnly(t, f.volume, name)
		require.NoError(t, os.WriteFile(filepath.Join(stored, name), []byte(files[name]), 0o644))
		if i%10 == 0 {
			blob := blobPath(digest([]byte(files[name])))
			put(t, b, blob, string(data))
			f.findsOnly(t, b, name)
			put(t, b, blob, files[name])
		}
	}
	t.Logf("%d of %d bytes had a bit flipped on a volume, and each tenth in a bucket: all found", len(places), total)
}

// locate returns the file that has a byte of all, and its place there.
func locate(names []string, files map[string]string, at int) (string, int) {
	for _, name := range names {
		if at < len(files[name]) {
			return name, at
		}
		at -= len(files[name])
	}
	return "", 0
}

// findsOnly proves that verifying names a file and no other, and that a restore does not write it.
func (f *fixture) findsOnly(t *testing.T, store Store, name string) {
	t.Helper()
	report, err := store.VerifyRuns(t.Context(), VerifyRunsOptions{})
	require.NoError(t, err)
	damages := report.Damages()
	require.Len(t, damages, 1)
	require.Contains(t, fmt.Sprint(damages[0]), lists.Escape(name))
	dir, err := os.MkdirTemp(t.TempDir(), "")
	require.NoError(t, err)
	run, err := store.OpenRun(t.Context(), "r1")
	require.NoError(t, err)
	_, err = run.Restore(t.Context(), dir, RestoreOptions{Existing: Fail})
	var integrity *IntegrityError
	require.ErrorAs(t, err, &integrity)
	require.NoFileExists(t, filepath.Join(dir, name))
	require.NoError(t, run.Close())
	require.NoError(t, os.RemoveAll(dir))
}
