//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/test/cluster"
)

// TestAfterAllOthers is what can only come last.
func TestAfterAllOthers(t *testing.T) {
	last(t)
	switchToNamespaced(t)
	t.Run("Namespaced", namespaced)
	t.Run("NoValueLeaked", noValueLeaked)
}

// switchToNamespaced replaces the flavour with claims by the one without, as
// its users would: no claim is left, the XRD goes, the other one comes.
func switchToNamespaced(t *testing.T) {
	t.Helper()
	require.NoError(t, cluster.Eventually(t.Context(), patience, "all composites to go", func(ctx context.Context) error {
		out, err := shared.Kubectl(ctx, "", "get", "xthreescalebackups,threescalebackups", "--all-namespaces", "-o", "name")
		if err == nil && out != "" {
			err = fmt.Errorf("there are %s", strings.Fields(out))
		}
		return err
	}))
	require.NoError(t, removeFlavour(t.Context(), shared, claimFlavour))
	require.NoError(t, installFlavour(t.Context(), shared, namespacedFlavour))
}

// namespaced is the way of the flavour without claims: the user writes the
// composite itself, and with it the labels that a claim's author cannot.
func namespaced(t *testing.T) {
	w, other := newTenant(t), newTenant(t, second, func(o *options) { o.objects.Seed = 2 })
	var forged map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(claim(nightly, tenGi)), &forged))
	forged["metadata"].(map[string]any)["labels"] = map[string]any{
		"crossplane.io/claim-namespace": other.namespace, "crossplane.io/claim-name": nightly,
	}
	text, err := yaml.Marshal(forged)
	require.NoError(t, err)
	require.NoError(t, w.apply(string(text)))
	first := lastRun(w.untilCompleted(nightly))
	w.assertOwnBackup(first, other)

	before, err := w.pvc(t.Context(), nightlyVolume)
	require.NoError(t, err)
	w.remove(nightly)
	w.untilOnly("persistentvolumeclaim/" + nightlyVolume + "\n")
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	again := lastRun(w.untilCompleted(nightly, first))
	adopted, err := w.pvc(t.Context(), nightlyVolume)
	require.NoError(t, err)
	assert.Equal(t, before.UID, adopted.UID)
	require.NoError(t, w.apply(withTrigger(nightly, "once more")))
	third := lastRun(w.untilCompleted(nightly, first, again))
	assert.Equal(t, []string{first, again, third}, w.verified(w.volumeDir(nightlyVolume)))
}

// secret reads a Secret of the installation.
func (w *tenant) secret(name string) *corev1.Secret {
	w.t.Helper()
	secret := &corev1.Secret{}
	require.NoError(w.t, shared.Client().Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, secret))
	return secret
}
