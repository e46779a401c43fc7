package simulate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// admit refuses a change that the API server would refuse.
func (w *World) admit(before, after *unstructured.Unstructured) error {
	switch before.GetKind() {
	case "Job":
		return unchanged(before, after, "spec", "template")
	case "RoleBinding":
		return unchanged(before, after, "roleRef")
	case "Secret":
		if err := unchanged(before, after, "type"); err != nil {
			return err
		}
		if immutable, _, _ := unstructured.NestedBool(before.Object, "immutable"); immutable {
			return unchanged(before, after, "data")
		}
	case "PersistentVolumeClaim":
		return w.admitPVC(before, after)
	}
	return nil
}

// unchanged returns an error if a field differs. It compares as JSON, which has only one
// kind of number.
func unchanged(before, after *unstructured.Unstructured, path ...string) error {
	was, _, _ := unstructured.NestedFieldNoCopy(before.Object, path...)
	is, _, _ := unstructured.NestedFieldNoCopy(after.Object, path...)
	wasText, errWas := json.Marshal(was)
	isText, errIs := json.Marshal(is)
	if err := errors.Join(errWas, errIs); err != nil || bytes.Equal(wasText, isText) {
		return err
	}
	return fmt.Errorf("%v is immutable", path)
}

// admitPVC lets a PVC grow where its StorageClass allows that, and refuses all else.
func (w *World) admitPVC(before, after *unstructured.Unstructured) error {
	if err := unchanged(withoutSize(before), withoutSize(after), "spec"); err != nil {
		return err
	}
	switch was, is := sizeOf(before), sizeOf(after); is.Cmp(was) {
	case -1:
		return errors.New("a PersistentVolumeClaim cannot shrink")
	case 1:
		class, _, _ := unstructured.NestedString(before.Object, "spec", "storageClassName")
		phase, _, _ := unstructured.NestedString(before.Object, "status", "phase")
		if phase != string(corev1.ClaimBound) || !w.expands(class) {
			return errors.New("only a bound PersistentVolumeClaim of a StorageClass that allows expansion can grow")
		}
	}
	return nil
}

func (w *World) expands(class string) bool {
	object := w.Get("StorageClass", "", class)
	return object != nil && object.Object["allowVolumeExpansion"] == true
}

func sizeOf(pvc *unstructured.Unstructured) resource.Quantity {
	text, _, _ := unstructured.NestedString(pvc.Object, "spec", "resources", "requests", "storage")
	size, _ := resource.ParseQuantity(text) // what cannot be read counts as 0
	return size
}

// withoutSize drops the one field of a PVC's spec that may change.
func withoutSize(pvc *unstructured.Unstructured) *unstructured.Unstructured {
	object := runtime.DeepCopyJSON(pvc.Object)
	unstructured.RemoveNestedField(object, "spec", "resources", "requests")
	return &unstructured.Unstructured{Object: object}
}
