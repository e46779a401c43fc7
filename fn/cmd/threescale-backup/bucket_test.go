package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/test/objectstore"
)

// secretOfBucket is what no output may hold.
const secretOfBucket = "ASecretKeyOfTheBucket"

// useBucket sets the environment of a command line that uses an object store.
func useBucket(t *testing.T, server *objectstore.Server, secretKey string) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") || strings.HasSuffix(strings.ToUpper(name), "_PROXY") {
			t.Setenv(name, "")
		}
	}
	scheme := "http://"
	if server.CA != nil {
		scheme = "https://"
	}
	t.Setenv("AWS_ENDPOINT_URL_S3", scheme+server.Endpoint)
	t.Setenv("AWS_ACCESS_KEY_ID", server.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secretKey)
}

// TestRestoreFromABucket: an encrypted run, with no volume at all.
func TestRestoreFromABucket(t *testing.T) {
	needGit(t)
	i, server := newInstalled(t, true), objectstore.Start(t, objectstore.TLS())
	useBucket(t, server, server.SecretKey)
	put(t, i.dir, "ca.crt", string(server.CA))
	ca := filepath.Join(i.dir, "ca.crt")
	at := bucketScheme + server.Bucket + "/prod/3scale"
	done := executeJSON[copied](t, "copy", "--from", i.volume, "--to", at, "--s3-ca", ca)
	require.Len(t, done.Runs, 1)
	assert.Positive(t, done.Requests)
	require.NoError(t, os.RemoveAll(i.volume))
	s := newSite(t, i.rules())
	answer := executeJSON[restored](t, s.restore(i, "--volume", at, "--s3-ca", ca, "--identities", i.keys)...)
	assert.True(t, answer.Verified)
	assert.True(t, answer.Committed)
	assert.Equal(t, done.Runs[0], answer.Run)
	assert.Equal(t, entries(t, i.files), entries(t, s.storage))
	s.assertNoPlaintext(t)
}

// TestBucketFailures: what an object store does not do is told with what is wrong, where, and
// what to do, by the exit code of its reason; and never with a key.
func TestBucketFailures(t *testing.T) {
	cases := map[string]struct {
		reason string
		spoil  func(t *testing.T, f *objectstore.Faults, server *objectstore.Server) (args []string)
		says   []string
		exit   int
	}{
		"WrongKeys": {"a key that was rotated", func(t *testing.T, f *objectstore.Faults, _ *objectstore.Server) []string {
			f.Always(objectstore.Any, objectstore.Answer(http.StatusForbidden, "SignatureDoesNotMatch"))
			return nil
		}, []string{"SignatureDoesNotMatch", "correct AWS_ACCESS_KEY_ID"}, job.ExitNoPermission},
		"NoKeys": {"a shell without the variables", func(t *testing.T, f *objectstore.Faults, _ *objectstore.Server) []string {
			t.Setenv("AWS_ACCESS_KEY_ID", "")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "")
			f.Always(objectstore.Any, objectstore.Answer(http.StatusForbidden, "AccessDenied"))
			return nil
		}, []string{"AccessDenied", "there are none in the environment"}, job.ExitNoPermission},
		"NoBucket": {"a typing error", func(*testing.T, *objectstore.Faults, *objectstore.Server) []string {
			return []string{"--volume", "s3://no-such-bucket/prod"}
		}, []string{"object store 127.0.0.1:", "no-such-bucket", "make the bucket, or correct its name"}, job.ExitUsage},
		"ClockSkew": {"a machine without NTP", func(_ *testing.T, f *objectstore.Faults, _ *objectstore.Server) []string {
			f.Always(objectstore.Any, objectstore.Answer(http.StatusForbidden, "RequestTimeTooSkewed"))
			return nil
		}, []string{"set the clock of this machine"}, job.ExitNoPermission},
		"UnknownCA": {"an authority of the company", func(t *testing.T, _ *objectstore.Faults, server *objectstore.Server) []string {
			return []string{"--s3-endpoint", "https://" + objectstore.Start(t, objectstore.TLS()).Endpoint}
		}, []string{"certificate", "--s3-ca"}, job.ExitNoPermission},
		"NotTLS": {"http in place of https", func(_ *testing.T, _ *objectstore.Faults, server *objectstore.Server) []string {
			return []string{"--s3-endpoint", "https://" + server.Endpoint}
		}, []string{"http:// if it speaks no TLS"}, job.ExitIO},
		"Unreachable": {"nothing listens", func(*testing.T, *objectstore.Faults, *objectstore.Server) []string {
			return []string{"--s3-endpoint", "http://127.0.0.1:1"}
		}, []string{"127.0.0.1:1", "see that --s3-endpoint is right"}, job.ExitIO},
		"Incompatible": {"it does not know what it is asked for", func(_ *testing.T, f *objectstore.Faults, _ *objectstore.Server) []string {
			f.Always(objectstore.Any, objectstore.Answer(http.StatusNotImplemented, "NotImplemented"))
			return nil
		}, []string{"--s3-checksums None"}, job.ExitUsage},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			faults := objectstore.NewFaults()
			server := objectstore.Start(t, objectstore.Through(faults))
			useBucket(t, server, secretOfBucket)
			args := tc.spoil(t, faults, server)
			if len(args) == 0 || args[0] != "--volume" {
				args = append(args, "--volume", bucketScheme+server.Bucket+"/prod")
			}
			start := time.Now()
			done := execute(t, append([]string{"list"}, args...)...)
			assert.Equal(t, tc.exit, done.code, "%s: %s", tc.reason, done.stderr)
			for _, text := range tc.says {
				assert.Contains(t, done.stderr, text, tc.reason)
			}
			assert.Empty(t, done.stdout)
			assert.NotContains(t, done.stderr, secretOfBucket)
			t.Log(time.Since(start), done.stderr)
		})
	}
}

// TestCopyGoesOn: a copy that breaks off says what it did, and what it sent is not sent again.
func TestCopyGoesOn(t *testing.T) {
	i, faults := newInstalled(t, false), objectstore.NewFaults()
	server := objectstore.Start(t, objectstore.Through(faults))
	useBucket(t, server, server.SecretKey)
	to := bucketScheme + server.Bucket + "/prod"
	faults.Always(objectstore.Key(http.MethodPut, "manifest.json"), objectstore.Answer(http.StatusForbidden, "AccessDenied"))
	done := execute(t, "copy", "--from", i.volume, "--to", to)
	assert.Equal(t, job.ExitNoPermission, done.code, done.stderr)
	assert.Regexp(t, `(?m)^0 runs were copied to .*: 1\d\d files, `, done.stdout)
	faults.Clear()
	again := executeJSON[copied](t, "copy", "--from", i.volume, "--to", to)
	assert.Len(t, again.Runs, 1)
	assert.Less(t, again.Files, int64(40), "the objects and the lists")
}

// TestBucketVerifyFindsDamage: exit code and text are those of a volume.
func TestBucketVerifyFindsDamage(t *testing.T) {
	i, faults := newInstalled(t, false), objectstore.NewFaults()
	server := objectstore.Start(t, objectstore.Through(faults))
	useBucket(t, server, server.SecretKey)
	at := bucketScheme + server.Bucket + "/prod"
	executeJSON[copied](t, "copy", "--from", i.volume, "--to", at)
	faults.Always(objectstore.Key(http.MethodGet, "system-seed.json"), objectstore.Flip(3))
	for _, args := range [][]string{{"verify"}, {"verify", "--all"}, {"export", "-n", "dr", "--recipient", i.recipient, filepath.Join(i.dir, "exported")}} {
		done := execute(t, append(args, "--volume", at)...)
		assert.Equal(t, job.ExitIntegrity, done.code, done.stderr)
		assert.Contains(t, done.stdout+done.stderr, "secrets/system-seed.json is changed")
	}
	assert.NoDirExists(t, filepath.Join(i.dir, "exported"))
}

// TestSimulateCopiesToABucket: the claim's own copy, with the Secret that it names.
func TestSimulateCopiesToABucket(t *testing.T) {
	i, faults := newInstalled(t, false), objectstore.NewFaults()
	server := objectstore.Start(t, objectstore.Through(faults))
	put(t, i.dir, "objects/bucket.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: bucket, namespace: 3scale}\nstringData: {accesskey: "+server.AccessKey+", secretkey: "+server.SecretKey+"}\n")
	put(t, i.dir, "claim.yaml", `apiVersion: backup.threescale.dev/v1alpha1
kind: ThreeScaleBackup
metadata: {name: nightly, namespace: 3scale}
spec:
  backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}}}
  offsite: {bucket: {endpoint: "`+server.Endpoint+`", bucketName: `+server.Bucket+`, insecure: true, secretRef: {name: bucket}}}
`)
	simulate := []string{"simulate", filepath.Join(i.dir, "claim.yaml"), "--objects", filepath.Join(i.dir, "objects"), "--directory", "system-storage=" + i.files, "--directory"}
	done := execute(t, append(simulate, "nightly-backup="+filepath.Join(i.dir, "other"))...)
	require.Equal(t, job.ExitOK, done.code, done.stderr)
	assert.Regexp(t, `(?m)^OffsiteCopied +True +Copied `, done.stdout)
	useBucket(t, server, server.SecretKey)
	at := bucketScheme + server.Bucket + "/3scale/nightly"
	assert.Equal(t, job.ExitOK, execute(t, "verify", "--volume", at).code)

	faults.Always(objectstore.Any, objectstore.Answer(http.StatusForbidden, "AccessDenied"))
	done = execute(t, append(simulate, "nightly-backup="+filepath.Join(i.dir, "third"))...)
	assert.Equal(t, job.ExitNoPermission, done.code, done.stderr)
	assert.Regexp(t, `(?m)^BackupCompleted +True `, done.stdout)
	assert.Regexp(t, `(?m)^OffsiteCopied +False +BucketDenied `, done.stdout)
	assert.NotContains(t, done.stdout+done.stderr, server.SecretKey)
}
