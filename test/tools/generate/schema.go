package main

import (
	"maps"
	"slices"
	"strings"
)

const (
	kubernetesReference = "https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.35/#"
	fluxReference       = "https://pkg.go.dev/github.com/fluxcd/pkg/apis/meta#"
)

// typesElsewhere are the fields whose types are of Kubernetes or Flux, by the end
// of their path: what is in them is described there, and at length.
var typesElsewhere = map[string]string{
	"job.affinity":           kubernetesReference + "affinity-v1-core",
	"job.imagePullSecrets":   kubernetesReference + "localobjectreference-v1-core",
	"job.podSecurityContext": kubernetesReference + "podsecuritycontext-v1-core",
	"job.resources":          kubernetesReference + "resourcerequirements-v1-core",
	"job.tolerations":        kubernetesReference + "toleration-v1-core",
	"status.conditions":      kubernetesReference + "condition-v1-meta",
	"status.history":         fluxReference + "Snapshot",
}

// documentedAt is where the type of a field is documented; "" where it is our own.
func documentedAt(path string) string {
	for suffix, address := range typesElsewhere {
		if strings.HasSuffix("."+path, "."+suffix) {
			return address
		}
	}
	return ""
}

// child is a schema within another; nil without it.
func child(schema map[string]any, key string) map[string]any {
	inner, _ := schema[key].(map[string]any)
	return inner
}

// names are the properties of a schema, sorted.
func names(schema map[string]any) []string {
	return slices.Sorted(maps.Keys(child(schema, "properties")))
}

// dropItemDescriptions removes what controller-gen says of the entries of a
// list: it is the comment of their Go type, and `kubectl explain` would print it
// behind the list's own description.
func dropItemDescriptions(schema map[string]any, path string) {
	if documentedAt(path) != "" {
		return
	}
	if items := child(schema, "items"); items != nil {
		delete(items, "description")
		dropItemDescriptions(items, path)
	}
	for _, name := range names(schema) {
		dropItemDescriptions(child(child(schema, "properties"), name), join(path, name))
	}
}

// Patterns of what Go reads, where that is less than what controller-gen admits: an
// object that holds more could be stored, and not be read.
const (
	quantityOfControllerGen = `^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$`
	quantity                = `^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?[0-9]{1,5}))?$`
	dateTime                = `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	// duration is what Go writes, such as 1m2.5s.
	duration = `^([0-9]{1,6}h)?([0-9]{1,2}m)?[0-9]{1,3}(\.[0-9]{1,9})?(s|ms|µs|ns)$`
)

// narrow has a schema admit only what Go reads.
func narrow(schema map[string]any) {
	if schema["pattern"] == quantityOfControllerGen {
		schema["pattern"] = quantity
	}
	if schema["format"] == "date-time" {
		schema["pattern"] = dateTime
	}
	if last := child(child(schema, "properties"), "lastReconciledDuration"); last != nil { // of Flux' history
		last["pattern"] = duration
	}
	for _, name := range names(schema) {
		narrow(child(child(schema, "properties"), name))
	}
	for _, inner := range []string{"items", "additionalProperties"} {
		if of := child(schema, inner); of != nil {
			narrow(of)
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
