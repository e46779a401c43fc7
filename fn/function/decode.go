package function

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/request"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/api/meta"
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
		Image:      req.GetInput().GetFields()["image"].GetStringValue(),
		NoRequired: handsNothingOver(req),
		Composed:   make(map[string]*unstructured.Unstructured, len(req.GetObserved().GetResources())),
		Required:   make(map[string][]*unstructured.Unstructured, len(req.GetRequiredResources())),
	}
	o.Allow, o.InputError = decodeAllow(req.GetInput())
	if req.GetObserved().GetComposite().GetResource() == nil {
		return o, errors.New("cannot read the composite: the request has none; this function composes, it is no operation")
	}
	var err error
	if o.Composite, err = decodeComposite(&unstructured.Unstructured{Object: req.GetObserved().GetComposite().GetResource().AsMap()}); err != nil {
		return o, err
	}
	for name, r := range req.GetObserved().GetResources() {
		o.Composed[name] = &unstructured.Unstructured{Object: r.GetResource().AsMap()}
	}
	for name, resources := range req.GetRequiredResources() {
		objects := make([]*unstructured.Unstructured, 0, len(resources.GetItems()))
		for _, r := range resources.GetItems() {
			objects = append(objects, &unstructured.Unstructured{Object: r.GetResource().AsMap()})
		}
		o.Required[name] = objects
	}
	return o, nil
}

// decodeAllow reads what the Composition's input allows. An error is told to the
// user, and nothing is allowed then.
func decodeAllow(input *structpb.Struct) (v1alpha1.Allow, error) {
	var allow v1alpha1.Allow
	value, there := input.GetFields()["allow"]
	if !there {
		return allow, nil
	}
	fields := value.GetStructValue()
	if fields == nil {
		return allow, errors.New("cannot read allow: it is not an object")
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields.AsMap(), &allow); err != nil {
		return v1alpha1.Allow{}, fmt.Errorf("cannot read allow: %w", err)
	}
	switch allow.PodSecurity {
	case "", v1alpha1.PodSecurityRestricted, v1alpha1.PodSecurityBaseline, v1alpha1.PodSecurityPrivileged:
		return allow, nil
	}
	return v1alpha1.Allow{}, fmt.Errorf("cannot read allow.podSecurity: %q is none of restricted, baseline and privileged", allow.PodSecurity)
}

// handsNothingOver reports whether core never hands over what is required. Crossplane
// 2.2 and later say what they know. Versions before 2.0 do not know the
// requirement, and ask again after an answer with it as those do that know it.
func handsNothingOver(req *fnv1.RunFunctionRequest) bool {
	if request.AdvertisesCapabilities(req) {
		return !request.HasCapability(req, fnv1.Capability_CAPABILITY_REQUIRED_RESOURCES)
	}
	return wasAsked(req) && len(req.GetRequiredResources()) == 0
}

func decodeComposite(xr *unstructured.Unstructured) (compose.Composite, error) {
	c := compose.Composite{
		Name:                xr.GetName(),
		Namespace:           xr.GetNamespace(),
		UID:                 xr.GetUID(),
		ClaimNamespaceLabel: xr.GetLabels()[claimNamespaceLabel],
		// Crossplane's circuit breaker for the composite is open.
		Unresponsive: meta.IsStatusConditionFalse(v1alpha1.ConditionsOf(xr), "Responsive"),
	}
	for _, condition := range v1alpha1.ConditionsOf(xr) {
		c.Shows = append(c.Shows, condition.Type)
	}
	if text, ok, _ := unstructured.NestedString(xr.Object, "metadata", "creationTimestamp"); ok {
		created, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return c, fmt.Errorf("cannot read metadata.creationTimestamp of composite %q: %w", c.Name, err)
		}
		c.Created = created
	}
	if ref, ok, _ := unstructured.NestedStringMap(xr.Object, "spec", "claimRef"); ok {
		c.ClaimRef = &types.NamespacedName{Namespace: ref["namespace"], Name: ref["name"]}
	}
	if spec, ok := xr.Object["spec"].(map[string]any); ok {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(spec, &c.Spec); err != nil {
			c.SpecError = fmt.Errorf("cannot read spec.%s: %w", undecodable(spec), err)
		}
	}
	if status, ok := xr.Object["status"].(map[string]any); ok {
		// The conditions are Crossplane's own, and no part of our status.
		delete(status, "conditions")
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(status, &c.Status); err != nil {
			return c, fmt.Errorf("cannot read the status of composite %q: %w", c.Name, err)
		}
	}
	return c, nil
}

// undecodable returns the path of the first field that does not decode even by
// itself, for the user to find: the decoder's own errors name none.
func undecodable(fields map[string]any, path ...string) string {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		here := append(slices.Clone(path), name)
		if decodes(fields[name], here) {
			continue
		}
		if children, ok := fields[name].(map[string]any); ok {
			if deeper := undecodable(children, here...); deeper != "" {
				return deeper
			}
		}
		return strings.Join(here, ".")
	}
	return ""
}

// decodes reports whether a spec with nothing but value at path decodes.
func decodes(value any, path []string) bool {
	for _, name := range slices.Backward(path) {
		value = map[string]any{name: value}
	}
	spec, _ := value.(map[string]any)
	return runtime.DefaultUnstructuredConverter.FromUnstructured(spec, &v1alpha1.ThreeScaleBackupSpec{}) == nil
}
