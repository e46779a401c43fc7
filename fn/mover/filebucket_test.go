package mover_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/mover"
	"threescale.dev/backup/test/objectstore"
)

// bucketRun returns the options of a run whose files are in a bucket, with one object in it.
func bucketRun(t *testing.T, opts ...objectstore.Option) (job.Options, *objectstore.Server) {
	t.Helper()
	server := objectstore.Start(t, opts...)
	client, err := minio.New(server.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(server.AccessKey, server.SecretKey, "")})
	require.NoError(t, err)
	_, err = client.PutObject(t.Context(), server.Bucket, "tenant/logo.png", bytes.NewReader([]byte("png")), 3, minio.PutObjectOptions{ContentType: "image/png"})
	require.NoError(t, err)
	o := options(t)
	o.FileStorage, o.FileBucket = "", true
	write(t, o.Objects, job.APIManagerFile, `{"spec":{"system":{"fileStorage":{"simpleStorageService":{"configurationSecretRef":{"name":"files"}}}}}}`)
	write(t, o.Objects, job.SecretMetadataFile("files"), `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"files"},"type":"Opaque"}`)
	for key, value := range map[string]string{
		"AWS_BUCKET": server.Bucket, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": server.AccessKey, "AWS_SECRET_ACCESS_KEY": server.SecretKey,
		"AWS_HOSTNAME": server.Endpoint, "AWS_PROTOCOL": "http", "AWS_PATH_STYLE": "true",
	} {
		write(t, o.Objects, job.SecretKeyFile("files", key), value)
	}
	return o, server
}

func TestBackupOfABucket(t *testing.T) {
	o, _ := bucketRun(t)
	result, err := mover.Backup(t.Context(), o, mover.Env{Now: now})
	require.NoError(t, err)
	assert.EqualValues(t, 6, result.Files, "five objects of Kubernetes and one of the bucket")
	data, err := os.ReadFile(filepath.Join(o.Volume, "system-filestorage-pvc/tenant/logo.png"))
	require.NoError(t, err)
	assert.Equal(t, "png", string(data))
	volume, err := archive.OpenVolume(o.Volume)
	require.NoError(t, err)
	defer volume.Close()
	report, err := volume.Verify(t.Context(), o.Run, archive.VerifyOptions{})
	require.NoError(t, err)
	assert.NoError(t, report.Err())
}

func TestBackupOfABucketFails(t *testing.T) {
	cases := map[string]struct {
		reason, want string
		file, value  string // of the snapshot
		fault        objectstore.Fault
	}{
		"a key is missing":   {"found before any request", v1alpha1.ReasonUsage, job.SecretKeyFile("files", "AWS_BUCKET"), "", nil},
		"a role":             {"without a token nothing can be exchanged", v1alpha1.ReasonUsage, job.APIManagerFile, `{"spec":{"system":{"fileStorage":{"simpleStorageService":{"configurationSecretRef":{"name":"files"},"sts":{"enabled":true}}}}}}`, nil},
		"no Secret":          {"the snapshot is of another installation", v1alpha1.ReasonUsage, job.APIManagerFile, `{"spec":{"system":{"fileStorage":{"simpleStorageService":{"configurationSecretRef":{"name":"other"}}}}}}`, nil},
		"a volume":           {"there is no bucket", v1alpha1.ReasonUsage, job.APIManagerFile, `{}`, nil},
		"keys are refused":   {"they were replaced", v1alpha1.ReasonBucketDenied, "", "", objectstore.Answer(http.StatusForbidden, "InvalidAccessKeyId")},
		"the bucket is gone": {"it was deleted", v1alpha1.ReasonBucketNotFound, "", "", objectstore.Answer(http.StatusNotFound, "NoSuchBucket")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			faults := objectstore.NewFaults()
			o, server := bucketRun(t, objectstore.Through(faults))
			if tc.file != "" {
				write(t, o.Objects, tc.file, tc.value)
			}
			if tc.fault != nil {
				faults.Always(objectstore.Any, tc.fault)
			}
			result, err := mover.Backup(t.Context(), o, mover.Env{Now: now})
			require.Error(t, err)
			assert.Equal(t, tc.want, result.Reason, tc.reason)
			assert.NotContains(t, result.Message, server.SecretKey)
			assert.NoDirExists(t, filepath.Join(o.Volume, "runs", o.Run))
		})
	}
}
