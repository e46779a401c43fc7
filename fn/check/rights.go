package check

import (
	"errors"
	"fmt"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// Right is a verb on a resource of all namespaces.
type Right struct{ Verb, Group, Resource, Subresource string }

func (r Right) String() string { return r.Verb + " " + r.on() }

// on is the resource as `kubectl auth can-i` takes it.
func (r Right) on() string {
	on := r.Resource
	if r.Group != "" {
		on += "." + r.Group
	}
	if r.Subresource != "" {
		on += "/" + r.Subresource
	}
	return on
}

// Rights are those of a ClusterRole, one by one.
func Rights(clusterRole []byte) ([]Right, error) {
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict(clusterRole, &role); err != nil {
		return nil, fmt.Errorf("cannot read the ClusterRole: %w", err)
	}
	if len(role.Rules) == 0 {
		return nil, errors.New("cannot read the ClusterRole: it has no rules")
	}
	var rights []Right
	for _, rule := range role.Rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				resource, subresource, _ := strings.Cut(resource, "/")
				for _, verb := range rule.Verbs {
					rights = append(rights, Right{verb, group, resource, subresource})
				}
			}
		}
	}
	return rights, nil
}

// grouped names rights in one line: resources with the same verbs together.
func grouped(rights []Right) string {
	var resources, all []string
	verbs, sharing := map[string][]string{}, map[string][]string{}
	for _, right := range rights {
		on := right.on()
		if verbs[on] == nil {
			resources = append(resources, on)
		}
		verbs[on] = append(verbs[on], right.Verb)
	}
	for _, on := range resources {
		these := strings.Join(verbs[on], ", ")
		if sharing[these] == nil {
			all = append(all, these)
		}
		sharing[these] = append(sharing[these], on)
	}
	for i, these := range all {
		all[i] = these + " on " + strings.Join(sharing[these], ", ")
	}
	return strings.Join(all, "; ")
}

// rights checks those of a program.
func rights(a area, p Program, do string) Finding {
	const check = "rights"
	switch {
	case p.Exists.Err == nil && !p.Exists.Value:
		return a.fail(check, fmt.Sprintf("there is no ServiceAccount %s, whose rights could be checked", p.Account),
			"name the one that it runs as: --crossplane-namespace and --crossplane-service-account for Crossplane, --controller-namespace for the controller")
	case p.Missing.Err != nil:
		return a.unread(check, p.Missing.Err)
	case len(p.Missing.Value) == 0:
		return a.ok(check, "ServiceAccount %s has all rights that it needs", p.Account)
	}
	finding := a.fail(check, fmt.Sprintf("ServiceAccount %s may not: %s", p.Account, grouped(p.Missing.Value)), do)
	for _, right := range p.Missing.Value {
		finding.Missing = append(finding.Missing, right.String())
	}
	return finding
}
