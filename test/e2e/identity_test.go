//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// composite is the YAML of a cluster-scoped composite as nobody but Crossplane
// makes it.
func composite(name, label, claimRef string) string {
	return fmt.Sprintf(`
apiVersion: backup.threescale.dev/v1alpha1
kind: XThreeScaleBackup
metadata: {name: %s, labels: {%s}}
spec: {%s backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}}}}
`, name, label, claimRef)
}

// TestCompositeThatProvesNoNamespace: a composite that does not come from a
// claim, or was tampered with, reads and composes nothing, wherever it points.
func TestCompositeThatProvesNoNamespace(t *testing.T) {
	parallel(t)
	w, other := newTenant(t), newTenant(t, second)
	label := func(namespace string) string {
		return "crossplane.io/claim-name: forged, crossplane.io/claim-namespace: " + namespace
	}
	ref := func(namespace string) string {
		return "claimRef: {apiVersion: backup.threescale.dev/v1alpha1, kind: ThreeScaleBackup, name: forged, namespace: " + namespace + "},"
	}
	for _, tc := range []struct{ name, label, ref, text string }{
		{"another-label", label(other.namespace), ref(w.namespace), "delete it and apply the claim again"},
		{"neither", "", "", "apply a ThreeScaleBackup in the namespace of the installation instead"},
		{"label-only", label(w.namespace), "", "apply a ThreeScaleBackup in the namespace of the installation instead"},
		{"reference-only", "", ref(w.namespace), "apply a ThreeScaleBackup in the namespace of the installation instead"},
	} {
		name := w.namespace[:20] + "-" + tc.name
		text := composite(name, tc.label, tc.ref)
		require.Error(t, w.apply(text), "a tenant may not make composites")
		require.NoError(t, shared.ApplyYAML(t.Context(), []byte(text)))
		t.Cleanup(func() {
			_, err := shared.Kubectl(context.Background(), "", "delete", "xthreescalebackup", name)
			assert.NoError(t, err)
		})
		var xr *unstructured.Unstructured
		w.eventually("the composite to be refused", func(ctx context.Context) (err error) {
			if xr, err = getComposite(ctx, name); err == nil && condition(xr, "PreflightPassed")["reason"] != "NamespaceRefused" {
				err = fmt.Errorf("conditions are %s", conditions(xr))
			}
			return err
		})
		w.assertCondition(xr, "PreflightPassed", "False", "NamespaceRefused", tc.text)
		w.assertCondition(xr, "BackupCompleted", "False", "NamespaceRefused")
		w.assertCondition(xr, "Synced", "False", "ReconcileError", tc.text)
		refs, _, _ := unstructured.NestedSlice(xr.Object, "spec", "resourceRefs")
		assert.Empty(t, refs, tc.name)
	}
	assert.Empty(t, w.leftovers())
	assert.Empty(t, other.leftovers())
}

// TestClaimCannotNameAnotherNamespace: Crossplane writes the labels of a
// composite over whatever the claim has, so that a claim backs up its own
// namespace whatever its author puts there.
func TestClaimCannotNameAnotherNamespace(t *testing.T) {
	parallel(t)
	w, other := newTenant(t), newTenant(t, second, func(o *options) { o.objects.Seed = 2 })
	var forged map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(claim(nightly, tenGi)), &forged))
	forged["metadata"].(map[string]any)["labels"] = map[string]any{"crossplane.io/claim-namespace": other.namespace}
	text, err := yaml.Marshal(forged)
	require.NoError(t, err)
	require.NoError(t, w.apply(string(text)))
	done := w.untilCompleted(nightly)
	w.assertOwnBackup(lastRun(done), other)
}

// assertOwnBackup checks that a run is of the tenant's own installation, and
// that nothing was made in the other tenant's namespace.
func (w *tenant) assertOwnBackup(run string, other *tenant) {
	w.t.Helper()
	dir := w.volumeDir(nightlyVolume)
	assert.Equal(w.t, []string{run}, w.verified(dir))
	assert.Equal(w.t, w.namespace, w.runs(dir)[0].Manifest.Source.Namespace)
	assert.Empty(w.t, other.leftovers())
	for _, name := range []string{"system-seed", "zync"} {
		stored := w.storedSecret(dir, name)
		assert.True(w.t, sameSecret(w.secret(name), stored), "Secret %s is its own", name)
		assert.False(w.t, sameSecret(other.secret(name), stored), "Secret %s is the other's", name)
	}
	assert.NotContains(w.t, w.admin("get", "events", "-o", "yaml"), "namespace: "+other.namespace+"\n")
}
