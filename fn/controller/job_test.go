package controller

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/patch"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

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
	w.state = restore.State{Facts: restore.Facts{Restore: r, Backup: &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"lastRun": map[string]any{"id": run, "manifestSHA256": digest}}}}}}
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

// TestDatabaseImagesByOwnRights: an image of somebody who may make no pods would get the login of a database, and its dump.
func TestDatabaseImagesByOwnRights(t *testing.T) {
	for name, tc := range map[string]struct {
		why     string
		allowed []string
		account string
		policy  v1alpha1.DatabasesPolicy
		refused bool
	}{
		"Own":     {"nothing else bounds it", nil, "", v1alpha1.DatabasesIfEmpty, true},
		"Other":   {"another registry is allowed", []string{"registry.example.org/*"}, "", v1alpha1.DatabasesReplace, true},
		"Allowed": {"an administrator knows it", []string{"registry.example.com/*"}, "", v1alpha1.DatabasesIfEmpty, false},
		"Account": {"the account's rights bound it", nil, "restorer", v1alpha1.DatabasesIfEmpty, false},
		"Skip":    {"it does not run", nil, "", v1alpha1.DatabasesSkip, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, start := range []func(*work, context.Context) error{(*work).startInspect, (*work).startLoad} {
				w := loads()
				w.DatabaseImages, w.restore.Spec.ServiceAccountName, w.restore.Spec.Databases.Policy = tc.allowed, tc.account, tc.policy
				err := start(w, t.Context())
				if !tc.refused {
					require.NoError(t, err, tc.why)
					continue
				}
				var problem *restore.Problem
				require.ErrorAs(t, err, &problem, tc.why)
				assert.Equal(t, v1alpha1.ReasonDatabaseImageRefused, problem.Reason)
				assert.Contains(t, problem.Message, `spec.databases.system.image "registry.example.com/postgresql-15"`)
				var jobs batchv1.JobList
				require.NoError(t, w.List(t.Context(), &jobs))
				assert.Empty(t, jobs.Items)
			}
		})
	}
}

// TestPlanOfBefore: a plan that was made of another look, as by a dry run, is gone from the status before the Job is there that looks again.
// Whoever finds the Job later, after a call that was cut off, would go on by it.
func TestPlanOfBefore(t *testing.T) {
	lost := errors.New("the answer was lost")
	var done []string
	pvc := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "nightly-backup", Namespace: "3scale"}}
	repository := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Name: "apps", Namespace: "3scale"}, Spec: sourcev1.GitRepositorySpec{Reference: &sourcev1.GitRepositoryRef{Branch: "main"}}}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "3scale"}}
	r := reconcilingOf(t, stored, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.CreateOption) error {
			if _, isJob := object.(*batchv1.Job); !isJob {
				return c.Create(ctx, object, opts...)
			}
			done = append(done, "made the Job")
			return errors.Join(c.Create(ctx, object, opts...), lost)
		},
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return nil },
		SubResourcePatch: func(_ context.Context, _ client.Client, _ string, object client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) error {
			data, err := patch.Data(object)
			assert.JSONEq(t, `{"status":{"plan":null}}`, string(data))
			done = append(done, "dropped the plan")
			return err
		},
	}, pvc, repository, namespace)
	obj := &v1alpha1.ThreeScaleRestore{}
	ok, err := read(t.Context(), r.Client, "3scale", "dr", obj)
	require.NoError(t, err)
	require.True(t, ok)
	obj.Status.Attempt = strings.Repeat("0", 64)
	obj.Status.Plan = &v1alpha1.Plan{Run: "20261122t020000z-1a2b3c4d"}
	w, err := r.newWork(obj, patch.NewSerialPatcher(obj, r.Client))
	require.NoError(t, err)
	w.state.Branch = &restore.Branch{}
	_, err = w.proceed(t.Context())
	require.ErrorIs(t, err, lost)
	assert.Nil(t, obj.Status.Plan)
	assert.Equal(t, []string{"dropped the plan", "made the Job"}, done)
}
