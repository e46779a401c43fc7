package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/s3"
	"threescale.dev/backup/test/objectstore"
)

const (
	testOwner    = "3scale/nightly 3b0f"
	bucketPrefix = "prod/3scale"
)

// bucketOptions says how to reach a server's bucket.
func bucketOptions(s *objectstore.Server, prefix string) BucketOptions {
	return BucketOptions{
		Endpoint: s.Endpoint, Bucket: s.Bucket, Prefix: prefix, PathStyle: true,
		Insecure: s.CA == nil, CA: s.CA,
		Credentials: Credentials{AccessKey: s.AccessKey, SecretKey: s.SecretKey},
	}
}

// openBucket opens the bucket of a server that is started for the test.
func openBucket(t *testing.T, opts ...objectstore.Option) *Bucket {
	t.Helper()
	return reopen(t, objectstore.Start(t, opts...), bucketPrefix)
}

func reopen(t *testing.T, s *objectstore.Server, prefix string) *Bucket {
	t.Helper()
	b, err := OpenBucket(t.Context(), bucketOptions(s, prefix))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// copyRuns copies runs of a volume, which must succeed.
func copyRuns(t *testing.T, b *Bucket, v *Volume, ids ...string) CopyResult {
	t.Helper()
	result, err := b.Copy(t.Context(), v, CopyOptions{Runs: ids, Owner: testOwner})
	require.NoError(t, err)
	return result
}

// paths returns the paths of all objects below the prefix.
func paths(t *testing.T, b *Bucket) []string {
	t.Helper()
	var paths []string
	for o, err := range b.objects.List(t.Context(), b.prefix, true) {
		require.NoError(t, err)
		paths = append(paths, strings.TrimPrefix(o.Key, b.prefix))
	}
	return paths
}

// put replaces an object.
func put(t *testing.T, b *Bucket, path, content string) {
	t.Helper()
	data := []byte(content)
	require.NoError(t, b.objects.Put(t.Context(), b.key(path), bytes.NewReader(data), int64(len(data)), digest(data), nil))
}

func remove(t *testing.T, b *Bucket, paths ...string) {
	t.Helper()
	for i := range paths {
		paths[i] = b.key(paths[i])
	}
	refused, err := b.objects.Delete(t.Context(), paths)
	require.NoError(t, err)
	require.Empty(t, refused)
}

// addOdd makes entries that no object can stand for.
func (f *fixture) addOdd() {
	f.t.Helper()
	f.addSome()
	f.add("odd/a b\n#\\\xff", "odd")
	f.add("odd/twice", "a logo")
	require.NoError(f.t, os.Symlink("../nowhere", filepath.Join(f.files, "odd/link")))
	require.NoError(f.t, os.Mkdir(filepath.Join(f.files, "none"), 0o700))
	touchAll(f)
}

// TestCopyGolden compares the keys in a bucket with the layout: a name for each distinct file, and the lists.
func TestCopyGolden(t *testing.T) {
	f := newFixture(t)
	f.addOdd()
	b := openBucket(t)
	r := f.write("r1")
	result := copyRuns(t, b, f.volume, "r1")
	want := []string{
		"OWNER",
		"WRITER",
		"runs/r1/SHA256SUMS",
		"runs/r1/apimanager/apimanager-backup.json",
		"runs/r1/configmaps/system-environment.json",
		"runs/r1/manifest.json",
		"runs/r1/secrets/system-app.json",
		"trees/" + r.Manifest.Tree + "/MTREE",
		"trees/" + r.Manifest.Tree + "/SHA256SUMS",
	}
	for _, content := range []string{"a logo", "<html/>", "deny", "", "odd"} {
		want = append(want, blobPath(digest([]byte(content))))
	}
	slices.Sort(want)
	assert.Equal(t, want, paths(t, b))
	assert.Equal(t, []string{"r1"}, result.Runs)
	assert.EqualValues(t, len(want)-2, result.Files, "all but OWNER and WRITER")
	for _, list := range []string{"runs/r1/manifest.json", "runs/r1/SHA256SUMS", "trees/" + r.Manifest.Tree + "/MTREE"} {
		data, err := b.read(t.Context(), list, 1<<20)
		require.NoError(t, err)
		assert.Equal(t, f.read(list), string(data), "what is copied is not changed")
	}
}

// TestReadBucket: a run in a bucket is the run on the volume, whoever reads it.
func TestReadBucket(t *testing.T) {
	id := identity(t)
	for name, recipients := range map[string][]string{"Plain": nil, "Encrypted": {id.Recipient().String()}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addOdd()
			f.opts.Recipients = recipients
			b := openBucket(t)
			f.write("r1")
			f.add("more", "x")
			f.write("r2")
			copyRuns(t, b, f.volume, "r1", "r2")
			sameRuns(t, f.volume, b)
			for _, run := range []string{"r1", "r2", Latest} {
				sameRun(t, f.volume, b, run, id)
			}
		})
	}
}

// sameRuns compares what two stores tell of their runs.
func sameRuns(t *testing.T, want, got Store) {
	t.Helper()
	wantRuns, err := want.Runs(t.Context())
	require.NoError(t, err)
	gotRuns, err := got.Runs(t.Context())
	require.NoError(t, err)
	assert.Equal(t, wantRuns, gotRuns)
	wantReport, err := want.VerifyRuns(t.Context(), VerifyRunsOptions{})
	require.NoError(t, err)
	gotReport, err := got.VerifyRuns(t.Context(), VerifyRunsOptions{})
	require.NoError(t, err)
	assert.Empty(t, gotReport.AllWarnings())
	require.NoError(t, gotReport.Err())
	for i, r := range wantReport.Runs {
		assert.Equal(t, r.Files, gotReport.Runs[i].Files)
		assert.Equal(t, r.Objects, gotReport.Runs[i].Objects)
	}
}

// sameRun compares all that can be read of a run of two stores.
func sameRun(t *testing.T, want, got Store, run string, id age.Identity) {
	t.Helper()
	var trees [2]string
	var objects [2][]ObjectFile
	var entries [2][]Entry
	for i, s := range []Store{want, got} {
		r, err := s.OpenRun(t.Context(), run)
		require.NoError(t, err)
		objects[i], err = r.Objects(t.Context(), id)
		require.NoError(t, err)
		entries[i] = entriesOf(t, r)
		dir := t.TempDir()
		_, err = r.Restore(t.Context(), dir, RestoreOptions{Existing: Fail, Identities: []age.Identity{id}})
		require.NoError(t, err)
		state, err := r.Compare(t.Context(), dir, RestoreOptions{Existing: Fail, Identities: []age.Identity{id}})
		require.NoError(t, err)
		assert.Equal(t, Comparison{Same: true}, state)
		trees[i] = dump(t, dir)
		require.NoError(t, r.Close())
	}
	assert.Equal(t, objects[0], objects[1])
	assert.Equal(t, entries[0], entries[1])
	assert.Equal(t, trees[0], trees[1])
}

func digest(data []byte) string { return dirfd.DigestOf(data) }

// TestUnchangedCopy: what the bucket has is not sent again, and asking for it takes few requests.
func TestUnchangedCopy(t *testing.T) {
	f := newFixture(t)
	for i := range 50 {
		f.add("f"+itoa(1000+i), "content "+itoa(i))
	}
	b := openBucket(t)
	f.write("r1")
	copyRuns(t, b, f.volume, "r1")
	before := b.Requests()
	result := copyRuns(t, b, f.volume, "r1")
	assert.Zero(t, result)
	assert.Less(t, b.Requests()-before, int64(10))

	f.write("r2") // which shares the tree
	before = b.Requests()
	result = copyRuns(t, b, f.volume, "r2")
	assert.Equal(t, []string{"r2"}, result.Runs)
	assert.EqualValues(t, 5, result.Files, "three objects, their list and the manifest")
	assert.LessOrEqual(t, b.Requests()-before, int64(11), "two of them are lists, of whether the tree is there")

	f.add("f1001", "something else")
	f.write("r3")
	before = b.Requests()
	result = copyRuns(t, b, f.volume, "r3")
	assert.EqualValues(t, 8, result.Files, "likewise, a file and the two lists of the tree")
	assert.LessOrEqual(t, b.Requests()-before, int64(16))
}

// TestDamageInBucket: verifying names what is wrong in a bucket as it does on a volume, and a restore stops there.
func TestDamageInBucket(t *testing.T) {
	blob := blobPath(digest([]byte("deny")))
	cases := map[string]struct {
		reason  string
		do      func(t *testing.T, b *Bucket, tree string)
		problem string // of both runs; empty: there is none
		lists   bool   // the lists are damaged, so that a restore writes nothing
	}{
		"Nothing": {"A copy is what was copied", func(*testing.T, *Bucket, string) {}, "", false},
		"LostBlob": {"An object store can lose an object", func(t *testing.T, b *Bucket, _ string) {
			remove(t, b, blob)
		}, "trees/TREE/files/" + aFile + " is missing, got no " + blob, false},
		"WrongBytes": {"Or have other bytes", func(t *testing.T, b *Bucket, _ string) {
			put(t, b, blob, "dEny")
		}, "trees/TREE/files/" + aFile + " is changed, got sha256:" + digest([]byte("dEny")), false},
		"Truncated": {"Or fewer", func(t *testing.T, b *Bucket, _ string) {
			put(t, b, blob, "den")
		}, "trees/TREE/files/" + aFile + " is changed, got size 3", false},
		"Longer": {"Or more, which are not read to their end", func(t *testing.T, b *Bucket, _ string) {
			put(t, b, blob, "deny and more")
		}, "trees/TREE/files/" + aFile + " is changed, got more than 4 bytes", false},
		"LostMTREE": {"Lists are objects too", func(t *testing.T, b *Bucket, tree string) {
			remove(t, b, "trees/"+tree+"/MTREE")
		}, "trees/TREE/ is malformed", true},
		"LostTree": {"A tree may be gone", func(t *testing.T, b *Bucket, tree string) {
			remove(t, b, "trees/"+tree+"/MTREE", "trees/"+tree+"/SHA256SUMS")
		}, "trees/TREE/ is malformed", true},
		"MalformedSums": {"A list that is none", func(t *testing.T, b *Bucket, tree string) {
			put(t, b, "trees/"+tree+"/SHA256SUMS", "nothing\n")
		}, "trees/TREE/ is malformed", true},
		"Foreign": {"What no list names is not looked at", func(t *testing.T, b *Bucket, tree string) {
			put(t, b, "blobs/00/foreign", "x")
			put(t, b, "runs/r1/secrets/foreign", "x")
			put(t, b, "runs/.hidden/manifest.json", "x")
			put(t, b, "runs/foreign", "x")
			put(t, b, "runs/beginning/secrets/x", "x")
			put(t, b, "elsewhere/x", "x")
		}, "", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			b := openBucket(t)
			r := f.write("r1")
			f.write("r2")
			copyRuns(t, b, f.volume, "r1", "r2")
			tc.do(t, b, r.Manifest.Tree)
			report, err := b.VerifyRuns(t.Context(), VerifyRunsOptions{})
			require.NoError(t, err)
			require.Len(t, report.Runs, 2)
			want := strings.ReplaceAll(tc.problem, "TREE", r.Manifest.Tree)
			for _, r := range report.Runs {
				checkProblem(t, r, want, tc.reason)
			}
			one, err := b.Verify(t.Context(), Latest, VerifyOptions{})
			require.NoError(t, err)
			checkProblem(t, one, want, tc.reason)
			dir := t.TempDir()
			run, err := b.OpenRun(t.Context(), "r1")
			require.NoError(t, err)
			_, err = run.Restore(t.Context(), dir, RestoreOptions{Existing: Fail})
			if want == "" {
				require.NoError(t, err)
				return
			}
			var damaged *IntegrityError
			require.ErrorAs(t, err, &damaged, tc.reason)
			if tc.lists {
				assert.Empty(t, ls(t, dir))
			}
		})
	}
}

func checkProblem(t *testing.T, r *VerifyReport, want, reason string) {
	t.Helper()
	if want == "" {
		assert.Empty(t, r.Problems, reason)
		return
	}
	require.Len(t, r.Problems, 1, reason)
	assert.Contains(t, r.Problems[0].String(), want, reason)
}

// TestOwner: a prefix holds the runs of one volume.
func TestOwner(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	b := openBucket(t)
	copyRuns(t, b, f.volume, "r1")
	before := paths(t, b)
	result, err := b.Copy(t.Context(), f.volume, CopyOptions{Runs: []string{"r1"}, Owner: "another"})
	require.ErrorIs(t, err, ErrOwned)
	assert.ErrorContains(t, err, `"`+testOwner+`"`)
	assert.Zero(t, result)
	assert.Equal(t, before, paths(t, b))
	for _, owner := range []string{"", "two\nlines", strings.Repeat("x", 1025)} {
		_, err := b.Copy(t.Context(), f.volume, CopyOptions{Runs: []string{"r1"}, Owner: owner})
		var usage *UsageError
		require.ErrorAs(t, err, &usage)
	}
}

// TestOwnersRace: of volumes that begin at once in an empty prefix, one wins.
func TestOwnersRace(t *testing.T) {
	const racers = 4
	b := openBucket(t)
	var volumes []*Volume
	for range racers {
		f := newFixture(t)
		f.addSome()
		f.write("r1")
		volumes = append(volumes, f.volume)
	}
	errs := make(chan error)
	for i, v := range volumes {
		go func() {
			_, err := b.Copy(context.WithoutCancel(t.Context()), v, CopyOptions{Runs: []string{"r1"}, Owner: "volume " + itoa(i)})
			errs <- err
		}()
	}
	won := 0
	for range racers {
		if err := <-errs; err == nil {
			won++
		} else {
			assert.ErrorIs(t, err, ErrOwned)
		}
	}
	assert.Equal(t, 1, won)
}

// TestCopyOfDamaged: what is damaged on the volume does not get into a bucket, nor keeps other runs from it.
func TestCopyOfDamaged(t *testing.T) {
	cases := map[string]struct {
		reason string
		do     func(t *testing.T, f *fixture, r *Result)
	}{
		"FlippedFile": {"The digest tells", func(t *testing.T, f *fixture, r *Result) { flip(t, f.stored(r, aFile)) }},
		"Truncated":   {"So does the size", func(t *testing.T, f *fixture, r *Result) { require.NoError(t, os.Truncate(f.stored(r, aFile), 1)) }},
		"Missing":     {"A file may be gone", func(t *testing.T, f *fixture, r *Result) { require.NoError(t, os.Remove(f.stored(r, aFile))) }},
		"Lists":       {"A list too", func(t *testing.T, f *fixture, r *Result) { flip(t, f.path("trees", r.Manifest.Tree, "MTREE")) }},
		"Object":      {"And an object", func(t *testing.T, f *fixture, _ *Result) { flip(t, f.path("runs/r1/secrets/system-app.json")) }},
		"Manifest": {"And a manifest", func(t *testing.T, f *fixture, _ *Result) {
			require.NoError(t, os.Truncate(f.path("runs/r1/manifest.json"), 9))
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			first := f.write("r1")
			require.NoError(t, os.Remove(filepath.Join(f.files, aFile)))
			f.write("r2")
			tc.do(t, f, first)
			b := openBucket(t)
			result, err := b.Copy(t.Context(), f.volume, CopyOptions{Runs: []string{"r1", "r2", "gone"}, Owner: testOwner})
			var damaged *IntegrityError
			require.ErrorAs(t, err, &damaged, tc.reason)
			require.ErrorIs(t, err, ErrRunNotFound)
			assert.Equal(t, "r1", damaged.Run)
			assert.Equal(t, []string{"r2"}, result.Runs)
			report, err := b.VerifyRuns(t.Context(), VerifyRunsOptions{})
			require.NoError(t, err)
			require.NoError(t, report.Err())
			require.Len(t, report.Runs, 1)
		})
	}
}

// TestCopyOfAnother: a run of the same name with another manifest is not replaced.
func TestCopyOfAnother(t *testing.T) {
	f, g := newFixture(t), newFixture(t)
	f.addSome()
	f.write("r1")
	g.write("r1")
	b := openBucket(t)
	copyRuns(t, b, f.volume, "r1")
	before := paths(t, b)
	_, err := b.Copy(t.Context(), g.volume, CopyOptions{Runs: []string{"r1"}, Owner: testOwner})
	assert.ErrorContains(t, err, "bucket has another run of that name")
	assert.Equal(t, before, paths(t, b))
}

// TestMendBucket: what a bucket lost is sent again when that is asked for, also of runs that it has.
func TestMendBucket(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	b := openBucket(t)
	r := f.write("r1")
	copyRuns(t, b, f.volume, "r1")
	want := paths(t, b)
	remove(t, b, blobPath(digest([]byte("deny"))), "trees/"+r.Manifest.Tree+"/MTREE", "runs/r1/secrets/system-app.json")
	assert.Zero(t, copyRuns(t, b, f.volume, "r1"), "a copy does not look for what is lost by itself")
	result, err := b.Copy(t.Context(), f.volume, CopyOptions{Runs: []string{"r1"}, Owner: testOwner, Mend: true})
	require.NoError(t, err)
	assert.Empty(t, result.Runs)
	assert.Equal(t, want, paths(t, b))
	sound(t, b)
}

var _ objects = &s3.Client{}

// meddling is a bucket that something happens to before the first blob is sent.
type meddling struct {
	objects
	once *sync.Once
	do   func()
}

func (m meddling) Put(ctx context.Context, key string, data io.ReaderAt, size int64, sum string, lock *s3.Lock) error {
	if strings.Contains(key, "/blobs/") {
		m.once.Do(m.do)
	}
	return m.objects.Put(ctx, key, data, size, sum, lock)
}

// TestCopyMeddled: what happens to a volume or to the call while a run is copied ends the copy, and makes no run.
func TestCopyMeddled(t *testing.T) {
	cases := map[string]struct {
		reason string
		do     func(t *testing.T, f *fixture, cancel func())
		check  func(t *testing.T, err error)
	}{
		"Removed": {"A run that is being read is not removed", func(t *testing.T, f *fixture, _ func()) {
			result, err := f.volume.Remove(context.WithoutCancel(t.Context()), []string{"r1"}, RemoveOptions{Holder: "another"})
			require.NoError(t, err)
			_, busy := errors.AsType[*InUseError](result.Err())
			assert.True(t, busy)
		}, func(t *testing.T, err error) { require.NoError(t, err) }},
		"Vanished": {"Somebody else may remove it all the same", func(t *testing.T, f *fixture, _ func()) {
			assert.NoError(t, errors.Join(os.RemoveAll(f.path("runs")), os.RemoveAll(f.path("trees"))))
		}, func(t *testing.T, err error) { require.ErrorIs(t, err, ErrRunNotFound) }},
		"Changed": {"Or change it", func(t *testing.T, f *fixture, _ func()) {
			found, err := filepath.Glob(f.path("trees/*/files", aFile))
			assert.NoError(t, err)
			flip(t, found[0])
		}, func(t *testing.T, err error) {
			var damaged *IntegrityError
			require.ErrorAs(t, err, &damaged)
		}},
		"Canceled": {"A copy makes room for a run that is due", func(_ *testing.T, _ *fixture, cancel func()) {
			cancel()
		}, func(t *testing.T, err error) { require.ErrorIs(t, err, context.Canceled) }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			f.write("r1")
			b := openBucket(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			meddled := &Bucket{objects: meddling{b.objects, &sync.Once{}, func() { tc.do(t, f, cancel) }}, name: b.name, prefix: b.prefix}
			result, err := meddled.Copy(ctx, f.volume, CopyOptions{Runs: []string{"r1"}, Owner: testOwner, Workers: 1})
			tc.check(t, err)
			assert.Len(t, sound(t, b), len(result.Runs), tc.reason)
			if err != nil {
				assert.Empty(t, result.Runs)
			}
		})
	}
}
