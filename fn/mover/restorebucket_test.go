package mover_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/test/objectstore"
)

// bucketStage is a run whose files were in a bucket, and that bucket, which holds them still.
type bucketStage struct {
	*stage

	server *objectstore.Server
	client *minio.Client
}

// newBucketStage backs a bucket up; sts is JSON of the APIManager.
func newBucketStage(t *testing.T, encrypted bool, sts string, opts ...objectstore.Option) *bucketStage {
	t.Helper()
	server := objectstore.Start(t, opts...)
	client, err := minio.New(server.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(server.AccessKey, server.SecretKey, "")})
	require.NoError(t, err)
	b := &bucketStage{server: server, client: client}
	for key, content := range files() {
		_, err = client.PutObject(t.Context(), server.Bucket, key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{ContentType: "text/x-" + content})
		require.NoError(t, err)
	}
	objects := installation()
	objects["apimanager/apimanager-backup.json"] = fmt.Sprintf(`{"apiVersion":"apps.3scale.net/v1alpha1","kind":"APIManager","metadata":{"name":%q},
		"spec":{"system":{"fileStorage":{"simpleStorageService":{"configurationSecretRef":{"name":"files"},"sts":%s}}}}}`, apiName, sts)
	var data []string
	for key, value := range b.secret() {
		data = append(data, fmt.Sprintf("%q:%q", key, base64.StdEncoding.EncodeToString([]byte(value))))
	}
	objects["secrets/files.json"] = fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"files"},"type":"Opaque","data":{%s}}`, strings.Join(data, ","))
	b.stage = newStageOf(t, encrypted, objects, func(o *archive.WriteOptions) {
		o.Files = ""
		o.FilesBucket = &archive.BucketOptions{
			Endpoint: server.Endpoint, Bucket: server.Bucket, Region: "eu-central-1", Insecure: true, PathStyle: true,
			Credentials: archive.Credentials{AccessKey: server.AccessKey, SecretKey: server.SecretKey},
		}
	})
	b.inspect.FileStorage, b.inspect.FileBucket = "", true
	b.refill.FileStorage, b.refill.FileBucket = "", true
	return b
}

// files are the objects that were backed up, by their keys.
func files() map[string]string {
	return map[string]string{"tenant/logo.png": "png", "tenant/2026/page.html": "page"}
}

// secret is the Secret of the installation.
func (b *bucketStage) secret() map[string]string {
	return map[string]string{
		"AWS_BUCKET": b.server.Bucket, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": b.server.AccessKey, "AWS_SECRET_ACCESS_KEY": b.server.SecretKey,
		"AWS_HOSTNAME": b.server.Endpoint, "AWS_PROTOCOL": "http", "AWS_PATH_STYLE": "true",
		"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/files", "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token",
	}
}

func (b *bucketStage) put(key, content string) {
	b.t.Helper()
	_, err := b.client.PutObject(b.t.Context(), b.server.Bucket, key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	require.NoError(b.t, err)
}

func (b *bucketStage) remove(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		require.NoError(b.t, b.client.RemoveObject(b.t.Context(), b.server.Bucket, key, minio.RemoveObjectOptions{}))
	}
}

// empty loses all that was backed up.
func (b *bucketStage) empty() {
	b.t.Helper()
	for key := range files() {
		b.remove(key)
	}
}

// held is what the bucket holds, by key, with the type of each object.
func (b *bucketStage) held() map[string]string {
	b.t.Helper()
	held := map[string]string{}
	for o := range b.client.ListObjects(b.t.Context(), b.server.Bucket, minio.ListObjectsOptions{Recursive: true}) {
		require.NoError(b.t, o.Err)
		object, err := b.client.GetObject(b.t.Context(), b.server.Bucket, o.Key, minio.GetObjectOptions{})
		require.NoError(b.t, err)
		content, err := io.ReadAll(object)
		require.NoError(b.t, err)
		info, err := object.Stat()
		require.NoError(b.t, err)
		held[o.Key] = info.ContentType + " " + string(content)
	}
	return held
}

// whole is what the bucket holds if it equals the run.
func whole() map[string]string {
	want := map[string]string{}
	for key, content := range files() {
		want[key] = "text/x-" + content + " " + content
	}
	return want
}

// live writes a Secret of the namespace where a pod finds it.
func (b *bucketStage) live(name string, data map[string]string) string {
	b.t.Helper()
	dir := b.t.TempDir()
	require.NoError(b.t, os.Mkdir(filepath.Join(dir, name), 0o755))
	for key, value := range data {
		write(b.t, dir, name+"/"+key, value)
	}
	return dir
}

func TestInspectBucket(t *testing.T) {
	for name, tc := range map[string]struct {
		reason  string
		prepare func(b *bucketStage)
		want    job.ExistingStorage
	}{
		"Same":       {"it was not lost", func(*bucketStage) {}, job.ExistingStorage{Present: true, Same: true}},
		"Empty":      {"it was", (*bucketStage).empty, job.ExistingStorage{Present: true, Empty: true}},
		"OtherFiles": {"somebody uses it", func(b *bucketStage) { b.empty(); b.put("other", "x") }, job.ExistingStorage{Present: true}},
		"Changed":    {"the size is the same", func(b *bucketStage) { b.put("tenant/logo.png", "gif") }, job.ExistingStorage{Present: true}},
		"OtherVolume": {"a volume that is left over says nothing", func(b *bucketStage) {
			b.empty()
			b.inspect.FileStorage = b.t.TempDir()
			write(b.t, b.inspect.FileStorage, "x", "y")
		}, job.ExistingStorage{Present: true, Empty: true}},
		"OwnSecret": {"that of the run leads nowhere any more", func(b *bucketStage) {
			b.inspect.FileBucketSecrets = b.live("files", b.secret())
		}, job.ExistingStorage{Present: true, Same: true}},
	} {
		for _, encrypted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%t", name, encrypted), func(t *testing.T) {
				b := newBucketStage(t, encrypted, "null")
				tc.prepare(b)
				got, err := b.runInspect()
				require.NoError(t, err)
				assert.Equal(t, tc.want, got.Existing, tc.reason)
				assert.Equal(t, &job.InspectedBucket{Secret: "files"}, got.FileBucket)
				assert.True(t, got.Verified)
				assert.EqualValues(t, 2, got.FileStorage.Files)
			})
		}
	}
}

// TestInspectNoBucket: a run says by itself whether its files go into a bucket, and nothing is asked of one that none go into.
func TestInspectNoBucket(t *testing.T) {
	faults := objectstore.NewFaults()
	b := newBucketStage(t, false, "null", objectstore.Through(faults))
	faults.Always(objectstore.Any, objectstore.Answer(http.StatusForbidden, "AccessDenied"))
	b.inspect.FileBucket = false
	got, err := b.runInspect()
	require.NoError(t, err, "the command line plans on a machine that may not reach the bucket")
	assert.Nil(t, got.FileBucket)

	s := newStage(t, false, nil)
	s.inspect.FileBucket = true
	got, err = s.runInspect()
	require.NoError(t, err)
	assert.Nil(t, got.FileBucket)
	assert.Equal(t, job.ExistingStorage{Present: true, Empty: true}, got.Existing, "of the volume")
}

// TestBucketLoginIsTold: what the run says that the pod needs is reported before the run is read, since only then can a
// pod be given it.
func TestBucketLoginIsTold(t *testing.T) {
	const role = `{"enabled":true,"audience":"files"}`
	for name, tc := range map[string]struct {
		reason, sts string
		prepare     func(b *bucketStage)
		want        job.InspectedBucket
		says        string
	}{
		"Role":        {"the token is for one audience", role, func(*bucketStage) {}, job.InspectedBucket{Secret: "files", Audience: "files"}, `no token for audience "files"`},
		"Secret":      {"which one, nobody knew", "null", func(b *bucketStage) { b.inspect.FileBucketSecrets = b.t.TempDir() }, job.InspectedBucket{Secret: "files"}, `names Secret "files", which the pod does not have`},
		"OtherSecret": {"another run names another", "null", func(b *bucketStage) { b.inspect.FileBucketSecrets = b.live("others", b.secret()) }, job.InspectedBucket{Secret: "files"}, `names Secret "files"`},
		"EmptySecret": {"it lacks keys", "null", func(b *bucketStage) { b.inspect.FileBucketSecrets = b.live("files", nil) }, job.InspectedBucket{Secret: "files"}, "key AWS_BUCKET is missing or empty"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBucketStage(t, false, tc.sts)
			flip(t, b.volumePath("trees/*/files/tenant/logo.png"))
			tc.prepare(b)
			got, err := b.runInspect()
			require.ErrorContains(t, err, tc.says, tc.reason)
			assert.Equal(t, v1alpha1.ReasonUsage, got.Reason, "it is found before the damage is")
			assert.Equal(t, &tc.want, got.FileBucket)
			assert.NotContains(t, got.Message, b.server.SecretKey)
		})
	}
}

// TestBucketSecretThatNobodyCanHave: no status could hold its name, so that the user would never be told.
func TestBucketSecretThatNobodyCanHave(t *testing.T) {
	const format = `{"apiVersion":"apps.3scale.net/v1alpha1","kind":"APIManager","metadata":{"name":%q},
		"spec":{"system":{"fileStorage":{"simpleStorageService":{"configurationSecretRef":{"name":%q}}}}}}`
	for name, secret := range map[string]string{"Long": strings.Repeat("a", 254), "Path": "../files", "Upper": "Files"} {
		t.Run(name, func(t *testing.T) {
			objects := installation()
			objects["apimanager/apimanager-backup.json"] = fmt.Sprintf(format, apiName, secret)
			s := newStage(t, false, objects)
			s.inspect.FileStorage, s.inspect.FileBucket, s.inspect.FileBucketSecrets = "", true, t.TempDir()
			s.refill.FileStorage, s.refill.FileBucket = "", true
			got, err := s.runInspect()
			require.ErrorContains(t, err, "a name that no Secret can have")
			assert.Equal(t, v1alpha1.ReasonUnexpectedObject, got.Reason)
			assert.Nil(t, got.FileBucket)
			_, err = s.runRefill()
			require.ErrorContains(t, err, "a name that no Secret can have")
		})
	}
}

func TestRefillBucket(t *testing.T) {
	for name, tc := range map[string]struct {
		reason  string
		prepare func(b *bucketStage)
		want    map[string]string
		written int64
	}{
		"Empty": {"all of it is lost", (*bucketStage).empty, whole(), 2},
		"Part": {"the former pod was killed", func(b *bucketStage) {
			b.empty()
			b.refill.Existing = v1alpha1.ExistingOverwrite
			b.put("tenant/logo.png", "gif")
		}, whole(), 2},
		"Same": {"nothing is", func(*bucketStage) {}, whole(), 0},
		"Overwrite": {"what the run does not have stays", func(b *bucketStage) {
			b.refill.Existing = v1alpha1.ExistingOverwrite
			b.remove("tenant/logo.png")
			b.put("other", "x")
		},
			merged(whole(), "other", "application/octet-stream x"), 1},
		"Mirror":    {"or goes", func(b *bucketStage) { b.refill.Existing = v1alpha1.ExistingMirror; b.put("other", "x") }, whole(), 0},
		"OwnSecret": {"that of the namespace leads there", func(b *bucketStage) { b.empty(); b.refill.FileBucketSecrets = b.live("files", b.secret()) }, whole(), 2},
	} {
		for _, encrypted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%t", name, encrypted), func(t *testing.T) {
				b := newBucketStage(t, encrypted, "null")
				tc.prepare(b)
				result, err := b.runRefill()
				require.NoError(t, err, tc.reason)
				assert.True(t, result.Completed)
				assert.Equal(t, tc.written, result.WrittenFiles)
				assert.Equal(t, tc.want, b.held(), tc.reason)
			})
		}
	}
}

// lists matches a request that lists a bucket.
func lists(r *http.Request) bool {
	return r.Method == http.MethodGet && r.URL.Query().Has("list-type")
}

func merged(m map[string]string, key, value string) map[string]string {
	m[key] = value
	return m
}

func TestRefillBucketFails(t *testing.T) {
	for name, tc := range map[string]struct {
		reason  string
		prepare func(b *bucketStage, faults *objectstore.Faults)
		want    string
	}{
		"NotEmpty": {"somebody wrote to it meanwhile", func(b *bucketStage, _ *objectstore.Faults) { b.put("other", "x") }, v1alpha1.ReasonNotEmpty},
		"MayNotPut": {"the keys may only read", func(_ *bucketStage, f *objectstore.Faults) {
			f.Always(objectstore.Method(http.MethodPut), objectstore.Answer(http.StatusForbidden, "AccessDenied"))
		}, v1alpha1.ReasonBucketDenied},
		"MayNotList": {"the keys may do something else", func(_ *bucketStage, f *objectstore.Faults) {
			f.Always(lists, objectstore.Answer(http.StatusForbidden, "AccessDenied"))
		}, v1alpha1.ReasonBucketDenied},
		"Gone": {"the bucket is to be made before", func(_ *bucketStage, f *objectstore.Faults) {
			f.Always(objectstore.Any, objectstore.Answer(http.StatusNotFound, "NoSuchBucket"))
		}, v1alpha1.ReasonBucketNotFound},
		"Both":     {"a Job that names two places", func(b *bucketStage, _ *objectstore.Faults) { b.refill.FileStorage = b.t.TempDir() }, v1alpha1.ReasonUsage},
		"Neither":  {"or none", func(b *bucketStage, _ *objectstore.Faults) { b.refill.FileBucket = false }, v1alpha1.ReasonUsage},
		"WrongKey": {"nothing is written that cannot be decrypted", func(b *bucketStage, _ *objectstore.Faults) { b.refill.Identities = b.t.TempDir() }, v1alpha1.ReasonDecryptionFailed},
	} {
		t.Run(name, func(t *testing.T) {
			faults := objectstore.NewFaults()
			b := newBucketStage(t, true, "null", objectstore.Through(faults))
			b.empty()
			tc.prepare(b, faults)
			result, err := b.runRefill()
			require.Error(t, err)
			assert.Equal(t, tc.want, result.Reason, "%s: %v", tc.reason, err)
			assert.False(t, result.Completed)
			assert.NotContains(t, result.Message, b.server.SecretKey)
		})
	}
	s := newStage(t, false, nil)
	s.refill.FileStorage, s.refill.FileBucket = "", true
	result, err := s.runRefill()
	require.ErrorContains(t, err, "the APIManager of the run names none")
	assert.Equal(t, v1alpha1.ReasonUsage, result.Reason)
}
