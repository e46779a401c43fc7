package walk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
)

// fill makes files, directories and links, some with odd names, many in one directory.
func fill(t *testing.T, symlinks int) *dirfd.Dir {
	t.Helper()
	root := t.TempDir()
	for i := range 40 {
		dir := filepath.Join(root, fmt.Sprintf("d%d", i%7), fmt.Sprintf("e%d.", i%3))
		require.NoError(t, os.MkdirAll(dir, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("f\xff\n %d", i)), make([]byte, i*100), 0o640))
	}
	many := filepath.Join(root, "many")
	require.NoError(t, os.Mkdir(many, 0o755))
	for i := range symlinks {
		require.NoError(t, os.Symlink("target of a link", filepath.Join(many, fmt.Sprintf("a name that fills what is kept of a directory at once %d", i))))
	}
	require.NoError(t, os.Mkdir(filepath.Join(many, "a nested directory"), 0o755))
	old := time.Unix(-1000, 5)
	require.NoError(t, os.Chtimes(many, old, old))
	d, err := dirfd.Open(root)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

func TestScanIsReadBackAsMTREE(t *testing.T) {
	root := fill(t, 4000)
	for _, workers := range []int{1, 2, 8} {
		found, err := Scan(t.Context(), root, Options{Workers: workers})
		require.NoError(t, err)
		assert.Equal(t, Counts{Files: 40, Bytes: 78_000, Dirs: 31, Symlinks: 4000}, found.List.Count)
		var text bytes.Buffer
		text.WriteString(lists.MTREEHeader)
		var entries []lists.Entry
		var e lists.Entry
		for c := found.List.Cursor(); c.Next(&e) != nil; {
			entries = append(entries, e)
			text.Write(append(lists.AppendMTREE(nil, &e), '\n'))
		}
		assert.Equal(t, found.List.Count.Total(), int64(len(entries)))
		r, err := lists.NewMTREEReader(&text)
		require.NoError(t, err)
		for _, want := range entries {
			got, err := r.Next()
			require.NoError(t, err, "the order is that of the lists")
			require.Equal(t, want, got)
		}
		_, err = r.Next()
		assert.ErrorIs(t, err, io.EOF)
	}
}

func TestFlagsStay(t *testing.T) {
	found, err := Scan(t.Context(), fill(t, 10), Options{Workers: 2})
	require.NoError(t, err)
	var e lists.Entry
	n := 0
	for c := found.List.Cursor(); ; n++ {
		f := c.Next(&e)
		if f == nil {
			break
		}
		if n%2 == 1 {
			*f |= SameFile | Kept
		}
	}
	found.List.Clear(SameFile)
	n = 0
	for c := found.List.Cursor(); ; n++ {
		f := c.Next(&e)
		if f == nil {
			break
		}
		assert.Equal(t, n%2 == 1, *f == Kept, "%s", e.Path)
	}
}

func TestScanErrors(t *testing.T) {
	root := fill(t, 10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Scan(ctx, root, Options{Workers: 2})
	require.ErrorIs(t, err, context.Canceled)
	_, err = Scan(t.Context(), root, Options{Outside: root})
	require.ErrorIs(t, err, ErrInside)
	inner, err := root.Sub("many")
	require.NoError(t, err)
	defer inner.Close()
	_, err = Scan(t.Context(), root, Options{Workers: 4, Outside: inner})
	require.ErrorIs(t, err, ErrInside)
	_, err = Scan(t.Context(), &dirfd.Dir{FD: -1}, Options{})
	require.ErrorIs(t, err, unix.EBADF)
}

func TestScanCountsProgress(t *testing.T) {
	last := int64(0)
	found, err := Scan(t.Context(), fill(t, 10), Options{Workers: 3, Progress: func(n, _ int64) { last += n }})
	require.NoError(t, err)
	assert.Equal(t, found.List.Count.Total()-1, last, "all but the root")
}

func TestSourceOfAList(t *testing.T) {
	found, err := Scan(t.Context(), fill(t, 10), Options{})
	require.NoError(t, err)
	source := found.List.Source()
	n := int64(0)
	for {
		_, err := source.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		n++
	}
	assert.Equal(t, found.List.Count.Total(), n)
}

// TestGone: what a file server calls stale may be there all the same.
func TestGone(t *testing.T) {
	cases := map[string]struct {
		reason string
		path   string
		err    error
		want   bool
	}{
		"NoEntry":      {"It was looked for and is not there", "d1/e1.", unix.ENOENT, true},
		"StaleThere":   {"A file server has lost it for now: it must not be left out", "d1/e1.", unix.ESTALE, false},
		"StaleAndGone": {"Somebody removed it while it was open", "d1/none", unix.ESTALE, true},
		"StaleAndAll":  {"With all that was above it", "none/e/f", unix.ESTALE, true},
		"BadBlock":     {"It is there, and cannot be read", "d1/none", unix.EIO, false},
	}
	root := fill(t, 1)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tc.want, Gone(root, tc.path, tc.err), tc.reason) })
	}
}
