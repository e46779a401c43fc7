//go:build e2e

package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"

	"threescale.dev/backup/test/peers"
)

// TestCommandLineBacksUpALiveNamespace needs no Crossplane: it reads with the
// user's own rights, and changes nothing in the cluster.
func TestCommandLineBacksUpALiveNamespace(t *testing.T) {
	w := newTenant(t)
	binary := filepath.Join(t.TempDir(), "threescale-backup")
	require.NoError(t, peers.Build(t.Context(), "./fn/cmd/threescale-backup", binary))
	reader, err := shared.Tenant(t.Context(), w.namespace, "reader", []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"secrets", "configmaps", "persistentvolumeclaims"}, Verbs: []string{"get"}},
		{APIGroups: []string{"apps.3scale.net"}, Resources: []string{"apimanagers"}, Verbs: []string{"list"}},
	})
	require.NoError(t, err)
	volume := filepath.Join(t.TempDir(), "volume")
	run := func(kubeconfig string, args ...string) (string, error) {
		args = append(args, "--kubeconfig", kubeconfig, "--namespace", w.namespace, "--volume", volume, "--file-storage", w.files)
		out, err := exec.CommandContext(t.Context(), binary, args...).CombinedOutput()
		return string(out), err
	}

	out, err := run(w.account.Kubeconfig, "backup")
	require.Error(t, err, "this account may read no Secret")
	assert.Contains(t, out, "forbidden")

	out, err = run(reader.Kubeconfig, "backup")
	require.NoError(t, err, out)
	assert.Contains(t, out, "verified")
	verify := exec.CommandContext(t.Context(), binary, "verify", "--volume", volume)
	verified, err := verify.CombinedOutput()
	require.NoError(t, err, string(verified))
	assert.Contains(t, string(verified), "120 files")
}
