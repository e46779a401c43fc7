package archive

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func (f *fixture) freed(runs ...string) int64 {
	f.t.Helper()
	bytes, err := f.volume.Freed(f.t.Context(), runs)
	require.NoError(f.t, err)
	return bytes
}

// held returns the bytes of all files of the volume, each once however many names it has.
func (f *fixture) held() int64 {
	f.t.Helper()
	sum := int64(0)
	seen := make(map[uint64]bool)
	require.NoError(f.t, filepath.WalkDir(f.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(d.Name(), stampsPrefix) { // no part of a run
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if !seen[st.Ino] {
			sum += st.Size
		}
		seen[st.Ino] = true
		return nil
	}))
	return sum
}

// change gives a file another content, and an mtime of its own.
func (f *fixture) change(path, content string) {
	f.t.Helper()
	f.add(path, content)
	at := epoch().Add(time.Duration(len(content)) * time.Second)
	require.NoError(f.t, os.Chtimes(filepath.Join(f.files, path), at, at))
}

// writeHistory writes r1 to r5: r2 shares the tree of r1, the others link most of theirs to the one before.
func (f *fixture) writeHistory() {
	f.t.Helper()
	f.addSome()
	f.add("in/1/to/3", "of the first three runs")
	f.write("r1")
	f.write("r2")
	f.change("in/3/and/4", "in the third and the fourth")
	f.write("r3")
	require.NoError(f.t, os.RemoveAll(filepath.Join(f.files, "in/1")))
	f.change("in/4", "in the fourth alone, and no directory")
	f.write("r4")
	require.NoError(f.t, os.RemoveAll(filepath.Join(f.files, "in")))
	f.change("tenant-002/empty", "in the fifth")
	f.write("r5")
}

// TestFreedIsWhatRemovingFrees removes each set of runs and compares.
func TestFreedIsWhatRemovingFrees(t *testing.T) {
	cases := map[string]struct {
		reason string
		runs   []string
		atMost int64 // besides objects and lists; -1: not looked at
	}{
		"None":           {"nothing goes", nil, 0},
		"SharedTree":     {"the tree of r1 is that of r2 too: only its objects and lists go", []string{"r1"}, 0},
		"BothOfATree":    {"r3 links all of their files: only lists and objects go", []string{"r1", "r2"}, 0},
		"Middle":         {"what the neighbours have stays", []string{"r3"}, 0},
		"FirstThree":     {"what only the three have counts, once", []string{"r1", "r2", "r3"}, int64(len("of the first three runs"))},
		"Unordered":      {"the order does not matter, nor does naming one twice", []string{"r3", "r1", "r2", "r1"}, int64(len("of the first three runs"))},
		"ThirdAndFourth": {"likewise in the middle", []string{"r3", "r4"}, int64(len("in the third and the fourth") + len("in the fourth alone, and no directory"))},
		"AllButNewest":   {"what the newest has stays", []string{"r1", "r2", "r3", "r4"}, -1},
		"All":            {"then all goes", []string{"r1", "r2", "r3", "r4", "r5"}, -1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.writeHistory()
			before := f.held()
			told := f.freed(tc.runs...)
			assert.Equal(t, before, f.held(), "nothing was removed")
			sum := int64(0)
			gone := make(map[string]bool)
			for _, run := range tc.runs {
				if !gone[run] {
					sum += f.remove(run).FreedBytes
				}
				gone[run] = true
			}
			assert.Equal(t, before-f.held(), told, tc.reason)
			assert.Equal(t, told, sum, "what each removal tells adds up to it: %s", tc.reason)
			if tc.atMost >= 0 {
				assert.GreaterOrEqual(t, told, tc.atMost, tc.reason)
			}
		})
	}
}

func TestFreedCountsFilesByTheirLinks(t *testing.T) {
	f := newFixture(t)
	f.add("large", string(make([]byte, 100_000)))
	f.write("r1")
	f.change("small", "x")
	f.write("r2")
	assert.Less(t, f.freed("r1"), int64(100_000), "r2 holds the large file too")
	assert.Less(t, f.freed("r2"), int64(100_000))
	assert.Greater(t, f.freed("r1", "r2"), int64(100_000))
	assert.Less(t, f.freed("r1", "r2"), int64(110_000), "which is one file")

	info, err := f.volume.find(t.Context(), "r2")
	require.NoError(t, err)
	require.NoError(t, os.Link(f.path("trees", info.Manifest.Tree, "files/large"), f.path("kept-by-somebody-else")))
	assert.Less(t, f.freed("r1", "r2"), int64(100_000), "a link that lies elsewhere keeps the file")
}

func TestFreedBesideWhatCannotBeTold(t *testing.T) {
	f := newFixture(t)
	f.add("large", string(make([]byte, 100_000)))
	f.write("r1")
	f.opts.Files = ""
	f.write("r2")
	_, err := f.volume.Freed(t.Context(), []string{"r1", "r3"})
	require.ErrorIs(t, err, ErrRunNotFound)
	assert.Greater(t, f.freed("r1"), int64(100_000))
	assert.Less(t, f.freed("r2"), int64(10_000), "a run without file storage frees its objects")
	replaceIn(t, f.path("runs/r2/manifest.json"), `"formatVersion": 2`, `"formatVersion": 4`)
	assert.Less(t, f.freed("r1"), int64(10_000), "no tree goes while nobody knows what a run of a newer format refers to")
}
