package manifests

import (
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// ClusterRoleFile is the shipped ClusterRole, below the root of the repository.
const ClusterRoleFile = "manifests/rbac/clusterrole.yaml"

// ReadVerbs are what Crossplane needs for a kind that it reads for a function:
// it reads from a cache, which lists and watches.
func ReadVerbs() []string { return []string{"get", "list", "watch"} }

// WriteVerbs are what it needs besides for a kind that it composes.
func WriteVerbs() []string { return []string{"create", "delete", "patch", "update"} }

// kind is a kind and its name in rules.
type kind struct {
	schema.GroupKind

	resource string
}

// kinds names those that the ClusterRole may speak of, in the order of the
// README's table.
func kinds() []kind {
	return []kind{
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
	}
}

// Rights are the verbs, sorted, by group and kind.
type Rights map[schema.GroupKind][]string

// ReadRights reads the rights of a ClusterRole. A rule that it cannot tell the
// whole of is an error: a wildcard, a resource's name, an unknown resource.
func ReadRights(clusterRole []byte) (Rights, error) {
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict(clusterRole, &role); err != nil {
		return nil, fmt.Errorf("cannot read ClusterRole: %w", err)
	}
	rights := Rights{}
	for i, rule := range role.Rules {
		if len(rule.ResourceNames) > 0 || len(rule.NonResourceURLs) > 0 {
			return nil, fmt.Errorf("cannot read ClusterRole %q: rule %d is not for whole kinds", role.Name, i)
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				kind, ok := kindOf(group, resource)
				if !ok {
					return nil, fmt.Errorf("cannot read ClusterRole %q: unknown resource %q of group %q", role.Name, resource, group)
				}
				rights[kind] = slices.Sorted(slices.Values(append(rights[kind], rule.Verbs...)))
			}
		}
	}
	return rights, nil
}

func kindOf(group, resource string) (schema.GroupKind, bool) {
	for _, kind := range kinds() {
		if kind.Group == group && kind.resource == resource {
			return kind.GroupKind, true
		}
	}
	return schema.GroupKind{}, false
}

// RightsTable returns the README's table of a ClusterRole: which kinds
// Crossplane reads for a backup, and which it writes.
func RightsTable(clusterRole []byte) (string, error) {
	rights, err := ReadRights(clusterRole)
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
		fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", kind.Kind, group, held(verbs, ReadVerbs()), held(verbs, WriteVerbs()))
	}
	return out.String(), nil
}

// held lists the verbs of wanted that are there, for a cell of the table.
func held(verbs, wanted []string) string {
	var out []string
	for _, verb := range wanted {
		if slices.Contains(verbs, verb) {
			out = append(out, verb)
		}
	}
	if len(out) == 0 {
		return "no"
	}
	return strings.Join(out, ", ")
}
