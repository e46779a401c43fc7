package archive

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fetchRuns copies runs of a bucket to a new volume.
func fetchRuns(t *testing.T, b *Bucket, ids ...string) (*Volume, CopyResult) {
	t.Helper()
	v, err := OpenVolume(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, v.Close()) })
	result, err := b.Fetch(t.Context(), v, CopyOptions{Runs: ids}, "test")
	require.NoError(t, err)
	return v, result
}

// TestFetch: what comes back from a bucket is what went there, byte by byte, links between runs included.
func TestFetch(t *testing.T) {
	id := identity(t)
	for name, recipients := range map[string][]string{"Plain": nil, "Encrypted": {id.Recipient().String()}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addOdd()
			f.opts.Recipients = recipients
			b := openBucket(t)
			f.write("r1")
			f.add("more", "x")
			f.write("r2")
			f.opts.Files = ""
			f.write("r3")
			copyRuns(t, b, f.volume, "r1", "r2", "r3")
			v, result := fetchRuns(t, b, "r1", "r2", "r3")
			assert.Equal(t, []string{"r1", "r2", "r3"}, result.Runs)
			assert.Empty(t, result.Warnings)
			assert.Equal(t, dumpRuns(t, f.volume), dumpRuns(t, v))
			sameRuns(t, f.volume, v)
			sameRun(t, f.volume, v, "r2", id)
			assert.Equal(t, sharedInodes(t, f.volume, "r1", "r2"), sharedInodes(t, v, "r1", "r2"))

			result, err := b.Fetch(t.Context(), v, CopyOptions{Runs: []string{"r1", "r2", "r3"}}, "test")
			require.NoError(t, err)
			assert.Zero(t, result, "what is there is left alone")
			run, err := v.find(t.Context(), "r1")
			require.NoError(t, err)
			flip(t, filepath.Join(v.root.Path, "trees", run.Manifest.Tree, "files", aFile))
			_, err = b.Fetch(t.Context(), v, CopyOptions{Runs: []string{"r1"}}, "test")
			var damaged *IntegrityError
			require.ErrorAs(t, err, &damaged, "what is there must be the same")
		})
	}
}

// dumpRuns writes down what a volume holds, but for what is no part of a backup.
func dumpRuns(t *testing.T, v *Volume) string {
	t.Helper()
	var lines []string
	skip := false
	for line := range strings.Lines(dump(t, v.root.Path)) {
		if !strings.HasPrefix(line, "    ") {
			skip = strings.HasPrefix(line, ".lock") || strings.Contains(line, stampsPrefix)
		}
		if !skip {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// sharedInodes tells which files of two runs are one file.
func sharedInodes(t *testing.T, v *Volume, a, b string) map[string]bool {
	t.Helper()
	shared := make(map[string]bool)
	for path := range wantFiles() {
		first := filepath.Join(v.root.Path, "runs", a, storageName, path)
		second := filepath.Join(v.root.Path, "runs", b, storageName, path)
		shared[path] = inode(t, first) == inode(t, second)
	}
	return shared
}

// TestFetchInterrupted: what breaks off in the middle goes on, and what was damaged in the bucket does not arrive.
func TestFetchInterrupted(t *testing.T) {
	f := newFixture(t)
	f.addOdd()
	b := openBucket(t)
	r := f.write("r1")
	copyRuns(t, b, f.volume, "r1")
	blob := blobPath(digest([]byte("odd")))
	remove(t, b, blob)
	v, err := OpenVolume(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, v.Close()) })
	opts := CopyOptions{Runs: []string{"r1"}, Workers: 1}
	_, err = b.Fetch(t.Context(), v, opts, "test")
	var damaged *IntegrityError
	require.ErrorAs(t, err, &damaged)
	assert.Equal(t, Missing, damaged.Problems[0].Kind)
	runs, err := v.Runs(t.Context())
	require.NoError(t, err)
	assert.Empty(t, runs)
	put(t, b, blob, "o")
	_, err = b.Fetch(t.Context(), v, opts, "test")
	require.ErrorAs(t, err, &damaged)
	assert.Equal(t, Changed, damaged.Problems[0].Kind)
	put(t, b, blob, "odd")
	_, err = b.Fetch(t.Context(), v, opts, "test")
	require.NoError(t, err)
	assert.Equal(t, dumpRuns(t, f.volume), dumpRuns(t, v))
	assert.Equal(t, []string{r.Manifest.Tree}, ls(t, filepath.Join(v.root.Path, "trees")))
}

// TestFetchMends: a damaged tree that has the name on the volume is replaced.
func TestFetchMends(t *testing.T) {
	f := newFixture(t)
	f.addOdd()
	b := openBucket(t)
	r := f.write("r1")
	copyRuns(t, b, f.volume, "r1")
	want := dumpRuns(t, f.volume)
	flip(t, f.stored(r, aFile))
	require.NoError(t, os.RemoveAll(f.path("runs/r1")))
	_, err := b.Fetch(t.Context(), f.volume, CopyOptions{Runs: []string{"r1"}}, "test")
	require.NoError(t, err)
	assert.Equal(t, want, dumpRuns(t, f.volume))
}

// TestFetchNone: a run that the bucket does not have.
func TestFetchNone(t *testing.T) {
	b := openBucket(t)
	v, err := OpenVolume(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, v.Close()) })
	_, err = b.Fetch(t.Context(), v, CopyOptions{Runs: []string{"r1"}}, "test")
	require.ErrorIs(t, err, ErrRunNotFound)
}
