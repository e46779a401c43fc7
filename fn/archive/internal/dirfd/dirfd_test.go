package dirfd

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func openTemp(t *testing.T) *Dir {
	t.Helper()
	d, err := Open(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

func TestNothingIsFollowedOrBlocks(t *testing.T) {
	d := openTemp(t)
	outside := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "file"), []byte("outside"), 0o644))
	require.NoError(t, os.Symlink(outside, filepath.Join(d.Path, "link")))
	require.NoError(t, os.Symlink(filepath.Join(outside, "file"), filepath.Join(d.Path, "filelink")))
	require.NoError(t, unix.Mkfifo(filepath.Join(d.Path, "fifo"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(d.Path, "dir"), 0o755))
	cases := map[string]struct {
		reason string
		call   func() error
	}{
		"Sub":         {"A symlink is no directory", func() error { _, err := d.Sub("link"); return err }},
		"Ensure":      {"Nor is one made of it", func() error { _, err := d.Ensure("link"); return err }},
		"Open":        {"A symlink is no file", func() error { _, err := d.Open("filelink"); return err }},
		"OpenFIFO":    {"A FIFO is no file", func() error { _, err := d.Open("fifo"); return err }},
		"OpenDir":     {"A directory is no file", func() error { _, err := d.Open("dir"); return err }},
		"Create":      {"What is there is not written to", func() error { _, err := d.Create("filelink"); return err }},
		"Overwrite":   {"A symlink is no file to overwrite", func() error { return d.Overwrite("filelink", []byte("x")) }},
		"Digest":      {"A FIFO has no digest", func() error { _, err := d.Digest("fifo"); return err }},
		"Stack":       {"A path does not lead through a symlink", func() error { _, err := (&Stack{Root: d}).Open("link"); return err }},
		"StackDeeper": {"Nor does the rest of one", func() error { _, err := (&Stack{Root: d}).Open("link/x"); return err }},
		"Hasher":      {"Nor does that of a file", func() error { _, err := NewHasher(d).Digest(t.Context(), "link/file", 100); return err }},
		"HasherFIFO":  {"A FIFO is not read", func() error { _, err := NewHasher(d).Digest(t.Context(), "fifo", 100); return err }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) { assert.Error(t, tc.call(), tc.reason) })
	}
	data, err := os.ReadFile(filepath.Join(outside, "file"))
	require.NoError(t, err)
	assert.Equal(t, "outside", string(data))
	require.NoError(t, d.Empty(t.Context()))
	assert.FileExists(t, filepath.Join(outside, "file"), "what a symlink leads to is not removed")
}

func TestStack(t *testing.T) {
	d := openTemp(t)
	for _, path := range []string{"a/b/c", "a/bb", "d"} {
		require.NoError(t, os.MkdirAll(filepath.Join(d.Path, path), 0o755))
	}
	s := &Stack{Root: d}
	defer s.Close()
	for _, path := range []string{".", "a/b/c", "a/b", "a/bb", "d", ".", "a", "a/b/c", "a/bb"} {
		fd, err := s.Open(path)
		require.NoError(t, err)
		var got, want unix.Stat_t
		require.NoError(t, unix.Fstat(fd, &got))
		require.NoError(t, unix.Lstat(filepath.Join(d.Path, path), &want))
		assert.Equal(t, want.Ino, got.Ino, path)
	}
	_, err := s.Open("a/none")
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = s.Open("a/b")
	require.NoError(t, err, "an error leaves the stack as good as before")
}

func TestNames(t *testing.T) {
	d := openTemp(t)
	var want []string
	for i := range 3000 {
		name := strings.Repeat("x", 1+i%200) + string(rune('A'+i%26)) + filepath.Base(t.Name()) + strings.Repeat("0", i/200)
		want = append(want, name)
		require.NoError(t, os.WriteFile(filepath.Join(d.Path, name), nil, 0o644))
	}
	slices.Sort(want)
	for range 2 {
		got, err := d.Names()
		require.NoError(t, err)
		assert.Equal(t, slices.Compact(want), got, "a directory can be listed again")
	}
}

func TestReadAtMost(t *testing.T) {
	data, err := ReadAtMost(strings.NewReader("12345"), 5)
	require.NoError(t, err)
	assert.Equal(t, "12345", string(data))
	_, err = ReadAtMost(strings.NewReader("123456"), 5)
	assert.ErrorIs(t, err, errTooLong)
}

func FuzzNames(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x18\x00\x04name\x00"))
	f.Fuzz(func(t *testing.T, dirents []byte) {
		var n NameList
		if n.add(dirents) != nil {
			return
		}
		for name := range n.Sorted() {
			assert.NotContains(t, name, "\x00")
		}
	})
}
