package function

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/response"
	"google.golang.org/protobuf/types/known/structpb"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"threescale.dev/backup/fn/compose"
)

// encode writes a decision into a response, beside what earlier functions of
// the pipeline desired.
func encode(d compose.Desired, rsp *fnv1.RunFunctionResponse) error {
	rsp.Requirements = &fnv1.Requirements{Resources: map[string]*fnv1.ResourceSelector{}}
	for name, selector := range d.Requirements {
		rsp.Requirements.Resources[name] = encodeSelector(selector)
	}
	for _, condition := range d.Conditions {
		addCondition(rsp, condition)
	}
	for _, event := range d.Events {
		addEvent(rsp, event)
	}
	if d.Fatal != nil {
		response.Fatal(rsp, d.Fatal)
		return nil //nolint:nilerr // the fatal result is the answer
	}
	if rsp.GetDesired() == nil {
		rsp.Desired = &fnv1.State{}
	}
	if rsp.GetDesired().GetResources() == nil {
		rsp.Desired.Resources = make(map[string]*fnv1.Resource, len(d.Resources))
	}
	for name, object := range d.Resources {
		resource, err := encodeObject(object)
		if err != nil {
			return fmt.Errorf("cannot encode resource %q: %w", name, err)
		}
		rsp.Desired.Resources[name] = &fnv1.Resource{Resource: resource, Ready: fnv1.Ready_READY_TRUE}
	}
	return encodeStatus(d, rsp)
}

// encodeStatus writes the status over what earlier functions put there.
func encodeStatus(d compose.Desired, rsp *fnv1.RunFunctionResponse) error {
	status, err := encodeObject(&d.Status)
	if err != nil {
		return fmt.Errorf("cannot encode the status: %w", err)
	}
	if rsp.GetDesired().GetComposite() == nil {
		rsp.Desired.Composite = &fnv1.Resource{}
	}
	composite := rsp.GetDesired().GetComposite()
	if composite.GetResource().GetFields() == nil {
		composite.Resource = &structpb.Struct{Fields: map[string]*structpb.Value{}}
	}
	if earlier := composite.GetResource().GetFields()["status"].GetStructValue().GetFields(); earlier != nil {
		maps.Copy(earlier, status.GetFields())
	} else {
		composite.Resource.Fields["status"] = structpb.NewStructValue(status)
	}
	composite.Ready = fnv1.Ready_READY_FALSE
	if d.Ready {
		composite.Ready = fnv1.Ready_READY_TRUE
	}
	return nil
}

// encodeObject drops the status, which a typed object always has and an apply must not
// send.
func encodeObject(object any) (*structpb.Struct, error) {
	switch o := object.(type) {
	case *unstructured.Unstructured: // kept as it was observed, without one
		return structpb.NewStruct(o.Object)
	case *corev1.Secret:
		if len(o.Data) > 0 {
			return encodeSecret(o)
		}
	}
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	delete(m, "status")
	return structpb.NewStruct(m)
}

// encodeSecret encodes the values by itself: the converter would take each one
// through JSON, and they are most of an answer.
func encodeSecret(secret *corev1.Secret) (*structpb.Struct, error) {
	bare := *secret
	bare.Data = nil
	s, err := encodeObject(&bare)
	if err != nil {
		return nil, err
	}
	data := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(secret.Data))}
	var encoded []byte
	for key, value := range secret.Data {
		encoded = base64.StdEncoding.AppendEncode(encoded[:0], value)
		data.Fields[key] = structpb.NewStringValue(string(encoded))
	}
	s.Fields["data"] = structpb.NewStructValue(data)
	return s, nil
}

func encodeSelector(s compose.Selector) *fnv1.ResourceSelector {
	out := &fnv1.ResourceSelector{ApiVersion: s.APIVersion, Kind: s.Kind}
	if s.Namespace != "" {
		out.Namespace = &s.Namespace
	}
	// No labels match all of the kind. (No match at all means the same to core,
	// but nothing to `crossplane render`.)
	out.Match = &fnv1.ResourceSelector_MatchLabels{MatchLabels: &fnv1.MatchLabels{Labels: s.Labels}}
	if s.Name != "" {
		out.Match = &fnv1.ResourceSelector_MatchName{MatchName: s.Name}
	}
	return out
}

func addCondition(rsp *fnv1.RunFunctionResponse, c metav1.Condition) {
	add := response.ConditionUnknown
	switch c.Status {
	case metav1.ConditionTrue:
		add = response.ConditionTrue
	case metav1.ConditionFalse:
		add = response.ConditionFalse
	}
	add(rsp, c.Type, c.Reason).WithMessage(c.Message).TargetCompositeAndClaim()
}

func addEvent(rsp *fnv1.RunFunctionResponse, e compose.Event) {
	if e.Warning {
		response.Warning(rsp, errors.New(e.Message)).WithReason(e.Reason).TargetCompositeAndClaim()
		return
	}
	response.Normal(rsp, e.Message).WithReason(e.Reason).TargetCompositeAndClaim()
}
