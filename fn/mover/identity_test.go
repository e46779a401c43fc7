//go:build e2e

package mover_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/mover"
	"threescale.dev/backup/test/objectstore"
	"threescale.dev/backup/test/seaweedfs"
)

// identities starts an object store that trusts what examples/README.md and examples/restore/README.md say, and returns
// what a pod with a token of that ServiceAccount has.
func identities(t *testing.T) func(account string) job.BucketOptions {
	t.Helper()
	const audience, role, account = "sts.amazonaws.com", "arn:aws:iam::123456789012:role/backup", "system:serviceaccount:3scale:"
	issuer := objectstore.StartIssuer(t)
	server := objectstore.StartSeaweedFS(t, &seaweedfs.Trust{
		Issuer: issuer.URL, CA: issuer.CA, Audience: audience, Subjects: []string{account + "nightly-mover", account + "dr-inspect-*", account + "dr-refill-*"},
		Role: role, Actions: []string{"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"},
	}, objectstore.TLS())
	ca := t.TempDir()
	write(t, ca, "ca.crt", string(server.CA))
	return func(name string) job.BucketOptions {
		token := t.TempDir()
		write(t, token, "token", issuer.Token(t, "3scale", name, audience, time.Hour))
		return job.BucketOptions{
			Endpoint: server.Endpoint, Bucket: server.Bucket, Prefix: "dr", CA: ca,
			RoleARN: role, Token: token, STSEndpoint: "https://" + server.Endpoint,
		}
	}
}

// TestCopyByWebIdentity: a run goes to a bucket and comes back, and no pod has more than a token of its ServiceAccount.
func TestCopyByWebIdentity(t *testing.T) {
	t.Parallel()
	as := identities(t)
	s := newStage(t, true, nil)
	backup := job.CopyOptions{Run: runID, Volume: s.inspect.Volume, Owner: "o", BucketOptions: as("another-mover")}
	told := &reports{data: map[string]string{}}
	_, err := mover.Copy(t.Context(), backup, mover.Env{Reporter: told, Now: now})
	require.ErrorContains(t, err, "the security token service refuses the token")
	reported, err := job.ParseCopyResult(told.data, runID)
	require.NoError(t, err)
	assert.Equal(t, v1alpha1.ReasonBucketDenied, reported.Reason)
	token, err := os.ReadFile(filepath.Join(backup.Token, "token"))
	require.NoError(t, err)
	for part := range strings.SplitSeq(string(token), ".") {
		assert.NotContains(t, fmt.Sprint(told.data), part)
	}

	backup.BucketOptions = as("nightly-mover")
	_, err = mover.Copy(t.Context(), backup, mover.Env{Now: now})
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(s.inspect.Volume))
	s.inspect.Volume, s.inspect.BucketOptions = "", as("dr-inspect-12345678")
	s.refill.Volume, s.refill.BucketOptions = "", as("dr-refill-12345678")
	got, err := s.runInspect()
	require.NoError(t, err)
	s.refill.ManifestSHA256 = got.ManifestSHA256
	result, err := s.runRefill()
	require.NoError(t, err)
	assert.EqualValues(t, 2, result.WrittenFiles)
	data, err := os.ReadFile(filepath.Join(s.refill.FileStorage, "tenant/logo.png"))
	require.NoError(t, err)
	assert.Equal(t, "png", string(data))
}
