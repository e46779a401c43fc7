package render

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"threescale.dev/backup/fn/simulate"
)

// ContextNow is the key of the pipeline's context that sets the function's clock.
const ContextNow = "backup.threescale.dev/now"

// maxCalls is core's own limit of calls for one reconcile.
const maxCalls = 6

// conditionTime is what `crossplane render` writes: a time would differ each time.
const conditionTime = "2024-01-01T00:00:00Z"

// Render has the function answer an example, and returns what `crossplane
// render --include-full-xr --include-function-results` prints: the composite,
// the composed objects by resource name, the results.
func Render(ctx context.Context, function simulate.Runner, e Example) ([]*unstructured.Unstructured, error) {
	rsp, err := e.call(ctx, function)
	if err != nil {
		return nil, fmt.Errorf("cannot render example %q: %w", e.Name, err)
	}
	out := []*unstructured.Unstructured{e.compositeOf(rsp)}
	desired := rsp.GetDesired().GetResources()
	for _, name := range slices.Sorted(maps.Keys(desired)) {
		object := &unstructured.Unstructured{Object: desired[name].GetResource().AsMap()}
		claimComposed(e.XR, object, name)
		out = append(out, object)
	}
	for _, result := range rsp.GetResults() {
		out = append(out, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "render.crossplane.io/v1beta1",
			"kind":       "Result",
			"step":       e.step,
			"severity":   result.GetSeverity().String(),
			"message":    result.GetMessage(),
		}})
	}
	return out, nil
}

// call runs the function until it asks for nothing new, as core does.
func (e Example) call(ctx context.Context, function simulate.Runner) (*fnv1.RunFunctionResponse, error) {
	req, err := e.request()
	if err != nil {
		return nil, err
	}
	var before *fnv1.Requirements
	for range maxCalls {
		rsp, err := function.RunFunction(ctx, req)
		if err != nil {
			return nil, err
		}
		for _, result := range rsp.GetResults() {
			if result.GetSeverity() == fnv1.Severity_SEVERITY_FATAL {
				return nil, fmt.Errorf("the result is fatal: %s", result.GetMessage())
			}
		}
		if proto.Equal(before, rsp.GetRequirements()) {
			return rsp, nil
		}
		before = rsp.GetRequirements()
		req.Context = rsp.GetContext()
		req.RequiredResources = map[string]*fnv1.Resources{}
		for name, selector := range before.GetResources() {
			if req.RequiredResources[name], err = e.fetch(selector); err != nil {
				return nil, err
			}
		}
	}
	return nil, fmt.Errorf("the requirements did not settle in %d calls", maxCalls)
}

func (e Example) request() (*fnv1.RunFunctionRequest, error) {
	composite, err := structpb.NewStruct(e.XR.Object)
	if err != nil {
		return nil, err
	}
	input, err := structpb.NewStruct(e.input)
	if err != nil {
		return nil, err
	}
	observed := make(map[string]*fnv1.Resource, len(e.Observed))
	for _, object := range e.Observed {
		name := object.GetAnnotations()[annotationResourceName]
		resource, err := structpb.NewStruct(object.Object)
		if err != nil {
			return nil, err
		}
		observed[name] = &fnv1.Resource{Resource: resource}
	}
	return &fnv1.RunFunctionRequest{
		Meta:     &fnv1.RequestMeta{Tag: "render"},
		Context:  &structpb.Struct{Fields: map[string]*structpb.Value{ContextNow: structpb.NewStringValue(e.moment())}},
		Input:    input,
		Observed: &fnv1.State{Composite: &fnv1.Resource{Resource: composite}, Resources: observed},
	}, nil
}

// fetch answers one requirement from the example's objects, as core does from
// the API server: in the order of their namespaces and names.
func (e Example) fetch(selector *fnv1.ResourceSelector) (*fnv1.Resources, error) {
	var found []*unstructured.Unstructured
	for _, object := range e.Required {
		if matches(selector, object) {
			found = append(found, object)
		}
	}
	slices.SortStableFunc(found, func(a, b *unstructured.Unstructured) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	out := &fnv1.Resources{}
	for _, object := range found {
		resource, err := structpb.NewStruct(object.Object)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, &fnv1.Resource{Resource: resource})
	}
	return out, nil
}

func matches(selector *fnv1.ResourceSelector, object *unstructured.Unstructured) bool {
	if selector.GetApiVersion() != object.GetAPIVersion() || selector.GetKind() != object.GetKind() {
		return false
	}
	if name := selector.GetMatchName(); name != "" {
		return name == object.GetName() && selector.GetNamespace() == object.GetNamespace()
	}
	if namespace := selector.GetNamespace(); namespace != "" && namespace != object.GetNamespace() {
		return false
	}
	return labels.SelectorFromSet(selector.GetMatchLabels().GetLabels()).Matches(labels.Set(object.GetLabels()))
}

// compositeOf returns the composite with the status of an answer.
func (e Example) compositeOf(rsp *fnv1.RunFunctionResponse) *unstructured.Unstructured {
	status, _ := rsp.GetDesired().GetComposite().GetResource().AsMap()["status"].(map[string]any)
	if status == nil {
		status = map[string]any{}
	}
	ready := map[string]any{"type": "Ready", "status": "True", "reason": "Available", "lastTransitionTime": conditionTime}
	if rsp.GetDesired().GetComposite().GetReady() == fnv1.Ready_READY_FALSE {
		ready["status"], ready["reason"] = "False", "Creating"
	}
	conditions := []any{ready}
	for _, c := range rsp.GetConditions() {
		conditions = append(conditions, map[string]any{
			"type":               c.GetType(),
			"status":             conditionStatus(c.GetStatus()),
			"reason":             c.GetReason(),
			"message":            c.GetMessage(),
			"lastTransitionTime": conditionTime,
		})
	}
	status["conditions"] = conditions
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": e.XR.GetAPIVersion(),
		"kind":       e.XR.GetKind(),
		"metadata":   e.XR.Object["metadata"],
		"spec":       e.XR.Object["spec"],
		"status":     status,
	}}
}

func conditionStatus(s fnv1.Status) string {
	switch s {
	case fnv1.Status_STATUS_CONDITION_TRUE:
		return "True"
	case fnv1.Status_STATUS_CONDITION_FALSE:
		return "False"
	case fnv1.Status_STATUS_CONDITION_UNKNOWN, fnv1.Status_STATUS_CONDITION_UNSPECIFIED:
	}
	return "Unknown"
}
