package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/check"
	"threescale.dev/backup/test/apiserver"
)

// TestDoesNotStart where it could only wait: its log has one error.
func TestDoesNotStart(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		change func(*testing.T, *apiserver.Server)
		code   int
		want   string
	}{
		"NoFlux": {
			reason: "restores commit to what Flux applies",
			change: func(_ *testing.T, s *apiserver.Server) {
				s.Kinds = []schema.GroupVersionKind{check.Watched()[0], check.Watched()[3]}
			},
			code: job.ExitConfig,
			want: "error: cannot start: GitRepository (source.toolkit.fluxcd.io/v1) is not served, Kustomization (kustomize.toolkit.fluxcd.io/v1) is not served (to do: install Flux",
		},
		"OldCRD": {
			reason: "the API server would drop what a restore says in it",
			change: func(t *testing.T, s *apiserver.Server) {
				s.Schemas = apiserver.RestoreSchema(t, "databaseSecrets", "timeout")
			},
			code: job.ExitConfig,
			want: "lacks: spec.databaseSecrets, spec.timeout (to do: kubectl apply --server-side -k manifests/crd)",
		},
		"OldKubernetes": {
			reason: "CEL rules and podFailurePolicy", change: func(_ *testing.T, s *apiserver.Server) { s.GitVersion = "v1.28.4" },
			code: job.ExitConfig, want: "error: cannot start: Kubernetes v1.28.4 is too old",
		},
		"NoCluster": {
			reason: "the kubelet tries again", change: func(_ *testing.T, s *apiserver.Server) { s.Broken = []string{"/"} },
			code: job.ExitTemporary, want: "error: cannot read the version of the cluster",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &apiserver.Server{GitVersion: "v1.37.2", Kinds: check.Kinds(), Schemas: apiserver.RestoreSchema(t)}
			tc.change(t, s)
			t.Setenv("KUBECONFIG", s.Kubeconfig(t))
			var stderr bytes.Buffer
			code := run(t.Context(), []string{"--mover-image", "r/function:v0.1.0", "--metrics-addr", "0", "--health-addr", "0"}, io.Discard, &stderr)
			assert.Equal(t, tc.code, code, tc.reason)
			assert.Contains(t, stderr.String(), tc.want)
			assert.Equal(t, 1, strings.Count(stderr.String(), "error: "), stderr.String())
		})
	}
}
