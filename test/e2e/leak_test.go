//go:build e2e

package e2e

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
)

// leaks tells whether a confidential value of an installation, or a key of a bucket, stands in a text.
func leaks(text string) bool {
	for _, form := range slices.Concat(dataset.MarkerForms(), keyForms()) {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

// checkLeaks looks at everything of a namespace that somebody without rights on
// Secrets may read. Each test does so before its namespace goes.
func (w *tenant) checkLeaks(ctx context.Context) {
	if w.flavour == claimFlavour {
		out, err := w.c.Kubectl(ctx, "", "get", "xthreescalebackups", "-l", "crossplane.io/claim-namespace="+w.namespace, "-o", "yaml", "--show-managed-fields")
		assert.NoError(w.t, err)
		assert.False(w.t, leaks(out), "a composite of namespace %s holds a value of a Secret", w.namespace)
	}
	watched := []string{"threescalebackups.backup.threescale.dev", "events", "jobs,pods,persistentvolumeclaims", "serviceaccounts,roles,rolebindings"}
	if flux.controller != nil {
		watched = append(watched, "threescalerestores,gitrepositories,kustomizations")
	}
	for _, kinds := range watched {
		out, err := w.c.Kubectl(ctx, "", "-n", w.namespace, "get", kinds, "-o", "yaml", "--show-managed-fields")
		assert.NoError(w.t, err)
		assert.False(w.t, leaks(out), "%s in namespace %s hold a value of a Secret", kinds, w.namespace)
	}
	// ConfigMap system is confidential itself, and is where its value came from.
	out, err := w.c.Kubectl(ctx, "", "-n", w.namespace, "get", "configmaps", "--field-selector=metadata.name!="+threescale.SystemConfig, "-o", "yaml", "--show-managed-fields")
	assert.NoError(w.t, err)
	assert.False(w.t, leaks(out), "a ConfigMap in namespace %s holds a value of a Secret", w.namespace)
	pods, err := w.pods(ctx)
	assert.NoError(w.t, err)
	for _, pod := range pods {
		// A pod that never started has no log.
		if out, err := w.c.Kubectl(ctx, "", "-n", w.namespace, "logs", pod.Name); err == nil {
			assert.False(w.t, leaks(out), "the log of pod %s/%s holds a value of a Secret", w.namespace, pod.Name)
		}
	}
}

// noValueLeaked looks at what is not of one namespace: all events, and the logs
// of the function, of Crossplane and of the controller.
func noValueLeaked(t *testing.T) {
	out, err := shared.Kubectl(t.Context(), "", "get", "events", "--all-namespaces", "-o", "yaml", "--show-managed-fields")
	require.NoError(t, err)
	assert.False(t, leaks(out), "an event holds a value of a Secret")
	logs := []string{shared.Function().Log(), shared.Crossplane().Log()}
	if flux.controller != nil {
		logs = append(logs, flux.controller.Log())
	}
	for _, log := range logs {
		data, err := os.ReadFile(log)
		require.NoError(t, err)
		assert.False(t, leaks(string(data)), "%s holds a value of a Secret", log)
	}
	require.True(t, leaks("password "+dataset.SecretMarker+"x"), "the check itself")
	for _, key := range keyForms() {
		require.True(t, leaks("key: "+key+"x"), "the check itself")
	}
}
