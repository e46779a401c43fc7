package examples_test

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// extremes are values that a schema may admit and a Go type may not hold.
func extremes() []any {
	return []any{
		int64(0), int64(-1), int64(math.MaxInt32) + 1, int64(math.MaxInt64), int64(math.MinInt64), 1.5, 3.0, 1e30, math.MaxFloat64, true,
		"", "x", strings.Repeat("x", 300), "\u202e\x00",
		"1h", "-1h", "9999999999h", "99999h99999h99999h99999h", strings.Repeat("99999h", 100), "99999.99999h", "99999999999999999999999ms", "0.000000000000000000000000000001h", "1.h", ".5h", "1µs",
		"2026-11-30T00:00:00Z", "2026-11-30t00:00:00z", "2026-11-30 00:00:00Z", "2026-11-30T24:00:00Z", "2026-02-30T00:00:00Z", "2026-12-31T23:59:60Z", "0000-00-00T00:00:00Z", "99999-01-01T00:00:00Z", "2026-11-30T00:00:00+99:99", "2026-11-30T00:00:00.1234567890123Z",
		"10Gi", "+1", ".5", "1.", "1e3", "1e99999", "1e9999999999999999999", "1E", "1e1.5", "1e.5", "1.5e+3.2", "1ki", strings.Repeat("9", 2000), "0." + strings.Repeat("1", 2000) + "Ki",
	}
}

// TestWhatIsAdmittedDecodes gives each field the extremes, alone: what the schema
// admits, the Go type holds. An object that it does not hold would cost whoever reads
// it, and the controller and the function read those of all tenants.
func TestWhatIsAdmittedDecodes(t *testing.T) {
	schemas := map[string]struct {
		file string
		into func() any
	}{
		"Restore":          {"manifests/crd/restore.yaml", func() any { return &v1alpha1.ThreeScaleRestore{} }},
		"Backup":           {"manifests/claim/xrd.yaml", func() any { return &v1alpha1.ThreeScaleBackup{} }},
		"BackupNamespaced": {"manifests/namespaced/xrd.yaml", func() any { return &v1alpha1.ThreeScaleBackup{} }},
		"Input":            {"package/input/input.yaml", func() any { return &v1alpha1.Input{} }},
	}
	for name, of := range schemas {
		t.Run(name, func(t *testing.T) {
			tried := 0
			eachField(schemaIn(t, of.file), nil, func(path []string, schema apiextensionsv1.JSONSchemaProps) {
				for _, value := range append(extremes(), enumOf(schema)...) {
					if !admits(t, schema, value) {
						continue
					}
					tried++
					err := runtime.DefaultUnstructuredConverter.FromUnstructured(holding(path, value), of.into())
					assert.NoError(t, err, "%s: %v", strings.Join(path, "."), value)
				}
			})
			assert.Greater(t, tried, 3, "nothing was tried")
		})
	}
}

// schemaIn reads the schema of a CustomResourceDefinition or of an XRD.
func schemaIn(t *testing.T, file string) apiextensionsv1.JSONSchemaProps {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
	require.NoError(t, err)
	var definition struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema apiextensionsv1.JSONSchemaProps `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	require.NoError(t, yaml.Unmarshal(data, &definition))
	require.Len(t, definition.Spec.Versions, 1)
	return definition.Spec.Versions[0].Schema.OpenAPIV3Schema
}

// eachField visits the fields that hold no others. In a path "[]" is an element of
// a list and "{}" a value of a map.
func eachField(schema apiextensionsv1.JSONSchemaProps, path []string, visit func([]string, apiextensionsv1.JSONSchemaProps)) {
	switch {
	case schema.Type == "object" && schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil:
		eachField(*schema.AdditionalProperties.Schema, append(slices.Clone(path), "{}"), visit)
	case schema.Type == "object":
		for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
			if len(path) == 0 && name == "metadata" {
				continue // the API server decodes it itself
			}
			eachField(schema.Properties[name], append(slices.Clone(path), name), visit)
		}
	case schema.Type == "array" && schema.Items != nil:
		eachField(*schema.Items.Schema, append(slices.Clone(path), "[]"), visit)
	default:
		visit(path, schema)
	}
}

func enumOf(schema apiextensionsv1.JSONSchemaProps) []any {
	var out []any
	for _, value := range schema.Enum {
		out = append(out, strings.Trim(string(value.Raw), `"`))
	}
	return out
}

// admits asks the API server's own validator.
func admits(t *testing.T, schema apiextensionsv1.JSONSchemaProps, value any) bool {
	t.Helper()
	var props apiextensions.JSONSchemaProps
	require.NoError(t, apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&schema, &props, nil))
	validator, _, err := validation.NewSchemaValidator(&props)
	require.NoError(t, err)
	return len(validation.ValidateCustomResource(nil, value, validator)) == 0
}

// holding is an object that holds nothing but a value.
func holding(path []string, value any) map[string]any {
	for _, name := range slices.Backward(path) {
		switch name {
		case "[]":
			value = []any{value}
		case "{}":
			value = map[string]any{"key": value}
		default:
			value = map[string]any{name: value}
		}
	}
	object, ok := value.(map[string]any)
	if !ok {
		panic(fmt.Sprintf("path %v leads to no object", path))
	}
	return object
}
