//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"threescale.dev/backup/test/cluster"
)

// filesSecret is the Secret of an installation whose files are in S3.
const filesSecret = "file-storage-s3"

// filesInS3 makes newTenant make such an installation. The volume of files that it has too is one of former days.
func filesInS3(o *options) { o.set, o.objects.S3 = "", true }

// fileRights are those that examples/README.md lists for a backup and a restore of files in S3.
func fileRights() []cluster.BucketRight {
	return append(readRights(), "s3:PutObject", "s3:DeleteObject")
}

// newFiles makes the bucket of an installation, and has its Secret lead there.
func (w *tenant) newFiles() *bucket {
	w.t.Helper()
	withObjectStore(w.t)
	made, err := store.MakeBucket(w.t.Context(), cluster.BucketOptions{Name: w.namespace + "-files", Rights: fileRights()})
	require.NoError(w.t, err)
	know(made.Keys)
	b := &bucket{Bucket: made, t: w.t, endpoint: store.Endpoint}
	secret := w.secret(filesSecret)
	secret.Data = map[string][]byte{
		"AWS_ACCESS_KEY_ID": []byte(b.Keys.Access), "AWS_SECRET_ACCESS_KEY": []byte(b.Keys.Secret), "AWS_BUCKET": []byte(b.Name), "AWS_REGION": []byte("us-east-1"),
		"AWS_HOSTNAME": []byte(b.withoutTLS()), "AWS_PROTOCOL": []byte("http"), "AWS_PATH_STYLE": []byte("true"),
	}
	require.NoError(w.t, shared.Client().Update(w.t.Context(), secret))
	return b
}

// withoutTLS is an address of the object store for those who do not know its authority, as System does not.
func (b *bucket) withoutTLS() string {
	b.t.Helper()
	authorities := x509.NewCertPool()
	require.True(b.t, authorities.AppendCertsFromPEM(store.CA))
	listener := b.listen("0")
	server := &http.Server{Handler: &httputil.ReverseProxy{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12}, DisableCompression: true},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "https", Host: store.Endpoint})
			r.Out.Host = r.In.Host // it is signed
		},
	}}
	go func() { _ = server.Serve(listener) }() // until the test ends
	b.t.Cleanup(func() { assert.NoError(b.t, server.Close()) })
	return listener.Addr().String()
}

func (b *bucket) put(key, content, contentType string) {
	b.t.Helper()
	client, err := b.Client()
	require.NoError(b.t, err)
	_, err = client.PutObject(b.t.Context(), b.Name, key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{
		ContentType: contentType, CacheControl: "max-age=60", UserMetadata: map[string]string{"owner": "tenant " + contentType},
	})
	require.NoError(b.t, err)
}

// upload has System write some files.
func (b *bucket) upload() {
	b.t.Helper()
	for i := range 40 {
		b.put(fmt.Sprintf("provider-name/2026/12/logo %d+ä.png", i), strings.Repeat("png ", i), "image/png")
	}
	b.put("robots.txt", "User-agent: *\n", "text/plain; charset=utf-8")
}

// objects is what is in the bucket, with the headers of each object.
func (b *bucket) objects() map[string]string {
	b.t.Helper()
	client, err := b.Client()
	require.NoError(b.t, err)
	keys, err := b.List(b.t.Context(), "")
	require.NoError(b.t, err)
	all := map[string]string{}
	for _, key := range keys {
		object, err := client.GetObject(b.t.Context(), b.Name, key, minio.GetObjectOptions{})
		require.NoError(b.t, err)
		content, err := io.ReadAll(object)
		require.NoError(b.t, err)
		info, err := object.Stat()
		require.NoError(b.t, err)
		all[key] = fmt.Sprintf("%s|%s|%v|%s", info.ContentType, info.Metadata.Get("Cache-Control"), info.UserMetadata, content)
	}
	return all
}

// lose deletes all objects.
func (b *bucket) lose() {
	b.t.Helper()
	for key := range b.objects() {
		require.NoError(b.t, b.Remove(b.t.Context(), key))
	}
}

// decrypting is what a restore of an encrypted backup has.
func (w *tenant) decrypting(identity *age.X25519Identity) string {
	w.t.Helper()
	w.makeSecret("backup-age", map[string][]byte{"backup.agekey": []byte(identity.String() + "\n")})
	return "decryption: {secretRef: {name: backup-age}}"
}

func assertPlannedFiles(t *testing.T, planned *unstructured.Unstructured, action string, files int) {
	t.Helper()
	got, _ := status(planned, "plan", "fileStorage").(map[string]any)
	assert.Equal(t, action, got["action"])
	assert.Equal(t, true, got["bucket"])
	assert.EqualValues(t, files, got["files"])
}

// TestFilesInS3: one claim backs up an installation whose files are in a bucket, and its databases, encrypted. All of it is
// lost: the installation, its databases, and what is in its bucket. One restore has it back: every object with its headers,
// every row, every key. A bucket that holds something else is left alone.
func TestFilesInS3(t *testing.T) {
	withFlux(t)
	parallel(t)
	d, withDatabases := newDatabases(t, "postgresql")
	w := newTenant(t, filesInS3, withDatabases)
	b := w.newFiles()
	b.upload()
	identity := mustIdentity(t)
	require.NoError(t, w.apply(claim(nightly, beside(fmt.Sprintf("encryption: {age: {recipients: [%s]}}, %s", identity.Recipient(), d.spec())))))
	d.assertDumped(w.untilCompleted(nightly))

	want, kept, state := b.objects(), w.remember(), d.state()
	require.Len(t, want, 41)
	w.lose()
	b.lose()
	d.destroy()
	left := w.writeFile("of-former-days.txt", []byte("not ours"))
	e := w.deliver()
	decrypt := w.decrypting(identity)
	e.ask(dr("plan", "{dryRun: true, "+decrypt+"}"))
	assertPlannedFiles(t, e.untilRestore("plan", "Ready", "True", "Planned"), "Fill", len(want))
	assert.Empty(t, b.objects(), "a plan writes nothing")

	e.ask(dr("dr", "{"+decrypt+", "+d.loads("IfEmpty")+"}"))
	done := e.untilRestore("dr", "Ready", "True", "Restored")
	assert.Equal(t, want, b.objects())
	d.assertState(state)
	assert.Equal(t, []byte("not ours"), readFile(t, left), "the volume is none of its business")
	e.assertCommit(done, e.onlyCommit(t, branch)[0])
	e.eventually("Flux to have applied the Secret of the bucket", func(ctx context.Context) error {
		return shared.Client().Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: filesSecret}, &corev1.Secret{})
	})
	e.assertSecrets(kept)
	w.untilNothingStays()

	b.put("somebody-elses.txt", "x", "text/plain")
	held := b.objects()
	e.ask(dr("again", "{"+decrypt+"}"))
	refused := e.untilRestore("again", "Stalled", "True", "NotEmpty")
	t.Log(message(refused, "Stalled"))
	assert.Contains(t, message(refused, "Stalled"), "The bucket of the file storage holds other files than the run")
	assertPlannedFiles(t, refused, "Conflict", len(want))
	assert.Equal(t, held, b.objects())

	e.ask(dr("again", "{fileStorage: {existing: Mirror}, dryRun: true, "+decrypt+"}"))
	assertPlannedFiles(t, e.untilRestore("again", "Ready", "True", "Planned"), "Mirror", len(want))
}

// TestCopyOfFilesInS3: a copy in another namespace has a bucket of its own, to which its own Secret leads. With that of
// the run it would change what production has.
func TestCopyOfFilesInS3(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := newTenant(t, filesInS3)
	b, copies := w.newFiles(), w.newBucket()
	b.upload()
	require.NoError(t, w.apply(claim(nightly, beside(copies.offsite("{}")))))
	copied := w.untilCopied(nightly)
	digest, _ := status(copied, "lastRun", "manifestSHA256").(string)
	want := b.objects()

	other := newTenant(t, second, filesInS3)
	own := other.newFiles()
	ownSecret := other.secret(filesSecret)
	other.lose()
	copies.tell(other)
	b.put("since.txt", "of production", "text/plain")
	production := maps.Clone(b.objects())
	e := other.deliver()
	source := fmt.Sprintf("restoreSource: {bucket: %s, manifestSHA256: %s}", merge(copies.spec(), "prefix: "+strings.TrimSuffix(copies.prefix, "/")), strconv.Quote(digest))
	e.ask(dr("dr", "{fileStorage: {existing: Mirror}, "+source+"}"))
	refused := e.untilRestore("dr", "Stalled", "True", "FileStorageOfOthers")
	t.Log(message(refused, "Stalled"))
	assert.Equal(t, production, b.objects())

	e.ask(dr("dr", "{fileStorage: {existing: Mirror, bucketSecret: Omit}, "+source+"}"))
	waiting := e.untilRestoreSays("dr", `Secret "`+filesSecret+`" does not exist`)
	assert.Equal(t, "FileStorageUnusable", condition(waiting, "Ready")["reason"])
	other.makeSecret(filesSecret, ownSecret.Data)
	done := e.untilRestore("dr", "Ready", "True", "Restored")
	assert.Equal(t, want, own.objects())
	assert.Equal(t, production, b.objects(), "nobody wrote to production's")
	e.assertCommit(done, e.onlyCommit(t, branch)[0])
	assert.Equal(t, ownSecret.Data, other.secret(filesSecret).Data, "nor to its own Secret")
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	return data
}
