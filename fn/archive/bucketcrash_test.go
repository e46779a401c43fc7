package archive

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/s3"
)

var errKilled = errors.New("killed")

// mortal is a bucket whose user dies at a request: neither that one nor any later one is made.
type mortal struct {
	objects
	left  *atomic.Int64
	after bool // the request is made, and only its answer is not seen
}

func (m mortal) die() error {
	if m.left.Add(-1) < 0 {
		return &s3.Error{Problem: s3.Unreachable, Err: errKilled}
	}
	return nil
}

// dies does a request, or does not.
func (m mortal) dies(do func() error) error {
	left := m.left.Add(-1)
	if left < 0 && (!m.after || left < -1) {
		return &s3.Error{Problem: s3.Unreachable, Err: errKilled}
	}
	err := do()
	if left < 0 {
		err = &s3.Error{Problem: s3.Unreachable, Err: errKilled}
	}
	return err
}

func (m mortal) Get(ctx context.Context, key string) (in io.ReadCloser, err error) {
	if err := m.die(); err != nil {
		return nil, err
	}
	return m.objects.Get(ctx, key)
}

func (m mortal) Read(ctx context.Context, key string, limit int64) ([]byte, error) {
	if err := m.die(); err != nil {
		return nil, err
	}
	return m.objects.Read(ctx, key, limit)
}

func (m mortal) Stat(ctx context.Context, key string) (s3.Object, error) {
	if err := m.die(); err != nil {
		return s3.Object{}, err
	}
	return m.objects.Stat(ctx, key)
}

func (m mortal) List(ctx context.Context, prefix string, recursive bool) iter.Seq2[s3.Object, error] {
	if err := m.die(); err != nil {
		return func(yield func(s3.Object, error) bool) { yield(s3.Object{}, err) }
	}
	return m.objects.List(ctx, prefix, recursive)
}

func (m mortal) Create(ctx context.Context, key string, data []byte, lock *s3.Lock) error {
	return m.dies(func() error { return m.objects.Create(ctx, key, data, lock) })
}

func (m mortal) Put(ctx context.Context, key string, data io.ReaderAt, size int64, sum string, lock *s3.Lock) error {
	return m.dies(func() error { return m.objects.Put(ctx, key, data, size, sum, lock) })
}

func (m mortal) Delete(ctx context.Context, keys []string) (refused []s3.Refused, err error) {
	err = m.dies(func() (err error) {
		refused, err = m.objects.Delete(ctx, keys)
		return err
	})
	return refused, err
}

func (m mortal) FindUploads(ctx context.Context, prefix string, ours func(string) bool) error {
	if err := m.die(); err != nil {
		return err
	}
	return m.objects.FindUploads(ctx, prefix, ours)
}

func (m mortal) AbandonUploads(ctx context.Context) error {
	return m.dies(func() error { return m.objects.AbandonUploads(ctx) })
}

// dying returns the bucket for a user who dies after so many requests.
func dying(b *Bucket, requests int, after bool) *Bucket {
	m := mortal{objects: b.objects, left: &atomic.Int64{}, after: after}
	m.left.Store(int64(requests))
	return &Bucket{objects: m, name: b.name, prefix: b.prefix}
}

// sound checks that every run of the bucket has all that it refers to.
func sound(t *testing.T, b *Bucket) []RunInfo {
	t.Helper()
	report, err := b.VerifyRuns(t.Context(), VerifyRunsOptions{})
	require.NoError(t, err)
	require.NoError(t, report.Err(), "%v", report.Damages())
	runs, err := b.Runs(t.Context())
	require.NoError(t, err)
	return runs
}

// TestCopyKilled: a copy that ends at any request leaves no run whose blobs are not all there, and goes on.
func TestCopyKilled(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	for i := range 6 {
		f.add("few"+itoa(i), "content "+itoa(i))
	}
	f.dumpSome("monday")
	f.write("r1")
	f.add(aFile, "deny from all")
	f.dumpSome("tuesday")
	f.write("r2")
	whole := openBucket(t)
	opts := CopyOptions{Runs: []string{"r1", "r2"}, Owner: testOwner, Workers: 3}
	all := copyRuns(t, whole, f.volume, opts.Runs...)
	want := paths(t, whole)
	requests := int(whole.Requests())
	for _, after := range []bool{false, true} {
		ended := 0
		for n := range requests {
			b := openBucket(t)
			first, err := dying(b, n, after).Copy(t.Context(), f.volume, opts)
			if err == nil {
				break
			}
			ended++
			require.ErrorIs(t, err, errKilled)
			var problem *BucketError
			require.ErrorAs(t, err, &problem)
			runs := sound(t, b)
			for _, id := range first.Runs {
				assert.True(t, slices.ContainsFunc(runs, func(r RunInfo) bool { return r.ID == id }), "what is told to be there is there")
			}
			before := len(paths(t, b))
			second, err := b.Copy(t.Context(), f.volume, opts)
			require.NoError(t, err)
			assert.Equal(t, want, paths(t, b), "killed at request %d", n)
			const again = 7 // the objects of a run, and the MTREE of its trees
			assert.LessOrEqual(t, second.Files, all.Files-int64(max(0, before-2))+again, "what is there is not sent again")
			sound(t, b)
		}
		assert.Greater(t, ended, 20)
	}
}

// TestRemoveKilled: likewise for removing, after which nothing is left that no run refers to.
func TestRemoveKilled(t *testing.T) {
	whole := openBucket(t)
	f, _ := threeRuns(t, whole)
	_, err := whole.Remove(t.Context(), []string{"r1", "r2"})
	require.NoError(t, err)
	want := paths(t, whole)
	for _, after := range []bool{false, true} {
		for n := 0; ; n++ {
			b := openBucket(t)
			copyRuns(t, b, f.volume, "r1", "r2", "r3")
			_, err := dying(b, n, after).Remove(t.Context(), []string{"r1", "r2"})
			if err == nil {
				assert.Greater(t, n, 8)
				break
			}
			require.ErrorIs(t, err, errKilled)
			sound(t, b)
			if n%2 == 1 { // another copy comes first, as it does in a Job
				copyRuns(t, b, f.volume, "r1", "r2", "r3")
				sound(t, b)
				_, err = b.Remove(t.Context(), []string{"r1", "r2"})
				require.NoError(t, err)
			} else {
				removeThere(t, b, "r1", "r2")
			}
			assert.Equal(t, want, paths(t, b), "killed at request %d", n)
		}
	}
}

// TestRemoveDumpsKilled: likewise for a run whose dumps are other ones than those of the run that stays.
func TestRemoveDumpsKilled(t *testing.T) {
	whole := openBucket(t)
	f := newFixture(t)
	f.addSome()
	f.dumpSome("monday")
	f.write("r1")
	f.dumpSome("tuesday")
	f.write("r2")
	copyRuns(t, whole, f.volume, "r1", "r2")
	_, err := whole.Remove(t.Context(), []string{"r1"})
	require.NoError(t, err)
	want := paths(t, whole)
	for n := 0; ; n++ {
		b := openBucket(t)
		copyRuns(t, b, f.volume, "r1", "r2")
		_, err := dying(b, n, n%2 == 1).Remove(t.Context(), []string{"r1"})
		if err == nil {
			assert.Greater(t, n, 8)
			break
		}
		require.ErrorIs(t, err, errKilled)
		sound(t, b)
		removeThere(t, b, "r1")
		assert.Equal(t, want, paths(t, b), "killed at request %d", n)
	}
}

// removeThere removes the runs that still are there in part, and what an earlier call left.
func removeThere(t *testing.T, b *Bucket, runs ...string) {
	t.Helper()
	ids, err := b.runIDs(t.Context())
	require.NoError(t, err)
	next := &Bucket{objects: b.objects, name: b.name, prefix: b.prefix}
	_, err = next.Remove(t.Context(), slices.DeleteFunc(runs, func(id string) bool { return !slices.Contains(ids, id) }))
	require.NoError(t, err)
}

// TestInterruptedCopyIsSwept: blobs of a copy that nobody goes on with go with the next removal.
func TestInterruptedCopyIsSwept(t *testing.T) {
	b := openBucket(t)
	f, _ := threeRuns(t, b)
	before := paths(t, b)
	for i := range 20 {
		f.add("more"+itoa(i), "more "+itoa(i))
	}
	f.write("r4")
	_, err := dying(b, 16, false).Copy(t.Context(), f.volume, CopyOptions{Runs: []string{"r4"}, Owner: testOwner})
	require.ErrorIs(t, err, errKilled)
	require.Greater(t, len(paths(t, b)), len(before)+1)
	next := &Bucket{objects: b.objects, name: b.name, prefix: b.prefix}
	_, err = next.Remove(t.Context(), nil)
	require.NoError(t, err)
	assert.Equal(t, before, paths(t, b))
}
