package archive

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/s3"
)

// TestDumpsInBucket: a copy has the dumps of a run, each file once, and they come back as they were.
func TestDumpsInBucket(t *testing.T) {
	id := identity(t)
	for name, recipients := range map[string][]string{"Plain": nil, "Encrypted": {id.Recipient().String()}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addOdd()
			f.opts.Recipients = recipients
			b := openBucket(t)
			f.dumpSome("monday")
			first := f.write("r1")
			copyRuns(t, b, f.volume, "r1")
			f.dumpSome("tuesday")
			want := filesBelow(t, f.opts.Databases)
			second := f.write("r2")
			result := copyRuns(t, b, f.volume, "r2")
			assert.EqualValues(t, 3+2+2+1, result.Files, "objects, manifest and list, lists of the dumps, and the one file that differs")
			sameRuns(t, f.volume, b)

			run, err := b.OpenRun(t.Context(), "r2")
			require.NoError(t, err)
			assert.Equal(t, testDumps(), run.Dumps())
			dir := t.TempDir()
			require.NoError(t, run.ExtractDatabases(t.Context(), dir, ExtractOptions{Identities: []age.Identity{id}}))
			assert.Equal(t, want, filesBelow(t, dir))

			v, _ := fetchRuns(t, b, "r1", "r2")
			assert.Equal(t, dumpRuns(t, f.volume), dumpRuns(t, v))
			sameRuns(t, f.volume, v)
			const path = "databases/system-database/3456.dat"
			assert.Equal(t, inode(t, filepath.Join(v.root.Path, "runs/r1", path)), inode(t, filepath.Join(v.root.Path, "runs/r2", path)))

			removed, err := b.Remove(t.Context(), []string{"r1"})
			require.NoError(t, err)
			assert.Equal(t, []string{first.Manifest.Databases.Tree}, removed.Trees, "the file storage is that of another run, too")
			for _, p := range paths(t, b) {
				assert.NotContains(t, p, first.Manifest.Databases.Tree)
			}
			report, err := b.VerifyRuns(t.Context(), VerifyRunsOptions{})
			require.NoError(t, err)
			require.NoError(t, report.Err())
			_, err = b.Remove(t.Context(), []string{"r2"})
			require.NoError(t, err)
			assert.Equal(t, []string{"OWNER", "WRITER"}, paths(t, b))
			assert.NotEqual(t, first.Manifest.Databases.Tree, second.Manifest.Databases.Tree)
		})
	}
}

// TestDamagedDumpsInBucket: what a bucket has lost of dumps is found, and sent again.
func TestDamagedDumpsInBucket(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.dumpSome("monday")
	result := f.write("r1")
	b := openBucket(t)
	copyRuns(t, b, f.volume, "r1")
	blob := blobPath(digest([]byte("1\tadmin\n")))
	path := "trees/" + result.Manifest.Databases.Tree + "/files/system-database/3456.dat"
	damaged := func(opts VerifyOptions, why string) {
		t.Helper()
		report, err := b.Verify(t.Context(), "r1", opts)
		require.NoError(t, err)
		checkProblem(t, report, why, why)
	}
	put(t, b, blob, "2\tadmin\n")
	damaged(VerifyOptions{}, path+" is changed")
	remove(t, b, blob)
	damaged(VerifyOptions{}, path+" is missing")
	damaged(VerifyOptions{PresenceOnly: true}, path+" is missing")
	run, err := b.OpenRun(t.Context(), "r1")
	require.NoError(t, err)
	var broken *IntegrityError
	require.ErrorAs(t, run.ExtractDatabases(t.Context(), t.TempDir(), ExtractOptions{}), &broken)
	opts := CopyOptions{Runs: []string{"r1"}, Owner: testOwner, Mend: true}
	_, err = b.Copy(t.Context(), f.volume, opts)
	require.NoError(t, err)
	damaged(VerifyOptions{}, "")
}

// TestLockedDumps: dumps are locked as all that a run refers to is, those that runs share too.
func TestLockedDumps(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	b := openBucket(t)
	l := &locking{objects: b.objects, locks: make(map[string]s3.Lock)}
	b.objects = l
	for i, run := range []string{"r1", "r2", "r3", "r4", "r5", "r6"} {
		f.dumpSome("day " + itoa(i))
		f.write(run)
		opts := CopyOptions{Runs: []string{run}, Owner: testOwner, Lock: &ObjectLock{Compliance: true, For: lockPeriod}}
		result, err := b.Copy(t.Context(), f.volume, opts)
		require.NoError(t, err)
		assert.Empty(t, result.Warnings)
		assert.Greater(t, l.least(t, b, f.volume, run), lockPeriod-time.Minute, run)
		retained := strings.Join(l.retained, "\n")
		blob := b.key(blobPath(digest([]byte("1\tadmin\n"))))
		assert.Equal(t, i == 2 || i == 4, strings.Contains(retained, blob), "once less than the period is left, and not with each run")
		l.pass(lockPeriod / 3)
	}
}
