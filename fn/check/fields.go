package check

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// compare compares a served schema with the shipped one, below spec and status: the API
// server defines all other fields.
func compare(served, shipped map[string]any) (lacks, more []string) {
	for _, part := range []string{"spec", "status"} {
		lacks = append(lacks, below(property(shipped, part), property(served, part), part)...)
		more = append(more, below(property(served, part), property(shipped, part), part)...)
	}
	return lacks, more
}

func property(schema map[string]any, name string) map[string]any {
	properties, _ := schema["properties"].(map[string]any)
	child, _ := properties[name].(map[string]any)
	return child
}

// below names the fields of one schema that the other lacks. Of an object that it lacks
// as a whole, only the object is named.
func below(schema, other map[string]any, path string) []string {
	var out []string
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		child, theirs := property(schema, name), property(other, name)
		if theirs == nil {
			out = append(out, path+"."+name)
			continue
		}
		out = append(out, below(child, theirs, path+"."+name)...)
	}
	for keyword, mark := range map[string]string{"items": "[]", "additionalProperties": ".*"} {
		if child, ok := schema[keyword].(map[string]any); ok {
			theirs, _ := other[keyword].(map[string]any)
			out = append(out, below(child, theirs, path+mark)...)
		}
	}
	return out
}

// shippedSchema is the schema in a shipped XRD or CRD.
func shippedSchema(manifest []byte) (map[string]any, error) {
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(manifest, &object.Object); err != nil {
		return nil, fmt.Errorf("cannot read the shipped schema: %w", err)
	}
	if schema := schemaOf(object); schema != nil {
		return schema, nil
	}
	return nil, errors.New("cannot read the shipped schema: there is none")
}

// schemaOf is the schema of our version in an XRD or CRD; nil without one.
func schemaOf(object *unstructured.Unstructured) map[string]any {
	for _, version := range objects(object.Object, "spec", "versions") {
		if version["name"] == v1alpha1.Version {
			schema, _ := version["schema"].(map[string]any)
			inner, _ := schema["openAPIV3Schema"].(map[string]any)
			return inner
		}
	}
	return nil
}

// fields checks the schema of a kind that is served.
func fields(a area, of string, served map[string]any, manifest []byte, do string) Finding {
	const check = "fields"
	shipped, err := shippedSchema(manifest)
	if err != nil {
		return a.unread(check, err)
	}
	lacks, more := compare(served, shipped)
	switch {
	case len(lacks) > 0:
		finding := a.fail(check, fmt.Sprintf("%s is older than this program and lacks: %s", of, strings.Join(lacks, ", ")), do)
		finding.Missing = lacks
		return finding
	case len(more) > 0:
		return a.warn(check, fmt.Sprintf("%s is newer than this program, which does not know: %s", of, strings.Join(more, ", ")),
			"use the threescale-backup of the version that is installed")
	}
	return a.ok(check, "%s has the fields of this version", of)
}
