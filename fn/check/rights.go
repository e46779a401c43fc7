package check

import (
	"fmt"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// Right is a verb on a resource in a namespace, or in all if Namespace is empty.
type Right struct{ Verb, Group, Resource, Subresource, Namespace string }

func (r Right) String() string { return r.Verb + " " + r.on() + r.where() }

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

func (r Right) where() string {
	if r.Namespace == "" {
		return ""
	}
	return " in namespace " + r.Namespace
}

// Rights returns the rights of a ClusterRole, or of a Role in the given namespace, one
// by one. The namespace in a Role's own manifest is only that of the default install.
func Rights(role []byte, namespace string) ([]Right, error) {
	var read rbacv1.ClusterRole // which has all fields of a Role
	if err := yaml.UnmarshalStrict(role, &read); err != nil {
		return nil, fmt.Errorf("cannot read the role: %w", err)
	}
	if len(read.Rules) == 0 {
		return nil, fmt.Errorf("cannot read the role %q: it has no rules", read.Name)
	}
	if read.Kind != "Role" {
		namespace = ""
	}
	var rights []Right
	for _, rule := range read.Rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				resource, subresource, _ := strings.Cut(resource, "/")
				for _, verb := range rule.Verbs {
					rights = append(rights, Right{verb, group, resource, subresource, namespace})
				}
			}
		}
	}
	return rights, nil
}

// grouped writes rights in one line, with resources of the same verbs and namespace
// together.
func grouped(rights []Right) string {
	type place struct{ on, where string }
	type shared struct{ verbs, where string }
	var places []place
	var all []shared
	verbs, sharing := map[place][]string{}, map[shared][]string{}
	for _, right := range rights {
		at := place{right.on(), right.where()}
		if verbs[at] == nil {
			places = append(places, at)
		}
		verbs[at] = append(verbs[at], right.Verb)
	}
	for _, at := range places {
		these := shared{strings.Join(verbs[at], ", "), at.where}
		if sharing[these] == nil {
			all = append(all, these)
		}
		sharing[these] = append(sharing[these], at.on)
	}
	var out []string
	for _, these := range all {
		out = append(out, these.verbs+" on "+strings.Join(sharing[these], ", ")+these.where)
	}
	return strings.Join(out, "; ")
}

// rights checks the rights of a program.
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
