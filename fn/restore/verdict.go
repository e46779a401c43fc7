package restore

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
)

// Labels and annotations of other owners of an object.
const (
	labelKustomizationName      = "kustomize.toolkit.fluxcd.io/name"
	labelKustomizationNamespace = "kustomize.toolkit.fluxcd.io/namespace"
	labelHelmRelease            = "helm.toolkit.fluxcd.io/name"
	annotationArgoTracking      = "argocd.argoproj.io/tracking-id"
)

// Judge compares an object of the commit with the live one, which is nil if there is none.
func Judge(o *State, want, have *unstructured.Unstructured) v1alpha1.PlannedObject {
	planned := v1alpha1.PlannedObject{ObjectReference: ReferenceOf(want)}
	planned.Verdict, planned.Message = verdict(o, want, have)
	return planned
}

// ReferenceOf names an object.
func ReferenceOf(object *unstructured.Unstructured) v1alpha1.ObjectReference {
	return v1alpha1.ObjectReference{Kind: object.GetKind(), Name: object.GetName()}
}

// verdict returns what the restore does to one object, and why it cannot.
func verdict(o *State, want, have *unstructured.Unstructured) (v1alpha1.Verdict, string) {
	if have == nil {
		return v1alpha1.VerdictCreate, ""
	}
	if have.GetDeletionTimestamp() != nil {
		return v1alpha1.VerdictConflict, "it is being deleted; wait until it is gone"
	}
	if owner := foreignOwner(o, have); owner != "" {
		return v1alpha1.VerdictConflict, fmt.Sprintf("it belongs to %s, which would undo the change; restore into another namespace, or take it out of there without deleting it", owner)
	}
	if Holds(want, have) {
		return v1alpha1.VerdictUnchanged, ""
	}
	switch want.GetKind() {
	case threescale.APIManagerKind:
		return v1alpha1.VerdictConflict, "it exists and differs; restore into another namespace" + deleting(o, have)
	case threescale.KindPVC:
		return v1alpha1.VerdictUnchanged, "" // it is immutable; what it holds is planned by itself
	}
	if immutable, _ := have.Object["immutable"].(bool); immutable {
		return v1alpha1.VerdictConflict, "it is immutable and differs; restore into another namespace, or delete it if nobody needs what it holds"
	}
	return v1alpha1.VerdictReplace, ""
}

// deleting says what else goes if somebody deletes the APIManager to make room for the one of the
// backup, and how to keep it. While the garbage collector removes the operator's owner references, the
// operator (seen with v0.11.0) sets them again, so that the objects would be deleted after all.
func deleting(o *State, apiManager *unstructured.Unstructured) string {
	files := ""
	if i := o.Inspection; i != nil && !i.FileStorage.Stored {
		files = ", which this run does not hold"
	}
	return fmt.Sprintf(". Deleting it also deletes its ConfigMaps and PersistentVolumeClaim %q with all files%s. To keep them, first stop the 3scale operator, which would make itself their owner again (scale its Deployment to 0), then: kubectl -n %s delete apimanager %s --cascade=orphan",
		threescale.FileStoragePVCName, files, o.Restore.Namespace, apiManager.GetName())
}

// foreignOwner names who else would undo a change of the object; "" for nobody.
func foreignOwner(o *State, have *unstructured.Unstructured) string {
	labels := have.GetLabels()
	if name := labels[labelKustomizationName]; name != "" {
		owner := labels[labelKustomizationNamespace] + "/" + name
		ref := o.Restore.Spec.KustomizationRef
		if ref == nil || qualified(o.Restore, *ref) != owner {
			return fmt.Sprintf("Kustomization %q", owner)
		}
	}
	if name := labels[labelHelmRelease]; name != "" {
		return fmt.Sprintf("HelmRelease %q", name)
	}
	if id := have.GetAnnotations()[annotationArgoTracking]; id != "" {
		return fmt.Sprintf("Argo CD application %q", id)
	}
	return ""
}

// OwnedBy reports whether owner is one of the owners of object.
func OwnedBy(object, owner *unstructured.Unstructured) bool {
	return owner != nil && owner.GetUID() != "" && slices.ContainsFunc(object.GetOwnerReferences(), func(reference metav1.OwnerReference) bool {
		return reference.UID == owner.GetUID()
	})
}

// Holds reports whether a live object has every field that is wanted, in whatever form the API server
// or the operator writes its value. It may have more fields.
func Holds(want, have *unstructured.Unstructured) bool {
	for field, value := range want.Object {
		switch field {
		case "apiVersion", "kind", "metadata":
			continue
		}
		if !holds(sameAt(want.GetKind(), field), value, have.Object[field]) {
			return false
		}
	}
	return true
}

// comparison compares two values that are neither objects nor lists, and returns how to compare what
// lies below a field.
type comparison struct {
	same  func(want, have any) bool
	below func(field string) comparison
}

// sameAt returns how to compare what lies below a field of an object. Two kinds of values may be
// rewritten: base64 in a Secret's data, and quantities, which the API server rewrites in a
// PersistentVolumeClaim and the operator in the APIManager. All other values must be identical: the
// image tag "2.10" is not "2.1".
func sameAt(kind, field string) comparison {
	switch {
	case kind == threescale.KindSecret && field == "data":
		return everywhere(sameBytes)
	case kind == threescale.KindSecret, kind == threescale.KindConfigMap:
		return everywhere(sameValue)
	}
	return comparison{sameValue, outsideResources}
}

func everywhere(same func(want, have any) bool) comparison {
	return comparison{same, func(string) comparison { return everywhere(same) }}
}

// outsideResources compares a custom resource or a PersistentVolumeClaim. Its quantities lie in
// resources.limits and resources.requests, each of which is a map of quantities or a single one.
func outsideResources(field string) comparison {
	if field == "resources" {
		return comparison{sameValue, inResources}
	}
	return comparison{sameValue, outsideResources}
}

func inResources(field string) comparison {
	if field == "limits" || field == "requests" {
		return everywhere(sameQuantity)
	}
	return outsideResources(field)
}

// holds reports whether have has all that want has.
func holds(c comparison, want, have any) bool {
	switch want := want.(type) {
	case map[string]any:
		other, ok := have.(map[string]any)
		for key, value := range want {
			if !holds(c.below(key), value, other[key]) {
				return false
			}
		}
		return ok || len(want) == 0 && have == nil
	case []any:
		other, _ := have.([]any)
		return slices.EqualFunc(want, other, func(a, b any) bool { return holds(c, a, b) })
	}
	return c.same(want, have)
}

// sameValue compares strings, booleans and numbers. A number is an int64 or a float64, depending on
// its decoder.
func sameValue(want, have any) bool {
	_, wantText := want.(string)
	_, haveText := have.(string)
	return wantText == haveText && fmt.Sprint(want) == fmt.Sprint(have)
}

// sameBytes compares base64, whatever its line breaks.
func sameBytes(want, have any) bool {
	a, okA := want.(string)
	b, okB := have.(string)
	left, errLeft := base64.StdEncoding.DecodeString(a)
	right, errRight := base64.StdEncoding.DecodeString(b)
	return okA && okB && errLeft == nil && errRight == nil && bytes.Equal(left, right) || sameValue(want, have)
}

// sameQuantity compares quantities: 1Gi equals 1024Mi, and 1 equals "1".
func sameQuantity(want, have any) bool {
	left, errLeft := resource.ParseQuantity(fmt.Sprint(want))
	right, errRight := resource.ParseQuantity(fmt.Sprint(have))
	return errLeft == nil && errRight == nil && left.Cmp(right) == 0 || sameValue(want, have)
}
