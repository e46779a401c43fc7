package walk

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/lists"
)

func listKeys(keys ...string) *Found {
	slices.Sort(keys)
	l := NewKeyLister()
	for i, key := range keys {
		l.Add(key, int64(i), time.Unix(int64(i), 0), uint64(i+1))
	}
	return l.Found()
}

func pathsOf(l *List) (paths []string) {
	for e := range l.All() {
		paths = append(paths, e.Path)
	}
	return paths
}

func TestKeysBecomeEntries(t *testing.T) {
	found := listKeys("a/b", "a-b", "a0/x/y", "a.", "b", "a/b c/\xff\n", "a/b!", "z")
	require.Empty(t, found.Unreadable)
	want := []string{".", "a", "a/b", "a/b c", "a/b c/\xff\n", "a/b!", "a-b", "a.", "a0", "a0/x", "a0/x/y", "b", "z"}
	assert.Equal(t, want, pathsOf(found.List), "in the order of the lists, which is not that of keys")
	assert.Equal(t, Counts{Files: 8, Bytes: 28, Dirs: 5}, found.List.Count)
	for e := range found.List.All() {
		if e.Kind == lists.Directory {
			assert.Equal(t, dirEntry(e.Path), *e)
			continue
		}
		assert.Equal(t, lists.Entry{Path: e.Path, Kind: lists.File, Mode: 0o664, Size: e.Size, ModTime: time.Unix(e.Size, 0).UTC(), Stamp: uint64(e.Size) + 1}, *e)
	}
	assert.Equal(t, []string{"."}, pathsOf(listKeys().List), "a bucket may be empty")
}

func TestKeysThatNoFileCanHave(t *testing.T) {
	long := strings.Repeat("x", 256)
	cases := map[string]string{
		"/a": "a slash at its begin", "a/": "a slash at its begin or end", "a//b": "two in a row", "": "a slash",
		"./a": `"." between slashes`, "a/../b": `".." between slashes`, ".": `"."`, "..": `".."`,
		"a/" + long: "more than 255 bytes", "a\x00": "a zero byte",
	}
	for key, want := range cases {
		found := listKeys("good/one", key)
		require.Len(t, found.Unreadable, 1, "%q", key)
		assert.Equal(t, key, found.Unreadable[0].Path)
		assert.ErrorContains(t, found.Unreadable[0].Err, "no file can have this key: it has ", "%q", key)
		assert.ErrorContains(t, found.Unreadable[0].Err, want, "%q", key)
	}
	for _, key := range []string{"a\n", "\x01", "...", "a b", strings.Repeat("x", 255), "\xff"} {
		assert.Empty(t, listKeys(key).Unreadable, "%q can be the name of a file", key)
	}
}

func TestKeyBesideItsDirectory(t *testing.T) {
	found := listKeys("d/a", "d/a-", "d/a/b", "d/a/c", "x")
	require.Len(t, found.Unreadable, 1)
	assert.Equal(t, "d/a", found.Unreadable[0].Path)
	assert.ErrorContains(t, found.Unreadable[0].Err, "there are keys that begin with it and a slash")
	many := NewKeyLister()
	for i := range 2 * MaxListed {
		many.Add(fmt.Sprintf("%06d/", i), 0, time.Time{}, 0)
	}
	assert.Len(t, many.Found().Unreadable, MaxListed, "what is reported is bounded")
}

// FuzzKeys proves that any keys become entries as lists have them, or are refused.
func FuzzKeys(f *testing.F) {
	f.Add("a/b a-b a0/x/y a. b")
	f.Add("a a/b a/b/c")
	f.Add("/ // ./x \x00")
	f.Fuzz(func(t *testing.T, text string) {
		keys := strings.Split(text, " ")
		slices.Sort(keys)
		keys = slices.Compact(keys)
		found := listKeys(keys...)
		if len(found.Unreadable) > 0 {
			return
		}
		var files []string
		prev := ""
		for e := range found.List.All() {
			assert.True(t, lists.ValidPath(e.Path))
			if e.Path != "." {
				assert.Negative(t, lists.ComparePaths(prev, e.Path), "%q before %q", prev, e.Path)
				prev = e.Path
			}
			if e.Kind == lists.File {
				files = append(files, e.Path)
			}
		}
		slices.Sort(files)
		assert.Equal(t, keys, files)
		assert.EqualValues(t, len(keys), found.List.Count.Files)
	})
}
