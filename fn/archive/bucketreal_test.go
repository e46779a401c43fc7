//go:build e2e

package archive

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/objectstore"
)

// TestRealObjectLock: a real object store takes the locks, and tells of them.
func TestRealObjectLock(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	b := openBucket(t, objectstore.ObjectLock())
	f.write("r1")
	opts := CopyOptions{Owner: testOwner, Runs: []string{"r1"}, Lock: &ObjectLock{For: 2 * time.Hour}}
	_, err := b.Copy(t.Context(), f.volume, opts)
	require.NoError(t, err)
	f.add(aFile, "something else")
	f.write("r2")
	opts.Runs, opts.Lock.For = []string{"r2"}, 6*time.Hour
	_, err = b.Copy(t.Context(), f.volume, opts)
	require.NoError(t, err)
	sound(t, b)
	locks := make(map[string]time.Duration)
	for _, path := range paths(t, b) {
		lock, err := b.objects.Retention(t.Context(), b.key(path))
		require.NoError(t, err)
		if lock != nil {
			locks[path] = time.Until(lock.Until).Round(time.Hour)
		}
	}
	assert.Equal(t, 3*time.Hour, locks[blobPath(digest([]byte("deny")))])
	assert.Equal(t, 9*time.Hour, locks[blobPath(digest([]byte("a logo")))])
	assert.Equal(t, 9*time.Hour, locks[blobPath(digest([]byte("something else")))])
	assert.Equal(t, 9*time.Hour, locks["runs/r2/manifest.json"])
	assert.Len(t, locks, len(paths(t, b))-2, "all but OWNER and WRITER")
}
