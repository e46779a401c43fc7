//go:build e2e

package install

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/peers"
)

const (
	crossplaneNamespace = "crossplane-system"
	functionPackage     = "function-threescale-backup"
	assignedUser        = 1_000_740_000
)

// TestFunctionOnOpenShift: Crossplane's own default is refused there, and what
// is shipped for it lets the function run as whoever is assigned.
func TestFunctionOnOpenShift(t *testing.T) {
	registry, err := shared.StartRegistry(t.Context())
	require.NoError(t, err)
	kubectl, err := peers.Binary(t.Context(), "kubectl")
	require.NoError(t, err)
	r := newReader(t, "KUBECONFIG="+shared.Kubeconfig(), "PATH="+filepath.Dir(kubectl)+":"+os.Getenv("PATH"),
		"GIT_AUTHOR_NAME=reader", "GIT_AUTHOR_EMAIL=reader@example.com", "GIT_COMMITTER_NAME=reader", "GIT_COMMITTER_EMAIL=reader@example.com")
	r.shell("make push VERSION=v0.1.0 REGISTRY=" + registry + "/backup")
	require.NoError(t, shared.PlayOpenShift(t.Context()))
	assign(t, crossplaneNamespace)

	r.shell(fmt.Sprintf(`kubectl apply -f - <<EOF
{apiVersion: pkg.crossplane.io/v1, kind: Function, metadata: {name: %s}, spec: {package: "%s/backup/%s:v0.1.0"}}
EOF`, functionPackage, registry, functionPackage))
	require.NoError(t, cluster.Eventually(t.Context(), patience, "Crossplane's own user to be refused", func(ctx context.Context) error {
		var events corev1.EventList
		if err := shared.Client().List(ctx, &events, client.InNamespace(crossplaneNamespace)); err != nil {
			return err
		}
		for _, event := range events.Items {
			if event.Reason == "FailedCreate" && strings.Contains(event.Message, "restricted-v2: runAsUser") {
				return nil
			}
		}
		return fmt.Errorf("none of %d events says so", len(events.Items))
	}))

	r.shell("kubectl apply -k manifests/openshift\n" +
		"kubectl patch function.pkg.crossplane.io " + functionPackage + ` --type merge -p '{"spec":{"runtimeConfigRef":{"name":"openshift"}}}'` + "\n" +
		"kubectl wait function.pkg.crossplane.io/" + functionPackage + " --for=condition=Healthy --timeout=3m")
	var pods corev1.PodList
	require.NoError(t, shared.Client().List(t.Context(), &pods, client.InNamespace(crossplaneNamespace), client.MatchingLabels{"pkg.crossplane.io/function": functionPackage}))
	require.NotEmpty(t, pods.Items)
	for _, pod := range pods.Items {
		assert.EqualValues(t, assignedUser, *pod.Spec.Containers[0].SecurityContext.RunAsUser)
		assert.Nil(t, pod.Spec.SecurityContext.RunAsUser)
	}
	r.shell("kubectl delete function.pkg.crossplane.io " + functionPackage)
}

// assign makes a namespace one of OpenShift.
func assign(t *testing.T, name string) {
	t.Helper()
	namespace := &corev1.Namespace{}
	require.NoError(t, shared.Client().Get(t.Context(), types.NamespacedName{Name: name}, namespace))
	cluster.AsOpenShift(namespace, assignedUser)
	require.NoError(t, shared.Client().Update(t.Context(), namespace))
}
