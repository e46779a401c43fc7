package main

import (
	"bytes"
	"encoding/base64"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/minio/minio-go/v7"
	signing "github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/test/dataset"
	"threescale.dev/backup/test/objectstore"
)

// installedInS3 makes the manifests of an installation whose files are in the bucket of a server, and two such files.
func installedInS3(t *testing.T, server *objectstore.Server) (*installed, *minio.Client) {
	t.Helper()
	dir := t.TempDir()
	i := &installed{dir: dir, volume: filepath.Join(dir, "volume"), keys: filepath.Join(dir, "keys")}
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	i.recipient = key.Recipient().String()
	put(t, i.keys, "restorer.agekey", key.String()+"\n")
	objects := dataset.Installation(dataset.Options{Seed: 1, S3: true})
	for _, o := range objects {
		if o.GetKind() == "Secret" && o.GetName() == "file-storage-s3" {
			for name, value := range map[string]string{
				"AWS_BUCKET": server.Bucket, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": server.AccessKey, "AWS_SECRET_ACCESS_KEY": server.SecretKey,
				"AWS_HOSTNAME": server.Endpoint, "AWS_PROTOCOL": "http", "AWS_PATH_STYLE": "true",
			} {
				require.NoError(t, unstructured.SetNestedField(o.Object, base64.StdEncoding.EncodeToString([]byte(value)), "data", name))
			}
		}
	}
	require.NoError(t, dataset.WriteManifests(filepath.Join(dir, "objects"), objects))
	client, err := minio.New(server.Endpoint, &minio.Options{Creds: signing.NewStaticV4(server.AccessKey, server.SecretKey, "")})
	require.NoError(t, err)
	for key, content := range map[string]string{"tenant/2026/page.html": "<html/>", "tenant/logo.png": "png"} {
		_, err = client.PutObject(t.Context(), server.Bucket, key, bytes.NewReader([]byte(content)), int64(len(content)), minio.PutObjectOptions{ContentType: "text/x-" + content[1:3]})
		require.NoError(t, err)
	}
	return i, client
}

// TestFileStorageInS3: an encrypted backup of an installation whose files are in S3, and a restore into another place.
func TestFileStorageInS3(t *testing.T) {
	needGit(t)
	server := objectstore.Start(t)
	i, client := installedInS3(t, server)
	result := executeJSON[job.Result](t, "backup", "--volume", i.volume, "--objects", filepath.Join(i.dir, "objects"), "--file-bucket", "--recipient", i.recipient)
	assert.True(t, result.Completed)
	useBucket(t, server, server.SecretKey)
	s := newSite(t, i.rules())
	into := bucketScheme + server.Bucket + "/restored"
	answer := executeJSON[restored](t, s.restore(i, "--identities", i.keys, "--file-storage", into)...)
	assert.EqualValues(t, 2, answer.FileStorage.WrittenFiles)
	for key, content := range map[string]string{"tenant/2026/page.html": "<html/>", "tenant/logo.png": "png"} {
		object, err := client.GetObject(t.Context(), server.Bucket, "restored/"+key, minio.GetObjectOptions{})
		require.NoError(t, err)
		data, err := io.ReadAll(object)
		require.NoError(t, err)
		assert.Equal(t, content, string(data))
		info, err := object.Stat()
		require.NoError(t, err)
		assert.Equal(t, "text/x-"+content[1:3], info.ContentType)
	}
	told := execute(t, s.restore(i, "--identities", i.keys, "--file-storage", into, "--force")...)
	require.Equal(t, 0, told.code, told.stderr)
	assert.Contains(t, told.stdout, "File storage "+into+" holds all 2 files of the run")
	assert.Contains(t, told.stdout, "See that the Secret of spec.system.fileStorage.simpleStorageService leads to "+into)

	told = execute(t, s.restore(i, "--identities", i.keys, "--file-storage", filepath.Join(t.TempDir(), "files"), "--omit-bucket-secret", "--force")...)
	require.Equal(t, 0, told.code, told.stderr)
	assert.Contains(t, told.stdout, "left out, as asked: Secret/file-storage-s3")
	assert.Contains(t, told.stdout, "into the bucket that the Secret of spec.system.fileStorage.simpleStorageService leads to")

	_, err := client.PutObject(t.Context(), server.Bucket, "restored/foreign", strings.NewReader("x"), 1, minio.PutObjectOptions{})
	require.NoError(t, err)
	refused := execute(t, s.restore(i, "--identities", i.keys, "--file-storage", into, "--force")...)
	assert.Equal(t, job.ExitCannotCreate, refused.code)
	assert.Contains(t, refused.stderr, "foreign is not of the run")
}

// TestFileStorageIsWhereItIs: a place that the installation does not name is not backed up in its place.
func TestFileStorageIsWhereItIs(t *testing.T) {
	i, _ := installedInS3(t, objectstore.Start(t))
	files := filepath.Join(i.dir, "files")
	require.NoError(t, os.Mkdir(files, 0o755))
	done := execute(t, "backup", "--volume", i.volume, "--objects", filepath.Join(i.dir, "objects"), "--file-storage", files)
	assert.Equal(t, job.ExitUsage, done.code)
	assert.Contains(t, done.stderr, "its files are in S3: give --file-bucket in place of --file-storage")
	volume := newInstalled(t, false)
	done = execute(t, "backup", "--volume", i.volume, "--objects", filepath.Join(volume.dir, "objects"), "--file-bucket")
	assert.Equal(t, job.ExitUsage, done.code)
	assert.Contains(t, done.stderr, "its files are on a volume: give --file-storage in place of --file-bucket")
}
