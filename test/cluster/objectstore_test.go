//go:build e2e && linux

package cluster_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/cluster"
)

func testObjectStore(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	store, err := c.StartObjectStore(t.Context(), filepath.Join(c.Dir(), "object-store"))
	require.NoError(t, err)
	assertUnprivileged(t, store.Process().PID())
	_, err = http.Get("https://" + store.Endpoint + "/health") //nolint:bodyclose // there is no answer
	require.ErrorContains(t, err, "certificate signed by unknown authority", "nobody trusts it by default")
	testPlainBucket(t, store)
	testLockedBucket(t, store)
	testResumed(t, c, store)
	log, err := os.ReadFile(store.Process().Log())
	require.NoError(t, err)
	require.NotContains(t, string(log), "AKIA")
}

// testPlainBucket: a user has the rights that he was given, and the test sees what he did.
func testPlainBucket(t *testing.T, store *cluster.ObjectStore) {
	t.Helper()
	b, err := store.MakeBucket(t.Context(), cluster.BucketOptions{Name: "plain", Rights: []cluster.BucketRight{"s3:PutObject", "s3:ListBucket"}})
	require.NoError(t, err)
	user, err := b.Client()
	require.NoError(t, err)
	put := func(key, text string) error {
		_, err := user.PutObject(t.Context(), b.Name, key, strings.NewReader(text), int64(len(text)), minio.PutObjectOptions{})
		return err
	}
	require.NoError(t, put("a/b", "hello"))
	require.NoError(t, put("a/c", "world"))
	keys, err := b.List(t.Context(), "a/")
	require.NoError(t, err)
	require.Equal(t, []string{"a/b", "a/c"}, keys)

	_, err = user.StatObject(t.Context(), b.Name, "a/b", minio.StatObjectOptions{})
	require.Equal(t, http.StatusForbidden, minio.ToErrorResponse(err).StatusCode, "he may not read: %v", err)
	require.NoError(t, b.Allow(t.Context(), "s3:GetObject"))
	_, err = user.StatObject(t.Context(), b.Name, "a/b", minio.StatObjectOptions{})
	require.NoError(t, err)
	require.Error(t, put("a/d", "no more"))

	data, err := os.ReadFile(b.Path("a/b"))
	require.NoError(t, err)
	require.Equal(t, "hello", string(data))
	require.NoError(t, os.WriteFile(b.Path("a/b"), []byte("hallo"), 0o644))
	data, err = b.Read(t.Context(), "a/b")
	require.NoError(t, err)
	require.Equal(t, "hallo", string(data), "what is damaged on the disk is damaged for everybody")
	require.NoError(t, b.Remove(t.Context(), "a/c"))
	keys, err = b.List(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, []string{"a/b"}, keys)

	requests, err := b.Requests()
	require.NoError(t, err)
	require.Equal(t, []cluster.Request{
		{Operation: "PutObject", Key: "a/b", Status: http.StatusOK},
		{Operation: "PutObject", Key: "a/c", Status: http.StatusOK},
		{Operation: "HeadObject", Key: "a/b", Status: http.StatusForbidden},
		{Operation: "HeadObject", Key: "a/b", Status: http.StatusOK},
		{Operation: "PutObject", Key: "a/d", Status: http.StatusForbidden},
	}, requests)
}

// testLockedBucket: what is locked cannot be deleted. A deletion without a version hides it.
func testLockedBucket(t *testing.T, store *cluster.ObjectStore) {
	t.Helper()
	b, err := store.MakeBucket(t.Context(), cluster.BucketOptions{Name: "locked", ObjectLock: true, Rights: []cluster.BucketRight{
		"s3:PutObject", "s3:PutObjectRetention", "s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject", "s3:DeleteObjectVersion",
	}})
	require.NoError(t, err)
	user, err := b.Client()
	require.NoError(t, err)
	put, err := user.PutObject(t.Context(), b.Name, "kept", strings.NewReader("x"), 1, minio.PutObjectOptions{
		Mode: minio.Governance, RetainUntilDate: time.Now().Add(time.Hour), SendContentMd5: true,
	})
	require.NoError(t, err)
	require.NotEmpty(t, put.VersionID)
	err = user.RemoveObject(t.Context(), b.Name, "kept", minio.RemoveObjectOptions{VersionID: put.VersionID})
	require.ErrorContains(t, err, "object lock")
	require.NoError(t, user.RemoveObject(t.Context(), b.Name, "kept", minio.RemoveObjectOptions{}))
	keys, err := b.List(t.Context(), "")
	require.NoError(t, err)
	require.Empty(t, keys)
	_, err = user.StatObject(t.Context(), b.Name, "kept", minio.StatObjectOptions{VersionID: put.VersionID})
	require.NoError(t, err, "the version is still there")
}

// testResumed: a new process has what the one before had.
func testResumed(t *testing.T, c *cluster.Cluster, store *cluster.ObjectStore) {
	t.Helper()
	b, err := store.MakeBucket(t.Context(), cluster.BucketOptions{Name: "resumed", Rights: []cluster.BucketRight{"s3:PutObject"}})
	require.NoError(t, err)
	user, err := b.Client()
	require.NoError(t, err)
	put := func(key string) error {
		_, err := user.PutObject(t.Context(), b.Name, key, strings.NewReader("x"), 1, minio.PutObjectOptions{})
		return err
	}
	require.NoError(t, put("before"))
	require.NoError(t, store.Process().Stop())
	require.NoError(t, c.ResumeObjectStore(t.Context(), store))
	require.NoError(t, put("after"), "the user and his rights are there")
	keys, err := b.List(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, []string{"after", "before"}, keys)
}

// assertUnprivileged looks at who a process is.
func assertUnprivileged(t *testing.T, pid int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	assert.Contains(t, string(status), "Uid:\t65534\t65534\t65534\t65534\n")
	assert.Contains(t, string(status), "CapEff:\t0000000000000000\n")
	assert.False(t, bytes.Contains(status, []byte("Groups:\t0")))
}
