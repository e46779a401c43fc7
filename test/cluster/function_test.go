//go:build e2e && linux

package cluster_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/peers"
)

// testFunction applies a claim as a tenant: core may compose nothing until a
// ClusterRole is aggregated, and composes then.
func testFunction(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "echo")
	require.NoError(t, peers.Build(t.Context(), "./test/cluster/echo", binary))
	require.NoError(t, c.StartFunction(t.Context(), cluster.FunctionOptions{Package: "function-echo", Binary: binary}))
	require.NoError(t, c.Apply(t.Context(), "testdata/echo.yaml"))
	_, err := c.Kubectl(t.Context(), "", "wait", "--for=condition=Offered", "--timeout=60s", "xrd/xechoes.test.threescale.dev")
	require.NoError(t, err)

	tenant, err := c.Tenant(t.Context(), "function", "user", []rbacv1.PolicyRule{
		{APIGroups: []string{"test.threescale.dev"}, Resources: []string{"echoes"}, Verbs: []string{"*"}},
	})
	require.NoError(t, err)
	claim := filepath.Join(t.TempDir(), "claim.yaml")
	writeFile(t, claim, "apiVersion: test.threescale.dev/v1\nkind: Echo\nmetadata: {name: echo}\nspec: {}\n")
	_, err = c.Kubectl(t.Context(), tenant.Kubeconfig, "apply", "-f", claim)
	require.NoError(t, err)

	require.NoError(t, c.RestartFunction(t.Context()))
	require.NoError(t, c.StopFunction())
	require.NoError(t, c.RestartFunction(t.Context()))
	err = cluster.Eventually(t.Context(), wait, "core to be refused", func(ctx context.Context) error {
		var events corev1.EventList
		if err := c.Client().List(ctx, &events); err != nil {
			return err
		}
		for _, event := range events.Items {
			if strings.Contains(event.Message, `resourcequotas "echo" is forbidden`) {
				return nil
			}
		}
		return errors.New("no such event")
	})
	require.NoError(t, err)
	create(t, c, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "test-function", Labels: map[string]string{"rbac.crossplane.io/aggregate-to-crossplane": "true"}},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"resourcequotas"}, Verbs: []string{"*"}}},
	})
	err = cluster.Eventually(t.Context(), wait, "the composed ResourceQuota", func(ctx context.Context) error {
		return c.Client().Get(ctx, client.ObjectKey{Namespace: "function", Name: "echo"}, &corev1.ResourceQuota{})
	})
	require.NoError(t, err)
}
