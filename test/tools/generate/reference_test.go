package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

func schema(t *testing.T, text string) map[string]any {
	t.Helper()
	var out map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &out))
	return out
}

// TestFieldsOf has one property in each case, called f.
func TestFieldsOf(t *testing.T) {
	for name, tc := range map[string]struct {
		why, property string
		want          []field
	}{
		"Text": {
			"a table has one line a field", "{type: string, description: \"a\\nb | <c> *\", maxLength: 253}",
			[]field{{"spec.f", "string", "", "at most 253 characters", `a b \| &lt;c> \*`}},
		},
		"Range":    {"both bounds in one", "{type: integer, minimum: 0, maximum: 9}", []field{{"spec.f", "integer", "", "0 to 9", ""}}},
		"AtLeast":  {"1 is a number here", "{type: integer, minimum: 1}", []field{{"spec.f", "integer", "", "at least 1", ""}}},
		"NotEmpty": {"1 is a length here", "{type: string, minLength: 1}", []field{{"spec.f", "string", "", "not empty", ""}}},
		"Enum": {
			"what may be written is code", "{type: string, enum: [A, B], default: A}",
			[]field{{"spec.f", "string", "`A`", "`A`, `B`", ""}},
		},
		"False":   {"it is a default as any other", "{type: boolean, default: false}", []field{{"spec.f", "boolean", "`false`", "", ""}}},
		"NoText":  {"an empty text is none", `{type: string, default: ""}`, []field{{"spec.f", "string", "", "", ""}}},
		"Object":  {"its default only repeats that of its fields", "{type: object, default: {a: 1}}", []field{{"spec.f", "object", "", "", ""}}},
		"Pattern": {"a | would end the cell", `{type: string, pattern: "a|b"}`, []field{{"spec.f", "string", "", "`a\\|b`", ""}}},
		"Quantity": {
			"nobody reads the pattern of quantities", `{x-kubernetes-int-or-string: true, pattern: "x"}`,
			[]field{{"spec.f", "quantity", "", "", ""}},
		},
		"Time": {"a text of a certain form", "{type: string, format: date-time}", []field{{"spec.f", "time", "", "", ""}}},
		"Map":  {"keys are free", "{type: object, additionalProperties: {type: string}}", []field{{"spec.f", "map of strings", "", "", ""}}},
		"List": {
			"what holds for each entry", "{type: array, maxItems: 4, items: {type: string, enum: [A]}}",
			[]field{{"spec.f", "list of strings", "", "at most 4 entries; each: `A`", ""}},
		},
		"Nested": {
			"fields by their path, those that must be there are marked", "{type: object, required: [b], properties: {b: {type: string}, a: {type: string}}}",
			[]field{{"spec.f", "object", "", "", ""}, {"spec.f.a", "string", "", "", ""}, {"spec.f.b", "string", "", "required", ""}},
		},
		"Objects": {
			"paths go on in the entries", "{type: array, items: {type: object, properties: {a: {type: string}}}}",
			[]field{{"spec.f", "list of objects", "", "", ""}, {"spec.f[].a", "string", "", "", ""}},
		},
		"Rule": {
			"rules across fields are told by their message", "{type: object, x-kubernetes-validations: [{rule: self.a, message: set a}]}",
			[]field{{"spec.f", "object", "", "set a", ""}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := fieldsOf(schema(t, "properties: {f: "+tc.property+"}"), "spec")
			assert.Equal(t, tc.want, got, tc.why)
		})
	}
}

const ofKubernetes = `
properties:
  job:
    properties:
      affinity: {type: object, description: Ours., properties: {x: {type: array, items: {type: object, description: Kubernetes'.}}}}
  list: {type: array, items: {type: object, description: Dropped., properties: {inner: {type: array, items: {type: string, description: Dropped.}}}}}
`

func TestTypesElsewhere(t *testing.T) {
	got := fieldsOf(schema(t, ofKubernetes), "spec")
	require.Len(t, got, 4, "job, job.affinity, list, list[].inner: what is in affinity is described elsewhere")
	assert.Equal(t, "[object]("+kubernetesReference+"affinity-v1-core)", got[1].kind)
	assert.Empty(t, documentedAt("spec.backupDestination.persistentVolumeClaim.resources"), "it is ours, and called as that of a job")
}

func TestCheckFields(t *testing.T) {
	var fields []field
	for suffix := range typesElsewhere {
		fields = append(fields, field{path: "spec." + suffix, description: "Told."})
	}
	require.NoError(t, checkFields(fields))
	require.ErrorContains(t, checkFields(fields[1:]), "no field is called", "a type that is gone")
	require.ErrorContains(t, checkFields(append(fields, field{path: "spec.new"})), `"spec.new" has no description`)
}

func TestDropItemDescriptions(t *testing.T) {
	s := schema(t, ofKubernetes)
	dropItemDescriptions(s, "")
	text, err := yaml.Marshal(s)
	require.NoError(t, err)
	assert.NotContains(t, string(text), "Dropped")
	assert.Contains(t, string(text), "Kubernetes'", "what is described elsewhere stays as it is")
	assert.Contains(t, string(text), "Ours")
}
