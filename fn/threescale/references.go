package threescale

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
)

// defaultPullSecret is the pull secret that the operator gave to its
// ServiceAccounts when spec.imagePullSecrets was not set, up to 3scale 2.15
// (v0.12.1: component/ampimages_options.go:33; removed by THREESCALE-11708).
const defaultPullSecret = "threescale-registry-auth"

// SecretRef is a Secret that an APIManager refers to by name.
type SecretRef struct {
	// Name of the Secret, in the namespace of the APIManager.
	Name string
	// Field is the path of the reference, such as
	// "spec.apicast.productionSpec.customPolicies[0].secretRef". When several
	// fields name the same Secret it is the first of the required ones, in
	// alphabetical order.
	Field string
	// Required means that the operator or a pod stops without the Secret. It is
	// false for image pull secrets, which Kubernetes does without, for switched
	// off tracing, and for the deprecated S3 field, which the operator ignores.
	Required bool
}

// ReferencedSecrets returns every Secret that the APIManager refers to, sorted
// by name, each name once, without the ones that Secrets lists. The operator's
// own list (apimanager_types.go:1464-1505) lacks the image pull secrets, the S3
// configuration and OpenTracing. Names that no Secret can have are left out
// here and reported by InvalidReferences.
func ReferencedSecrets(apiManager *unstructured.Unstructured) []SecretRef {
	byName := map[string]SecretRef{}
	for _, ref := range references(apiManager) {
		if isInvalidName(ref.Name) {
			continue
		}
		if known, found := byName[ref.Name]; !found || isBetter(ref, known) {
			byName[ref.Name] = ref
		}
	}
	for _, object := range Secrets(apiManager) {
		delete(byName, object.Name)
	}
	refs := make([]SecretRef, 0, len(byName))
	for _, ref := range byName {
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, func(a, b SecretRef) int { return cmp.Compare(a.Name, b.Name) })
	return refs
}

// InvalidReferences returns a message for each reference of the APIManager to a
// name that no Secret can have, sorted by field. Asking the API server for such a
// name is an error, not a missing object.
func InvalidReferences(apiManager *unstructured.Unstructured) []string {
	var messages []string
	for _, ref := range slices.SortedFunc(slices.Values(references(apiManager)), func(a, b SecretRef) int { return cmp.Compare(a.Field, b.Field) }) {
		if isInvalidName(ref.Name) {
			messages = append(messages, fmt.Sprintf("%s names %q, which no Secret can be called: correct the APIManager", ref.Field, ref.Name))
		}
	}
	return messages
}

// isInvalidName reports whether the API server accepts no Secret of that name.
func isInvalidName(name string) bool {
	return len(validation.IsDNS1123Subdomain(name)) > 0
}

// isBetter reports whether ref says more about its Secret than known does.
func isBetter(ref, known SecretRef) bool {
	if ref.Required != known.Required {
		return ref.Required
	}
	return ref.Field < known.Field
}

// references returns the references in the order of the specification, with
// repetitions and whatever names they hold, but without empty names.
func references(apiManager *unstructured.Unstructured) []SecretRef {
	refs := pullSecrets(apiManager)
	for _, gateway := range []string{"productionSpec", "stagingSpec"} {
		refs = append(refs, gatewayReferences(apiManager, gateway)...)
	}
	refs = append(refs,
		reference(apiManager, true, "spec", "system", "fileStorage", "simpleStorageService", "configurationSecretRef"),
		reference(apiManager, false, "spec", "system", "fileStorage", "amazonSimpleStorageService", "awsCredentialsSecret"),
	)
	return slices.DeleteFunc(refs, func(ref SecretRef) bool { return ref.Name == "" })
}

// gatewayReferences returns what one of the two APIcast specifications refers
// to (apimanager_types.go:210-349). Tracing that is not switched on needs no Secret
// (operator/apicast_options_provider.go:317-394, 500-625).
func gatewayReferences(apiManager *unstructured.Unstructured, gateway string) []SecretRef {
	spec := []string{"spec", "apicast", gateway}
	at := func(more ...string) []string { return slices.Concat(spec, more) }
	refs := []SecretRef{reference(apiManager, true, at("httpsCertificateSecretRef")...)}
	for _, list := range []string{"customPolicies", "customEnvironments"} {
		refs = append(refs, listReferences(apiManager, at(list))...)
	}
	for _, tracing := range []string{"openTracing", "openTelemetry"} {
		enabled, _ := flag(apiManager, at(tracing, "enabled")...)
		refs = append(refs, reference(apiManager, enabled, at(tracing, "tracingConfigSecretRef")...))
	}
	return refs
}

// pullSecrets returns the image pull secrets, or the one that the operator of
// 3scale 2.15 and before used when none is set.
func pullSecrets(apiManager *unstructured.Unstructured) []SecretRef {
	path := []string{"spec", "imagePullSecrets"}
	if _, set := lookup(apiManager, path...); !set && precedes(Version(apiManager), 2, 16) {
		return []SecretRef{{Name: defaultPullSecret, Field: "spec.imagePullSecrets"}}
	}
	var refs []SecretRef
	for i, item := range items(apiManager, path...) {
		name, _, _ := unstructured.NestedString(item, "name")
		refs = append(refs, SecretRef{Name: name, Field: indexed(path, i)})
	}
	return refs
}

// listReferences returns the secretRef of each item of a list.
func listReferences(apiManager *unstructured.Unstructured, path []string) []SecretRef {
	var refs []SecretRef
	for i, item := range items(apiManager, path...) {
		name, _, _ := unstructured.NestedString(item, "secretRef", "name")
		refs = append(refs, SecretRef{Name: name, Field: indexed(path, i) + ".secretRef", Required: true})
	}
	return refs
}

// reference returns the LocalObjectReference below a path, with an empty name
// when there is none.
func reference(apiManager *unstructured.Unstructured, required bool, path ...string) SecretRef {
	return SecretRef{
		Name:     text(apiManager, slices.Concat(path, []string{"name"})...),
		Field:    strings.Join(path, "."),
		Required: required,
	}
}

// items returns the objects of the list below a path; anything else in the list
// counts as an empty object, so that indexes stay true.
func items(object *unstructured.Unstructured, path ...string) []map[string]any {
	value, _ := lookup(object, path...)
	list, _ := value.([]any)
	out := make([]map[string]any, len(list))
	for i, item := range list {
		out[i], _ = item.(map[string]any)
	}
	return out
}

// indexed writes the path of an item of a list.
func indexed(path []string, i int) string {
	return fmt.Sprintf("%s[%d]", strings.Join(path, "."), i)
}
