package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/s3"
)

const lockPeriod = 30 * 24 * time.Hour

// locking is a bucket with object lock, whose clock a test sets.
type locking struct {
	objects
	mu       sync.Mutex
	locks    map[string]s3.Lock
	retained []string
	refuse   error

	refuseLonger bool // what is locked for longer
	retaining    func(key string)
}

func (l *locking) lock(key string, lock *s3.Lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lock != nil {
		l.locks[key] = *lock
	}
}

func (l *locking) Put(ctx context.Context, key string, data io.ReaderAt, size int64, sum string, lock *s3.Lock) error {
	l.lock(key, lock)
	return l.objects.Put(ctx, key, data, size, sum, nil)
}

func (l *locking) Create(ctx context.Context, key string, data []byte, lock *s3.Lock) error {
	l.lock(key, lock)
	return l.objects.Create(ctx, key, data, nil)
}

func (l *locking) Retain(ctx context.Context, key string, lock s3.Lock) error {
	if l.refuse != nil {
		return l.refuse
	}
	if l.retaining != nil {
		l.retaining(key)
	}
	if _, err := l.Stat(ctx, key); err != nil {
		return err
	}
	if is, err := l.Retention(ctx, key); l.refuseLonger && err == nil && is != nil && is.Until.After(lock.Until) {
		return &s3.Error{Problem: s3.Denied, Err: errors.New("the object store answers AccessDenied")}
	}
	l.lock(key, &lock)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retained = append(l.retained, key)
	return nil
}

func (l *locking) Retention(ctx context.Context, key string) (*s3.Lock, error) {
	if _, err := l.Stat(ctx, key); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if lock, ok := l.locks[key]; ok {
		return &lock, nil
	}
	return nil, nil
}

// pass lets time pass: all locks end so much earlier.
func (l *locking) pass(d time.Duration) {
	for key, lock := range l.locks {
		lock.Until = lock.Until.Add(-d)
		l.locks[key] = lock
	}
	l.retained = nil
}

// least is how long the objects of a run are locked at least.
func (l *locking) least(t *testing.T, b *Bucket, v *Volume, run string) time.Duration {
	t.Helper()
	info, err := v.find(t.Context(), run)
	require.NoError(t, err)
	r, err := v.OpenRun(t.Context(), run)
	require.NoError(t, err)
	defer r.Close()
	refersTo := func(path string) bool {
		ofTree := func(tree storedTree) bool { return strings.HasPrefix(path, tree.path()+"/") }
		return strings.HasPrefix(path, "runs/"+run+"/") || slices.ContainsFunc(info.Manifest.trees(), ofTree)
	}
	all := slices.DeleteFunc(paths(t, b), func(p string) bool { return !refersTo(p) })
	for _, e := range entriesOf(t, r) {
		if e.Kind == File {
			all = append(all, blobPath(e.SHA256))
		}
	}
	for _, e := range dumpEntriesOf(t, r) {
		if e.Kind == File {
			all = append(all, blobPath(e.SHA256))
		}
	}
	least := time.Duration(1 << 62)
	for _, path := range all {
		lock, ok := l.locks[b.key(path)]
		require.True(t, ok, "%s is locked", path)
		assert.True(t, lock.Compliance)
		least = min(least, time.Until(lock.Until))
	}
	return least
}

// TestObjectLock: all that a run refers to is locked for at least the period when it is copied, and what is locked for so
// long is not locked again.
func TestObjectLock(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	for i := range 20 {
		f.add("some"+itoa(i), "content "+itoa(i))
	}
	b := openBucket(t)
	l := &locking{objects: b.objects, locks: make(map[string]s3.Lock)}
	b.objects = l
	opts := CopyOptions{Owner: testOwner, Lock: &ObjectLock{Compliance: true, For: lockPeriod}}
	copyNext := func(run string) {
		t.Helper()
		f.write(run)
		opts.Runs = []string{run}
		result, err := b.Copy(t.Context(), f.volume, opts)
		require.NoError(t, err)
		assert.Empty(t, result.Warnings)
		assert.Greater(t, l.least(t, b, f.volume, run), lockPeriod-time.Minute)
	}
	copyNext("r1")
	assert.Greater(t, l.least(t, b, f.volume, "r1"), lockPeriod+lockPeriod/2-time.Minute)

	l.pass(lockPeriod / 3)
	copyNext("r2") // which shares the tree
	assert.Empty(t, l.retained)
	f.add("some1", "something else")
	copyNext("r3") // which shares files
	assert.Empty(t, l.retained)

	l.pass(lockPeriod / 3)
	f.add("some2", "something else, too")
	copyNext("r4")
	assert.Len(t, l.retained, 23, "each blob that is shared, once")
	copyNext("r5")
	assert.Len(t, l.retained, 23)

	l.pass(2 * lockPeriod / 3)
	copyNext("r6") // which shares the tree
	assert.Len(t, l.retained, 26, "each blob, once, and the lists")
	l.retained = nil
	f.add("some1", "content 1") // as in an older tree
	copyNext("r7")
	assert.Equal(t, []string{b.key(blobPath(digest([]byte("content 1"))))}, l.retained)

	l.pass(2 * lockPeriod / 3)
	l.refuse = &s3.Error{Problem: s3.Denied, Err: errors.New("the object store answers AccessDenied")}
	f.write("r8")
	opts.Runs = []string{"r8"}
	result, err := b.Copy(t.Context(), f.volume, opts)
	require.NoError(t, err, "a copy that is not locked is better than none")
	require.Len(t, result.Warnings, 1)
	assert.Contains(t, result.Warnings[0], "objects that runs share were not extended: the object store answers AccessDenied")
	l.refuse = nil
	copyNext("r9")
}

// lockedRun is a bucket with object lock that has a run, and how to copy the next ones of an unchanged file storage.
func lockedRun(t *testing.T) (*locking, *Bucket, func(run string, compliance bool) CopyResult) {
	t.Helper()
	f := newFixture(t)
	f.addSome()
	b := openBucket(t)
	l := &locking{objects: b.objects, locks: make(map[string]s3.Lock)}
	b.objects = l
	next := func(run string, compliance bool) CopyResult {
		t.Helper()
		f.write(run)
		lock := &ObjectLock{Compliance: compliance, For: lockPeriod}
		result, err := b.Copy(t.Context(), f.volume, CopyOptions{Owner: testOwner, Lock: lock, Runs: []string{run}})
		require.NoError(t, err)
		return result
	}
	return l, b, next
}

// TestLockOfAnotherMode: a lock that some users may break is none where nobody may, and not the other way round.
func TestLockOfAnotherMode(t *testing.T) {
	l, b, next := lockedRun(t)
	next("r1", false)
	next("r2", true)
	for key, lock := range l.locks {
		if strings.Contains(key, "/blobs/") || strings.Contains(key, "/trees/") {
			assert.True(t, lock.Compliance, key)
		}
	}
	assert.NotEmpty(t, l.retained)
	l.retained = nil
	next("r3", false)
	assert.Empty(t, l.retained)
	sound(t, b)
}

// TestLockedForLonger: a refusal to lock what is locked for longer is none.
func TestLockedForLonger(t *testing.T) {
	l, _, next := lockedRun(t)
	next("r1", true)
	for key, lock := range l.locks {
		if lock.Until = lock.Until.Add(time.Hour); strings.HasSuffix(key, "/SHA256SUMS") {
			lock.Until = time.Now()
		}
		l.locks[key] = lock
	}
	l.refuseLonger = true
	assert.Empty(t, next("r2", true).Warnings)
}

// TestLostIsSentAgain: what is found lost when it is to be locked is sent.
func TestLostIsSentAgain(t *testing.T) {
	for reason, lose := range map[string]func(path string) bool{
		"a blob of a tree that is shared": func(path string) bool { return path == blobPath(digest([]byte("deny"))) },
		"a list of it":                    func(path string) bool { return strings.HasSuffix(path, "/MTREE") },
	} {
		t.Run(reason, func(t *testing.T) {
			l, b, next := lockedRun(t)
			next("r1", true)
			want := paths(t, b)
			l.pass(lockPeriod)
			remove(t, b, slices.DeleteFunc(slices.Clone(want), func(path string) bool { return !lose(path) })...)
			next("r2", true)
			sound(t, b)
			assert.Subset(t, paths(t, b), want)
		})
	}
}

// TestLostBlobOfAnotherTree: likewise for a blob that a new tree shares, although it was listed a moment ago.
func TestLostBlobOfAnotherTree(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	b := openBucket(t)
	l := &locking{objects: b.objects, locks: make(map[string]s3.Lock)}
	b.objects = l
	opts := CopyOptions{Owner: testOwner, Lock: &ObjectLock{For: lockPeriod}, Runs: []string{"r1"}, Workers: 1}
	f.write("r1")
	_, err := b.Copy(t.Context(), f.volume, opts)
	require.NoError(t, err)
	l.pass(lockPeriod)
	lost := b.key(blobPath(digest([]byte("deny"))))
	l.retaining = func(key string) {
		if key == lost {
			_, err := l.Delete(t.Context(), []string{key})
			assert.NoError(t, err)
		}
	}
	f.add("more", "x")
	f.write("r2")
	opts.Runs = []string{"r2"}
	_, err = b.Copy(t.Context(), f.volume, opts)
	require.NoError(t, err)
	sound(t, b)
}

// TestInterruptedExtension: a run that could not be copied to its end does not keep the next ones from locking what they
// share with it.
func TestInterruptedExtension(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	for i := range 20 {
		f.add("some"+itoa(i), "content "+itoa(i))
	}
	b := openBucket(t)
	l := &locking{objects: b.objects, locks: make(map[string]s3.Lock)}
	b.objects = l
	opts := CopyOptions{Owner: testOwner, Lock: &ObjectLock{Compliance: true, For: lockPeriod}, Runs: []string{"r1"}, Workers: 1}
	f.write("r1")
	_, err := b.Copy(t.Context(), f.volume, opts)
	require.NoError(t, err)
	l.pass(lockPeriod)
	f.write("r2") // which shares the tree, and whose list of files is found damaged at its end
	f.add("more", "x")
	f.write("r3")
	mtree := f.path("trees", newestOf(mustRuns(t, f.volume), "r3").Manifest.Tree, "MTREE")
	data, err := os.ReadFile(mtree)
	require.NoError(t, err)
	data[bytes.LastIndex(data, []byte("time="))+len("time=")] ^= 1
	require.NoError(t, os.Chmod(mtree, 0o600))
	require.NoError(t, os.WriteFile(mtree, data, 0o600))
	opts.Runs = []string{"r2", "r3"}
	_, err = b.Copy(t.Context(), f.volume, opts)
	var damaged *IntegrityError
	require.ErrorAs(t, err, &damaged)
	assert.Equal(t, "r2", damaged.Run)
	assert.Greater(t, l.least(t, b, f.volume, "r3"), lockPeriod-time.Minute)
}

func mustRuns(t *testing.T, v *Volume) []RunInfo {
	t.Helper()
	runs, err := v.Runs(t.Context())
	require.NoError(t, err)
	return runs
}
