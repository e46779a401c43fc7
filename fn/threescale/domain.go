package threescale

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Place is where a value is found: an object, and the path of a field in it.
type Place struct {
	Kind, Name string
	// Field is a path such as "spec.wildcardDomain" or "data.route_endpoint".
	Field string
}

// Rewriting is an installation under another domain.
type Rewriting struct {
	// Objects are deep copies of all that was given, in the same order.
	Objects []*unstructured.Unstructured
	// Rewritten are the values that were changed, sorted.
	Rewritten []Place
	// Left are other values that hold the old domain, sorted. They are the user's
	// own (a mail address, a policy, a proxy exception), and only the user knows
	// whether they move too.
	Left []Place
}

// RewriteDomain moves an installation to another wildcard domain, such as
// "apps.example.com". The domain is the operator's in four places (component and
// operator are packages below pkg/3scale/amp):
//   - the APIManager's spec.wildcardDomain, from which all routes follow;
//   - ConfigMap system-environment, THREESCALE_SUPERDOMAIN, which is created
//     once and never corrected (component/system.go:411);
//   - Secret backend-listener, route_endpoint, of which a value that is there
//     wins (operator/backend_options_provider.go:100-107);
//   - Secret system-seed, MASTER_DOMAIN, "master" unless the user wrote a full
//     name there (operator/system_options_provider.go:240-246).
//
// A host is rewritten only when it is the old domain or lies below it. The
// system database holds host names too, which no backup of objects can rewrite.
//
// Objects without an APIManager, a domain that is no DNS name, and values of a
// Secret that are not base64 are errors; they never show a value. With a domain
// that is empty or the same, nothing is rewritten and nothing is listed.
func RewriteDomain(objects []*unstructured.Unstructured, domain string) (Rewriting, error) {
	r := rewriter{to: domain}
	out := make([]*unstructured.Unstructured, len(objects))
	found := false
	for i, object := range objects {
		out[i] = deepCopy(object)
		if object.GetKind() == APIManagerKind {
			r.from, found = WildcardDomain(object), true
		}
	}
	switch {
	case domain == "" || domain == r.from:
		return Rewriting{Objects: out}, nil
	case !found:
		return Rewriting{}, fmt.Errorf("cannot rewrite the domain to %q: there is no APIManager that tells the old one", domain)
	case len(validation.IsDNS1123Subdomain(domain)) > 0:
		return Rewriting{}, fmt.Errorf("cannot rewrite the domain to %q: it is not a DNS name in lower case", domain)
	}
	for _, object := range out {
		if err := r.object(object); err != nil {
			return Rewriting{}, err
		}
	}
	return Rewriting{Objects: out, Rewritten: sorted(r.rewritten), Left: sorted(r.left)}, nil
}

// rewriter rewrites copies of objects, and notes the places.
type rewriter struct {
	from, to        string
	rewritten, left []Place
}

func (r *rewriter) object(object *unstructured.Unstructured) error {
	place := Place{Kind: object.GetKind(), Name: object.GetName()}
	switch place.Kind {
	case APIManagerKind:
		r.apiManager(object, place)
	case KindConfigMap:
		r.configMap(object, place)
	case KindSecret:
		return r.secret(object, place)
	}
	return nil
}

// apiManager sets the domain, whatever the old one looked like.
func (r *rewriter) apiManager(object *unstructured.Unstructured, place Place) {
	spec, isObject := object.Object["spec"].(map[string]any)
	if !isObject {
		spec = map[string]any{}
		object.Object["spec"] = spec
	}
	spec["wildcardDomain"] = r.to
	r.rewritten = append(r.rewritten, at(place, "spec.wildcardDomain"))
	for _, key := range slices.Sorted(maps.Keys(spec)) {
		if key != "wildcardDomain" {
			r.walk(spec[key], at(place, "spec."+key))
		}
	}
}

// walk notes the strings below a value that hold the old domain.
func (r *rewriter) walk(value any, place Place) {
	switch v := value.(type) {
	case string:
		if mentions(v, r.from) {
			r.left = append(r.left, place)
		}
	case map[string]any:
		for key, item := range v {
			r.walk(item, at(place, place.Field+"."+key))
		}
	case []any:
		for i, item := range v {
			r.walk(item, at(place, fmt.Sprintf("%s[%d]", place.Field, i)))
		}
	}
}

func (r *rewriter) configMap(object *unstructured.Unstructured, place Place) {
	data, _ := object.Object["data"].(map[string]any)
	for key, value := range data {
		old, _ := value.(string)
		if moved, changed := r.value(old, at(place, "data."+key)); changed {
			data[key] = moved
		}
	}
}

func (r *rewriter) secret(object *unstructured.Unstructured, place Place) error {
	data, _ := object.Object["data"].(map[string]any)
	for key, value := range data {
		encoded, _ := value.(string)
		old, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			// The error of the decoder has a position, never a value.
			return fmt.Errorf("cannot read Secret %q: data.%s is not base64: %w", place.Name, key, err)
		}
		if moved, changed := r.value(string(old), at(place, "data."+key)); changed {
			data[key] = base64.StdEncoding.EncodeToString([]byte(moved))
		}
	}
	return nil
}

// value rewrites one of the operator's own places; elsewhere it only notes that
// the old domain is there.
func (r *rewriter) value(old string, place Place) (string, bool) {
	if slices.Contains(domainPlaces(), place) {
		if moved, changed := rewriteHost(old, r.from, r.to); changed {
			r.rewritten = append(r.rewritten, place)
			return moved, true
		}
	}
	if mentions(old, r.from) {
		r.left = append(r.left, place)
	}
	return old, false
}

// domainPlaces are the values, besides the APIManager's, that the operator
// makes of the wildcard domain.
func domainPlaces() []Place {
	return []Place{
		{KindConfigMap, "system-environment", "data.THREESCALE_SUPERDOMAIN"},
		{KindSecret, "backend-listener", "data.route_endpoint"},
		{KindSecret, "system-seed", "data.MASTER_DOMAIN"},
	}
}

func at(place Place, field string) Place {
	place.Field = field
	return place
}

func sorted(places []Place) []Place {
	slices.SortFunc(places, func(a, b Place) int {
		return slices.Compare([]string{a.Kind, a.Name, a.Field}, []string{b.Kind, b.Name, b.Field})
	})
	return places
}

// String writes a place as "Secret backend-listener data.route_endpoint".
func (p Place) String() string {
	return strings.Join([]string{p.Kind, p.Name, p.Field}, " ")
}
