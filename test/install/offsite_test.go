//go:build e2e

package install

import (
	"context"
	"os"
	"path/filepath"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/test/cluster"
)

// offsite is what is elsewhere: an object store that outlives the cluster.
type offsite struct {
	store  *cluster.ObjectStore
	bucket *cluster.Bucket
}

// openBucket makes a bucket with a name of the documents.
func (s *site) openBucket() *offsite {
	s.t.Helper()
	// Not below a folder of the test's, which only its user may enter.
	dir, err := os.MkdirTemp("", "threescale-backup-offsite-")
	require.NoError(s.t, err)
	s.t.Cleanup(func() { assert.NoError(s.t, os.RemoveAll(dir)) })
	require.NoError(s.t, os.Chmod(dir, 0o711))
	o := &offsite{}
	o.store, err = shared.StartObjectStore(s.t.Context(), filepath.Join(dir, "object-store"))
	require.NoError(s.t, err)
	o.bucket, err = o.store.MakeBucket(s.t.Context(), cluster.BucketOptions{Name: "backups", Rights: []cluster.BucketRight{
		"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload",
	}})
	require.NoError(s.t, err)
	return o
}

// choices are what the pages leave to the reader about a bucket. The keys are not
// among them: those are in his environment.
func (o *offsite) choices() []string {
	return []string{"s3.example.com", o.store.Endpoint, "eu-central-1", "us-east-1"}
}

// give puts what opens the bucket into the reader's shell and his folder.
func (o *offsite) give(r *reader) {
	r.t.Helper()
	require.NoError(r.t, os.WriteFile(filepath.Join(r.clone, "ca.crt"), o.store.CA, 0o600))
	r.know("ACCESS_KEY", o.bucket.Keys.Access)
	r.know("SECRET_KEY", o.bucket.Keys.Secret)
}

// copyOffsite has a run copied to the bucket that is encrypted for a key which the
// reader keeps.
func (s *site) copyOffsite(r *reader, o *offsite) {
	s.t.Helper()
	o.give(r)
	r.shell("age-keygen -o backup.agekey")
	r.shell(`kubectl -n 3scale patch threescalebackup nightly --type=merge --patch '{"spec": {"trigger": "encrypted", "encryption": {"age": {"recipients": ["'$(age-keygen -y backup.agekey)'"]}}}}'`)
	run := s.untilHandled("encrypted")
	r.follow("examples/README.md", "Copy off-site", o.choices()...)
	copied, err := o.bucket.List(s.t.Context(), "3scale/nightly/runs/"+run+"/manifest.json")
	require.NoError(s.t, err)
	require.Len(s.t, copied, 1, "the newest run is in the bucket")
}

// throwAway ends the cluster with all its volumes and everything that ran on it,
// and starts another, which has what a user has before us. What is left is Git,
// the bucket, System's database, and the reader's folder, of which he kept the
// keys and nothing else.
func (s *site) throwAway(r *reader, o *offsite) {
	s.t.Helper()
	require.NoError(s.t, s.operator.Stop())
	require.NoError(s.t, stage.Stop())
	require.NoError(s.t, shared.Stop())
	r.shell("git clean -fdxq --exclude='*.agekey' --exclude=ca.crt")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), cluster.StartTimeout)
	defer cancel()
	_, err := start(ctx)
	require.NoError(s.t, err)
	require.NoError(s.t, shared.ResumeObjectStore(ctx, o.store))
	s.registry, err = shared.StartRegistry(ctx)
	require.NoError(s.t, err)
	s.gitURL, err = shared.Expose(ctx, s.git.Address(), s.letRead)
	require.NoError(s.t, err)
	r.shell("export KUBECONFIG=" + shared.Kubeconfig())
	// With the 3scale operator in it.
	require.NoError(s.t, shared.Client().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	s.operate()
}
