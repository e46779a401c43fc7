package examples

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/restore"
)

// What the examples have that a cluster has otherwise.
const (
	// Namespace is that of the installation.
	Namespace = "3scale"
	// OtherNamespace is where the example other-namespace restores to.
	OtherNamespace = "3scale-dr"
	// FluxNamespace holds Flux's objects where they are not the tenant's own.
	FluxNamespace = "flux-system"
	// URL of the Git repository.
	URL = "https://git.example.com/platform/apps.git"
	// Recipient is whom Secrets are encrypted for where .sops.yaml does not say it.
	Recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
)

// Place changes an example's objects such that they lie in other namespaces,
// by the names above, and use another repository and recipient.
func Place(objects []*unstructured.Unstructured, namespaces map[string]string, url, recipient string) {
	placed := func(namespace string) string {
		if other, ok := namespaces[namespace]; ok {
			return other
		}
		return namespace
	}
	for _, object := range objects {
		if object.GetKind() == "Namespace" {
			object.SetName(placed(object.GetName()))
		}
		annotations := object.GetAnnotations()
		if writer, folder, ok := strings.Cut(annotations[restore.WritersAnnotation], "="); ok {
			annotations[restore.WritersAnnotation] = placed(writer) + "=" + folder
			object.SetAnnotations(annotations)
		}
		object.Object, _ = replace(object.Object, "", func(field, text string) string {
			switch {
			case field == "namespace":
				return placed(text)
			case text == URL:
				return url
			case text == Recipient:
				return recipient
			}
			return text
		}).(map[string]any)
	}
}

// replace returns a copy of value in which each text is what change makes of
// it; field is the name of the field that it, or the list it is in, stands in.
func replace(value any, field string, change func(field, text string) string) any {
	switch value := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(value))
		for name, inner := range value {
			out[name] = replace(inner, name, change)
		}
		return out
	case []any:
		out := make([]any, len(value))
		for i, inner := range value {
			out[i] = replace(inner, field, change)
		}
		return out
	case string:
		return change(field, value)
	}
	return value
}
