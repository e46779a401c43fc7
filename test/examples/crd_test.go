package examples_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// definition does to a custom resource what the API server does to it by its
// CustomResourceDefinition, with the API server's own packages.
type definition struct {
	structural *structuralschema.Structural
	schema     validation.SchemaValidator
	rules      *cel.Validator
}

// restoreDefinition reads the CRD that is shipped.
func restoreDefinition(t *testing.T) definition {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "manifests", "crd", "restore.yaml"))
	require.NoError(t, err)
	var crd apiextensionsv1.CustomResourceDefinition
	require.NoError(t, yaml.UnmarshalStrict(data, &crd))
	require.Len(t, crd.Spec.Versions, 1)
	require.Equal(t, v1alpha1.KindRestore, crd.Spec.Names.Kind)
	var props apiextensions.JSONSchemaProps
	require.NoError(t, apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(crd.Spec.Versions[0].Schema.OpenAPIV3Schema, &props, nil))
	var d definition
	d.structural, err = structuralschema.NewStructural(&props)
	require.NoError(t, err)
	require.Empty(t, structuralschema.ValidateStructural(nil, d.structural))
	d.schema, _, err = validation.NewSchemaValidator(&props)
	require.NoError(t, err)
	d.rules = cel.NewValidator(d.structural, true, celconfig.PerCallLimit)
	require.NotNil(t, d.rules, "the CRD has rules")
	return d
}

// admit sets the defaults of an object and returns what the API server would
// refuse it for: unknown fields (of a strict client), the schema, the rules.
func (d definition) admit(t *testing.T, object map[string]any) (admitted map[string]any, refused []string) {
	t.Helper()
	admitted = runtime.DeepCopyJSON(object)
	unknown := pruning.PruneWithOptions(admitted, d.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, path := range unknown {
		refused = append(refused, "unknown field "+path)
	}
	defaulting.Default(admitted, d.structural)
	problems := validation.ValidateCustomResource(nil, admitted, d.schema)
	violated, _ := d.rules.Validate(t.Context(), field.NewPath("root"), d.structural, admitted, nil, celconfig.RuntimeCELCostBudget)
	for _, problem := range append(problems, violated...) {
		refused = append(refused, problem.Error())
	}
	return admitted, refused
}
