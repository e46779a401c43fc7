package controller

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/restore"
)

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
			w.observed.Restore = r
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
