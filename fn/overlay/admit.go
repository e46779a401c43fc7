package overlay

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"threescale.dev/backup/fn/threescale"
)

// admit returns the manifests of the objects, rebuilt, sorted by kind and name.
func admit(objects []*unstructured.Unstructured, admitted []Key) ([]*unstructured.Unstructured, error) {
	var manifests []*unstructured.Unstructured
	seen := map[Key]bool{}
	for _, object := range objects {
		key := keyOf(object)
		problem := refusal(object, key, admitted)
		if problem == "" && seen[key] {
			problem = "is there twice"
		}
		if problem != "" {
			return nil, &UnexpectedObjectError{key.Kind, key.Name, problem}
		}
		seen[key] = true
		manifest, err := rebuild(object, key)
		if err != nil {
			return nil, err
		}
		manifests = append(manifests, manifest)
	}
	slices.SortFunc(manifests, func(a, b *unstructured.Unstructured) int { return compareKeys(keyOf(a), keyOf(b)) })
	return manifests, checkOneAPIManager(manifests)
}

// refusal returns why an object may not be committed, empty if it may.
func refusal(object *unstructured.Unstructured, key Key, admitted []Key) string {
	namespace, _, _ := unstructured.NestedFieldNoCopy(object.Object, "metadata", "namespace")
	kind, _ := object.Object["type"].(string)
	switch {
	case object.GetAPIVersion() != versionOf(key.Kind):
		return "is not of a kind that a backup of 3scale holds (APIManager of " + threescale.APIManagerAPIVersion + ", Secret and ConfigMap of v1)"
	case len(validation.IsDNS1123Subdomain(key.Name)) > 0:
		return "has a name that no object can have"
	case !slices.Contains(admitted, key):
		return "is not listed in the manifest of the run"
	case namespace != nil:
		return "names a namespace, which no object of a backup does"
	case key.Kind == threescale.KindSecret && kind == string(corev1.SecretTypeServiceAccountToken):
		return "is a token of a service account, which no backup holds"
	case !isUTF8(object.Object):
		return "holds text that is not UTF-8"
	}
	return ""
}

// versionOf returns the apiVersion of a kind that may be committed. For any
// other it returns what no object can have.
func versionOf(kind string) string {
	switch kind {
	case threescale.APIManagerKind:
		return threescale.APIManagerAPIVersion
	case threescale.KindSecret, threescale.KindConfigMap:
		return "v1"
	}
	return "\x00"
}

// checkOneAPIManager fails unless there is exactly one.
func checkOneAPIManager(manifests []*unstructured.Unstructured) error {
	var names []string
	for _, manifest := range manifests {
		if manifest.GetKind() == threescale.APIManagerKind {
			names = append(names, manifest.GetName())
		}
	}
	switch len(names) {
	case 0:
		return &UnexpectedObjectError{threescale.APIManagerKind, "", "is missing"}
	case 1:
		return nil
	}
	return &UnexpectedObjectError{threescale.APIManagerKind, names[1], "is a second one beside that of the installation"}
}

// keyOf returns the kind and name of an object, empty where there is none.
func keyOf(object *unstructured.Unstructured) Key {
	return Key{object.GetKind(), object.GetName()}
}
