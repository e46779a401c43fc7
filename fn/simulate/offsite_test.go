package simulate_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/test/objectstore"
)

// withBucket returns an installation that is copied to a bucket, and the bucket.
func withBucket(t *testing.T, server *objectstore.Server) (*installation, *archive.Bucket) {
	t.Helper()
	i := newInstallation(t, fmt.Sprintf(`, offsite: {bucket: {endpoint: %q, bucketName: %s, prefix: prod, insecure: true, secretRef: {name: bucket}}}`, server.Endpoint, server.Bucket))
	i.Put(object(t, fmt.Sprintf(`{apiVersion: v1, kind: Secret, metadata: {name: bucket, namespace: 3scale}, data: {accesskey: %s, secretkey: %s}}`,
		base64.StdEncoding.EncodeToString([]byte(server.AccessKey)), base64.StdEncoding.EncodeToString([]byte(server.SecretKey)))))
	bucket, err := archive.OpenBucket(t.Context(), archive.BucketOptions{
		Endpoint: server.Endpoint, Bucket: server.Bucket, Prefix: "prod", Insecure: true, PathStyle: true,
		Credentials: archive.Credentials{AccessKey: server.AccessKey, SecretKey: server.SecretKey},
	})
	require.NoError(t, err)
	t.Cleanup(func() { bucket.Close() })
	return i, bucket
}

// TestNodeCopiesToABucket: the Job that follows a run has the Secret of the bucket, and no other.
func TestNodeCopiesToABucket(t *testing.T) {
	i, bucket := withBucket(t, objectstore.Start(t))
	i.goOn()
	digest := i.status("lastRun", "manifestSHA256")
	require.NotEmpty(t, digest)
	runs, err := bucket.Runs(t.Context())
	require.NoError(t, err)
	require.Len(t, runs, 1)
	assert.Equal(t, digest, runs[0].ManifestSHA256)
	status, message := i.condition("OffsiteCopied")
	assert.Equal(t, "True", status, message)
}

// TestNodeTellsOfACopyThatFails: the run is none the worse for it.
func TestNodeTellsOfACopyThatFails(t *testing.T) {
	faults := objectstore.NewFaults()
	i, bucket := withBucket(t, objectstore.Start(t, objectstore.Through(faults)))
	i.untilJob()
	_, ran, err := i.RunJob(t.Context(), i.World)
	require.True(t, ran)
	require.NoError(t, err)
	faults.Always(objectstore.Any, objectstore.Answer(http.StatusForbidden, "AccessDenied"))
	i.reconcile()
	i.untilJob()
	_, ran, err = i.RunJob(t.Context(), i.World)
	require.True(t, ran)
	require.ErrorContains(t, err, "AccessDenied")
	i.reconcile()
	assert.Equal(t, true, i.status("completed"))
	status, message := i.condition("OffsiteCopied")
	assert.Equal(t, "False", status)
	assert.Contains(t, message, "AccessDenied")
	faults.Clear()
	runs, err := bucket.Runs(t.Context())
	require.NoError(t, err)
	assert.Empty(t, runs)
}
