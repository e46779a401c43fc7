package tree

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
)

// meddler is a context that lets something happen to a file each time that a copier is about to read of it.
type meddler struct {
	context.Context //nolint:containedctx // a context with a hook is still one

	meddle func()
}

func (m meddler) Err() error {
	m.meddle()
	return m.Context.Err()
}

// copyOne copies a file with a meddler and returns the content, the entry and what the copier says.
func copyOne(t *testing.T, content string, meddle func(path string)) (string, lists.Entry, bool) {
	t.Helper()
	from, to := t.TempDir(), t.TempDir()
	path := filepath.Join(from, "file")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	src, err := dirfd.Open(from)
	require.NoError(t, err)
	defer src.Close()
	dst, err := dirfd.Open(to)
	require.NoError(t, err)
	defer dst.Close()
	e := lists.Entry{Path: "file", Kind: lists.File}
	ctx := meddler{t.Context(), func() { meddle(path) }}
	stable, err := newCopier(&Options{}).copy(ctx, src.FD, dst.FD, "file", &e)
	require.NoError(t, err)
	data, err := os.ReadFile(filepath.Join(to, "file"))
	require.NoError(t, err)
	assert.Equal(t, int64(len(data)), e.Size, "what is listed is what is stored")
	assert.Equal(t, dirfd.DigestOf(data), e.SHA256, "what is listed is what is stored")
	info, err := os.Stat(filepath.Join(to, "file"))
	require.NoError(t, err)
	assert.True(t, info.ModTime().Equal(e.ModTime))
	return string(data), e, stable
}

func TestCopyChangingFile(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	cases := map[string]struct {
		reason  string
		changes int // how many readings are disturbed
		change  func(t *testing.T, path string, n int)
		want    string
		stable  bool
	}{
		"Quiet":        {"A file at rest is read once", 0, nil, "content", true},
		"TouchedOnce":  {"A file that changed is read again", 1, touch, "content", true},
		"TouchedTwice": {"And again", 2, touch, "content", true},
		"Busy":         {"After three readings it is stored as it was last read", 1000, touch, "content", false},
		"Grows": {"It is stored as long as it was when the last reading began", 1000, func(t *testing.T, path string, n int) {
			appendTo(t, path, "+")
		}, "content++", false},
		"GrowsOnce": {"What was added is read", 1, func(t *testing.T, path string, n int) { appendTo(t, path, "+") }, "content+", true},
		"Shrinks": {"It is stored as far as it went", 1, func(t *testing.T, path string, n int) {
			require.NoError(t, os.Truncate(path, 3))
		}, "con", true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			n := 0
			got, e, stable := copyOne(t, "content", func(path string) {
				if n++; n <= tc.changes {
					tc.change(t, path, n)
					require.NoError(t, os.Chtimes(path, at, at.Add(time.Duration(n)*time.Second)))
				}
			})
			assert.Equal(t, tc.want, got, tc.reason)
			assert.Equal(t, tc.stable, stable, tc.reason)
			if tc.changes > 0 {
				assert.True(t, e.ModTime.Equal(at.Add(time.Duration(min(tc.changes, maxTries))*time.Second)), "%v", e.ModTime)
			}
		})
	}
}

func touch(*testing.T, string, int) {}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestCopyNeverOverwrites(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(from, "file"), []byte("new"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(to, "file"), []byte("old"), 0o644))
	src, err := dirfd.Open(from)
	require.NoError(t, err)
	defer src.Close()
	dst, err := dirfd.Open(to)
	require.NoError(t, err)
	defer dst.Close()
	_, err = newCopier(&Options{}).copy(t.Context(), src.FD, dst.FD, "file", &lists.Entry{Path: "file", Kind: lists.File})
	require.ErrorIs(t, err, os.ErrExist)
	data, err := os.ReadFile(filepath.Join(to, "file"))
	require.NoError(t, err)
	assert.Equal(t, "old", string(data), "it may be linked to the file of an earlier run")
}

func TestMergeJournals(t *testing.T) {
	entry := func(path, digest string) lists.Entry {
		return lists.Entry{Path: path, Kind: lists.File, SHA256: digest}
	}
	dir, err := dirfd.Open(t.TempDir())
	require.NoError(t, err)
	defer dir.Close()
	out, err := createJournal(dir, journalName, nil)
	require.NoError(t, err)
	one, two := dirfd.DigestOf([]byte("1")), dirfd.DigestOf([]byte("2"))
	before := &lists.SliceSource{Entries: []lists.Entry{entry("a", one), entry("c", one), entry("d", one)}}
	fresh := &lists.SliceSource{Entries: []lists.Entry{entry("b", two), entry("c", two), entry("e", two)}}
	require.NoError(t, mergeJournals(out, before, fresh))
	require.NoError(t, out.close())
	in, err := openJournal(dir, journalName, nil)
	require.NoError(t, err)
	defer in.close()
	var got []string
	for e, err := in.Next(); err == nil; e, err = in.Next() {
		got = append(got, e.Path+map[string]string{one: "1", two: "2"}[e.SHA256])
	}
	assert.Equal(t, []string{"a1", "b2", "c2", "d1", "e2"}, got, "of two entries for a path the newer counts")
}
