package mover_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/mover"
	"threescale.dev/backup/test/objectstore"
)

// offsiteStage is a stage whose run is only in a bucket.
type offsiteStage struct {
	*stage

	faults *objectstore.Faults
}

func newOffsiteStage(t *testing.T, encrypted bool) *offsiteStage {
	t.Helper()
	s := &offsiteStage{newStage(t, encrypted, nil), objectstore.NewFaults()}
	server := objectstore.Start(t, objectstore.Through(s.faults))
	keys := t.TempDir()
	write(t, keys, "AWS_ACCESS_KEY_ID", server.AccessKey)
	write(t, keys, "AWS_SECRET_ACCESS_KEY", server.SecretKey)
	bucket := job.BucketOptions{Endpoint: server.Endpoint, Insecure: true, Bucket: server.Bucket, Prefix: "dr", Credentials: keys}
	_, err := mover.Copy(t.Context(), job.CopyOptions{Run: runID, Volume: s.inspect.Volume, Owner: "o", BucketOptions: bucket}, mover.Env{Now: now})
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(s.inspect.Volume))
	s.inspect.Volume, s.inspect.BucketOptions = "", bucket
	s.refill.Volume, s.refill.BucketOptions = "", bucket
	return s
}

// readsFile matches requests for a file of the file storage.
func readsFile(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/")
}

func TestRestoreFromABucket(t *testing.T) {
	for name, encrypted := range map[string]bool{"Plain": false, "Encrypted": true} {
		t.Run(name, func(t *testing.T) {
			s := newOffsiteStage(t, encrypted)
			s.faults.Always(readsFile, objectstore.Answer(http.StatusForbidden, "AccessDenied"))
			got, err := s.runInspect()
			require.NoError(t, err, "a look at a run downloads no file")
			assert.True(t, got.Completed)
			assert.True(t, got.Verified)
			assert.Equal(t, runID, got.Run)
			assert.Equal(t, domain, got.Source.WildcardDomain)
			assert.Equal(t, job.InspectedStorage{Stored: true, Files: 2, Bytes: 7, Entries: 4}, got.FileStorage)
			assert.True(t, got.Existing.Empty)
			assert.Len(t, got.Objects, 4)
			require.Len(t, got.Warnings, 1)
			assert.Contains(t, got.Warnings[0], "were not read from the bucket")
			s.faults.Clear()

			s.refill.ManifestSHA256 = got.ManifestSHA256
			result, err := s.runRefill()
			require.NoError(t, err)
			assert.EqualValues(t, 2, result.WrittenFiles)
			for path, want := range map[string]string{"tenant/logo.png": "png", "tenant/.htaccess": "deny"} {
				data, err := os.ReadFile(filepath.Join(s.refill.FileStorage, path))
				require.NoError(t, err)
				assert.Equal(t, want, string(data))
			}
			if !encrypted { // else only decrypting a file tells whether it is the same
				s.faults.Always(readsFile, objectstore.Answer(http.StatusForbidden, "AccessDenied"))
			}
			got, err = s.runInspect()
			require.NoError(t, err)
			assert.True(t, got.Existing.Same, "nothing is to be written")
		})
	}
}

// TestInspectOfABucketDownloadsNoFileThatDiffers, also of an encrypted run, whose lists have no digests of plaintext.
func TestInspectOfABucketDownloadsNoFileThatDiffers(t *testing.T) {
	s := newOffsiteStage(t, true)
	_, err := s.runRefill()
	require.NoError(t, err)
	require.NoError(t, os.Chtimes(filepath.Join(s.refill.FileStorage, "tenant/logo.png"), noon, noon))
	s.faults.Always(readsFile, objectstore.Answer(http.StatusForbidden, "AccessDenied"))
	got, err := s.runInspect()
	require.NoError(t, err)
	assert.False(t, got.Existing.Same)
	assert.False(t, got.Existing.Empty)
}

// TestRestoreFromABucketFails: nothing of a damaged run is handed over or written, and each failure has a reason.
func TestRestoreFromABucketFails(t *testing.T) {
	cases := map[string]struct {
		reason          string
		match           objectstore.Match
		fault           objectstore.Fault
		prepare         func(s *offsiteStage)
		inspect, refill string // reasons; "": it succeeds
	}{
		"Denied":     {"the keys may list and read no more", objectstore.Any, objectstore.Answer(http.StatusForbidden, "AccessDenied"), nil, v1alpha1.ReasonBucketDenied, v1alpha1.ReasonBucketDenied},
		"LostObject": {"an object of the run is gone", objectstore.Key(http.MethodGet, "/secrets/system-seed.json"), objectstore.Answer(http.StatusNotFound, "NoSuchKey"), nil, v1alpha1.ReasonIntegrity, ""},
		"WrongFile":  {"the digest of a file is proven when it is written", readsFile, objectstore.Flip(0), nil, "", v1alpha1.ReasonIntegrity},
		"Latest": {"there is none below that prefix", nil, nil, func(s *offsiteStage) {
			s.inspect.Prefix, s.refill.Prefix = "other", "other"
		}, v1alpha1.ReasonRunNotFound, v1alpha1.ReasonRunNotFound},
		"Replaced": {"whoever may write to the bucket forges a run", nil, nil, func(s *offsiteStage) {
			s.inspect.ManifestSHA256, s.refill.ManifestSHA256 = strings.Repeat("0", 64), strings.Repeat("0", 64)
		}, v1alpha1.ReasonRunReplaced, v1alpha1.ReasonRunReplaced},
		"NoKeys": {"the Secret is another one", nil, nil, func(s *offsiteStage) {
			s.inspect.Credentials, s.refill.Credentials = s.t.TempDir(), s.t.TempDir()
		}, v1alpha1.ReasonBucketDenied, v1alpha1.ReasonBucketDenied},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newOffsiteStage(t, false)
			if tc.prepare != nil {
				tc.prepare(s)
			}
			if tc.fault != nil {
				s.faults.Always(tc.match, tc.fault)
			}
			got, err := s.runInspect()
			assert.Equal(t, tc.inspect, got.Reason, "%s: %v", tc.reason, err)
			if tc.inspect != "" {
				assert.Empty(t, s.handover.parts[0], "nothing was handed over")
			}
			result, err := s.runRefill()
			assert.Equal(t, tc.refill, result.Reason, "%s: %v", tc.reason, err)
		})
	}
}

// TestInspectReadsAVolume: on a volume, each file is read, as ever.
func TestInspectReadsAVolume(t *testing.T) {
	s := newStage(t, false, nil)
	path := s.volumePath("trees/*/files/tenant/logo.png")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte("pnG"), 0o600))
	require.NoError(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
	got, err := s.runInspect()
	var damaged *archive.IntegrityError
	require.ErrorAs(t, err, &damaged)
	assert.Empty(t, got.Warnings)
}
