package compose

import (
	"errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// gathering answers before core has handed over what is required. Crossplane 2
// asks again within the same reconcile and drops this answer; where it cannot
// read a kind, there is no answer at all. Only one that hands nothing over and
// does not ask again ever takes it for the last word, so it says that, and drops
// nothing that exists.
func (c *composition) gathering() Desired {
	for key, object := range c.observed.Composed {
		c.desired.Resources[key] = asObserved(object)
	}
	c.keepVolume(c.observed.Composed[keyVolume])
	c.desired.Status = c.observed.Composite.Status
	c.desired.TTL = pollSoon
	c.desired.Conditions = []Condition{{
		v1alpha1.ConditionPreflightPassed, statusUnknown, v1alpha1.ReasonGathering,
		"Reading the installation; if this stays, Crossplane does not hand over what is asked for: upgrade it to 2.0 or later",
	}}
	return c.desired
}

// errTooOld: core says itself that it hands no objects over.
var errTooOld = errors.New("this Crossplane hands no objects over to functions (required_resources): upgrade it to 2.0 or later; until then no backup can be made, and nothing is changed")

// asObserved emits an object as it exists, less what is the server's or others':
// core would delete it if it were left out.
func asObserved(object Object) runtime.Object {
	if object.text("kind") == "Job" {
		return frozenJob(object)
	}
	kept := map[string]any{"metadata": map[string]any{
		"name":        object.name(),
		"namespace":   object.text("metadata", "namespace"),
		"labels":      own(object.object("metadata", "labels")),
		"annotations": own(object.object("metadata", "annotations")),
	}}
	for _, field := range []string{"apiVersion", "kind", "type", "immutable", "data", "rules", "roleRef", "subjects", "automountServiceAccountToken"} {
		if value, ok := object[field]; ok {
			kept[field] = value
		}
	}
	return &unstructured.Unstructured{Object: kept}
}
