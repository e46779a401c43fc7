package controller

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/restore"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/test/canary"
)

// storedBucket is a restore from a bucket, as an API server stores it.
const storedBucket = `
apiVersion: backup.threescale.dev/v1alpha1
kind: ThreeScaleRestore
metadata: {name: dr, namespace: 3scale, generation: 2}
spec: {restoreSource: {bucket: {provider: generic, endpoint: s3.example.com, bucketName: backups, prefix: 3scale/nightly, checksums: SHA256, secretRef: {name: bucket}}, run: latest}, sourceRef: {name: apps}, interval: 10m, retryInterval: 1m, timeout: 1h}
`

// listingNothing is a cluster in which no Job has helpers.
func listingNothing() interceptor.Funcs {
	return interceptor.Funcs{List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return nil }}
}

func bucketSecret(data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "bucket", Namespace: "3scale"}, Data: data}
}

// TestBucketSecretIsTold: a Secret that cannot open the bucket is told of, by its name and its keys, and by no value.
func TestBucketSecretIsTold(t *testing.T) {
	for name, tc := range map[string]struct {
		reason  string
		secrets []client.Object
		says    string // of the Secret; "": it goes on, to the GitRepository that is missing
	}{
		"Missing": {"it may be made later", nil, `Secret "bucket" does not exist in namespace "3scale"`},
		"Half":    {"likewise", []client.Object{bucketSecret(map[string][]byte{"accesskey": []byte(canary.Text)})}, `Secret "bucket" in namespace "3scale" must have the keys accesskey and secretkey`},
		"Empty":   {"a key without a value signs nothing", []client.Object{bucketSecret(map[string][]byte{"accesskey": []byte(canary.Text), "secretkey": {}})}, "must have the keys"},
		"Whole":   {"", []client.Object{bucketSecret(map[string][]byte{"accesskey": []byte(canary.Text), "secretkey": []byte(canary.Text)})}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := reconcilingOf(t, storedBucket, listingNothing(), tc.secrets...)
			result, after, err := r.reconcile(t.Context(), t)
			require.NoError(t, err)
			assert.Positive(t, result.RequeueAfter, "nobody watches it: it is looked for again")
			want := v1alpha1.ReasonBucketSecretMissing
			if tc.says == "" {
				want = v1alpha1.ReasonRepositoryNotFound
			}
			assert.Equal(t, want, conditions.GetReason(after, meta.ReadyCondition), tc.reason)
			assert.True(t, conditions.IsReconciling(after), tc.reason)
			assert.Contains(t, conditions.GetMessage(after, meta.ReadyCondition), tc.says, tc.reason)
			status, err := json.Marshal(after.Status)
			require.NoError(t, err)
			assert.Empty(t, canary.Found(string(status)+<-r.events.Events))
		})
	}
}

// TestBucketSecretsAreNotKept: what a decision is made from has the names of keys, and no value. They are read as the restore may.
func TestBucketSecretsAreNotKept(t *testing.T) {
	secret := bucketSecret(map[string][]byte{"accesskey": []byte(canary.Text), "secretkey": []byte(canary.Text), "sessiontoken": {}})
	r, tenant := reconcilingOf(t, storedBucket, listingNothing()), reconcilingOf(t, storedBucket, listingNothing(), secret)
	obj := &v1alpha1.ThreeScaleRestore{}
	_, err := read(t.Context(), r.Client, "3scale", "dr", obj)
	require.NoError(t, err)
	w, err := r.newWork(obj, nil)
	require.NoError(t, err)
	w.tenant = tenant.Client // of the ServiceAccount that the restore names
	w.state.Restore = obj
	require.NoError(t, w.observeSource(t.Context()))
	assert.Equal(t, map[string][]string{"bucket": {"accesskey", "secretkey"}}, w.state.BucketSecrets)
	assert.Nil(t, w.state.SourcePVC)

	obj.Status.LastPushCommit = "0123456789abcdef0123456789abcdef01234567"
	require.NoError(t, tenant.Delete(t.Context(), secret))
	require.NoError(t, w.observeSource(t.Context()))
	assert.Empty(t, w.state.BucketSecrets, "nothing is read from the bucket any more")
}

// TestJobsOfABucket: the Jobs are told of the bucket and mount its Secret; none has a volume of a backup.
func TestJobsOfABucket(t *testing.T) {
	for action, start := range map[specs.Action]func(*work, context.Context) error{specs.Inspecting: (*work).startInspect, specs.Refilling: (*work).startRefill} {
		t.Run(string(action), func(t *testing.T) {
			r := reconcilingOf(t, storedBucket, listingNothing(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "3scale"}}, bucketSecret(map[string][]byte{"accesskey": []byte(canary.Text)}))
			obj := &v1alpha1.ThreeScaleRestore{}
			_, err := read(t.Context(), r.Client, "3scale", "dr", obj)
			require.NoError(t, err)
			restore.Begin(obj, noon)
			obj.Status.Plan = &v1alpha1.Plan{Run: "20261122t020000z-1a2b3c4d"}
			w, err := r.newWork(obj, nil)
			require.NoError(t, err)
			w.state.Restore = obj
			require.NoError(t, start(w, t.Context()))

			made := &batchv1.Job{}
			require.NoError(t, r.Get(t.Context(), client.ObjectKey{Namespace: "3scale", Name: w.step(action).Name()}, made))
			assert.Subset(t, made.Spec.Template.Spec.Containers[0].Args, []string{"--bucket=backups", "--bucket-prefix=3scale/nightly", "--bucket-credentials=" + job.BucketCredentialsPath})
			assert.NotContains(t, made.Labels, v1alpha1.LabelReads)
			var mounted []string
			for _, volume := range made.Spec.Template.Spec.Volumes {
				if pvc := volume.PersistentVolumeClaim; pvc != nil {
					mounted = append(mounted, pvc.ClaimName)
				}
			}
			assert.NotContains(t, mounted, "", "no PVC without a name")
			text, err := json.Marshal(made)
			require.NoError(t, err)
			assert.Empty(t, canary.Found(string(text)))
		})
	}
}
