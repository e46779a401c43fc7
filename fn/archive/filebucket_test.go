package archive

import (
	"bytes"
	"context"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/s3"
	"threescale.dev/backup/fn/archive/internal/tree"
	"threescale.dev/backup/test/objectstore"
)

// objectFixture is a fixture whose file storage is in a bucket.
type objectFixture struct {
	*fixture
	server *objectstore.Server
	faults *objectstore.Faults
	files  *fileBucket
	lists  atomic.Int64 // requests so far
	gets   atomic.Int64
	puts   atomic.Int64
}

func newObjectFixture(t *testing.T, start func(testing.TB, ...objectstore.Option) *objectstore.Server) *objectFixture {
	t.Helper()
	f := &objectFixture{fixture: newFixture(t), faults: objectstore.NewFaults()}
	f.server = start(t, objectstore.Through(f.faults))
	f.count()
	opts := bucketOptions(f.server, "files")
	f.opts.Files, f.opts.FilesBucket = "", &opts
	var err error
	f.files, err = openFileBucket(opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.files.Close()) })
	return f
}

// count counts requests from now on.
func (f *objectFixture) count() {
	f.faults.Clear()
	f.lists.Store(0)
	f.gets.Store(0)
	f.puts.Store(0)
	f.faults.Always(func(r *http.Request) bool {
		switch {
		case r.Method == http.MethodGet && r.URL.Query().Has("list-type"):
			f.lists.Add(1)
		case r.Method == http.MethodGet && !r.URL.Query().Has("location"):
			f.gets.Add(1)
		case r.Method == http.MethodPut:
			f.puts.Add(1)
		}
		return false
	}, nil)
}

func (f *objectFixture) put(key, content string, headers s3.Headers) {
	f.t.Helper()
	data := []byte(content)
	require.NoError(f.t, f.files.client.PutWith(f.t.Context(), f.files.prefix+key, bytes.NewReader(data), int64(len(data)), digest(data), headers, false))
}

var htmlHeaders = s3.Headers{"Content-Type": "text/html", "X-Amz-Meta-Owner": "somebody"}

// putSome makes a few objects.
func (f *objectFixture) putSome() {
	f.t.Helper()
	f.put("tenant-001/2026/logo-0123456789abcdef.png", "a logo", s3.Headers{"Content-Type": "image/png"})
	f.put("tenant-001/2026/über uns.html", "<html/>", htmlHeaders)
	f.put("tenant-001.txt", "between a directory and what is in it", nil)
	f.put("tenant-002/empty", "", nil)
}

func entryMap(t *testing.T, v *Volume, run string) map[string]Entry {
	t.Helper()
	r, err := v.OpenRun(t.Context(), run)
	require.NoError(t, err)
	defer r.Close()
	entries := make(map[string]Entry)
	for e, err := range r.Entries(t.Context()) {
		require.NoError(t, err)
		entries[e.Path] = e
	}
	return entries
}

func TestBucketAsFileStorage(t *testing.T) {
	f := newObjectFixture(t, objectstore.Start)
	f.putSome()
	r := f.write("r1")
	f.verify("r1")
	assert.EqualValues(t, 4, r.Manifest.Totals.Files)
	assert.EqualValues(t, 4, r.Manifest.Totals.Directories, "the root, two tenants and a year")
	assert.Equal(t, orderedVersion, r.Manifest.FormatVersion, "older versions can read it")
	entries := entryMap(t, f.volume, "r1")
	assert.Equal(t, "a logo", f.read("trees", r.Manifest.Tree, "files", "tenant-001/2026/logo-0123456789abcdef.png"))
	page := entries["tenant-001/2026/über uns.html"]
	assert.Equal(t, digest([]byte("<html/>")), page.SHA256)
	assert.Equal(t, []lists.Xattr{{Name: tree.HeadersXattr, Value: "Content-Type: text/html\nX-Amz-Meta-Owner: somebody\n"}}, page.Xattrs)
	assert.WithinDuration(t, time.Now(), page.ModTime, time.Minute)

	f.count()
	second := f.write("r2")
	assert.True(t, second.TreeShared, "nothing has changed")
	assert.EqualValues(t, 1, f.lists.Load())
	assert.Zero(t, f.gets.Load(), "what is unchanged is listed and not read")

	f.put("tenant-001/2026/logo-0123456789abcdef.png", "a new logo", nil)
	f.put("tenant-003", "new", nil)
	f.count()
	third := f.write("r3")
	f.verify("r3")
	assert.EqualValues(t, 2, f.gets.Load(), "what is new or changed is read")
	assert.EqualValues(t, 3, third.Manifest.Totals.LinkedFiles)
	assert.Equal(t, page, entryMap(t, f.volume, "r3")["tenant-001/2026/über uns.html"], "what is linked keeps its headers")
	assert.Equal(t, "a new logo", f.read("trees", third.Manifest.Tree, "files", "tenant-001/2026/logo-0123456789abcdef.png"))
}

// TestOnlyPagesOfUnchangedObjects: the requests of a run without changes are those of the lists alone.
func TestOnlyPagesOfUnchangedObjects(t *testing.T) {
	f := newObjectFixture(t, objectstore.StartStandIn)
	const objects = 2100
	for i := range objects {
		f.put("d"+strconv.Itoa(i%7)+"/"+strconv.Itoa(i), strconv.Itoa(i), htmlHeaders)
	}
	f.write("r1")
	f.count()
	assert.True(t, f.write("r2").TreeShared)
	assert.EqualValues(t, 3, f.lists.Load(), "a thousand keys a page")
	assert.Zero(t, f.gets.Load())
}

// TestEncryptedBucket: an encrypted run tells neither what was said about objects nor a digest of their content.
func TestEncryptedBucket(t *testing.T) {
	f := newObjectFixture(t, objectstore.Start)
	identity, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	f.opts.Recipients = []string{identity.Recipient().String()}
	f.putSome()
	f.write("r1")
	f.count()
	assert.True(t, f.write("r2").TreeShared)
	assert.Zero(t, f.gets.Load())
	f.put("new", "new", nil)
	f.count()
	third := f.write("r3")
	assert.EqualValues(t, 1, f.gets.Load(), "headers of what is linked need not be read to be kept")
	assert.EqualValues(t, 4, third.Manifest.Totals.LinkedFiles)
	f.verify("r3")
	secrets := []string{"somebody", "text/html"}
	for o, err := range f.files.client.List(t.Context(), "", true) {
		require.NoError(t, err)
		secrets = append(secrets, o.ETag)
	}
	require.NoError(t, filepath.WalkDir(f.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, secret := range secrets {
			assert.NotContains(t, string(data), secret, path)
		}
		return err
	}))
}

func TestStampsOfObjects(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	keys := BucketOptions{Credentials: Credentials{SecretKey: "a secret"}}
	role := BucketOptions{Credentials: Credentials{RoleARN: "a role"}}
	one := s3.Object{ETag: "one", Modified: now.Add(-time.Hour)}
	other := s3.Object{ETag: "other", Modified: now.Add(-2 * time.Hour)}
	plain, sealed := newObjectStamps(keys, false, now), newObjectStamps(keys, true, now)
	byTime := newObjectStamps(role, true, now)
	for name, s := range map[string]objectStamps{"plain": plain, "sealed": sealed, "by time": byTime, "plain by role": newObjectStamps(role, false, now)} {
		stamp := s.stamp(one)
		assert.NotZero(t, stamp, name)
		assert.Equal(t, stamp, s.stamp(one), name)
		assert.NotEqual(t, stamp, s.stamp(other), name)
	}
	assert.NotEqual(t, plain.stamp(one), sealed.stamp(one), "who does not know the key cannot try contents")
	assert.Zero(t, plain.stamp(s3.Object{Modified: one.Modified}), "without an ETag nothing is known")
	assert.Equal(t, byTime.stamp(one), byTime.stamp(s3.Object{ETag: "other", Modified: one.Modified}), "without a key the ETag has no part in it")
	assert.Zero(t, byTime.stamp(s3.Object{Modified: now.Add(-clockSkew)}), "an object of this time may be written again within it")
	assert.Equal(t, byTime.stamp(one), newObjectStamps(role, true, now.Add(time.Hour)).stamp(one))
}

func TestKeysThatNoFileCanBe(t *testing.T) {
	f := newObjectFixture(t, objectstore.StartStandIn)
	f.putSome()
	for _, key := range []string{"a", "a/b", "trailing/", "two//slashes", "dots/../up", strings.Repeat("x", 256)} {
		f.put(key, "content", nil)
	}
	_, err := f.tryWrite("r1")
	unreadable := new(UnreadableError)
	require.ErrorAs(t, err, &unreadable)
	var keys []string
	for _, e := range unreadable.Entries {
		keys = append(keys, e.Path)
	}
	assert.Equal(t, []string{"a", "dots/../up", "trailing/", "two//slashes", strings.Repeat("x", 256)}, keys, "all at once")
	assert.ErrorContains(t, err, `"trailing/" (no file can have this key: it has a slash at its begin or end`)
	assert.Zero(t, f.gets.Load(), "nothing is read in vain")
}

func TestObjectsThatChangeMeanwhile(t *testing.T) {
	f := newObjectFixture(t, objectstore.StartStandIn)
	f.putSome()
	f.put("big", strings.Repeat("x", 1<<20), nil)
	replace := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		objectstore.EndAfter(1000)(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
			f.put("big", strings.Repeat("y", 1<<20), htmlHeaders)
		}))
	}
	f.faults.Times(1, objectstore.Key(http.MethodGet, "/big"), replace)
	f.faults.Always(objectstore.Key(http.MethodGet, "/empty"), objectstore.Answer(http.StatusNotFound, "NoSuchKey"))
	f.faults.Times(1, objectstore.Key(http.MethodGet, "/tenant-001.txt"), func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		f.put("tenant-001.txt", "written since it was listed", nil)
		next.ServeHTTP(w, r)
	})
	r := f.write("r1")
	f.verify("r1")
	entries := entryMap(t, f.volume, "r1")
	assert.Equal(t, digest([]byte(strings.Repeat("y", 1<<20))), entries["big"].SHA256, "an object that was replaced is read again, and never half of each")
	assert.Equal(t, "Content-Type: text/html\nX-Amz-Meta-Owner: somebody\n", entries["big"].Xattrs[0].Value)
	assert.Equal(t, "written since it was listed", f.read("trees", r.Manifest.Tree, "files", "tenant-001.txt"))
	assert.NotContains(t, entries, "tenant-002/empty", "what has vanished is left out")
	assert.Contains(t, strings.Join(r.Manifest.Warnings, "\n"), "1 objects were listed and not there when they were read", "and told: the bucket may have lost it")

	f.count()
	assert.EqualValues(t, 5, f.write("r2").Manifest.Totals.Files, "the next run has it, if it is there")
	f.verify("r2")
}

func TestBucketThatCannotBeRead(t *testing.T) {
	f := newObjectFixture(t, objectstore.StartStandIn)
	f.putSome()
	lists := func(r *http.Request) bool { return r.URL.Query().Has("list-type") }
	cases := map[string]struct {
		match   objectstore.Match
		fault   objectstore.Fault
		problem BucketProblem
		message string
	}{
		"no right to list": {lists, objectstore.Answer(http.StatusForbidden, "AccessDenied"), BucketDenied, "which needs the right s3:ListBucket"},
		"no such bucket":   {lists, objectstore.Answer(http.StatusNotFound, "NoSuchBucket"), BucketNotFound, "cannot list the objects of file storage"},
		"other clock":      {lists, objectstore.Answer(http.StatusForbidden, "RequestTimeTooSkewed"), BucketClockSkew, "RequestTimeTooSkewed"},
		"gone bucket":      {objectstore.Key(http.MethodGet, "/empty"), objectstore.Answer(http.StatusNotFound, "NoSuchBucket"), BucketNotFound, "NoSuchBucket"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f.count()
			f.faults.Always(tc.match, tc.fault)
			_, err := f.tryWrite("r1")
			store := new(BucketError)
			require.ErrorAs(t, err, &store)
			assert.Equal(t, tc.problem, store.Problem)
			assert.ErrorContains(t, err, tc.message)
		})
	}
	t.Run("one object", func(t *testing.T) {
		f.count()
		f.faults.Always(objectstore.Key(http.MethodGet, "/empty"), objectstore.Answer(http.StatusForbidden, "InvalidObjectState"))
		_, err := f.tryWrite("r1")
		unreadable := new(UnreadableError)
		require.ErrorAs(t, err, &unreadable, "an object in an archive class is named")
		require.Len(t, unreadable.Entries, 1)
		assert.Equal(t, "tenant-002/empty", unreadable.Entries[0].Path)
		assert.NotErrorAs(t, err, new(*BucketError))
	})
	f.count()
	f.write("r1")
	f.verify("r1")
}

// TestInterruptedBucketRun: what was read is not read again, though each object has headers.
func TestInterruptedBucketRun(t *testing.T) {
	f := newObjectFixture(t, objectstore.StartStandIn)
	const objects = 600
	for i := range objects {
		f.put(strconv.Itoa(i), strconv.Itoa(i), htmlHeaders)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	opts := f.opts
	opts.Run, opts.Workers = "r1", 4
	opts.Progress = func(p Progress) {
		if p.Phase == PhaseFileStorage && p.FilesDone >= objects/2 {
			cancel()
		}
	}
	_, err := f.volume.Write(ctx, opts)
	require.ErrorIs(t, err, context.Canceled)
	f.count()
	f.write("r1")
	f.verify("r1")
	assert.Less(t, f.gets.Load(), int64(objects*3/4), "half was read, but for what is noted together and was not complete")
	assert.Equal(t, "Content-Type: text/html\nX-Amz-Meta-Owner: somebody\n", entryMap(t, f.volume, "r1")["0"].Xattrs[0].Value)
}

// TestLostStampsOfObjects: without stamps everything is read, and what is the same is linked all the same.
func TestLostStampsOfObjects(t *testing.T) {
	f := newObjectFixture(t, objectstore.StartStandIn)
	f.putSome()
	r := f.write("r1")
	require.NoError(t, os.Remove(f.path("trees", stampsPrefix+r.Manifest.Tree)))
	f.count()
	assert.True(t, f.write("r2").TreeShared)
	assert.EqualValues(t, 4, f.gets.Load())
	f.count()
	assert.True(t, f.write("r3").TreeShared)
	assert.Zero(t, f.gets.Load(), "and the stamps are known again")
}

func TestTwoPlacesOfTheFileStorage(t *testing.T) {
	f := newObjectFixture(t, objectstore.StartStandIn)
	f.opts.Files = t.TempDir()
	_, err := f.tryWrite("r1")
	assert.ErrorAs(t, err, new(*UsageError))
	f.opts.Files, f.opts.FilesBucket.Prefix = "", "a//b"
	_, err = f.tryWrite("r1")
	assert.ErrorAs(t, err, new(*UsageError))
}

// TestBackupsAreNoFileStorage: a run would else hold those before it, and each the next.
func TestBackupsAreNoFileStorage(t *testing.T) {
	cases := map[string]struct {
		reason string
		keys   []string
		found  bool
	}{
		"in all of it":      {"the off-site copies have the bucket for themselves", []string{"OWNER", "runs/r1/manifest.json"}, true},
		"below a prefix":    {"it is within what is backed up", []string{"a/b/OWNER", "a/b/runs/r1/manifest.json"}, true},
		"without an owner":  {"3scale may have such a file", []string{"a/runs/r1/manifest.json"}, false},
		"an owner above":    {"it is that of something else", []string{"OWNER", "a/runs/r1/manifest.json"}, false},
		"without a run":     {"an owner alone is nothing", []string{"OWNER", "runs/manifest.json", "runs/r1/other"}, false},
		"deeper than a run": {"it is a file of something", []string{"OWNER", "runs/r1/secrets/manifest.json"}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newObjectFixture(t, objectstore.StartStandIn)
			for _, key := range tc.keys {
				f.put(key, "content", nil)
			}
			_, err := f.tryWrite("r1")
			if !tc.found {
				require.NoError(t, err, tc.reason)
				return
			}
			require.ErrorAs(t, err, new(*UsageError), tc.reason)
			assert.ErrorContains(t, err, tc.keys[1])
			assert.Zero(t, f.gets.Load())
		})
	}
}

// TestMarkersAreNotStored: restored with the files, one would tell of a restore that never was.
func TestMarkersAreNotStored(t *testing.T) {
	f := newObjectFixture(t, objectstore.StartStandIn)
	f.putSome()
	f.put(".threescale-refill-r0", "under way", nil)
	f.put("tenant-001/.threescale-refill-r0", "only at the root", nil)
	r := f.write("r1")
	entries := entryMap(t, f.volume, "r1")
	assert.NotContains(t, entries, ".threescale-refill-r0")
	assert.Contains(t, entries, "tenant-001/.threescale-refill-r0")
	assert.Contains(t, strings.Join(r.Manifest.Warnings, "\n"), `object "files/.threescale-refill-r0" was left out`)
}
