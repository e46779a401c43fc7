package manifests_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/function"
	"threescale.dev/backup/fn/simulate"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/test/manifests"
	"threescale.dev/backup/test/render"
)

// root of the repository, from this package's folder.
const root = "../.."

// recorder notes what the function asks for and what it composes.
type recorder struct {
	simulate.Runner

	read, written map[schema.GroupKind]bool
	roles         []rbacv1.Role
	owners        []metav1.OwnerReference
}

// RunFunction implements simulate.Runner.
func (r *recorder) RunFunction(ctx context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	rsp, err := r.Runner.RunFunction(ctx, req)
	if err != nil {
		return nil, err
	}
	for _, selector := range rsp.GetRequirements().GetResources() {
		r.read[schema.FromAPIVersionAndKind(selector.GetApiVersion(), selector.GetKind()).GroupKind()] = true
	}
	for _, resource := range rsp.GetDesired().GetResources() {
		object := &unstructured.Unstructured{Object: resource.GetResource().AsMap()}
		r.written[object.GroupVersionKind().GroupKind()] = true
		r.owners = append(r.owners, object.GetOwnerReferences()...)
		if object.GetKind() != "Role" {
			continue
		}
		var role rbacv1.Role
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
			return nil, err
		}
		r.roles = append(r.roles, role)
	}
	return rsp, nil
}

// record runs the function on all examples.
func record(t *testing.T) *recorder {
	t.Helper()
	f := function.New(logging.NewNopLogger())
	f.Rendering = true
	r := &recorder{
		Runner:  f,
		read:    map[schema.GroupKind]bool{},
		written: map[schema.GroupKind]bool{},
	}
	for _, scenario := range render.Scenarios() {
		example, err := render.Load(root, scenario)
		require.NoError(t, err)
		_, err = render.Render(t.Context(), r, example)
		require.NoError(t, err)
	}
	return r
}

func clusterRole(t *testing.T) []byte {
	t.Helper()
	return read(t, manifests.ClusterRoleFile)
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	require.NoError(t, err)
	return data
}

// TestClusterRoleIsWhatTheFunctionNeeds compares the shipped rights with what
// the function did in the examples: nothing is missing, nothing is left over.
func TestClusterRoleIsWhatTheFunctionNeeds(t *testing.T) {
	r := record(t)
	needed := manifests.Rights{}
	for kind := range r.read {
		needed[kind] = manifests.ReadVerbs()
	}
	for kind := range r.written {
		needed[kind] = append(manifests.ReadVerbs(), manifests.WriteVerbs()...)
	}
	for kind := range needed {
		slices.Sort(needed[kind])
	}
	shipped, err := manifests.ReadRights(clusterRole(t))
	require.NoError(t, err)
	assert.Equal(t, needed, shipped)
}

// TestCrossplaneMayGrantWhatItComposes: the API server lets nobody write a
// Role with rights that he does not have himself.
func TestCrossplaneMayGrantWhatItComposes(t *testing.T) {
	var shipped rbacv1.ClusterRole
	require.NoError(t, yaml.UnmarshalStrict(clusterRole(t), &shipped))
	roles := record(t).roles
	require.NotEmpty(t, roles)
	for _, role := range roles {
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					assert.True(t, allows(shipped, rule.APIGroups[0], resource, verb), "%s %s", verb, resource)
				}
			}
			assert.NotEmpty(t, rule.ResourceNames, "a pod needs its own report only")
		}
	}
}

func allows(role rbacv1.ClusterRole, group, resource, verb string) bool {
	return slices.ContainsFunc(role.Rules, func(rule rbacv1.PolicyRule) bool {
		return slices.Contains(rule.APIGroups, group) && slices.Contains(rule.Resources, resource) && slices.Contains(rule.Verbs, verb)
	})
}

func TestClusterRoleIsAggregated(t *testing.T) {
	var role rbacv1.ClusterRole
	require.NoError(t, yaml.UnmarshalStrict(clusterRole(t), &role))
	assert.Equal(t, "true", role.Labels["rbac.crossplane.io/aggregate-to-crossplane"])
}

func TestReadRights(t *testing.T) {
	for name, rule := range map[string]string{
		"a wildcard":          `{apiGroups: ["*"], resources: [secrets], verbs: [get]}`,
		"an unknown resource": `{apiGroups: [""], resources: [nodes], verbs: [get]}`,
		"one object":          `{apiGroups: [""], resources: [secrets], resourceNames: [a], verbs: [get]}`,
		"an unknown field":    `{apiGroups: [""], resource: [secrets], verbs: [get]}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := manifests.ReadRights([]byte("{kind: ClusterRole, rules: [" + rule + "]}"))
			assert.ErrorContains(t, err, "cannot read role")
		})
	}
	for name, file := range map[string]string{
		"no role":   "kind: ServiceAccount\n---\nkind: RoleBinding\n",
		"two roles": "kind: Role\n---\nkind: Role\n",
		"no YAML":   "kind: [",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := manifests.ReadRights([]byte(file))
			assert.ErrorContains(t, err, "cannot read role")
		})
	}
}

func TestRightsTable(t *testing.T) {
	table, err := manifests.RightsTable([]byte(`kind: ServiceAccount
---
kind: Role
rules:
- {apiGroups: [batch], resources: [jobs], verbs: [patch, list, get, watch, create]}
- {apiGroups: [""], resources: [events], verbs: [impersonate]}
- {apiGroups: [""], resources: [namespaces], verbs: [get]}`))
	require.NoError(t, err)
	assert.Equal(t, `| Kind | API group | Read | Write |
| --- | --- | --- | --- |
| Namespace | core | get | no |
| Job | batch | get, list, watch | create, patch |
| Event | core | no | impersonate |
`, table)
}

// TestPagesHaveRightsTables holds the pages to the shipped roles.
func TestPagesHaveRightsTables(t *testing.T) {
	for file, page := range map[string]string{
		manifests.ClusterRoleFile:    "manifests/README.md",
		manifests.ControllerRoleFile: "manifests/README.md",
		manifests.AccountRoleFile:    "examples/restore/README.md",
	} {
		table, err := manifests.RightsTable(read(t, file))
		require.NoError(t, err)
		_, _, shown := strings.Cut(string(read(t, page)), table)
		assert.True(t, shown, "%s: print the table of %s again with: go run ./test/manifests/rights", page, file)
	}
}

// TestControllerMayGrantWhatItMakes: as TestCrossplaneMayGrantWhatItComposes,
// for the Roles of a restore's Jobs.
func TestControllerMayGrantWhatItMakes(t *testing.T) {
	var shipped rbacv1.ClusterRole
	require.NoError(t, yaml.UnmarshalStrict(read(t, manifests.ControllerRoleFile), &shipped))
	for _, action := range []specs.Action{specs.Inspecting, specs.Refilling} {
		for _, rule := range specs.StepRole(specs.Step{Restore: "dr", Action: action, ID: "1"}, 1).Rules {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					assert.True(t, allows(shipped, rule.APIGroups[0], resource, verb), "%s %s", verb, resource)
				}
			}
			assert.NotEmpty(t, rule.ResourceNames, "a pod needs its own report and hand-over Secrets only")
		}
	}
}

// TestAccountHasNoMoreThanTheController: a restore that names a ServiceAccount
// needs of it what it would do by itself, and no right more.
func TestAccountHasNoMoreThanTheController(t *testing.T) {
	controller, err := manifests.ReadRights(read(t, manifests.ControllerRoleFile))
	require.NoError(t, err)
	account, err := manifests.ReadRights(read(t, manifests.AccountRoleFile))
	require.NoError(t, err)
	require.NotEmpty(t, account)
	for kind, verbs := range account {
		assert.Subset(t, controller[kind], verbs, kind)
	}
}
