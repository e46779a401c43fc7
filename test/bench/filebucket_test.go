//go:build bench

package bench

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/test/objectstore"
	"threescale.dev/backup/test/peers"
)

// fileBucketObjects is how many objects the bucket of TestAgainstAnUnchangedBucket has.
const fileBucketObjects = 100_000

// TestAgainstAnUnchangedBucket measures a run of a file storage in S3 against the run before it, since which nothing has
// changed: the objects are listed, a thousand a request, and none is read.
func TestAgainstAnUnchangedBucket(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "mover")
	require.NoError(t, peers.Build(t.Context(), "./fn/cmd/mover", binary))
	faults := objectstore.NewFaults()
	server := objectstore.StartReal(t, objectstore.Through(faults))
	putObjects(t, server)
	var lists, gets atomic.Int64
	faults.Always(func(r *http.Request) bool {
		switch {
		case r.URL.Query().Has("list-type"):
			lists.Add(1)
		case r.Method == http.MethodGet || r.Method == http.MethodHead:
			gets.Add(1)
		}
		return false
	}, nil)
	volume, objects := filepath.Join(dir, "volume"), filepath.Join(dir, "objects")
	require.NoError(t, os.MkdirAll(volume, 0o755))
	writeFileBucket(t, objects, server)
	for _, run := range []string{"first", "unchanged"} {
		lists.Store(0)
		gets.Store(0)
		taken := measure(t, []string{binary, job.BackupCommand, "--run=" + run, "--volume=" + volume, "--objects=" + objects, "--file-bucket"})
		t.Logf("%s run of %d objects: %s, %s of processor time, %d MiB; %d lists, %d objects read", run, fileBucketObjects, taken.Wall, taken.CPU, taken.RSS>>10, lists.Load(), gets.Load())
		require.LessOrEqual(t, taken.RSS, int64(64<<10), "KiB of memory")
	}
	require.Zero(t, gets.Load())
	require.LessOrEqual(t, lists.Load(), int64(fileBucketObjects/1000+2))
}

func putObjects(t *testing.T, server *objectstore.Server) {
	t.Helper()
	client, err := minio.New(server.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(server.AccessKey, server.SecretKey, "")})
	require.NoError(t, err)
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(16)
	for i := range fileBucketObjects {
		g.Go(func() error {
			content := strings.Repeat(fmt.Sprintf("%d\n", i), 32)
			_, err := client.PutObject(ctx, server.Bucket, fmt.Sprintf("provider-%03d/2026/%d.txt", i%250, i), strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{ContentType: "text/plain"})
			return err
		})
	}
	require.NoError(t, g.Wait())
}

// writeFileBucket writes the snapshot of an installation that has its files in the server's bucket.
func writeFileBucket(t *testing.T, dir string, server *objectstore.Server) {
	t.Helper()
	files := map[string]string{
		job.DescriptionFile:             `{"source":{"namespace":"3scale","apiManager":"example"}}`,
		job.APIManagerFile:              `{"spec":{"system":{"fileStorage":{"simpleStorageService":{"configurationSecretRef":{"name":"files"}}}}}}`,
		job.SecretMetadataFile("files"): `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"files"},"type":"Opaque"}`,
	}
	for key, value := range map[string]string{
		"AWS_BUCKET": server.Bucket, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": server.AccessKey, "AWS_SECRET_ACCESS_KEY": server.SecretKey,
		"AWS_HOSTNAME": server.Endpoint, "AWS_PROTOCOL": "http", "AWS_PATH_STYLE": "true",
	} {
		files[job.SecretKeyFile("files", key)] = value
	}
	for name, content := range files {
		full := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
		require.NoError(t, os.WriteFile(full, []byte(content), 0o600))
	}
}
