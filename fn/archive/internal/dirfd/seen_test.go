package dirfd

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSeen(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"one", "single"} {
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(name), 0o644))
	}
	for _, name := range []string{"two", "three"} {
		require.NoError(t, os.Link(filepath.Join(root, "one"), filepath.Join(root, name)))
	}
	d, err := Open(root)
	require.NoError(t, err)
	defer d.Close()
	h := NewHasher(d)
	defer h.Close()
	h.Seen, h.Cold = NewSeen(), true
	want := DigestOf([]byte("one"))
	for i, name := range []string{"one", "two", "three"} {
		got, err := h.Prove(t.Context(), name, 3, want)
		require.NoError(t, err)
		assert.Equal(t, want, got)
		assert.Equal(t, map[bool]int{true: 1, false: 0}[i < 2], h.Seen.digests.count, "forgotten with its last name")
	}
	_, err = h.Digest(t.Context(), "single", 6)
	require.NoError(t, err)
	assert.Zero(t, h.Seen.digests.count, "what has one name is not remembered")
	files, bytes := h.Seen.Read()
	assert.Equal(t, []int64{2, 9}, []int64{files, bytes})
	h.Seen.Last = true
	_, err = h.Digest(t.Context(), "one", 3)
	require.NoError(t, err)
	assert.Zero(t, h.Seen.digests.count, "nor what nobody asks for again")
}

// TestSeenFailure: a file that takes a minute to fail does so once.
func TestSeenFailure(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "long"), []byte("longer than it should be"), 0o644))
	require.NoError(t, os.Link(filepath.Join(root, "long"), filepath.Join(root, "other")))
	d, err := Open(root)
	require.NoError(t, err)
	defer d.Close()
	h := NewHasher(d)
	defer h.Close()
	h.Seen = NewSeen()
	_, first := h.Digest(t.Context(), "long", 3)
	require.ErrorIs(t, first, errTooLong)
	_, second := h.Digest(t.Context(), "other", 3)
	assert.Equal(t, first, second)
	files, _ := h.Seen.Read()
	assert.Zero(t, files)
}

// TestSeenIsNotBelievedInBadNews: a number that two files have must not make one of them look damaged.
func TestSeenIsNotBelievedInBadNews(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "one"), []byte("one"), 0o644))
	require.NoError(t, os.Link(filepath.Join(root, "one"), filepath.Join(root, "two")))
	d, err := Open(root)
	require.NoError(t, err)
	defer d.Close()
	h := NewHasher(d)
	defer h.Close()
	h.Seen = NewSeen()
	_, err = h.Digest(t.Context(), "one", 3)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(root, "two"), []byte("two"), 0o644)) // as another file of that number
	got, err := h.Prove(t.Context(), "two", 3, DigestOf([]byte("two")))
	require.NoError(t, err)
	assert.Equal(t, DigestOf([]byte("two")), got)
	assert.NotNil(t, h.Seen)
}
