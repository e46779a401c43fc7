//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/test/cluster"
)

const controllerImage = "docker.io/local/threescale-backup-controller:e2e"

// TestControllerDeployment: the Deployment as it is shipped comes up with the
// rights that are shipped, one of its pods leads and reconciles, and what it
// measures of a restore goes with it.
func TestControllerDeployment(t *testing.T) {
	withFlux(t)
	w := newTenant(t)
	require.NoError(t, shared.LoadImage(t.Context(), cluster.Image{Name: controllerImage, Binaries: map[string]string{"/controller": flux.binary}, Entrypoint: []string{"/controller"}, User: "65532:65532"}))
	require.NoError(t, flux.controller.Stop())
	t.Cleanup(func() { require.NoError(t, startController(context.WithoutCancel(t.Context()))) })
	overlay := filepath.Join(t.TempDir(), "controller")
	manifests, err := filepath.Abs("../../manifests/controller")
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(overlay, 0o755))
	relative, err := filepath.Rel(overlay, manifests)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), fmt.Appendf(nil, `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- %s
patches:
- target: {kind: Deployment, name: threescale-backup}
  patch: |-
    - op: replace
      path: /spec/template/spec/containers/0/image
      value: %s
    - op: replace
      path: /spec/template/spec/containers/0/env/0/value   # MOVER_IMAGE
      value: %s
`, relative, controllerImage, image), 0o600))
	kubectl := func(args ...string) string {
		out, err := shared.Kubectl(t.Context(), "", append([]string{"-n", controllerNamespace}, args...)...)
		require.NoError(t, err)
		return out
	}
	kubectl("apply", "-k", overlay)
	t.Cleanup(func() {
		_, err := shared.Kubectl(context.WithoutCancel(t.Context()), "", "-n", controllerNamespace, "delete", "deployment", "threescale-backup", "--cascade=foreground")
		assert.NoError(t, err)
	})
	kubectl("rollout", "status", "deployment/threescale-backup", "--timeout=2m")
	w.ask(dr("dr", `{}`))
	w.untilRestore("dr", "Ready", "False", v1alpha1.ReasonSourceNotFound)

	measured := func() bool {
		found := false
		for pod := range strings.FieldsSeq(kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.name}")) {
			metrics := kubectl("get", "--raw", fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:8080/proxy/metrics", controllerNamespace, pod))
			found = found || strings.Contains(metrics, fmt.Sprintf(`gotk_reconcile_duration_seconds_count{kind="ThreeScaleRestore",name="dr",namespace=%q}`, w.namespace))
		}
		return found
	}
	assert.True(t, measured(), "it is measured")
	_, err = w.kubectl("delete", "threescalerestore", "dr")
	require.NoError(t, err)
	w.eventually("its metrics to go with it", func(context.Context) error {
		if measured() {
			return errNotYet
		}
		return nil
	})
	assert.Len(t, strings.Fields(kubectl("get", "pods", "-o", "jsonpath={.items[?(@.status.phase=='Running')].metadata.name}")), 2)
}
