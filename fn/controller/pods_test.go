package controller

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"threescale.dev/backup/fn/threescale"
)

// TestOwnersDoNotBlock: OpenShift lets nobody block the deletion of a restore
// who may not update its finalizers, which neither the controller may nor a
// ServiceAccount that a restore names.
func TestOwnersDoNotBlock(t *testing.T) {
	w := &work{restore: someRestore()}
	owners := w.owners()
	assert.Len(t, owners, 1)
	assert.True(t, *owners[0].Controller)
	assert.Nil(t, owners[0].BlockOwnerDeletion)
}

// serving lists pods as an API server does, and only their names: whoever makes them may make them large, and many.
func serving(t *testing.T, pods []corev1.Pod) client.Client {
	t.Helper()
	return reconcilingOf(t, stored, interceptor.Funcs{
		List: func(_ context.Context, _ client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			var o client.ListOptions
			o.ApplyOptions(opts)
			assert.Positive(t, o.Limit)
			names, ok := list.(*metav1.PartialObjectMetadataList)
			require.True(t, ok, "%T", list)
			for _, pod := range pods {
				shown := fields.Set{"status.phase": string(pod.Status.Phase), "spec.nodeName": pod.Spec.NodeName}
				if o.LabelSelector.Matches(labels.Set(pod.Labels)) && o.FieldSelector.Matches(shown) && len(names.Items) < int(o.Limit) {
					names.Items = append(names.Items, metav1.PartialObjectMetadata{ObjectMeta: pod.ObjectMeta})
				}
			}
			return nil
		},
	}).Client
}

// TestMounting: a file storage that one node can mount is filled where pods of 3scale have it, if there are any.
func TestMounting(t *testing.T) {
	pod := func(node string, phase corev1.PodPhase) corev1.Pod {
		placed := threescale.FileStoragePodSelector("").MatchExpressions[0]
		return corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{placed.Key: placed.Values[0]}},
			Spec:       corev1.PodSpec{NodeName: node},
			Status:     corev1.PodStatus{Phase: phase},
		}
	}
	for name, tc := range map[string]struct {
		pods []corev1.Pod
		want bool
	}{
		"None":        {nil, false},
		"Running":     {[]corev1.Pod{pod("n", corev1.PodRunning)}, true},
		"Starting":    {[]corev1.Pod{pod("n", corev1.PodPending)}, true},
		"Unscheduled": {[]corev1.Pod{pod("", corev1.PodPending)}, false},
		"Failed":      {[]corev1.Pod{pod("n", corev1.PodFailed), pod("n", corev1.PodSucceeded)}, false},
		"OneOfMany":   {[]corev1.Pod{pod("n", corev1.PodFailed), pod("", corev1.PodPending), pod("n", corev1.PodRunning)}, true},
		"Other":       {[]corev1.Pod{{Spec: corev1.PodSpec{NodeName: "n"}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := &work{restore: someRestore(), tenant: serving(t, tc.pods)}
			selector, err := w.mounting(t.Context())
			require.NoError(t, err)
			assert.Equal(t, tc.want, selector != nil)
		})
	}
}

// TestOperatorVersion: the operator is the pod that runs.
func TestOperatorVersion(t *testing.T) {
	pod := func(version string, age time.Duration, phase corev1.PodPhase) corev1.Pod {
		return corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{labelSubcomponent: operatorSubcomponent, labelComponentVersion: version}, CreationTimestamp: metav1.NewTime(noon.Add(-age))},
			Status:     corev1.PodStatus{Phase: phase},
		}
	}
	going := pod("2.15", time.Minute, corev1.PodRunning)
	going.DeletionTimestamp = &metav1.Time{Time: noon}
	for name, tc := range map[string]struct {
		reason string
		pods   []corev1.Pod
		want   string
	}{
		"None":     {"It may watch from another namespace", nil, ""},
		"One":      {"", []corev1.Pod{pod("2.16", time.Hour, corev1.PodRunning)}, "2.16"},
		"Evicted":  {"What was evicted stays for days", []corev1.Pod{pod("2.16", time.Minute, corev1.PodRunning), pod("2.15", time.Hour, corev1.PodFailed)}, "2.16"},
		"Younger":  {"Also one that was evicted later", []corev1.Pod{pod("2.16", time.Hour, corev1.PodRunning), pod("2.15", time.Minute, corev1.PodFailed)}, "2.16"},
		"Upgraded": {"The list is in no order", []corev1.Pod{pod("2.16", time.Minute, corev1.PodRunning), pod("2.15", time.Hour, corev1.PodRunning)}, "2.16"},
		"Pulling":  {"It does nothing yet", []corev1.Pod{pod("2.15", time.Hour, corev1.PodRunning), pod("2.16", time.Minute, corev1.PodPending)}, "2.15"},
		"Going":    {"It is about to be gone", []corev1.Pod{pod("2.16", time.Hour, corev1.PodRunning), going}, "2.16"},
		"Gone":     {"", []corev1.Pod{pod("2.16", time.Hour, corev1.PodSucceeded)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := &work{restore: someRestore(), tenant: serving(t, tc.pods)}
			require.NoError(t, w.observeOperator(t.Context()))
			assert.Equal(t, tc.want, w.state.OperatorVersion, tc.reason)
		})
	}
}
