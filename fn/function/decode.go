package function

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose"
)

const claimNamespaceLabel = "crossplane.io/claim-namespace"

// decode reads a request. The protobuf structs are read directly: the SDK's
// helpers would go through JSON for each of some thirty objects, at each call.
func decode(req *fnv1.RunFunctionRequest) (compose.Observed, error) {
	o := compose.Observed{
		Composed: make(map[string]compose.Object, len(req.GetObserved().GetResources())),
		Required: make(map[string][]compose.Object, len(req.GetRequiredResources())),
	}
	o.Image = req.GetInput().GetFields()["image"].GetStringValue()
	if req.GetObserved().GetComposite().GetResource() == nil {
		return o, errors.New("cannot read the composite: the request has none; this function composes, it is no operation")
	}
	composite, err := decodeComposite(req.GetObserved().GetComposite().GetResource().AsMap())
	if err != nil {
		return o, err
	}
	o.Composite = composite
	for name, r := range req.GetObserved().GetResources() {
		o.Composed[name] = r.GetResource().AsMap()
	}
	for name, resources := range required(req) {
		objects := make([]compose.Object, 0, len(resources.GetItems()))
		for _, r := range resources.GetItems() {
			objects = append(objects, r.GetResource().AsMap())
		}
		o.Required[name] = objects
	}
	return o, nil
}

// required returns what was asked for. Crossplane before version 2 knows it by
// its older name.
func required(req *fnv1.RunFunctionRequest) map[string]*fnv1.Resources {
	if len(req.GetRequiredResources()) > 0 {
		return req.GetRequiredResources()
	}
	return req.GetExtraResources()
}

// undecodable returns the first field of the spec that does not decode by
// itself: the converter's errors do not say which.
func undecodable(spec map[string]any) string {
	for _, field := range slices.Sorted(maps.Keys(spec)) {
		one := map[string]any{field: spec[field]}
		if runtime.DefaultUnstructuredConverter.FromUnstructured(one, &v1alpha1.ThreeScaleBackupSpec{}) != nil {
			return field
		}
	}
	return ""
}

func decodeComposite(xr map[string]any) (compose.Composite, error) {
	u := unstructured.Unstructured{Object: xr}
	c := compose.Composite{
		Name:                u.GetName(),
		Namespace:           u.GetNamespace(),
		UID:                 u.GetUID(),
		ClaimNamespaceLabel: u.GetLabels()[claimNamespaceLabel],
	}
	if text, ok, _ := unstructured.NestedString(xr, "metadata", "creationTimestamp"); ok {
		created, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return c, fmt.Errorf("cannot read metadata.creationTimestamp of composite %q: %w", c.Name, err)
		}
		c.Created = created
	}
	if ref, ok, _ := unstructured.NestedStringMap(xr, "spec", "claimRef"); ok {
		c.ClaimRef = &compose.ClaimRef{Namespace: ref["namespace"], Name: ref["name"]}
	}
	if spec, ok, _ := unstructured.NestedMap(xr, "spec"); ok {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(spec, &c.Spec); err != nil {
			c.SpecError = fmt.Errorf("cannot read spec.%s: %w", undecodable(spec), err)
		}
	}
	if status, ok, _ := unstructured.NestedMap(xr, "status"); ok {
		// Crossplane's own part of the status is not ours to read.
		delete(status, "conditions")
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(status, &c.Status); err != nil {
			return c, fmt.Errorf("cannot read the status of composite %q: %w", c.Name, err)
		}
	}
	c.UID = types.UID(u.GetUID())
	return c, nil
}
