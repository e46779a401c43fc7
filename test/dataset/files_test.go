package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGenerateRefusesAnUnknownSet(t *testing.T) {
	_, err := Generate(t.TempDir(), "XXL", 1)
	require.EqualError(t, err, `cannot find set "XXL": there are S, M, L, XL and million`)
}

// TestPlan checks the totals of each set without writing it.
func TestPlan(t *testing.T) {
	const miB = 1 << 20
	cases := map[Set]struct {
		reason             string
		tenants, files     int
		smallest, largest  int
		minTotal, maxTotal int64
		minBig, maxBig     int
	}{
		SetS:       {"a fresh installation", 1, 120, 512, 64 << 10, 700_000, 1_500_000, 0, 0},
		SetM:       {"it fills the default volume, but does not burst it", 10, 3000, 2048, 2 * miB, 60 * miB, 100 * miB, 0, 40},
		SetL:       {"0.05 % of the files are large", 100, 200_000, 200, 4 * miB, 1000 * miB, 2000 * miB, 50, 160},
		SetMillion: {"many more tenants than elsewhere, and small files only", 1000, 1_000_000, 200, 16 << 10, 1000 * miB, 1500 * miB, 0, 0},
		SetXL:      {"all files are large", 20, 2000, miB, miB, 2000 * miB, 2000 * miB, 2000, 2000},
	}
	for set, tc := range cases {
		t.Run(string(set), func(t *testing.T) {
			s, err := shapeOf(set)
			require.NoError(t, err)
			files := plan(s, 1)
			var total int64
			var big int
			paths := map[string]bool{}
			for _, f := range files {
				if f.size < tc.smallest || f.size > tc.largest {
					require.Failf(t, "size out of range", "%s has %d bytes", f.path, f.size)
				}
				paths[f.path] = true
				total += int64(f.size)
				if f.size >= miB {
					big++
				}
			}
			assert.Len(t, files, tc.files, tc.reason)
			assert.Len(t, paths, tc.files, "paths must differ")
			assert.True(t, tc.minTotal <= total && total <= tc.maxTotal, "%s: %d bytes", tc.reason, total)
			assert.True(t, tc.minBig <= big && big <= tc.maxBig, "%s: %d files of 1 MiB and more", tc.reason, big)
			assert.Equal(t, tc.tenants, statsOf(set, s, files, directoriesOf(files)).Tenants)
		})
	}
}

func TestPlanPaths(t *testing.T) {
	upload := regexp.MustCompile(`^tenant-\d{3}/20\d\d/\d\d/\d\d/[^/]+-[0-9a-f]{16}\.(css|js|html|png|jpg|pdf)$`)
	logo := regexp.MustCompile(`^tenant-\d{3}/\d+/profiles/logos/(original|large|medium|thumb|invoice)/[^/]+\.png$`)
	s, err := shapeOf(SetM)
	require.NoError(t, err)
	var logos, spaces, accents int
	for _, f := range plan(s, 1) {
		if logo.MatchString(f.path) {
			logos++
			continue
		}
		require.Regexp(t, upload, f.path)
		assert.Contains(t, f.path, f.mtime.Format("/2006/01/02/"), "the time must be of the path's day")
		if bytes.ContainsRune([]byte(f.path), ' ') {
			spaces++
		}
		if utf8.RuneCountInString(f.path) < len(f.path) {
			accents++
		}
	}
	assert.Equal(t, 50, logos)
	assert.Greater(t, spaces, 100)
	assert.Greater(t, accents, 100)
}

func TestGenerate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "files")
	stats, err := Generate(dir, SetS, 1)
	require.NoError(t, err)
	assert.Equal(t, Stats{Set: SetS, Tenants: 1, Files: 120, Directories: stats.Directories, Bytes: stats.Bytes}, stats)

	var files, directories int
	var total int64
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := entry.Info()
		require.NoError(t, err)
		if entry.IsDir() {
			directories++
			return nil
		}
		assert.Equal(t, os.FileMode(0o644), info.Mode())
		requireContent(t, path)
		files++
		total += info.Size()
		return nil
	}))
	assert.Equal(t, Stats{Set: SetS, Tenants: 1, Files: files, Directories: directories - 1, Bytes: total}, stats)
}

// requireContent checks that a file begins and ends as its type does.
func requireContent(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	kind := kindOf(path)
	require.NotEmpty(t, kind.head, path)
	assert.True(t, bytes.HasPrefix(content, []byte(kind.head)), path)
	assert.True(t, bytes.HasSuffix(content, []byte(kind.tail)), path)
	if kind.text {
		assert.True(t, utf8.Valid(content), path)
	}
}

func TestGenerateIsDeterministic(t *testing.T) {
	trees := map[string]string{}
	for name, seed := range map[string]int64{"First": 1, "Same": 1, "Other": 2} {
		dir := t.TempDir()
		_, err := Generate(dir, SetS, seed)
		require.NoError(t, err)
		trees[name] = treeDigest(t, dir)
	}
	assert.Equal(t, trees["First"], trees["Same"])
	assert.NotEqual(t, trees["First"], trees["Other"])
}

func TestGenerateRefuses(t *testing.T) {
	dir := t.TempDir()
	_, err := Generate(dir, "XXL", 1)
	require.ErrorContains(t, err, `cannot find set "XXL"`)

	require.NoError(t, os.Mkdir(filepath.Join(dir, "lost+found"), 0o700))
	_, err = Generate(dir, SetS, 1)
	require.NoError(t, err, "a new ext4 volume has a lost+found")

	_, err = Generate(dir, SetS, 1)
	require.ErrorContains(t, err, "it is not empty")
}

// treeDigest covers names, types, modes, times and contents.
func treeDigest(t *testing.T, dir string) string {
	t.Helper()
	hash := sha256.New()
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		require.NoError(t, err)
		name, err := filepath.Rel(dir, path)
		require.NoError(t, err)
		info, err := entry.Info()
		require.NoError(t, err)
		mode := info.Mode()
		if name == "." {
			mode = 0
		}
		fmt.Fprintln(hash, name, mode, info.ModTime().UnixNano())
		if entry.IsDir() {
			return nil
		}
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		hash.Write(content)
		return nil
	}))
	return hex.EncodeToString(hash.Sum(nil))
}
