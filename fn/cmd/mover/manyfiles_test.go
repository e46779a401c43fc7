package main

import (
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/test/disk"
	"threescale.dev/backup/test/objectstore"
)

// many is a file storage of many small files, and what is made of it.
type many struct {
	t      *testing.T
	dir    string
	files  int64
	bucket job.BucketOptions
}

// TestManyFiles has the mover back up, verify, copy and restore very many files: a million, or a sample.
func TestManyFiles(t *testing.T) {
	m := &many{t: t, dir: t.TempDir(), files: 3000}
	if proving() {
		m.files = 1_000_000
		// Small files lie in their inodes, so that the disk need not be large.
		m.dir = disk.Image(t, "ext4", 16<<30, "-O", "inline_data", "-I", "256", "-N", "4000000")
	}
	m.make()
	server := objectstore.StartStandIn(t)
	m.bucket = job.BucketOptions{Endpoint: server.Endpoint, Bucket: server.Bucket, Prefix: "3scale", Insecure: true, Credentials: m.path("credentials")}
	write(t, m.path("credentials", "accesskey"), server.AccessKey)
	write(t, m.path("credentials", "secretkey"), server.SecretKey)

	assert.Zero(t, m.backUp("first", "r1").LinkedFiles)
	assert.Equal(t, m.files, m.backUp("unchanged", "r2").LinkedFiles)
	m.change()
	assert.Equal(t, m.files-1, m.backUp("one file changed", "r3").LinkedFiles)
	m.verify("verify the latest", job.Latest, maxPeak)
	m.verify("verify all runs", job.All, 160<<20) // what another tree links is remembered, to read it once
	m.copy("copy to a bucket", "r3", m.files)
	m.copy("copy again", "r3", 0)
	m.restore("restore", job.RefillOptions{Volume: m.path("volume")}, m.files)
	m.restore("restore where all is there", job.RefillOptions{Volume: m.path("volume")}, 0)
	require.NoError(t, os.RemoveAll(m.path("restored")))
	m.restore("restore from a bucket", job.RefillOptions{BucketOptions: m.bucket}, m.files)
}

func (m *many) path(parts ...string) string {
	return filepath.Join(append([]string{m.dir}, parts...)...)
}

// make makes the files, as porta names them, each with a content of its own.
func (m *many) make() {
	m.t.Helper()
	const tenants, inDirectory = 50, 100
	writeSnapshot(m.t, m.path("objects"))
	require.NoError(m.t, os.MkdirAll(m.path("volume"), 0o755))
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.UTC)
	for i := range m.files {
		day := i / inDirectory
		dir := m.path("files", fmt.Sprintf("tenant-%03d", day%tenants), at.AddDate(0, 0, int(day/tenants)).Format("2006/01/02"))
		if i%inDirectory == 0 {
			require.NoError(m.t, os.MkdirAll(dir, 0o755))
		}
		name := filepath.Join(dir, fmt.Sprintf("logo-%016x.png", i))
		require.NoError(m.t, os.WriteFile(name, fmt.Appendf(nil, "the content of file %d", i), 0o640))
		require.NoError(m.t, os.Chtimes(name, at, at))
	}
}

// change changes the first file.
func (m *many) change() {
	m.t.Helper()
	write(m.t, m.path("files", "tenant-000", "2026", "01", "02", fmt.Sprintf("logo-%016x.png", 0)), "changed")
}

// note checks and prints what a mover took.
func (m *many) note(what string, took moved, most int64) {
	m.t.Helper()
	m.t.Logf("%d files: %-28s %8s, peak memory %d MiB", m.files, what, took.time.Round(10*time.Millisecond), took.peak>>20)
	assert.LessOrEqual(m.t, took.peak, most, what)
}

func (m *many) backUp(what, run string) (result job.Result) {
	m.t.Helper()
	o := job.Options{Run: run, Volume: m.path("volume"), Objects: m.path("objects"), FileStorage: m.path("files")}
	m.note(what, move(m.t, o.Args(), &result), maxPeak)
	assert.Empty(m.t, result.Warnings)
	return result
}

func (m *many) verify(what, run string, most int64) {
	m.t.Helper()
	var result job.Verification
	m.note(what, move(m.t, job.VerifyOptions{Run: run, Volume: m.path("volume")}.Args(), &result), most)
	assert.Empty(m.t, result.Problems)
	assert.GreaterOrEqual(m.t, result.Files, m.files)
}

// copy copies runs, of which so many blobs are sent at least.
func (m *many) copy(what, run string, blobs int64) {
	m.t.Helper()
	var result job.CopyResult
	m.note(what, move(m.t, job.CopyOptions{Run: run, Volume: m.path("volume"), BucketOptions: m.bucket, Owner: "volume"}.Args(), &result), maxPeak)
	assert.GreaterOrEqual(m.t, result.Files, blobs)
	if blobs == 0 {
		assert.Zero(m.t, result.Files, "nothing is sent twice")
	}
}

// restore restores the newest run, and compares what is written with the source.
func (m *many) restore(what string, o job.RefillOptions, writes int64) {
	m.t.Helper()
	var result job.RefillResult
	o.Run, o.FileStorage, o.Existing = job.Latest, m.path("restored"), v1alpha1.ExistingFail
	require.NoError(m.t, os.MkdirAll(o.FileStorage, 0o755))
	m.note(what, move(m.t, o.Args(), &result), maxPeak)
	assert.Equal(m.t, writes, result.WrittenFiles)
	require.Equal(m.t, digestOf(m.t, m.path("files")), digestOf(m.t, o.FileStorage))
}

// digestOf is of the paths, the times and the content of all files below a directory.
func digestOf(t *testing.T, dir string) uint64 {
	t.Helper()
	h := fnv.New64a()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintln(h, path[len(dir):], info.Mode(), info.ModTime().UnixNano(), string(data))
		return err
	}))
	return h.Sum64()
}
