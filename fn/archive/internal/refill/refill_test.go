package refill

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
	"threescale.dev/backup/fn/archive/internal/progress"
)

// TestWideModesAreNarrowed fills a directory from a run whose modes give more than its lists: an older version wrote it.
// No directory takes the list, since it is malformed.
func TestWideModesAreNarrowed(t *testing.T) {
	dir := t.TempDir()
	root, err := dirfd.Open(dir)
	require.NoError(t, err)
	defer root.Close()
	entries := []lists.Entry{
		{Path: ".", Kind: lists.Directory, Mode: 0o755, ModTime: time.Unix(1, 0), UID: uint32(os.Getuid()), GID: uint32(os.Getgid())},
		{Path: "wide", Kind: lists.Directory, Mode: 0o777, ModTime: time.Unix(1, 0), UID: uint32(os.Getuid()), GID: uint32(os.Getgid()),
			Xattrs: []lists.Xattr{{Name: lists.ACLAccess, Value: "malformed"}}},
	}
	target := New(Options{
		Source: Source{Name: "r1", Plain: true, Opener: func() Opener { return none{} }, Entries: func(context.Context) (lists.Source, func(), error) {
			return &lists.SliceSource{Entries: entries}, func() {}, nil
		}},
		Root:     root,
		Workers:  1,
		Room:     func(dirfd.Room) error { return nil },
		Progress: &progress.Meter{},
	})
	result, err := target.Refill(t.Context(), Fail)
	require.NoError(t, err)
	require.Len(t, result.Warnings, 1)
	assert.Contains(t, result.Warnings[0], "wide (system.posix_acl_access)")
	info, err := os.Stat(filepath.Join(dir, "wide"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

// none is the opener of a run without files.
type none struct{ Opener }

func (none) Close() {}
