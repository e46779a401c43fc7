package openshift

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func sidekiq() *unstructured.Unstructured {
	dc := newObject(deploymentConfigKind())
	dc.SetNamespace("3scale")
	dc.SetName("system-sidekiq")
	dc.SetUID("1")
	dc.SetLabels(map[string]string{"app": "3scale-api-management"})
	dc.Object["spec"] = map[string]any{
		"selector": map[string]any{"deploymentConfig": "system-sidekiq"},
		"template": map[string]any{
			"metadata": map[string]any{"creationTimestamp": nil, "labels": map[string]any{"deploymentConfig": "system-sidekiq"}},
			"spec": map[string]any{
				"initContainers": []any{map[string]any{"name": "check-svc", "image": "amp-system:latest"}},
				"containers": []any{
					map[string]any{"name": "system-sidekiq", "image": "amp-system:latest"},
					map[string]any{"name": "other", "image": "other"},
				},
			},
		},
	}
	return dc
}

// TestReplicationController: what APIManagerRestore looks for its pod by, and
// what has the pods go with the DeploymentConfig.
func TestReplicationController(t *testing.T) {
	dc := sidekiq()
	rc, err := replicationController(dc, 2)
	require.NoError(t, err)
	assert.Equal(t, "system-sidekiq-1", rc.Name)
	assert.True(t, metav1.IsControlledBy(rc, dc))
	labels := map[string]string{"deployment": "system-sidekiq-1", "deploymentconfig": "system-sidekiq", "deploymentConfig": "system-sidekiq"}
	assert.Equal(t, labels, rc.Spec.Template.Labels)
	assert.Equal(t, labels, rc.Spec.Selector)
	assert.Equal(t, int32(2), *rc.Spec.Replicas)
}

func TestSetImages(t *testing.T) {
	dc := sidekiq()
	require.NoError(t, setImages(dc, []string{"check-svc", "system-sidekiq"}, "image:1"))
	rc, err := replicationController(dc, 1)
	require.NoError(t, err)
	spec := rc.Spec.Template.Spec
	assert.Equal(t, []string{"image:1", "image:1", "other"}, []string{spec.InitContainers[0].Image, spec.Containers[0].Image, spec.Containers[1].Image})
}

func TestHasAdmitted(t *testing.T) {
	route := newObject(routeKind())
	assert.False(t, hasAdmitted(route, "a.example.com", corev1.ConditionTrue), "a new route")
	route.Object["status"] = map[string]any{"ingress": []any{map[string]any{
		"host": "a.example.com", "conditions": []any{map[string]any{"type": "Admitted", "status": "True"}},
	}}}
	assert.True(t, hasAdmitted(route, "a.example.com", corev1.ConditionTrue))
	assert.False(t, hasAdmitted(route, "b.example.com", corev1.ConditionTrue), "the host was changed")
	assert.False(t, hasAdmitted(route, "a.example.com", corev1.ConditionFalse), "it is refused since")
}
