package manifests

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// The shipped roles, below the root of the repository.
const (
	// ClusterRoleFile is what Crossplane may do.
	ClusterRoleFile = "manifests/rbac/clusterrole.yaml"
	// ControllerRoleFile is what the controller of restores may do.
	ControllerRoleFile = "manifests/controller/clusterrole.yaml"
	// AccountRoleFile has, among others, the Role of a ServiceAccount that a
	// restore names.
	AccountRoleFile = "examples/restore/other-namespace/account.yaml"
)

// ReadVerbs are what Crossplane needs for a kind that it reads for a function:
// it reads from a cache, which lists and watches.
func ReadVerbs() []string { return []string{"get", "list", "watch"} }

// WriteVerbs are what it needs besides for a kind that it composes.
func WriteVerbs() []string { return []string{"create", "delete", "patch", "update"} }

// kind is a kind, or a part of one, and its name in rules.
type kind struct {
	schema.GroupKind

	resource string
}

// kinds names those that the roles may speak of, in the order of the pages'
// tables.
func kinds() []kind {
	return []kind{
		{schema.GroupKind{Group: v1alpha1.Group, Kind: "ThreeScaleRestore"}, "threescalerestores"},
		{schema.GroupKind{Group: v1alpha1.Group, Kind: "ThreeScaleRestore/status"}, "threescalerestores/status"},
		{schema.GroupKind{Group: v1alpha1.Group, Kind: "ThreeScaleBackup"}, "threescalebackups"},
		{schema.GroupKind{Group: "source.toolkit.fluxcd.io", Kind: "GitRepository"}, "gitrepositories"},
		{schema.GroupKind{Group: "kustomize.toolkit.fluxcd.io", Kind: "Kustomization"}, "kustomizations"},
		{schema.GroupKind{Group: "apps.3scale.net", Kind: "APIManager"}, "apimanagers"},
		{schema.GroupKind{Kind: "Namespace"}, "namespaces"},
		{schema.GroupKind{Kind: "PersistentVolume"}, "persistentvolumes"},
		{schema.GroupKind{Group: "storage.k8s.io", Kind: "StorageClass"}, "storageclasses"},
		{schema.GroupKind{Kind: "Secret"}, "secrets"},
		{schema.GroupKind{Kind: "ConfigMap"}, "configmaps"},
		{schema.GroupKind{Kind: "PersistentVolumeClaim"}, "persistentvolumeclaims"},
		{schema.GroupKind{Kind: "ServiceAccount"}, "serviceaccounts"},
		{schema.GroupKind{Group: "batch", Kind: "Job"}, "jobs"},
		{schema.GroupKind{Group: "rbac.authorization.k8s.io", Kind: "Role"}, "roles"},
		{schema.GroupKind{Group: "rbac.authorization.k8s.io", Kind: "RoleBinding"}, "rolebindings"},
		{schema.GroupKind{Kind: "Pod"}, "pods"},
		{schema.GroupKind{Group: "apps", Kind: "Deployment"}, "deployments"},
		{schema.GroupKind{Group: "apps.openshift.io", Kind: "DeploymentConfig"}, "deploymentconfigs"},
		{schema.GroupKind{Kind: "Event"}, "events"},
	}
}

// Rights are the verbs, sorted, by group and kind.
type Rights map[schema.GroupKind][]string

// ReadRights reads the rights of the only ClusterRole or Role of a file. A rule
// that it cannot tell the whole of is an error: a wildcard, a resource's name, an
// unknown resource.
func ReadRights(file []byte) (Rights, error) {
	role, err := readRole(file)
	if err != nil {
		return nil, err
	}
	rights := Rights{}
	for i, rule := range role.Rules {
		if len(rule.ResourceNames) > 0 || len(rule.NonResourceURLs) > 0 {
			return nil, fmt.Errorf("cannot read role %q: rule %d is not for whole kinds", role.Name, i)
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				kind, ok := kindOf(group, resource)
				if !ok {
					return nil, fmt.Errorf("cannot read role %q: unknown resource %q of group %q", role.Name, resource, group)
				}
				rights[kind] = slices.Sorted(slices.Values(append(rights[kind], rule.Verbs...)))
			}
		}
	}
	return rights, nil
}

// readRole finds the role among the documents of a file. Both kinds have the
// fields that are read here.
func readRole(file []byte) (*rbacv1.Role, error) {
	var found *rbacv1.Role
	for document := range strings.SplitSeq(string(file), "\n---\n") {
		var of metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(document), &of); err != nil {
			return nil, fmt.Errorf("cannot read role: %w", err)
		}
		if of.Kind != "Role" && of.Kind != "ClusterRole" {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("cannot read role %q: it is not the only one", found.Name)
		}
		found = &rbacv1.Role{}
		if err := yaml.UnmarshalStrict([]byte(document), found); err != nil {
			return nil, fmt.Errorf("cannot read role: %w", err)
		}
	}
	if found == nil {
		return nil, errors.New("cannot read role: there is none")
	}
	return found, nil
}

func kindOf(group, resource string) (schema.GroupKind, bool) {
	for _, kind := range kinds() {
		if kind.Group == group && kind.resource == resource {
			return kind.GroupKind, true
		}
	}
	return schema.GroupKind{}, false
}

// RightsTable returns the table, for a page, of a ClusterRole or Role: which kinds
// it lets read, and which it lets write.
func RightsTable(file []byte) (string, error) {
	rights, err := ReadRights(file)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	out.WriteString("| Kind | API group | Read | Write |\n| --- | --- | --- | --- |\n")
	for _, kind := range kinds() {
		verbs, ok := rights[kind.GroupKind]
		if !ok {
			continue
		}
		group := kind.Group
		if group == "" {
			group = "core"
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", kind.Kind, group, cell(verbs, true), cell(verbs, false))
	}
	return out.String(), nil
}

// cell lists those verbs that read, or those that do not.
func cell(verbs []string, read bool) string {
	var out []string
	for _, verb := range verbs {
		if slices.Contains(ReadVerbs(), verb) == read {
			out = append(out, verb)
		}
	}
	if len(out) == 0 {
		return "no"
	}
	return strings.Join(out, ", ")
}
