package archive

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/s3"
	"threescale.dev/backup/test/objectstore"
)

// impatient opens the bucket of a server with requests that are tried again soon, and not for long.
// patient is for what has to succeed, however slow the machine is; impatient is for what does not.
func patient(t *testing.T, s *objectstore.Server) *Bucket { return withPatience(t, s, time.Minute) }

func impatient(t *testing.T, s *objectstore.Server) *Bucket { return withPatience(t, s, time.Second) }

func withPatience(t *testing.T, s *objectstore.Server, patience time.Duration) *Bucket {
	t.Helper()
	client, err := s3.New(s3.Options{
		Endpoint: s.Endpoint, Bucket: s.Bucket, Insecure: true, PathStyle: true,
		Credentials: s3.Credentials{AccessKey: s.AccessKey, SecretKey: s.SecretKey},
		Backoff:     s3.Backoff{First: time.Millisecond, Longest: 10 * time.Millisecond, Patience: patience, Idle: 5 * time.Second},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return newBucket(client, "s3://"+s.Bucket+"/p", "p")
}

func blobs(method string) objectstore.Match {
	return func(r *http.Request) bool { return r.Method == method && strings.Contains(r.URL.Path, "/blobs/") }
}

// TestFaults: what goes wrong on the way to an object store and back either passes, or is an error of a kind that says
// what to do, and never a run that is not what it was.
func TestFaults(t *testing.T) {
	const none = BucketProblem("")
	cases := map[string]struct {
		reason  string
		faults  func(f *objectstore.Faults)
		copying BucketProblem // none: it succeeds
		reading BucketProblem // likewise
		damaged bool          // reading finds other bytes; nothing goes wrong before
	}{
		"Slow": {"An object store that has too much to do is asked again", func(f *objectstore.Faults) {
			f.Times(8, objectstore.Any, objectstore.Answer(http.StatusServiceUnavailable, "SlowDown"))
		}, none, none, false},
		"SlowForEver": {"But not for ever", func(f *objectstore.Faults) {
			f.Always(objectstore.Any, objectstore.Answer(http.StatusServiceUnavailable, "SlowDown"))
		}, BucketUnreachable, BucketUnreachable, false},
		"EndedAnswers": {"A connection that ends in the middle of an answer", func(f *objectstore.Faults) {
			f.Times(3, blobs(http.MethodGet), objectstore.EndAfter(2))
			f.Times(3, blobs(http.MethodPut), objectstore.LoseAnswer)
		}, none, none, false},
		"NoConnection": {"A connection that ends without an answer", func(f *objectstore.Faults) {
			f.Times(5, objectstore.Any, objectstore.Disconnect)
		}, none, none, false},
		"LostManifestAnswer": {"A manifest that was written, of which no answer told", func(f *objectstore.Faults) {
			f.Times(1, objectstore.Key(http.MethodPut, "/manifest.json"), objectstore.LoseAnswer)
		}, none, none, false},
		"LostOwnerAnswer": {"Likewise for the first object", func(f *objectstore.Faults) {
			f.Times(1, objectstore.Key(http.MethodPut, "/OWNER"), objectstore.LoseAnswer)
		}, none, none, false},
		"Denied": {"A user who may read and not write", func(f *objectstore.Faults) {
			f.Always(objectstore.Method(http.MethodPut), objectstore.Answer(http.StatusForbidden, "AccessDenied"))
		}, BucketDenied, none, false},
		"Full": {"A quota", func(f *objectstore.Faults) {
			f.Always(blobs(http.MethodPut), objectstore.Answer(http.StatusForbidden, "QuotaExceeded"))
		}, BucketFull, none, false},
		"OtherBytes": {"What arrives is proven", func(f *objectstore.Faults) {
			f.Always(blobs(http.MethodGet), objectstore.Flip(0))
		}, none, none, true},
		"FewerBytes": {"By its digest", func(f *objectstore.Faults) {
			f.Always(blobs(http.MethodGet), objectstore.Truncate(1))
		}, none, none, true},
		"LostObject": {"What is not there is damage, and no failure", func(f *objectstore.Faults) {
			f.Always(blobs(http.MethodGet), objectstore.Answer(http.StatusNotFound, "NoSuchKey"))
		}, none, none, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			f.write("r1")
			faults := objectstore.NewFaults()
			server := objectstore.Start(t, objectstore.Through(faults))
			b := patient(t, server)
			if tc.copying == BucketUnreachable {
				b = impatient(t, server)
			}
			opts := CopyOptions{Runs: []string{"r1"}, Owner: testOwner}
			if !tc.damaged {
				tc.faults(faults)
			}
			_, err := b.Copy(t.Context(), f.volume, opts)
			isProblem(t, err, tc.copying, tc.reason)
			faults.Clear()
			_, err = b.Copy(t.Context(), f.volume, opts)
			require.NoError(t, err)
			sound(t, b)
			tc.faults(faults)
			checkReading(t, b, tc.reading, tc.damaged, tc.reason)
			faults.Clear()
			sound(t, b)
		})
	}
}

func isProblem(t *testing.T, err error, want BucketProblem, reason string) {
	t.Helper()
	if want == "" {
		require.NoError(t, err, reason)
		return
	}
	var problem *BucketError
	require.ErrorAs(t, err, &problem, reason)
	assert.Equal(t, want, problem.Problem, reason)
}

// checkReading verifies and restores a run.
func checkReading(t *testing.T, b *Bucket, want BucketProblem, damaged bool, reason string) {
	t.Helper()
	report, err := b.VerifyRuns(t.Context(), VerifyRunsOptions{})
	isProblem(t, err, want, reason)
	dir := t.TempDir()
	if want != "" {
		return
	}
	assert.Equal(t, damaged, report.Err() != nil, reason)
	run, err := b.OpenRun(t.Context(), "r1")
	require.NoError(t, err)
	_, err = run.Restore(t.Context(), dir, RestoreOptions{Existing: Fail})
	if !damaged {
		require.NoError(t, err)
		return
	}
	var integrity *IntegrityError
	require.ErrorAs(t, err, &integrity, reason)
	for path, content := range wantFiles() {
		if content == "" {
			continue // there is nothing to change of it
		}
		_, err := os.Stat(filepath.Join(dir, path))
		require.ErrorIs(t, err, os.ErrNotExist, "what is not proven gets no name")
	}
}

// TestForeignObjects: what lies in the bucket beside the prefix costs nothing, whatever there is of it.
func TestForeignObjects(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	costs := func(foreign int) int64 {
		s := objectstore.Start(t)
		b := patient(t, s)
		for i := range foreign {
			other := *b
			other.prefix = "o" + itoa(i%3) + "/"
			put(t, &other, "blobs/00/"+itoa(i), "x")
		}
		require.NoError(t, b.objects.Check(t.Context(), "")) // with the first request it finds out where it is
		before := b.Requests()
		copyRuns(t, b, f.volume, "r1")
		sound(t, b)
		_, err := b.Remove(t.Context(), []string{"r1"})
		require.NoError(t, err)
		return b.Requests() - before
	}
	assert.Equal(t, costs(0), costs(1200)) // more than are in one list
}

// TestCompareWithTruncated: a server that ends bodies early says nothing of what a run holds.
func TestCompareWithTruncated(t *testing.T) {
	f := newFixture(t)
	f.add("large", strings.Repeat("0123456789abcdef", 20<<10))
	id := identity(t)
	f.opts.Recipients = []string{id.Recipient().String()}
	faults, dir := objectstore.NewFaults(), t.TempDir()
	b := impatient(t, objectstore.Start(t, objectstore.Through(faults)))
	f.write("r1")
	copyRuns(t, b, f.volume, "r1")
	run, err := b.OpenRun(t.Context(), "r1")
	require.NoError(t, err)
	opts := RestoreOptions{Existing: Fail, Identities: []age.Identity{id}}
	_, err = run.Restore(t.Context(), dir, opts)
	require.NoError(t, err)
	for _, n := range []int{0, 2, 1000, 100_000} {
		ranged := func(r *http.Request) bool { return blobs(http.MethodGet)(r) && r.Header.Get("Range") != "" }
		faults.Clear()
		faults.Always(ranged, objectstore.EndAfter(0))
		faults.Always(blobs(http.MethodGet), objectstore.EndAfter(n))
		_, err = run.Compare(t.Context(), dir, opts)
		isProblem(t, err, BucketUnreachable, itoa(n))
		assert.NotErrorIs(t, err, io.EOF)
		assert.NotErrorIs(t, err, io.ErrUnexpectedEOF)
		faults.Clear()
		faults.Always(ranged, objectstore.Disconnect)
		faults.Always(blobs(http.MethodGet), objectstore.EndAfter(n))
		_, err = run.Compare(t.Context(), dir, opts)
		isProblem(t, err, BucketUnreachable, itoa(n))
	}
}
