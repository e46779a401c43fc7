package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// ConditionsOf returns the conditions of an object of any kind, each type once; none of
// nil. A condition that does not decode is left out.
func ConditionsOf(object *unstructured.Unstructured) []metav1.Condition {
	if object == nil {
		return nil
	}
	value, _, _ := unstructured.NestedFieldNoCopy(object.Object, "status", "conditions")
	entries, _ := value.([]any)
	var out []metav1.Condition
	for _, entry := range entries {
		fields, ok := entry.(map[string]any)
		var condition metav1.Condition
		if ok && runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &condition) == nil && meta.FindStatusCondition(out, condition.Type) == nil {
			out = append(out, condition)
		}
	}
	return out
}
