package check_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"threescale.dev/backup/fn/check"
	"threescale.dev/backup/manifests"
)

// TestStartup: one error has all that keeps the controller from starting.
func TestStartup(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		change func(*testing.T, *check.Observed)
		want   string
		unread int
	}{
		"Fine": {reason: "it starts", change: func(*testing.T, *check.Observed) {}},
		"Backups": {
			reason: "what it does not use does not keep it",
			change: func(t *testing.T, o *check.Observed) {
				o.XRDs.Value, o.Crossplane.Missing.Err = nil, errForbidden
				o.Served[kind(t, "CompositeResourceDefinition", "v2")] = check.Read[bool]{}
			},
		},
		"Unread": {
			reason: "what could not be checked is told and does not keep it",
			change: func(t *testing.T, o *check.Observed) {
				o.Version, o.RestoreSchema.Err = "unknown", errForbidden
				o.Served[kind(t, "APIManager", "v1alpha1")] = check.Read[bool]{Err: errForbidden}
			},
			unread: 3,
		},
		"All": {
			reason: "all at once, each remedy once",
			change: func(t *testing.T, o *check.Observed) {
				o.Version, o.Served = "v1.28.1", nil
			},
			want: "cannot start: Kubernetes v1.28.1 is too old: the rules in our CRDs and the Jobs' podFailurePolicy need 1.29 (to do: upgrade the cluster to Kubernetes 1.29 or later (1.37 is tested)); " +
				"ThreeScaleRestore (backup.threescale.dev/v1alpha1) is not served (to do: kubectl apply --server-side -k manifests/crd); " +
				"GitRepository (source.toolkit.fluxcd.io/v1) is not served, Kustomization (kustomize.toolkit.fluxcd.io/v1) is not served (to do: install Flux (flux install), with source-controller and kustomize-controller; its CRDs must serve v1); " +
				"APIManager (apps.3scale.net/v1alpha1) is not served (to do: install the operator of 3scale, or apply its CRD apimanagers.apps.3scale.net)",
		},
		"Older": {
			reason: "a CRD that was not upgraded with the controller",
			change: func(t *testing.T, o *check.Observed) {
				remove(t, o.RestoreSchema.Value, "properties", "status", "properties", "plan")
			},
			want: "cannot start: CustomResourceDefinition threescalerestores.backup.threescale.dev is older than this program and lacks: status.plan (to do: kubectl apply --server-side -k manifests/crd)",
		},
		"Newer": {
			reason: "a CRD that was upgraded first still serves",
			change: func(t *testing.T, o *check.Observed) {
				require.NoError(t, unstructured.SetNestedField(o.RestoreSchema.Value, map[string]any{}, "properties", "spec", "properties", "tomorrow"))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := installed(t)
			tc.change(t, &o)
			unread, err := check.Startup(o)
			assert.Len(t, unread, tc.unread, tc.reason)
			if tc.want == "" {
				assert.NoError(t, err, tc.reason)
				return
			}
			assert.EqualError(t, err, tc.want, tc.reason)
		})
	}
}

// TestRightsOfARole: of a rule with several groups, resources and verbs, all are asked for.
func TestRightsOfARole(t *testing.T) {
	const rules = `rules: [{apiGroups: ["", batch], resources: [jobs, jobs/status], verbs: [get, list]}]`
	all := []string{"get jobs", "list jobs", "get jobs/status", "list jobs/status", "get jobs.batch", "list jobs.batch", "get jobs.batch/status", "list jobs.batch/status"}
	assert.Equal(t, all, rightsOf(t, []byte("{kind: ClusterRole, "+rules+"}")), "in all namespaces")
	for i := range all {
		all[i] += " in namespace here"
	}
	assert.Equal(t, all, rightsOf(t, []byte("{kind: Role, metadata: {namespace: elsewhere}, "+rules+"}")), "in the one where it is looked for")
	for name, role := range map[string]string{"no rules": "kind: ClusterRole", "an unknown field": "{kind: ClusterRole, rule: []}", "no YAML": "["} {
		_, err := check.Rights([]byte(role), "here")
		assert.ErrorContains(t, err, "cannot read the role", name)
	}
}

// rightsOf names those of a role in namespace "here".
func rightsOf(t *testing.T, role []byte) []string {
	t.Helper()
	rights, err := check.Rights(role, "here")
	require.NoError(t, err)
	var names []string
	for _, right := range rights {
		names = append(names, right.String())
	}
	return names
}

// TestShippedRights: the shipped roles have no rule that cannot be asked for one by one.
func TestShippedRights(t *testing.T) {
	for name, role := range map[string][]byte{"Crossplane": manifests.CrossplaneRole(), "controller": manifests.ControllerRole()} {
		names := rightsOf(t, role)
		assert.Greater(t, len(names), 30, name)
		for _, right := range names {
			assert.NotContains(t, right, "*", name)
			assert.NotContains(t, right, "in namespace", name)
		}
	}
	const leases = " leases.coordination.k8s.io in namespace here"
	assert.Equal(t, []string{"get" + leases, "create" + leases, "update" + leases}, rightsOf(t, manifests.LeaderElectionRole()))
}

// TestWatchedIsServed: what the controller watches is among what is looked for.
func TestWatchedIsServed(t *testing.T) {
	assert.Subset(t, check.Kinds(), check.Watched())
	assert.Len(t, check.Watched(), 4)
	assert.Contains(t, check.Watched(), schema.GroupVersionKind{Group: "backup.threescale.dev", Version: "v1alpha1", Kind: "ThreeScaleRestore"})
}
