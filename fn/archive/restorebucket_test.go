package archive

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/s3"
	"threescale.dev/backup/test/objectstore"
)

// fileObject is what a bucket has of a key.
type fileObject struct {
	content string
	headers s3.Headers
}

// objectsBelow reads all objects below a prefix, which ends in a slash.
func (f *objectFixture) objectsBelow(prefix string) map[string]fileObject {
	f.t.Helper()
	found := make(map[string]fileObject)
	for o, err := range f.files.client.List(f.t.Context(), prefix, true) {
		require.NoError(f.t, err)
		in, err := f.files.client.Open(f.t.Context(), o.Key)
		require.NoError(f.t, err)
		data, err := io.ReadAll(in)
		require.NoError(f.t, errors.Join(err, in.Close()))
		found[strings.TrimPrefix(o.Key, prefix)] = fileObject{string(data), in.Headers}
	}
	return found
}

// putLarge makes an object that is sent as it is read.
func (f *objectFixture) putLarge() { f.put("large", string(largeContent()), htmlHeaders) }

func largeContent() []byte { return []byte(strings.Repeat("0123456789abcdef", inMemory/16) + "end") }

// into names the place that is restored to.
func (f *objectFixture) into() BucketOptions { return bucketOptions(f.server, "restored") }

func (f *objectFixture) putInto(key, content string) {
	f.t.Helper()
	prefix := f.files.prefix
	f.files.prefix = "restored/"
	defer func() { f.files.prefix = prefix }()
	f.put(key, content, nil)
}

func (f *objectFixture) open(run string) *Run {
	f.t.Helper()
	r, err := f.volume.OpenRun(f.t.Context(), run)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { require.NoError(f.t, r.Close()) })
	return r
}

func TestRestoreToBucket(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	for name, recipients := range map[string][]string{"plaintext": nil, "encrypted": {identity.Recipient().String()}} {
		t.Run(name, func(t *testing.T) {
			f := newObjectFixture(t, objectstore.Start)
			f.opts.Recipients = recipients
			f.putSome()
			f.putLarge()
			f.write("r1")
			r := f.open("r1")
			opts := RestoreOptions{Existing: Fail, Identities: []age.Identity{identity}}
			state, err := r.CompareBucket(t.Context(), f.into(), opts)
			require.NoError(t, err)
			assert.Equal(t, Comparison{Empty: true}, state)
			result, err := r.RestoreToBucket(t.Context(), f.into(), opts)
			require.NoError(t, err)
			assert.Equal(t, &Restored{Files: 5, Bytes: result.Bytes, WrittenFiles: 5, WrittenBytes: result.Bytes}, result)
			assert.Equal(t, f.objectsBelow("files/"), f.objectsBelow("restored/"), "content and headers are those of the source, and no marker is left")
			state, err = r.CompareBucket(t.Context(), f.into(), opts)
			require.NoError(t, err)
			assert.Equal(t, Comparison{Same: true}, state)

			f.count()
			result, err = r.RestoreToBucket(t.Context(), f.into(), opts)
			require.NoError(t, err, "what holds just the run is restored")
			assert.Zero(t, result.WrittenFiles)
			assert.Zero(t, f.puts.Load())
		})
	}
}

// TestRestoreToBucketWithoutIdentity: nothing is written that cannot be finished.
func TestRestoreToBucketWithoutIdentity(t *testing.T) {
	f := newObjectFixture(t, objectstore.StartStandIn)
	identity, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	f.opts.Recipients = []string{identity.Recipient().String()}
	f.putSome()
	f.write("r1")
	_, err = f.open("r1").RestoreToBucket(t.Context(), f.into(), RestoreOptions{Existing: Fail})
	require.ErrorIs(t, err, ErrNoIdentity)
	assert.Empty(t, f.objectsBelow("restored/"))
}

func TestPoliciesOfBuckets(t *testing.T) {
	const empty, page = "tenant-002/empty", "tenant-001/2026/über uns.html"
	cases := map[string]struct {
		reason   string
		there    map[string]string
		existing Existing
		why      string // of a refusal; empty: it succeeds
		stays    []string
		goes     []string
		skipped  bool
	}{
		"fail, another object":      {"somebody else's data", map[string]string{"other": "x"}, Fail, "other is not of the run", []string{"other"}, nil, false},
		"fail, odd key":             {"no file, but data all the same", map[string]string{"odd//key": "x"}, Fail, "is not of the run", []string{"odd//key"}, nil, false},
		"fail, a part of the run":   {"may be an older state", map[string]string{empty: ""}, Fail, "is missing, or is not what it is in the run", []string{empty}, nil, false},
		"fail, other size":          {"a newer state", map[string]string{page: "something else"}, Fail, "is missing, or is not what it is in the run", nil, nil, false},
		"skip, another object":      {"the bucket is in use", map[string]string{"other": "x"}, Skip, "", []string{"other"}, nil, true},
		"overwrite":                 {"others stay", map[string]string{"other": "x", page: "changed"}, Overwrite, "", []string{"other"}, nil, false},
		"overwrite, same size":      {"size alone does not tell", map[string]string{page: "<HTML/>"}, Overwrite, "", nil, nil, false},
		"overwrite, in the way":     {"a bucket holds both", map[string]string{"tenant-002": "x"}, Overwrite, "", []string{"tenant-002"}, nil, false},
		"overwrite, blocked":        {"keys below an object of the run are somebody else's", map[string]string{"tenant-001.txt/x": "x"}, Overwrite, "is the begin of keys", []string{"tenant-001.txt/x"}, nil, false},
		"mirror":                    {"all else goes", map[string]string{"other": "x", "odd//key": "x", "tenant-001.txt": "x", "tenant-001.txt/x": "x", "tenant-002": "x", empty: "x"}, Mirror, "", nil, []string{"other", "odd//key", "tenant-001.txt/x", "tenant-002"}, false},
		"mirror, an empty bucket":   {"nothing goes", nil, Mirror, "", nil, nil, false},
		"skip, an empty bucket":     {"nothing is in use", nil, Skip, "", nil, nil, false},
		"an unknown policy":         {"a mistake", nil, "Perhaps", "unknown policy", nil, nil, false},
		"fail, marker of another":   {"another restore is under way", map[string]string{".threescale-refill-r0": "x"}, Fail, "is not of the run", nil, nil, false},
		"fail, marker without ours": {"what it says is not of this run", map[string]string{".threescale-refill-r1": "x"}, Fail, "is not of the run", nil, nil, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newObjectFixture(t, objectstore.StartStandIn)
			f.putSome()
			f.write("r1")
			for key, content := range tc.there {
				f.putInto(key, content)
			}
			before := f.objectsBelow("restored/")
			result, err := f.open("r1").RestoreToBucket(t.Context(), f.into(), RestoreOptions{Existing: tc.existing})
			after := f.objectsBelow("restored/")
			if tc.why != "" {
				assert.ErrorContains(t, err, tc.why, tc.reason)
				assert.Equal(t, before, after, "nothing was written")
				return
			}
			require.NoError(t, err, tc.reason)
			assert.Equal(t, tc.skipped, result.Skipped, tc.reason)
			if tc.skipped {
				assert.Equal(t, before, after)
				return
			}
			for key, o := range f.objectsBelow("files/") {
				assert.Equal(t, o, after[key], key)
			}
			for _, key := range tc.stays {
				assert.Equal(t, before[key], after[key], key)
			}
			for _, key := range tc.goes {
				assert.NotContains(t, after, key)
			}
			assert.Len(t, after, 4+len(tc.stays), tc.reason)
		})
	}
}

func TestInterruptedRestoreToBucket(t *testing.T) {
	for _, existing := range []Existing{Fail, Skip, Overwrite, Mirror} {
		t.Run(string(existing), func(t *testing.T) {
			f := newObjectFixture(t, objectstore.StartStandIn)
			for i := range 100 {
				f.put(strconv.Itoa(i), strconv.Itoa(i), htmlHeaders)
			}
			f.write("r1")
			r := f.open("r1")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			opts := RestoreOptions{Existing: existing, Progress: func(p Progress) {
				if p.Phase == PhaseFileStorage && p.FilesDone == 50 {
					cancel()
				}
			}}
			_, err := r.RestoreToBucket(ctx, f.into(), opts)
			require.ErrorIs(t, err, context.Canceled)
			opts.Progress = nil
			state, err := r.CompareBucket(t.Context(), f.into(), opts)
			require.NoError(t, err)
			assert.True(t, state.Interrupted)
			f.count()
			result, err := r.RestoreToBucket(t.Context(), f.into(), opts)
			require.NoError(t, err)
			assert.LessOrEqual(t, result.WrittenFiles, int64(50), "what is there is not written again")
			assert.Equal(t, f.objectsBelow("files/"), f.objectsBelow("restored/"))
		})
	}
	for _, existing := range []Existing{Fail, Skip, Overwrite} {
		t.Run("somebody writes in between, "+string(existing), func(t *testing.T) {
			f := newObjectFixture(t, objectstore.StartStandIn)
			f.putSome()
			f.write("r1")
			r := f.open("r1")
			f.faults.Times(1, objectstore.Key(http.MethodPut, "/restored/tenant-001.txt"), objectstore.Answer(http.StatusForbidden, "AccessDenied"))
			_, err := r.RestoreToBucket(t.Context(), f.into(), RestoreOptions{Existing: existing})
			require.Error(t, err)
			const path = "tenant-001/2026/über uns.html" // with headers
			original := f.objectsBelow("files/")[path]
			f.putInto(path, strings.ToUpper(original.content))
			_, err = r.RestoreToBucket(t.Context(), f.into(), RestoreOptions{Existing: existing})
			if existing == Overwrite {
				require.NoError(t, err)
				assert.Equal(t, f.objectsBelow("files/"), f.objectsBelow("restored/"))
				return
			}
			require.ErrorContains(t, err, " is not what the restore that was interrupted here has written")
			assert.Equal(t, strings.ToUpper(original.content), f.objectsBelow("restored/")[path].content)

			f.putInto(path, original.content)
			_, err = r.RestoreToBucket(t.Context(), f.into(), RestoreOptions{Existing: existing})
			require.NoError(t, err, "nobody loses headers that the object store has changed")
			assert.Equal(t, f.objectsBelow("files/"), f.objectsBelow("restored/"))
		})
	}
	t.Run("somebody writes meanwhile", func(t *testing.T) {
		f := newObjectFixture(t, objectstore.StartStandIn)
		f.putSome()
		f.write("r1")
		f.faults.Times(1, objectstore.Key(http.MethodPut, "/restored/tenant-001.txt"), func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			f.putInto("tenant-001.txt", "theirs")
			next.ServeHTTP(w, r)
		})
		_, err := f.open("r1").RestoreToBucket(t.Context(), f.into(), RestoreOptions{Existing: Fail})
		notEmpty := new(NotEmptyError)
		require.ErrorAs(t, err, &notEmpty)
		assert.ErrorContains(t, err, `"s3://backups/restored" is not empty: tenant-001.txt was written by somebody else meanwhile`)
		assert.Equal(t, "theirs", f.objectsBelow("restored/")["tenant-001.txt"].content)
	})
}

// TestDamagedRunIsNotRestoredToBucket: no byte of a damaged file gets into the bucket, small or large, encrypted or not.
func TestDamagedRunIsNotRestoredToBucket(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	for name, recipients := range map[string][]string{"plaintext": nil, "encrypted": {identity.Recipient().String()}} {
		for _, path := range []string{"tenant-001.txt", "large"} {
			t.Run(name+" "+path, func(t *testing.T) {
				f := newObjectFixture(t, objectstore.StartStandIn)
				f.opts.Recipients = recipients
				f.putSome()
				f.putLarge()
				stored := f.stored(f.write("r1"), path)
				data, err := os.ReadFile(stored)
				require.NoError(t, err)
				data[len(data)-1] ^= 1
				require.NoError(t, os.Chmod(stored, 0o600))
				require.NoError(t, os.WriteFile(stored, data, 0o600))
				_, err = f.open("r1").RestoreToBucket(t.Context(), f.into(), RestoreOptions{Existing: Fail, Identities: []age.Identity{identity}})
				assert.ErrorAs(t, err, new(*IntegrityError))
				assert.NotContains(t, f.objectsBelow("restored/"), path)
			})
		}
	}
}

// TestNothingGoesBeforeTheRunIsThere: what is in the way may be all that there is.
func TestNothingGoesBeforeTheRunIsThere(t *testing.T) {
	for _, existing := range []Existing{Overwrite, Mirror} {
		f := newObjectFixture(t, objectstore.StartStandIn)
		f.putSome()
		f.write("r1")
		f.putInto("tenant-002", "theirs")
		f.faults.Times(1, objectstore.Key(http.MethodPut, "/tenant-001.txt"), objectstore.Answer(http.StatusForbidden, "QuotaExceeded"))
		r := f.open("r1")
		_, err := r.RestoreToBucket(t.Context(), f.into(), RestoreOptions{Existing: existing})
		require.Error(t, err)
		assert.Equal(t, "theirs", f.objectsBelow("restored/")["tenant-002"].content, existing)
		_, err = r.RestoreToBucket(t.Context(), f.into(), RestoreOptions{Existing: existing})
		require.NoError(t, err)
		assert.Equal(t, existing == Overwrite, f.objectsBelow("restored/")["tenant-002"].content == "theirs", existing)
	}
}

func TestRestoreToBucketFromElsewhere(t *testing.T) {
	f := newObjectFixture(t, objectstore.StartStandIn)
	f.putSome()
	f.putLarge()
	f.write("r1")
	copies := reopen(t, f.server, "copies")
	copyRuns(t, copies, f.volume, "r1")
	r, err := copies.OpenRun(t.Context(), "r1")
	require.NoError(t, err)
	defer r.Close()
	_, err = r.RestoreToBucket(t.Context(), f.into(), RestoreOptions{Existing: Fail})
	require.NoError(t, err)
	assert.Equal(t, f.objectsBelow("files/"), f.objectsBelow("restored/"), "a copy of the run in a bucket has the headers too")
}

// TestLookAlikesAreReadUpToTheFirstDifference: to find out that an object is another one of the same name and size, no
// encrypted run is downloaded.
func TestLookAlikesAreReadUpToTheFirstDifference(t *testing.T) {
	const size = 32 << 20 // of which less than half is on its way when somebody stops reading
	f := newObjectFixture(t, objectstore.StartStandIn)
	identity, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	f.opts.Recipients = []string{identity.Recipient().String()}
	content := strings.Repeat("x", size)
	f.put("large", content, nil)
	f.write("r1")
	copies := reopen(t, f.server, "copies")
	copyRuns(t, copies, f.volume, "r1")
	r, err := copies.OpenRun(t.Context(), "r1")
	require.NoError(t, err)
	defer r.Close()
	compare := func() (Comparison, int64) {
		var sent atomic.Int64
		f.faults.Clear()
		f.faults.Always(readsBlob, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			next.ServeHTTP(&countingWriter{w, &sent}, r)
		})
		state, err := r.CompareBucket(t.Context(), f.into(), RestoreOptions{Identities: []age.Identity{identity}})
		require.NoError(t, err)
		return state, sent.Load()
	}
	f.putInto("large", "y"+content[1:])
	state, sent := compare()
	assert.Equal(t, Comparison{}, state)
	assert.Less(t, sent, int64(size/2))

	for name, other := range map[string]string{"last byte": content[1:] + "y", "same": content} {
		f.putInto("large", other)
		state, sent = compare()
		assert.Equal(t, Comparison{Same: other == content}, state, name)
		assert.Greater(t, sent, int64(size), name)
	}
}

// countingWriter counts the bytes of answers.
type countingWriter struct {
	http.ResponseWriter

	sent *atomic.Int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.sent.Add(int64(n))
	return n, err
}

func TestFileStorageMovesBetweenBucketAndDirectory(t *testing.T) {
	f := newObjectFixture(t, objectstore.StartStandIn)
	f.putSome()
	f.write("r1")
	dir := t.TempDir()
	result, err := f.open("r1").Restore(t.Context(), dir, RestoreOptions{Existing: Fail})
	require.NoError(t, err)
	assert.EqualValues(t, 4, result.WrittenFiles)
	assert.NotContains(t, strings.Join(result.Warnings, "\n"), "extended attributes", "files have no headers")
	require.NoError(t, os.Symlink("tenant-001.txt", filepath.Join(dir, "link")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "none"), 0o755))

	f.opts.Files, f.opts.FilesBucket = dir, nil
	f.write("r2")
	result, err = f.open("r2").RestoreToBucket(t.Context(), f.into(), RestoreOptions{Existing: Fail})
	require.NoError(t, err)
	assert.Equal(t, []string{"a bucket cannot hold symlinks: 1 of the run were left out"}, result.Warnings)
	var want, got []string
	for key, o := range f.objectsBelow("files/") {
		want = append(want, key+" "+o.content)
	}
	for key, o := range f.objectsBelow("restored/") {
		got = append(got, key+" "+o.content)
	}
	slices.Sort(want)
	slices.Sort(got)
	assert.Equal(t, want, got)
}

func TestBucketThatCannotBeWritten(t *testing.T) {
	f := newObjectFixture(t, objectstore.StartStandIn)
	f.putSome()
	f.write("r1")
	r := f.open("r1")
	var result *Restored
	restore := func() (err error) {
		result, err = r.RestoreToBucket(t.Context(), f.into(), RestoreOptions{Existing: Fail})
		return err
	}
	f.faults.Always(objectstore.Key(http.MethodPut, "/tenant-001.txt"), objectstore.Answer(http.StatusForbidden, "QuotaExceeded"))
	store := new(BucketError)
	require.ErrorAs(t, restore(), &store)
	assert.Equal(t, BucketFull, store.Problem)
	f.count()
	f.faults.Always(objectstore.Deletes, objectstore.RefuseDeletes)
	require.NoError(t, restore(), "all that is missing is the right to delete, and all of the run is there")
	require.Len(t, result.Warnings, 1)
	assert.Contains(t, result.Warnings[0], `"restored/.threescale-refill-r1", which needs the right s3:DeleteObject`)
	f.count()
	require.NoError(t, restore())
	assert.Empty(t, result.Warnings)
	assert.Equal(t, f.objectsBelow("files/"), f.objectsBelow("restored/"))
}

// TestRestoreNeverTouchesBackups: Mirror would delete them, and what is restored with them.
func TestRestoreNeverTouchesBackups(t *testing.T) {
	f := newObjectFixture(t, objectstore.StartStandIn)
	f.putSome()
	f.write("r1")
	copies := reopen(t, f.server, "copies/prod")
	copyRuns(t, copies, f.volume, "r1")
	inBucket, err := copies.OpenRun(t.Context(), "r1")
	require.NoError(t, err)
	defer inBucket.Close()
	onVolume := f.open("r1")
	before := f.objectsBelow("copies/")
	cases := map[string]struct {
		run    *Run
		prefix string
		why    string // of a refusal; empty: it succeeds
	}{
		"all of the bucket":            {inBucket, "", "overlap"},
		"above the backups":            {inBucket, "copies", "overlap"},
		"the place of the backups":     {inBucket, "copies/prod", "overlap"},
		"below the backups":            {inBucket, "copies/prod/files", "overlap"},
		"beside them":                  {inBucket, "copies/production", ""},
		"from a volume, all":           {onVolume, "", `there are backups in it, such as "copies/prod/runs/r1/manifest.json"`},
		"from a volume, above":         {onVolume, "copies", "there are backups in it"},
		"from a volume, the same one":  {onVolume, "copies/prod", "there are backups in it"},
		"from a volume, beside others": {onVolume, "restored", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f.count()
			_, err := tc.run.RestoreToBucket(t.Context(), bucketOptions(f.server, tc.prefix), RestoreOptions{Existing: Mirror})
			if tc.why == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorAs(t, err, new(*UsageError))
			require.ErrorContains(t, err, tc.why)
			assert.Zero(t, f.puts.Load(), "no marker either")
		})
	}
	for key, o := range before {
		assert.Equal(t, o, f.objectsBelow("copies/")[key], key)
	}
	_, err = copies.Verify(t.Context(), "r1", VerifyOptions{})
	require.NoError(t, err)
}

func TestLocationsOverlap(t *testing.T) {
	at := locationOf(BucketOptions{Endpoint: "S3.example.com:443", Bucket: "b", Prefix: "p"})
	for want, others := range map[bool][]BucketOptions{
		true: {{Endpoint: "s3.example.com", Bucket: "b"}, {Endpoint: "s3.example.com", Bucket: "b", Prefix: "p/q"}, {Endpoint: "s3.example.com:80", Insecure: true, Bucket: "b", Prefix: "p"}},
		false: {
			{Endpoint: "s3.example.com", Bucket: "c"}, {Endpoint: "s3.example.com", Bucket: "b", Prefix: "pq"},
			{Endpoint: "s3.example.com:9000", Bucket: "b", Prefix: "p"}, {Endpoint: "s3.example.org", Bucket: "b", Prefix: "p"},
		},
	} {
		for _, other := range others {
			assert.Equal(t, want, at.overlaps(locationOf(other)), other)
		}
	}
	amazon := locationOf(BucketOptions{Endpoint: "s3.amazonaws.com", Bucket: "b"})
	assert.True(t, amazon.overlaps(locationOf(BucketOptions{Endpoint: "s3.eu-central-1.amazonaws.com", Bucket: "b"})))
	assert.False(t, amazon.overlaps(locationOf(BucketOptions{Endpoint: "s3.cn-north-1.amazonaws.com.cn", Bucket: "b"})))
}
