//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/test/cluster"
)

// TestControllerOnOpenShift: the pod of the shipped Deployment, under the user
// that its namespace gives it. It is ready, and leaves all restores to the
// controller of the other tests.
func TestControllerOnOpenShift(t *testing.T) {
	withOpenShift(t)
	withFlux(t)
	parallel(t)
	const controllerImage = "docker.io/local/threescale-backup-controller:e2e"
	require.NoError(t, shared.LoadImage(t.Context(), cluster.Image{Name: controllerImage, Binaries: map[string]string{"/controller": flux.binary}, Entrypoint: []string{"/controller"}, User: "65532:65532"}))
	namespace := &corev1.Namespace{}
	require.NoError(t, shared.Client().Get(t.Context(), types.NamespacedName{Name: controllerNamespace}, namespace))
	cluster.AsOpenShift(namespace, otherUser)
	require.NoError(t, shared.Client().Update(t.Context(), namespace))

	data, err := os.ReadFile("../../manifests/controller/deployment.yaml")
	require.NoError(t, err)
	var deployment appsv1.Deployment
	require.NoError(t, yaml.UnmarshalStrict(data, &deployment))
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: controllerNamespace, Name: "on-openshift"}, Spec: deployment.Spec.Template.Spec}
	pod.Spec.Containers[0].Image = controllerImage
	pod.Spec.Containers[0].Args = append(slices.Clone(pod.Spec.Containers[0].Args), "--watch-label-selector=nobody=this")
	untilReadyAs(t, pod, otherUser)
}

// TestFunctionOnOpenShift: in a pod that sets no user. Crossplane's own default
// is another one: see its DeploymentRuntimeConfig.
func TestFunctionOnOpenShift(t *testing.T) {
	withOpenShift(t)
	parallel(t)
	w := newTenant(t, onOpenShift)
	pod := w.plainPod()
	pod.Spec.Containers[0].Image = image
	pod.Spec.Containers[0].Args = []string{"--insecure"}
	pod.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(9443)}}}
	untilReadyAs(t, pod, firstUser)
}

// untilReadyAs makes a pod, waits until it is ready, and looks at whom it runs as.
func untilReadyAs(t *testing.T, pod *corev1.Pod, user int64) {
	t.Helper()
	key := client.ObjectKeyFromObject(pod)
	untilAssigned(t, pod, user)
	require.NoError(t, shared.Client().Create(t.Context(), pod.DeepCopy()))
	t.Cleanup(func() {
		assert.NoError(t, client.IgnoreNotFound(shared.Client().Delete(context.Background(), pod)))
	})
	require.NoError(t, cluster.Eventually(t.Context(), patience, "the pod to be ready", func(ctx context.Context) error {
		if err := shared.Client().Get(ctx, key, pod); err != nil {
			return err
		}
		if !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue }) {
			log, _ := shared.Kubectl(ctx, "", "-n", pod.Namespace, "logs", pod.Name, "--tail=5") // there may be none yet
			return fmt.Errorf("status is %v, log is %s", pod.Status.ContainerStatuses, log)
		}
		return nil
	}))
	assert.Equal(t, user, *pod.Spec.Containers[0].SecurityContext.RunAsUser)
	assert.Nil(t, pod.Spec.SecurityContext.RunAsUser)
}
