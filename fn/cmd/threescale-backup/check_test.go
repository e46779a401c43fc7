package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	authorizationv1 "k8s.io/api/authorization/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/check"
	"threescale.dev/backup/manifests"
	"threescale.dev/backup/test/apiserver"
)

const (
	onCrossplane = "/apis/apiextensions.crossplane.io/v1/"
	inController = "/apis/apps/v1/namespaces/threescale-backup/deployments/threescale-backup"
)

// cluster has an installation that lacks nothing.
func cluster(t *testing.T) *apiserver.Server {
	t.Helper()
	xrd := decode(t, manifests.ClaimXRD())
	xrd["status"] = decode(t, []byte(`{conditions: [{type: Established, status: "True"}, {type: Offered, status: "True"}]}`))
	return &apiserver.Server{
		GitVersion: "v1.37.2", Kinds: check.Kinds(), Schemas: apiserver.RestoreSchema(t),
		Objects: map[string]map[string]any{
			onCrossplane + "compositeresourcedefinitions/xthreescalebackups.backup.threescale.dev": xrd,
			onCrossplane + "compositions": decode(t, []byte(`{apiVersion: v1, kind: List, items: [{apiVersion: apiextensions.crossplane.io/v1, kind: Composition, metadata: {name: threescalebackup-claim},
				spec: {compositeTypeRef: {apiVersion: backup.threescale.dev/v1alpha1, kind: XThreeScaleBackup}, pipeline: [{step: backup, functionRef: {name: f},
				input: {apiVersion: backup.threescale.dev/v1alpha1, kind: Input, image: "r/function:v0.1.0"}}]}}]}`)),
			"/apis/pkg.crossplane.io/v1/functions": decode(t, []byte(`{apiVersion: v1, kind: List, items: [{apiVersion: pkg.crossplane.io/v1, kind: Function, metadata: {name: f},
				spec: {package: p}, status: {conditions: [{type: Installed, status: "True"}, {type: Healthy, status: "True"}]}}]}`)),
			"/api/v1/namespaces/crossplane-system/serviceaccounts/crossplane":        decode(t, []byte(`{apiVersion: v1, kind: ServiceAccount}`)),
			"/api/v1/namespaces/threescale-backup/serviceaccounts/threescale-backup": decode(t, []byte(`{apiVersion: v1, kind: ServiceAccount}`)),
			inController: decode(t, []byte(`{apiVersion: apps/v1, kind: Deployment, spec: {template: {spec: {containers: [{name: controller, image: "r/controller:v0.1.0",
				env: [{name: MOVER_IMAGE, value: "r/function:v0.1.0"}]}]}}}, status: {conditions: [{type: Available, status: "True"}]}}`)),
		},
	}
}

// TestCheck: what is printed, and the exit code.
func TestCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		change func(*apiserver.Server)
		args   []string
		code   int
		stdout []string
		stderr string
	}{
		"Fine": {
			reason: "nothing is missing", change: func(*apiserver.Server) {},
			stdout: []string{"OK      Crossplane   version", "15 checks: 0 failed, 0 warnings, 0 not checked"},
		},
		"Warning": {
			reason: "backups work without the controller",
			change: func(s *apiserver.Server) { delete(s.Objects, inController) },
			stdout: []string{"Warning   Restores", "to do: have Flux apply ./manifests with spec.images as in manifests/README.md (Install)", "0 failed, 1 warnings"},
		},
		"NotChecked": {
			reason: "an account that may not see all is told so, and the rest is checked",
			change: func(s *apiserver.Server) { s.Forbidden = []string{"/apis/authorization.k8s.io/"} },
			stdout: []string{"NotChecked   Crossplane   rights", "0 failed, 0 warnings, 2 not checked"},
		},
		"Failed": {
			reason: "a right is missing, which the function could never say",
			change: func(s *apiserver.Server) {
				s.Denied = func(user string, of *authorizationv1.ResourceAttributes) bool {
					return strings.HasSuffix(user, ":crossplane") && of.Resource == "apimanagers"
				}
			},
			code:   job.ExitConfig,
			stdout: []string{"may not: get, list, watch on apimanagers.apps.3scale.net", "to do: kubectl apply -k manifests/rbac"},
			stderr: "error: cannot work as installed: 1 of 15 checks failed",
		},
		"OtherNames": {
			reason: "Crossplane is where its user installed it",
			change: func(s *apiserver.Server) {
				s.Denied = func(user string, _ *authorizationv1.ResourceAttributes) bool {
					return user != "system:serviceaccount:up:bound" && user != "system:serviceaccount:flux-system:threescale-backup"
				}
				s.Objects["/api/v1/namespaces/up/serviceaccounts/bound"] = map[string]any{"apiVersion": "v1", "kind": "ServiceAccount"}
				s.Objects["/apis/apps/v1/namespaces/flux-system/deployments/threescale-backup"] = s.Objects[inController]
				s.Objects["/api/v1/namespaces/flux-system/serviceaccounts/threescale-backup"] = map[string]any{"apiVersion": "v1", "kind": "ServiceAccount"}
			},
			args:   []string{"--crossplane-namespace", "up", "--crossplane-service-account", "bound", "--controller-namespace", "flux-system"},
			stdout: []string{"ServiceAccount up/bound has all rights", "ServiceAccount flux-system/threescale-backup has all rights"},
		},
		"Broken": {
			reason: "a cluster that does not answer is not called fine",
			change: func(s *apiserver.Server) { s.Broken = []string{"/"} },
			code:   job.ExitTemporary, stderr: "error: cannot read the version of the cluster",
		},
		"NoContext": {
			reason: "a context that is not there is a mistake of the command line", change: func(*apiserver.Server) {},
			args: []string{"--context", "other"}, code: job.ExitUsage, stderr: `context "other" does not exist`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := cluster(t)
			tc.change(s)
			done := execute(t, append([]string{"check", "--kubeconfig", s.Kubeconfig(t)}, tc.args...)...)
			assert.Equal(t, tc.code, done.code, "%s: %s", tc.reason, done.stderr)
			for _, text := range tc.stdout {
				assert.Contains(t, done.stdout, text)
			}
			assert.Contains(t, done.stderr, tc.stderr)
		})
	}
}

// TestCheckJSON: scripts see the same, also when a check failed.
func TestCheckJSON(t *testing.T) {
	s := cluster(t)
	answer := executeJSON[checked](t, "check", "--kubeconfig", s.Kubeconfig(t))
	assert.Len(t, answer.Findings, 15)
	s.GitVersion = "v1.27.3"
	done := execute(t, "check", "-o", "json", "--kubeconfig", s.Kubeconfig(t))
	assert.Equal(t, job.ExitConfig, done.code)
	failed := decode(t, []byte(done.stdout))
	assert.Equal(t, map[string]any{
		"area": "Kubernetes", "check": "version", "state": "Failed",
		"message": "Kubernetes v1.27.3 is too old: the rules in our CRDs and the Jobs' podFailurePolicy need 1.29",
		"do":      "upgrade the cluster to Kubernetes 1.29 or later (1.37 is tested)",
	}, failed["findings"].([]any)[0])
	assert.InDelta(t, 1, failed["failed"], 0)
}
