package mover_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/mover"
	"threescale.dev/backup/fn/retention"
	"threescale.dev/backup/test/objectstore"
)

// offsite is a volume, and a bucket that its runs are copied to.
type offsite struct {
	*history

	server  *objectstore.Server
	faults  *objectstore.Faults
	copy    job.CopyOptions
	reports *reports
}

func newOffsite(t *testing.T) *offsite {
	t.Helper()
	f := &offsite{history: newHistory(t), faults: objectstore.NewFaults(), reports: &reports{data: map[string]string{}}}
	f.server = objectstore.Start(t, objectstore.Through(f.faults), objectstore.TLS())
	keys, ca := t.TempDir(), t.TempDir()
	write(t, keys, "accesskey", f.server.AccessKey+"\n")
	write(t, keys, "secretkey", f.server.SecretKey+"\n")
	write(t, ca, "ca.crt", string(f.server.CA))
	f.copy = job.CopyOptions{Volume: f.o.Volume, Owner: "3scale/nightly 5f3a", BucketOptions: job.BucketOptions{
		Endpoint: f.server.Endpoint, Bucket: f.server.Bucket, Prefix: "prod/3scale", Credentials: keys, CA: ca,
	}}
	return f
}

// nights backs up once a day.
func (f *offsite) nights(ids ...string) {
	f.t.Helper()
	for i, id := range ids {
		f.run(id, i, retention.Policy{})
	}
}

// try copies, and proves that what is returned is what was reported, and that neither tells a secret.
func (f *offsite) try(ctx context.Context, run string) (job.CopyResult, error) {
	f.t.Helper()
	f.copy.Run = run
	result, err := mover.Copy(ctx, f.copy, mover.Env{Reporter: f.reports, Now: now})
	reported, parseErr := job.ParseCopyResult(f.reports.data, run)
	require.NoError(f.t, parseErr)
	require.Equal(f.t, &result, reported)
	text, encodeErr := json.Marshal(f.reports.data)
	require.NoError(f.t, encodeErr)
	for _, secret := range []string{f.server.AccessKey + "\"", f.server.SecretKey, strings.TrimSpace(f.server.SecretKey)} {
		require.NotContains(f.t, fmt.Sprint(string(text), err), secret)
	}
	return result, err
}

func (f *offsite) must(run string) job.CopyResult {
	f.t.Helper()
	result, err := f.try(f.t.Context(), run)
	require.NoError(f.t, err)
	require.True(f.t, result.Completed)
	return result
}

// copies verifies what is in the bucket, and returns the runs.
func (f *offsite) copies() []string {
	f.t.Helper()
	verified, err := mover.Verify(f.t.Context(), job.VerifyOptions{Run: job.All, BucketOptions: f.copy.BucketOptions}, mover.Env{Now: now})
	require.NoError(f.t, err)
	require.Empty(f.t, verified.Problems)
	ids := []string{}
	for _, run := range f.bucketRuns() {
		ids = append(ids, run.ID)
	}
	require.EqualValues(f.t, len(ids), verified.Runs)
	return ids
}

func (f *offsite) bucketRuns() []archive.RunInfo {
	f.t.Helper()
	o := f.copy.BucketOptions
	bucket, err := archive.OpenBucket(f.t.Context(), archive.BucketOptions{
		Endpoint: o.Endpoint, Bucket: o.Bucket, Prefix: o.Prefix, PathStyle: true, CA: f.server.CA,
		Credentials: archive.Credentials{AccessKey: f.server.AccessKey, SecretKey: f.server.SecretKey},
	})
	require.NoError(f.t, err)
	defer bucket.Close()
	runs, err := bucket.Runs(f.t.Context())
	require.NoError(f.t, err)
	return runs
}

// damage changes a file of a run's tree that no other run has.
func (f *offsite) damage(run string) {
	f.t.Helper()
	path := filepath.Join(f.o.Volume, "runs", run, "system-filestorage-pvc", "tenant/changing")
	info, err := os.Stat(path)
	require.NoError(f.t, err)
	require.NoError(f.t, os.WriteFile(path, []byte(strings.Repeat("z", int(info.Size()))), 0o600))
	require.NoError(f.t, os.Chtimes(path, info.ModTime(), info.ModTime()))
}

// known is what the status knows of runs.
func (f *offsite) known(runs ...string) {
	f.t.Helper()
	f.copy.Known = nil
	all, err := f.open().Runs(f.t.Context())
	require.NoError(f.t, err)
	for _, run := range all {
		if slices.Contains(runs, run.ID) {
			f.copy.Known = append(f.copy.Known, run.ID+"="+run.ManifestSHA256)
		}
	}
}

func TestCopyReportsWhatItSent(t *testing.T) {
	f := newOffsite(t)
	f.nights("r1", "r2", "r3")
	result := f.must("r3")
	assert.EqualValues(t, 3, result.Runs, "all of the volume that were missing")
	assert.Greater(t, result.Files, int64(3*6))
	assert.Greater(t, result.Bytes, int64(30_000))
	assert.Greater(t, result.Requests, result.Files)
	assert.Equal(t, noon, result.CompletionTime)
	assert.Empty(t, result.Warnings)
	runs := f.bucketRuns()
	require.Len(t, runs, 3)
	assert.Equal(t, runs[2].ManifestSHA256, result.ManifestSHA256)
	assert.Equal(t, []string{"r1", "r2", "r3"}, f.copies())

	again := f.must("r3")
	assert.Zero(t, again.Runs)
	assert.Zero(t, again.Files, "what is there is not sent again")
	assert.Equal(t, result.ManifestSHA256, again.ManifestSHA256)
	assert.Less(t, again.Requests, int64(10), "and each request costs")
}

// TestCopyChoosesRuns: which runs a copy sends, of those that the volume has.
func TestCopyChoosesRuns(t *testing.T) {
	cases := map[string]struct {
		reason   string
		prepare  func(f *offsite)
		run      string
		want     []string
		warnings []string
	}{
		"All":   {"without a policy all are kept", func(f *offsite) { f.nights("r1", "r2") }, "r2", []string{"r1", "r2"}, nil},
		"Newer": {"a run that has just been written has a copy of its own", func(f *offsite) { f.nights("r1", "r2", "r3") }, "r2", []string{"r1", "r2"}, nil},
		"Kept": {
			"what would go at once is not sent", func(f *offsite) {
				f.nights("r1", "r2", "r3", "r4")
				f.copy.Policy = retention.Policy{KeepLast: 2}
			}, "r4", []string{"r3", "r4"}, nil,
		},
		"OtherInstallation": {
			"a copy is of one installation, and so is its retention", func(f *offsite) {
				f.of("other", "example")
				f.nights("r1")
				f.of("3scale", "example")
				f.run("r2", 1, retention.Policy{})
			}, "r2", []string{"r2"}, nil,
		},
		"Damaged": {
			"what has no manifest that can be read is no run", func(f *offsite) {
				f.nights("r1", "r2")
				f.manifest("r1", "{", "")
			}, "r2", []string{"r2"}, nil,
		},
		"Known": {
			"what the status knows is what is there", func(f *offsite) {
				f.nights("r1", "r2")
				f.known("r1", "r2")
			}, "r2", []string{"r1", "r2"}, nil,
		},
		"Replaced": {
			"whoever may write to the volume may not write into the bucket by that", func(f *offsite) {
				f.nights("r1", "r2", "r3")
				f.known("r1", "r2", "r3")
				f.manifest("r2", `"cause"`, ` "cause"`)
			}, "r3", []string{"r1", "r3"},
			[]string{"1 runs of the volume are not what the status knows, and are not copied: r2; look at them, then remove them"},
		},
		"Added": {
			"nor by adding a run", func(f *offsite) {
				f.nights("r1", "r2", "r3")
				f.known("r1", "r3")
			}, "r3", []string{"r1", "r3"},
			[]string{"1 runs of the volume are not what the status knows, and are not copied: r2; look at them, then remove them"},
		},
		"Forgotten": {
			"the status forgets the oldest runs first", func(f *offsite) {
				f.nights("r1", "r2", "r3")
				f.known("r2", "r3")
			}, "r3", []string{"r1", "r2", "r3"}, nil,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newOffsite(t)
			tc.prepare(f)
			result := f.must(tc.run)
			assert.Equal(t, tc.want, f.copies(), tc.reason)
			assert.EqualValues(t, len(tc.want), result.Runs)
			assert.Equal(t, tc.warnings, result.Warnings, tc.reason)
		})
	}
}

// TestCopyAppliesTheRetentionToTheBucket, whatever the volume still has.
func TestCopyAppliesTheRetentionToTheBucket(t *testing.T) {
	f := newOffsite(t)
	f.nights("r1", "r2")
	f.must("r2")
	f.copy.Policy = retention.Policy{KeepLast: 2}
	f.run("r3", 3, retention.Policy{KeepLast: 1})
	require.Equal(t, []string{"r3"}, f.left())
	result := f.must("r3")
	assert.Equal(t, []string{"r1"}, result.Removed)
	assert.Equal(t, []string{"r2", "r3"}, f.copies(), "a run that the volume has lost stays as long as the rules say")
	assert.Empty(t, result.Warnings)
	f.run("r4", 4, retention.Policy{})
	assert.Equal(t, []string{"r2"}, f.must("r4").Removed)
	assert.Equal(t, []string{"r3", "r4"}, f.copies())
}

// TestCopyThatMayNotDelete: the run is there, which is what counts.
func TestCopyThatMayNotDelete(t *testing.T) {
	f := newOffsite(t)
	f.nights("r1", "r2")
	f.must("r2")
	f.run("r3", 3, retention.Policy{})
	f.copy.Policy = retention.Policy{KeepLast: 1}
	f.faults.Always(objectstore.Deletes, objectstore.RefuseDeletes)
	result := f.must("r3")
	assert.Empty(t, result.Removed, "nothing is gone that is still there")
	assert.NotEmpty(t, result.Warnings)
	f.faults.Clear()
	assert.Equal(t, []string{"r1", "r2", "r3"}, f.copies())
	assert.Equal(t, []string{"r1", "r2"}, f.must("r3").Removed)
	assert.Equal(t, []string{"r3"}, f.copies())
}

// TestCopyToAFullBucket: what the retention lets go makes room for the next try, and the newest run stays.
func TestCopyToAFullBucket(t *testing.T) {
	f := newOffsite(t)
	f.nights("r1", "r2")
	f.must("r2")
	f.run("r3", 3, retention.Policy{})
	for _, run := range f.bucketRuns() {
		f.copy.Known = append(f.copy.Known, run.ID+"="+run.ManifestSHA256)
	}
	f.copy.Policy = retention.Policy{KeepLast: 1}
	f.faults.Always(objectstore.Method(http.MethodPut), objectstore.Answer(http.StatusForbidden, "QuotaExceeded"))
	result, err := f.try(t.Context(), "r3")
	require.Error(t, err)
	assert.Equal(t, v1alpha1.ReasonBucketFull, result.Reason)
	assert.Equal(t, []string{"r1"}, result.Removed)
	f.faults.Clear()
	assert.Equal(t, []string{"r2"}, f.copies())
	f.must("r3")
	assert.Equal(t, []string{"r3"}, f.copies())
}

// TestCopyMends: what a bucket has lost of an earlier run is sent again, on request.
func TestCopyMends(t *testing.T) {
	f := newOffsite(t)
	f.nights("r1", "r2")
	f.must("r2")
	f.loseBlob()
	f.run("r3", 3, retention.Policy{})
	f.must("r3")
	verify := func() []string {
		verified, err := mover.Verify(t.Context(), job.VerifyOptions{Run: job.All, BucketOptions: f.copy.BucketOptions}, mover.Env{Now: now})
		require.NoError(t, err)
		return verified.Problems
	}
	assert.NotEmpty(t, verify(), "a copy does not look at what it has sent before")
	f.copy.Mend = true
	result := f.must("r3")
	assert.EqualValues(t, 0, result.Runs, "all were there")
	assert.Positive(t, result.Files)
	assert.Empty(t, verify())
}

// loseBlob removes a blob from the bucket that the oldest run refers to.
func (f *offsite) loseBlob() {
	f.t.Helper()
	roots := x509.NewCertPool()
	require.True(f.t, roots.AppendCertsFromPEM(f.server.CA))
	client, err := minio.New(f.server.Endpoint, &minio.Options{
		Creds: credentials.NewStaticV4(f.server.AccessKey, f.server.SecretKey, ""), Secure: true,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
	})
	require.NoError(f.t, err)
	blobs := client.ListObjects(f.t.Context(), f.server.Bucket, minio.ListObjectsOptions{Prefix: f.copy.Prefix + "/blobs/", Recursive: true})
	blob, ok := <-blobs
	require.True(f.t, ok)
	require.NoError(f.t, client.RemoveObject(f.t.Context(), f.server.Bucket, blob.Key, minio.RemoveObjectOptions{}))
	for range blobs { // to its end
	}
}

// TestCopyOfADamagedRun: the others are copied, nothing is removed, and it is told loudly.
func TestCopyOfADamagedRun(t *testing.T) {
	f := newOffsite(t)
	f.nights("r0")
	f.must("r0")
	for i, id := range []string{"r1", "r2", "r3"} {
		f.run(id, i+1, retention.Policy{})
	}
	f.damage("r2")
	f.copy.Policy = retention.Policy{KeepLast: 3}
	result, err := f.try(t.Context(), "r3")
	require.ErrorContains(t, err, `run "r2" is damaged`)
	assert.ErrorContains(t, err, `; run "r3" is in the bucket, from which nothing was removed`)
	assert.Equal(t, job.ExitIntegrity, mover.ExitCode(err))
	assert.False(t, result.Completed)
	assert.Equal(t, v1alpha1.ReasonIntegrity, result.Reason)
	assert.NotContains(t, result.Message, `\n`)
	assert.EqualValues(t, 2, result.Runs)
	assert.NotEmpty(t, result.ManifestSHA256)
	assert.Equal(t, []string{"r0", "r1", "r3"}, f.copies(), "the oldest stays, in place of the one that could not be copied")

	f.damage("r3")
	f.run("r4", 4, retention.Policy{})
	f.damage("r4")
	result, err = f.try(t.Context(), "r4")
	require.ErrorContains(t, err, `run "r4" is damaged`)
	assert.NotContains(t, err.Error(), "is in the bucket")
	assert.Equal(t, v1alpha1.ReasonIntegrity, result.Reason)
	assert.Empty(t, result.ManifestSHA256)
}

// TestCopyFails: each failure has a reason, and changes nothing in the bucket.
func TestCopyFails(t *testing.T) {
	cases := map[string]struct {
		reason  string
		prepare func(f *offsite)
		fault   objectstore.Fault
		want    string // reason of the result
		message string
	}{
		"NoRun":       {"the retention of the volume was faster", func(f *offsite) { f.copy.Run = "other" }, nil, v1alpha1.ReasonRunNotFound, "no such run"},
		"Replaced":    {"whoever may write to the volume forges a backup", func(f *offsite) { f.known("r2"); f.manifest("r2", `"cause"`, ` "cause"`) }, nil, v1alpha1.ReasonRunReplaced, "it was replaced"},
		"ReplacedOut": {"a copy is never written over", func(f *offsite) { f.must("r2"); f.manifest("r2", `"cause"`, ` "cause"`) }, nil, v1alpha1.ReasonRunReplaced, "one of the two was replaced"},
		"Unreadable":  {"its manifest is gone", func(f *offsite) { f.manifest("r2", "{", "") }, nil, v1alpha1.ReasonIntegrity, "damaged"},
		"Owned":       {"two volumes would remove each other's runs", func(f *offsite) { f.must("r1"); f.copy.Owner = "other" }, nil, v1alpha1.ReasonBucketOwned, "give each volume a prefix of its own"},
		"NoBucket":    {"it is not made", func(f *offsite) { f.copy.Bucket = "nowhere" }, nil, v1alpha1.ReasonBucketNotFound, "nowhere"},
		"NoEndpoint":  {"there is nothing to talk to", func(f *offsite) { f.copy.Endpoint = "" }, nil, v1alpha1.ReasonUsage, "endpoint"},
		"Denied":      {"a right is missing", func(*offsite) {}, objectstore.Answer(http.StatusForbidden, "AccessDenied"), v1alpha1.ReasonBucketDenied, "AccessDenied"},
		"ClockSkew":   {"requests of another time are refused", func(*offsite) {}, objectstore.Answer(http.StatusForbidden, "RequestTimeTooSkewed"), v1alpha1.ReasonBucketClockSkew, "RequestTimeTooSkewed"},
		"Untrusted":   {"nobody may be in between", func(f *offsite) { f.copy.CA = "" }, nil, v1alpha1.ReasonBucketUntrusted, "certificate"},
		"Lock":        {"a period is of some days", func(f *offsite) { f.copy.LockMode = "Compliance" }, nil, v1alpha1.ReasonUsage, "for 0 days"},
		"LockMode":    {"an unknown mode would lock nothing", func(f *offsite) { f.copy.LockMode, f.copy.LockDays = "compliance", 1 }, nil, v1alpha1.ReasonUsage, `mode "compliance"`},
		"Policy":      {"less than none", func(f *offsite) { f.copy.KeepLast = -1 }, nil, v1alpha1.ReasonUsage, "cannot keep -1 last runs"},
		"TimeZone":    {"days of nowhere", func(f *offsite) { f.copy.TimeZone = "Nowhere/Atall" }, nil, v1alpha1.ReasonUsage, "Nowhere/Atall"},
		"NoOwner":     {"a bucket belongs to somebody", func(f *offsite) { f.copy.Owner = "" }, nil, v1alpha1.ReasonUsage, "owner"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newOffsite(t)
			f.nights("r1", "r2")
			f.copy.Run = "r2"
			place := f.copy.BucketOptions
			tc.prepare(f)
			before := f.objects(place)
			if tc.fault != nil {
				f.faults.Always(objectstore.Any, tc.fault)
			}
			result, err := f.try(t.Context(), f.copy.Run)
			f.faults.Clear()
			require.ErrorContains(t, err, tc.message, tc.reason)
			assert.Equal(t, tc.want, result.Reason, tc.reason)
			assert.Equal(t, job.FailureOf(tc.want).ExitCode, mover.ExitCode(err))
			assert.False(t, result.Completed)
			assert.Equal(t, before, f.objects(place))
		})
	}
}

// objects returns the runs of the bucket with their digests.
func (f *offsite) objects(place job.BucketOptions) []string {
	f.t.Helper()
	changed := f.copy.BucketOptions
	f.copy.BucketOptions = place
	defer func() { f.copy.BucketOptions = changed }()
	var out []string
	for _, run := range f.bucketRuns() {
		out = append(out, run.ID+" "+run.ManifestSHA256)
	}
	return out
}

// TestCopyThatIsStopped goes on where it ended.
func TestCopyThatIsStopped(t *testing.T) {
	f := newOffsite(t)
	f.nights("r1", "r2")
	ctx, cancel := context.WithCancel(t.Context())
	f.faults.Times(1, objectstore.Key(http.MethodPut, "runs/r2/manifest.json"), func(http.ResponseWriter, *http.Request, http.Handler) {
		cancel() // all but the last object is there
		panic(http.ErrAbortHandler)
	})
	result, err := f.try(ctx, "r2")
	require.ErrorContains(t, err, "what was sent stays, and the next copy goes on from there")
	assert.Equal(t, v1alpha1.ReasonInterrupted, result.Reason)
	assert.Equal(t, job.ExitTemporary, mover.ExitCode(err))
	assert.EqualValues(t, 1, result.Runs)
	assert.Greater(t, result.Files, int64(6))
	assert.Equal(t, []string{"r1"}, f.copies())

	rest := f.must("r2")
	assert.EqualValues(t, 1, rest.Runs)
	assert.Less(t, rest.Bytes, int64(10_000), "the file of 10 kB was there")
	assert.Equal(t, []string{"r1", "r2"}, f.copies())
}

// TestCopySurvivesAWeakServer: what passes is waited for.
func TestCopySurvivesAWeakServer(t *testing.T) {
	f := newOffsite(t)
	f.nights("r1", "r2")
	f.faults.Times(2, objectstore.Method(http.MethodPut), objectstore.Answer(http.StatusServiceUnavailable, "SlowDown"))
	f.faults.Times(1, objectstore.Method(http.MethodPut), objectstore.LoseAnswer)
	f.must("r2")
	assert.Equal(t, []string{"r1", "r2"}, f.copies())
}

// TestCopyTellsItsProgress while it sends.
func TestCopyTellsItsProgress(t *testing.T) {
	f := newOffsite(t)
	f.nights("r1")
	f.copy.Run = "r1"
	var seen []v1alpha1.Progress
	_, err := mover.Copy(t.Context(), f.copy, mover.Env{Now: time.Now, Progress: func(p v1alpha1.Progress) { seen = append(seen, p) }})
	require.NoError(t, err)
	require.NotEmpty(t, seen)
	last := seen[len(seen)-1]
	assert.Equal(t, job.PhaseCopy, last.Phase)
	assert.Equal(t, last.FilesTotal, last.FilesDone)
	assert.Equal(t, last.BytesTotal, last.BytesDone)
	assert.Positive(t, last.BytesTotal)
}

// TestInspectOfTheLatestCopy: a newest run that is damaged is not passed over for an older one.
func TestInspectOfTheLatestCopy(t *testing.T) {
	f := newOffsite(t)
	f.nights("r1", "r2")
	f.must("r2")
	require.Len(t, f.copies(), 2)
	f.faults.Always(objectstore.Key(http.MethodGet, "/r2/manifest.json"), objectstore.Truncate(9))
	got, err := mover.Inspect(t.Context(), job.InspectOptions{Run: archive.Latest, BucketOptions: f.copy.BucketOptions}, mover.Env{Now: now})
	require.Error(t, err)
	assert.Equal(t, v1alpha1.ReasonIntegrity, got.Reason)
	assert.Equal(t, "r2", got.Run)
}
