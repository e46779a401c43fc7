package controller

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/restore"
)

// fillsBucket is the work on a restore whose files go into a bucket; a volume of former days is left over.
func fillsBucket(secrets ...client.Object) *work {
	w := loads(secrets...)
	w.restore.Status.Plan.FileStorage = v1alpha1.PlannedFileStorage{Action: "Fill", Bucket: true}
	w.state.FileStorage = &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "system-storage", UID: "a"}, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany},
	}}
	return w
}

func volumeNames(pod corev1.PodSpec) []string {
	var names []string
	for _, v := range pod.Volumes {
		names = append(names, v.Name)
	}
	return names
}

// TestStartRefillOfABucket: the Job gets what the status says that the login needs, and no volume of files.
func TestStartRefillOfABucket(t *testing.T) {
	for name, tc := range map[string]struct {
		reason  string
		omit    bool
		login   *v1alpha1.FileBucketLogin
		args    []string
		volumes []string
	}{
		"Keys": {"they are in the run", false, nil, []string{"--file-bucket"}, nil},
		"Role": {"the token is the pod's", false, &v1alpha1.FileBucketLogin{Audience: "openshift"}, []string{"--file-bucket-token=" + job.FileBucketTokenPath}, []string{"file-bucket-identity"}},
		"Omit": {"the Secret is the namespace's", true, &v1alpha1.FileBucketLogin{SecretName: "files"}, []string{"--file-bucket-secrets=" + job.FileBucketSecretsPath}, []string{"file-bucket-secret"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := fillsBucket(databaseSecret("files", "AWS_BUCKET", "somebodys-own"))
			w.restore.Status.FileBucket = tc.login
			if tc.omit {
				w.restore.Spec.FileStorage.BucketSecret = v1alpha1.BucketSecretOmit
			}
			require.NoError(t, w.startRefill(t.Context()))
			made := onlyJob(t, w)
			pod := made.Spec.Template.Spec
			assert.Subset(t, pod.Containers[0].Args, append(tc.args, "--file-bucket"), tc.reason)
			assert.Subset(t, volumeNames(pod), tc.volumes, tc.reason)
			assert.NotContains(t, volumeNames(pod), "file-storage")
			assert.NotContains(t, made.Annotations, v1alpha1.AnnotationFileStorage)
			for _, v := range pod.Volumes {
				if v.Name == "file-bucket-secret" {
					for _, item := range v.Projected.Sources[0].Secret.Items {
						assert.NotEqual(t, "somebodys-own", item.Key, "what else the Secret holds is none of the pod's business")
					}
				}
			}
		})
	}
}

// TestBucketSecretIsAwaited: somebody makes it, and nobody watches it.
func TestBucketSecretIsAwaited(t *testing.T) {
	w := fillsBucket()
	w.restore.Spec.FileStorage.BucketSecret = v1alpha1.BucketSecretOmit
	w.restore.Status.FileBucket = &v1alpha1.FileBucketLogin{SecretName: "files"}
	for _, start := range []func() error{func() error { return w.startInspect(t.Context()) }, func() error { return w.startRefill(t.Context()) }} {
		var problem *restore.Problem
		require.ErrorAs(t, start(), &problem)
		assert.Equal(t, v1alpha1.ReasonFileStorageUnusable, problem.Reason)
		assert.Contains(t, problem.Message, `Secret "files" does not exist in namespace "3scale"; create it`)
		assert.False(t, problem.Terminal)
	}
}

// TestInspectLooksAtTheBucket: whether the files go into one, only the run says.
func TestInspectLooksAtTheBucket(t *testing.T) {
	w := fillsBucket()
	w.restore.Spec.FileStorage.BucketSecret = v1alpha1.BucketSecretOmit
	require.NoError(t, w.startInspect(t.Context()))
	pod := onlyJob(t, w).Spec.Template.Spec
	assert.Subset(t, pod.Containers[0].Args, []string{"--file-bucket", "--file-bucket-secrets=" + job.FileBucketSecretsPath, "--file-storage=" + job.FileStoragePath})
	w.state.Inspection = &job.Inspection{}
	assert.True(t, w.input().OmitBucketSecret, "it is not committed")
}
