package render

import (
	"fmt"
	"maps"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Labels and annotations that Crossplane writes.
const (
	labelComposite      = "crossplane.io/composite"
	labelClaimName      = "crossplane.io/claim-name"
	labelClaimNamespace = "crossplane.io/claim-namespace"

	annotationResourceName = "crossplane.io/composition-resource-name"

	compositeFinalizer = "composite.apiextensions.crossplane.io"
)

// nameSuffix is what Crossplane appends to a claim's name; random in real life.
const nameSuffix = "-x7k2p"

// composite returns what Crossplane and the API server make of an applied claim.
func composite(root string, s Scenario, claim *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	claim = claim.DeepCopy()
	if err := applyDefaults(root, s, claim); err != nil {
		return nil, err
	}
	xr := claim.DeepCopy()
	if !s.Namespaced {
		xr = compositeOfClaim(claim)
	}
	xr.SetUID(stableUID(s.Flavour(), "composite"))
	xr.SetFinalizers([]string{compositeFinalizer})
	xr.SetGeneration(2)
	setLabel(xr, labelComposite, xr.GetName())
	metadata, _ := xr.Object["metadata"].(map[string]any)
	metadata["creationTimestamp"] = created().Format(time.RFC3339)
	metadata["resourceVersion"] = "1000000"
	machinery, _ := xr.Object["spec"].(map[string]any)
	if s.Namespaced {
		own := map[string]any{}
		machinery["crossplane"] = own
		machinery = own
	}
	machinery["compositionRef"] = map[string]any{"name": "threescalebackup-" + s.Flavour()}
	machinery["compositionUpdatePolicy"] = "Automatic"
	return xr, nil
}

// compositeOfClaim does what Crossplane's claim controller does.
func compositeOfClaim(claim *unstructured.Unstructured) *unstructured.Unstructured {
	spec, _ := claim.Object["spec"].(map[string]any)
	spec = maps.Clone(spec)
	spec["claimRef"] = map[string]any{
		"apiVersion": claim.GetAPIVersion(),
		"kind":       claim.GetKind(),
		"name":       claim.GetName(),
		"namespace":  claim.GetNamespace(),
	}
	xr := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": claim.GetAPIVersion(),
		"kind":       "X" + claim.GetKind(),
		"spec":       spec,
	}}
	xr.SetName(claim.GetName() + nameSuffix)
	xr.SetGenerateName(claim.GetName() + "-")
	setLabel(xr, labelClaimName, claim.GetName())
	setLabel(xr, labelClaimNamespace, claim.GetNamespace())
	return xr
}

// claimComposed writes what Crossplane adds to the metadata of an object that
// xr composes under a resource name.
func claimComposed(xr, object *unstructured.Unstructured, resource string) {
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[annotationResourceName] = resource
	object.SetAnnotations(annotations)
	setLabel(object, labelComposite, xr.GetName())
	for _, label := range []string{labelClaimName, labelClaimNamespace} {
		if value := xr.GetLabels()[label]; value != "" && xr.GetNamespace() == "" {
			setLabel(object, label, value)
		}
	}
	metadata, _ := object.Object["metadata"].(map[string]any)
	owners, _ := metadata["ownerReferences"].([]any)
	for _, owner := range owners {
		if fields, _ := owner.(map[string]any); fields["uid"] == string(xr.GetUID()) {
			return
		}
	}
	metadata["ownerReferences"] = append(owners, map[string]any{
		"apiVersion":         xr.GetAPIVersion(),
		"kind":               xr.GetKind(),
		"name":               xr.GetName(),
		"uid":                string(xr.GetUID()),
		"controller":         true,
		"blockOwnerDeletion": true,
	})
}

func setLabel(object *unstructured.Unstructured, key, value string) {
	labels := object.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[key] = value
	object.SetLabels(labels)
}

// applyDefaults fills in the defaults of the flavour's XRD, as the API server
// does when the object is applied.
func applyDefaults(root string, s Scenario, object *unstructured.Unstructured) error {
	xrd, err := readObject(filepath.Join(root, "manifests", s.Flavour(), "xrd.yaml"))
	if err != nil {
		return err
	}
	versions, _, err := unstructured.NestedSlice(xrd.Object, "spec", "versions")
	if err != nil || len(versions) != 1 {
		return fmt.Errorf("cannot read XRD %q: it has %d versions: %w", xrd.GetName(), len(versions), err)
	}
	version, _ := versions[0].(map[string]any)
	schema, _, err := unstructured.NestedMap(version, "schema", "openAPIV3Schema")
	if err != nil {
		return fmt.Errorf("cannot read the schema of XRD %q: %w", xrd.GetName(), err)
	}
	fillDefaults(schema, object.Object)
	return nil
}

// fillDefaults walks the properties of a schema. Ours has defaults in objects only.
func fillDefaults(schema, value map[string]any) {
	properties, _ := schema["properties"].(map[string]any)
	for name, property := range properties {
		property, _ := property.(map[string]any)
		if missing, has := property["default"]; has && value[name] == nil {
			value[name] = runtime.DeepCopyJSONValue(missing)
		}
		if child, ok := value[name].(map[string]any); ok {
			fillDefaults(property, child)
		}
	}
}
