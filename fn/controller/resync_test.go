package controller

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/restore"
)

// worldOf is a call for a restore of namespace 3scale, in a cluster that serves
// the given kinds and holds the given objects.
func worldOf(t *testing.T, kinds []schema.GroupVersionKind, objects ...client.Object) *work {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, clientgoscheme.AddToScheme(scheme))
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range append(kinds, corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim")) {
		mapper.Add(kind, meta.RESTScopeNamespace)
		if !scheme.Recognizes(kind) {
			scheme.AddKnownTypeWithName(kind, &unstructured.Unstructured{})
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(mapper).WithObjects(objects...).Build()
	w := &work{Reconciler: &Reconciler{Client: c}, tenant: c}
	w.restore = &v1alpha1.ThreeScaleRestore{ObjectMeta: metav1.ObjectMeta{Name: "dr", Namespace: "3scale"}}
	w.state.APIManager = &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"uid": "a"}}}
	return w
}

var (
	deploymentKind       = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
	deploymentConfigKind = schema.GroupVersionKind{Group: "apps.openshift.io", Version: "v1", Kind: "DeploymentConfig"}
	apiManagerKind       = schema.GroupVersionKind{Group: "apps.3scale.net", Version: "v1alpha1", Kind: "APIManager"}
)

// sidekiqOf is a workload of a kind, with an image, that belongs to an APIManager.
func sidekiqOf(kind schema.GroupVersionKind, image, owner string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": "system-sidekiq", "namespace": "3scale"},
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
			"containers": []any{map[string]any{"name": "system-sidekiq", "image": image}},
		}}},
	}}
	u.SetGroupVersionKind(kind)
	u.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "apps.3scale.net/v1alpha1", Kind: "APIManager", Name: "example", UID: types.UID(owner)}})
	return u
}

func TestSidekiqTemplate(t *testing.T) {
	both := []schema.GroupVersionKind{deploymentKind, deploymentConfigKind}
	cases := map[string]struct {
		reason  string
		kinds   []schema.GroupVersionKind
		objects []client.Object
		want    string
	}{
		"Deployment":       {"since 2.15", both, []client.Object{sidekiqOf(deploymentKind, "new", "a")}, "new"},
		"DeploymentConfig": {"up to 2.14", both, []client.Object{sidekiqOf(deploymentConfigKind, "old", "a")}, "old"},
		"Both":             {"in the middle of an upgrade", both, []client.Object{sidekiqOf(deploymentKind, "new", "a"), sidekiqOf(deploymentConfigKind, "old", "a")}, "new"},
		"NotOpenShift":     {"the kind is not served", both[:1], []client.Object{sidekiqOf(deploymentKind, "new", "a")}, "new"},
		"SomebodyElses":    {"the Job would run it with the rights of the restore", both, []client.Object{sidekiqOf(deploymentKind, "evil", "b")}, ""},
		"None":             {"the operator has not made it", both, nil, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			template, err := worldOf(t, tc.kinds, tc.objects...).sidekiqTemplate(t.Context())
			if tc.want == "" {
				var problem *restore.Problem
				require.ErrorAs(t, err, &problem, tc.reason)
				assert.Equal(t, v1alpha1.ReasonResyncFailed, problem.Reason)
				return
			}
			require.NoError(t, err, tc.reason)
			assert.Equal(t, tc.want, template.Spec.Containers[0].Image, tc.reason)
		})
	}
}

// TestDoomed: a PVC whose owner is gone is deleted by the garbage collector.
func TestDoomed(t *testing.T) {
	apiManager := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "example", "namespace": "3scale", "uid": "a"}}}
	apiManager.SetGroupVersionKind(apiManagerKind)
	owned := func(owner string) *corev1.PersistentVolumeClaim {
		return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{OwnerReferences: sidekiqOf(deploymentKind, "", owner).GetOwnerReferences()}}
	}
	cases := map[string]struct {
		reason string
		pvc    *corev1.PersistentVolumeClaim
		live   []client.Object
		want   bool
	}{
		"None":    {"there is nothing to lose", nil, nil, false},
		"Free":    {"nobody owns it, as one that we made", &corev1.PersistentVolumeClaim{}, nil, false},
		"Owned":   {"its APIManager is there", owned("a"), []client.Object{apiManager}, false},
		"Gone":    {"its APIManager was deleted", owned("a"), nil, true},
		"Another": {"another has its name by now", owned("b"), []client.Object{apiManager}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := worldOf(t, []schema.GroupVersionKind{apiManagerKind}, tc.live...).doomed(t.Context(), tc.pvc)
			require.NoError(t, err)
			assert.Equal(t, tc.want, got, tc.reason)
		})
	}
}

// TestManyOwners: whoever owns a PVC by thousands costs the API server one request.
func TestManyOwners(t *testing.T) {
	reads := 0
	w := worldOf(t, []schema.GroupVersionKind{apiManagerKind})
	w.tenant = interceptor.NewClient(w.Client.(client.WithWatch), interceptor.Funcs{
		Get: func(_ context.Context, _ client.WithWatch, _ client.ObjectKey, into client.Object, _ ...client.GetOption) error {
			reads++
			into.SetUID("a")
			return nil
		},
	})
	pvc := &corev1.PersistentVolumeClaim{}
	for range 1000 {
		pvc.OwnerReferences = append(pvc.OwnerReferences, sidekiqOf(deploymentKind, "", "a").GetOwnerReferences()...)
	}
	doomed, err := w.doomed(t.Context(), pvc)
	require.NoError(t, err)
	assert.False(t, doomed)
	assert.Equal(t, 1, reads)
}

func TestResyncRights(t *testing.T) {
	names := func(kinds ...schema.GroupVersionKind) []string {
		rights, err := worldOf(t, kinds).resyncRights()
		require.NoError(t, err)
		out := make([]string, 0, len(rights))
		for _, r := range rights {
			out = append(out, r.String())
		}
		return out
	}
	assert.Equal(t, []string{"create jobs.batch", "get deployments.apps"}, names(deploymentKind), "nobody needs a right to what is not served")
	assert.Equal(t, []string{"create jobs.batch", "get deployments.apps", "get deploymentconfigs.apps.openshift.io"}, names(deploymentKind, deploymentConfigKind))
	assert.Equal(t, "get pods", right{"get", "", "pods"}.String())
}

// TestAskRights: the API server is asked for each right, and the missing ones are told.
func TestAskRights(t *testing.T) {
	no := false
	w := worldOf(t, []schema.GroupVersionKind{deploymentKind})
	w.tenant = interceptor.NewClient(w.Client.(client.WithWatch), interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, object client.Object, _ ...client.CreateOption) error {
			review, ok := object.(*authorizationv1.SelfSubjectAccessReview)
			require.True(t, ok)
			assert.Equal(t, "3scale", review.Spec.ResourceAttributes.Namespace)
			review.Status.Allowed = review.Spec.ResourceAttributes.Resource == "jobs"
			return nil
		},
	})
	missing, err := w.askRights(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"get apimanagers.apps.3scale.net", "get deployments.apps"}, missing)
	w.restore.Spec.PostRestore.ResyncZyncDomains = &no
	missing, err = w.askRights(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"get apimanagers.apps.3scale.net"}, missing, "what is not done needs no right")
}
