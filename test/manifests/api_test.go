package manifests_test

import (
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// schemaOf returns the schema of a flavour's XRD.
func schemaOf(t *testing.T, flavour string) map[string]any {
	t.Helper()
	xrd := object(t, "manifests", flavour, "xrd.yaml")
	schema, ok := at(t, xrd, "spec", "versions", "schema", "openAPIV3Schema").(map[string]any)
	require.True(t, ok)
	return schema
}

// TestFlavoursAgree: what a user writes and reads is the same in both.
func TestFlavoursAgree(t *testing.T) {
	claim, namespaced := object(t, "manifests", "claim", "xrd.yaml"), object(t, "manifests", "namespaced", "xrd.yaml")
	for _, field := range []string{"group", "versions"} {
		assert.Equal(t, at(t, claim, "spec", field), at(t, namespaced, "spec", field), field)
	}
	assert.Equal(t, at(t, claim, "spec", "claimNames", "kind"), at(t, namespaced, "spec", "names", "kind"))
	assert.Equal(t, v1alpha1.KindBackup, at(t, claim, "spec", "claimNames", "kind"))
	assert.Equal(t, v1alpha1.KindCompositeBackup, at(t, claim, "spec", "names", "kind"))
	assert.Equal(t, v1alpha1.Version, at(t, claim, "spec", "versions", "name"))
	for _, xrd := range []map[string]any{claim, namespaced} {
		name := fmt.Sprintf("%s.%s", at(t, xrd, "spec", "names", "plural"), v1alpha1.Group)
		assert.Equal(t, name, at(t, xrd, "metadata", "name"))
	}
	assert.Equal(t, "apiextensions.crossplane.io/v1", claim["apiVersion"], "claims exist in v1 only")
	assert.Equal(t, "apiextensions.crossplane.io/v2", namespaced["apiVersion"])
	assert.Equal(t, "Namespaced", at(t, namespaced, "spec", "scope"))
}

// TestRecipientsFitTheSchema: a hybrid recipient is eight times as long as a classic one, an SSH key of 16384 bits longer.
func TestRecipientsFitTheSchema(t *testing.T) {
	hybrid, err := age.GenerateHybridIdentity()
	require.NoError(t, err)
	const rsa16384 = 2800
	for name, schema := range map[string]any{
		"claim": schemaOf(t, "claim"), "namespaced": schemaOf(t, "namespaced"),
		"restore": at(t, object(t, "manifests", "crd", "restore.yaml"), "spec", "versions", "schema", "openAPIV3Schema"),
	} {
		limit := at(t, schema, "properties", "spec", "properties", "encryption", "properties", "age", "properties", "recipients", "items", "maxLength")
		assert.GreaterOrEqual(t, limit, float64(max(len(hybrid.Recipient().String()), rsa16384)), name)
	}
}

// TestCompositions: each is for its flavour's composite and calls the function
// by the name of its package, with an input that has the image.
func TestCompositions(t *testing.T) {
	function := at(t, object(t, "package", "crossplane.yaml"), "metadata", "name")
	inputCRD := object(t, "package", "input", "input.yaml")
	images := map[any]bool{}
	for _, flavour := range []string{"claim", "namespaced"} {
		t.Run(flavour, func(t *testing.T) {
			objects := build(t, flavour)
			composition, xrd := objects["Composition"], objects["CompositeResourceDefinition"]
			assert.Equal(t, at(t, xrd, "spec", "names", "kind"), at(t, composition, "spec", "compositeTypeRef", "kind"))
			assert.Equal(t, v1alpha1.GroupVersion.String(), at(t, composition, "spec", "compositeTypeRef", "apiVersion"))
			assert.Equal(t, at(t, xrd, "spec", "defaultCompositionRef", "name"), at(t, composition, "metadata", "name"))
			assert.Equal(t, "Pipeline", at(t, composition, "spec", "mode"))
			assert.Equal(t, function, at(t, composition, "spec", "pipeline", "functionRef", "name"))
			assert.Equal(t, at(t, inputCRD, "spec", "names", "kind"), at(t, composition, "spec", "pipeline", "input", "kind"))
			assert.Equal(t, fmt.Sprintf("%s/%s", at(t, inputCRD, "spec", "group"), at(t, inputCRD, "spec", "versions", "name")),
				at(t, composition, "spec", "pipeline", "input", "apiVersion"))
			images[at(t, composition, "spec", "pipeline", "input", "image")] = true
		})
	}
	assert.Len(t, images, 1, "both flavours run the same image")
}

func TestInputCRD(t *testing.T) {
	schema := at(t, object(t, "package", "input", "input.yaml"), "spec", "versions", "schema", "openAPIV3Schema")
	assert.Equal(t, "string", at(t, schema, "properties", "image", "type"))
	assert.Equal(t, []any{"image"}, at(t, schema, "required"))
	assertFields(t, "Input", reflect.TypeFor[v1alpha1.Input](), schema, "apiVersion", "kind", "metadata")
}

// TestPackages: the Configuration depends on the function, and the examples
// render with it.
func TestPackages(t *testing.T) {
	function := object(t, "package", "crossplane.yaml")
	assert.Equal(t, []any{"composition"}, at(t, function, "spec", "capabilities"))
	name := at(t, function, "metadata", "name")
	dependency, ok := at(t, object(t, "crossplane.yaml"), "spec", "dependsOn").([]any)
	require.True(t, ok)
	require.Len(t, dependency, 1)
	assert.Equal(t, "Function", at(t, dependency, "kind"))
	assert.Equal(t, name, path.Base(fmt.Sprint(at(t, dependency, "package"))))
	assert.Equal(t, name, at(t, object(t, "examples", "functions.yaml"), "metadata", "name"))
}

// TestNoForeignRegistry: nothing is pulled by default from a registry that is
// not ours; registry.example.com has to be replaced.
func TestNoForeignRegistry(t *testing.T) {
	for _, image := range []any{
		at(t, object(t, "crossplane.yaml"), "spec", "dependsOn", "package"),
		at(t, object(t, "manifests", "claim", "composition.yaml"), "spec", "pipeline", "input", "image"),
		at(t, object(t, "examples", "functions.yaml"), "spec", "package"),
		at(t, object(t, "manifests", "controller", "deployment.yaml"), "spec", "template", "spec", "containers", "image"),
	} {
		assert.True(t, strings.HasPrefix(fmt.Sprint(image), "registry.example.com/"), image)
	}
}

// TestSchemaFollowsTypes finds a field that was added to the Go types, or
// removed, without `make generate`. What a field is, `make verify` compares.
func TestSchemaFollowsTypes(t *testing.T) {
	for _, flavour := range []string{"claim", "namespaced"} {
		schema := schemaOf(t, flavour)
		assertFields(t, "spec", reflect.TypeFor[v1alpha1.ThreeScaleBackupSpec](), at(t, schema, "properties", "spec"))
		// The conditions are Crossplane's: it adds them to the schema itself.
		status := schemaProperties(t, at(t, schema, "properties", "status"))
		require.NotContains(t, status, "conditions")
		status["conditions"] = map[string]any{}
		assertFields(t, "status", reflect.TypeFor[v1alpha1.ThreeScaleBackupStatus](), at(t, schema, "properties", "status"))
	}
}

func schemaProperties(t *testing.T, schema any) map[string]any {
	t.Helper()
	properties, ok := at(t, schema, "properties").(map[string]any)
	require.True(t, ok)
	return properties
}

// assertFields compares the names of a struct's fields with a schema's
// properties, and goes down into structs of our own.
func assertFields(t *testing.T, where string, goType reflect.Type, schema any, inlined ...string) {
	t.Helper()
	properties := schemaProperties(t, schema)
	fields := slices.Clone(inlined)
	for field := range goType.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if strings.Contains(options, "inline") || slices.Contains(inlined, name) {
			continue
		}
		fields = append(fields, name)
		inner, innerSchema := field.Type, properties[name]
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			if inner.Kind() == reflect.Slice && innerSchema != nil {
				innerSchema = innerSchema.(map[string]any)["items"]
			}
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && inner.NumField() > 0 && inner.PkgPath() == goType.PkgPath() && innerSchema != nil {
			assertFields(t, where+"."+name, inner, innerSchema)
		}
	}
	var names []string
	for name := range properties {
		names = append(names, name)
	}
	assert.ElementsMatch(t, fields, names, where)
}
