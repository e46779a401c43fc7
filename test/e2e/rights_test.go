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

// assertShipped asks for every right of a shipped ClusterRole, and for some that
// its account must not have.
func (w *tenant) assertShipped(account, file string, not [][]string) {
	w.t.Helper()
	data, err := os.ReadFile("../../manifests/" + file)
	require.NoError(w.t, err)
	var role rbacv1.ClusterRole
	require.NoError(w.t, yaml.Unmarshal(data, &role))
	require.NotEmpty(w.t, role.Rules)
	for _, rule := range role.Rules {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				kind, sub, _ := strings.Cut(resource, "/")
				args := []string{verb, strings.TrimSuffix(kind+"."+rule.APIGroups[0], ".")}
				if sub != "" {
					args = append(args, "--subresource="+sub)
				}
				assert.True(w.t, w.canI(account, args...), "%v", args)
			}
		}
	}
	for _, more := range not {
		assert.False(w.t, w.canI(account, more...), "%v", more)
	}
}

// TestCrossplaneHasTheShippedRights: what manifests/rbac lists is what
// Crossplane's own account may do, by aggregation alone.
func TestCrossplaneHasTheShippedRights(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	assert.True(t, w.canI("crossplane-system:crossplane", "update", "xthreescalebackups.backup.threescale.dev", "--subresource=finalizers"), "its RBAC manager sees to that, which OpenShift asks for")
	w.assertShipped("crossplane-system:crossplane", "rbac/clusterrole.yaml", [][]string{
		{"create", "pods"}, {"create", "pods", "--subresource=exec"}, {"delete", "namespaces"}, {"delete", "persistentvolumes"},
		{"update", "apimanagers.apps.3scale.net"}, {"update", "namespaces", "--subresource=finalizers"}, {"bind", "roles.rbac.authorization.k8s.io"}, {"escalate", "roles.rbac.authorization.k8s.io"},
	})
}

// TestControllerHasTheShippedRights: what manifests/controller lists, and no
// way to what Flux is there for, to a shell, or to more rights.
func TestControllerHasTheShippedRights(t *testing.T) {
	withFlux(t)
	parallel(t)
	newTenant(t).assertShipped(controllerNamespace+":"+controllerAccount, "controller/clusterrole.yaml", [][]string{
		{"create", "pods"}, {"create", "pods", "--subresource=exec"}, {"get", "pods", "--subresource=log"},
		{"create", "apimanagers.apps.3scale.net"}, {"patch", "apimanagers.apps.3scale.net"}, {"delete", "apimanagers.apps.3scale.net"},
		{"delete", "persistentvolumeclaims"}, {"patch", "persistentvolumeclaims"}, {"patch", "persistentvolumes"}, {"delete", "persistentvolumes"},
		{"patch", "kustomizations.kustomize.toolkit.fluxcd.io"}, {"create", "gitrepositories.source.toolkit.fluxcd.io"}, {"update", "secrets"}, {"watch", "secrets"},
		{"patch", "threescalerestores.backup.threescale.dev"}, {"update", "threescalerestores.backup.threescale.dev", "--subresource=finalizers"}, {"patch", "roles.rbac.authorization.k8s.io"},
		{"bind", "roles.rbac.authorization.k8s.io"}, {"escalate", "roles.rbac.authorization.k8s.io"}, {"create", "clusterrolebindings.rbac.authorization.k8s.io"}, {"impersonate", "users"}, {"impersonate", "groups"},
	})
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
