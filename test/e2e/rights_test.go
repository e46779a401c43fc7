//go:build e2e

package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// canI asks whether an account may do something in a namespace.
func (w *tenant) canI(account string, args ...string) bool {
	w.t.Helper()
	out, err := w.c.Kubectl(w.t.Context(), "", append([]string{"auth", "can-i", "--as", "system:serviceaccount:" + account, "-n", w.namespace}, args...)...)
	// kubectl says no by its exit code too.
	answer := strings.TrimSpace(out)
	require.Contains(w.t, []string{"yes", "no"}, answer, "%v", err)
	return answer == "yes"
}

// TestCrossplaneHasTheShippedRights: what manifests/rbac lists is what
// Crossplane's own account may do, by aggregation alone.
func TestCrossplaneHasTheShippedRights(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	data, err := os.ReadFile("../../manifests/rbac/clusterrole.yaml")
	require.NoError(t, err)
	var role rbacv1.ClusterRole
	require.NoError(t, yaml.Unmarshal(data, &role))
	require.NotEmpty(t, role.Rules)
	const core = "crossplane-system:crossplane"
	for _, rule := range role.Rules {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				name := strings.TrimSuffix(resource+"."+rule.APIGroups[0], ".")
				assert.True(t, w.canI(core, verb, name), "%s %s", verb, name)
			}
		}
	}
	for _, more := range [][]string{{"create", "pods"}, {"create", "pods/exec"}, {"delete", "namespaces"}, {"delete", "persistentvolumes"}, {"update", "apimanagers.apps.3scale.net"}, {"bind", "roles.rbac.authorization.k8s.io"}, {"escalate", "roles.rbac.authorization.k8s.io"}} {
		assert.False(t, w.canI(core, more...), "%v", more)
	}
}

// TestMoverMayWriteItsReportOnly: the account of the pod may read and patch one
// ConfigMap, and nothing else.
func TestMoverMayWriteItsReportOnly(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	w.untilCompleted(nightly)
	report := strings.TrimSpace(w.admin("get", "configmaps", "-l", "backup.threescale.dev/run", "-o", "jsonpath={.items[*].metadata.name}"))
	require.NotEmpty(t, report)
	mover := w.namespace + ":nightly-mover"
	for _, verb := range []string{"get", "patch"} {
		assert.True(t, w.canI(mover, verb, "configmaps/"+report), verb)
	}
	for _, verb := range []string{"update", "delete"} {
		assert.False(t, w.canI(mover, verb, "configmaps/"+report), verb)
	}
	for _, other := range [][]string{
		{"get", "configmaps/system-environment"}, {"list", "configmaps"}, {"create", "configmaps"},
		{"get", "secrets"}, {"list", "secrets"}, {"get", "secrets/system-seed"},
		{"get", "pods"}, {"create", "pods"}, {"get", "persistentvolumeclaims"}, {"get", "threescalebackups.backup.threescale.dev"},
	} {
		assert.False(t, w.canI(mover, other...), "%v", other)
	}
}
