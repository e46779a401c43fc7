package controller

import (
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/restore"
)

// TestInspectIsToldTheDigest that the ThreeScaleBackup knows of its newest run.
func TestInspectIsToldTheDigest(t *testing.T) {
	const run = "20261122t020000z-1a2b3c4d"
	digest := strings.Repeat("a", 64)
	r := someRestore()
	r.Spec.RestoreSource = v1alpha1.RestoreSource{BackupRef: &meta.LocalObjectReference{Name: "nightly"}, Run: job.Latest}
	c := fake.NewClientBuilder().WithObjects(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.Namespace}}).Build()
	w := &work{Reconciler: &Reconciler{Client: c}, restore: r, tenant: c}
	w.state = restore.State{Facts: restore.Facts{Restore: r, Backup: restore.Object{"status": map[string]any{"lastRun": map[string]any{"id": run, "manifestSHA256": digest}}}}}
	require.NoError(t, w.startInspect(t.Context()))
	var jobs batchv1.JobList
	require.NoError(t, c.List(t.Context(), &jobs))
	require.Len(t, jobs.Items, 1)
	assert.Subset(t, jobs.Items[0].Spec.Template.Spec.Containers[0].Args, []string{"--run=" + run, "--manifest-sha256=" + digest})
}

// TestJobByOwnRights: without a ServiceAccount the controller makes the pods of
// somebody who may make none.
func TestJobByOwnRights(t *testing.T) {
	root := v1alpha1.JobSettings{PodSecurityContext: &corev1.PodSecurityContext{RunAsUser: new(int64)}}
	for name, tc := range map[string]struct {
		why, account, defaultAccount string
		job                          v1alpha1.JobSettings
		refused                      bool
	}{
		"Own":              {"nothing else bounds it", "", "", root, true},
		"OwnRestricted":    {"what meets Pod Security is nobody's harm", "", "", v1alpha1.JobSettings{}, false},
		"Account":          {"the account's rights bound it", "restorer", "", root, false},
		"AccountByDefault": {"likewise", "", "restorer", root, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := someRestore()
			r.Spec.Job, r.Spec.ServiceAccountName = tc.job, tc.account
			c := fake.NewClientBuilder().WithObjects(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.Namespace}}).Build()
			w := &work{Reconciler: &Reconciler{Client: c, DefaultServiceAccount: tc.defaultAccount}, restore: r, tenant: c}
			w.state.Restore = r
			err := w.startInspect(t.Context())
			var jobs batchv1.JobList
			require.NoError(t, c.List(t.Context(), &jobs))
			if !tc.refused {
				require.NoError(t, err, tc.why)
				assert.Len(t, jobs.Items, 1)
				return
			}
			var problem *restore.Problem
			require.ErrorAs(t, err, &problem, tc.why)
			assert.Equal(t, v1alpha1.ReasonJobRefused, problem.Reason)
			assert.Empty(t, jobs.Items)
		})
	}
}
