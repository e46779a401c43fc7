package simulate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// collectGarbage deletes composed objects that are no longer desired, as far
// as they are still the composite's.
func (w *World) collectGarbage(desired *fnv1.State) {
	for name, k := range w.composed {
		if _, kept := desired.GetResources()[name]; kept {
			continue
		}
		if object := w.objects[k]; object != nil && metav1.IsControlledBy(object, w.Composite) {
			w.Delete(k.kind, k.namespace, k.name)
		}
		delete(w.composed, name)
	}
}

// applyAll applies the desired objects in the order of their names.
func (w *World) applyAll(desired *fnv1.State) error {
	for _, name := range slices.Sorted(maps.Keys(desired.GetResources())) {
		object := &unstructured.Unstructured{Object: desired.GetResources()[name].GetResource().AsMap()}
		if err := w.apply(name, object); err != nil {
			return fmt.Errorf("cannot apply resource %q: %w", name, err)
		}
	}
	return nil
}

func (w *World) apply(name string, desired *unstructured.Unstructured) error {
	k := keyOf(desired)
	if k.name == "" || k.namespace == "" {
		return fmt.Errorf("%s %q has no name or no namespace", k.kind, k.name)
	}
	if bound, ok := w.composed[name]; ok && bound != k && w.objects[bound] != nil {
		return fmt.Errorf("the name of an existing object cannot change from %q to %q", bound.name, k.name)
	}
	existing := w.objects[k]
	if existing != nil {
		if owner := metav1.GetControllerOf(existing); owner != nil && owner.UID != w.Composite.GetUID() {
			return fmt.Errorf("%s %q is controlled by %s %q", k.kind, k.name, owner.Kind, owner.Name)
		}
	}
	w.own(desired, name)
	if existing == nil {
		w.create(k, desired)
	} else if err := w.update(existing, desired); err != nil {
		return err
	}
	w.composed[name] = k
	w.applied[k] = *desired
	return nil
}

func (w *World) create(k key, desired *unstructured.Unstructured) {
	object := desired.DeepCopy()
	object.SetUID(types.UID("uid-" + w.nextVersion()))
	object.SetResourceVersion(w.nextVersion())
	object.SetCreationTimestamp(metav1.Time{Time: w.Now().UTC().Truncate(time.Second)})
	if k.kind == "PersistentVolumeClaim" {
		_ = unstructured.SetNestedField(object.Object, "Pending", "status", "phase") // a map of strings cannot fail
	}
	w.objects[k] = object
}

// update merges desired into an existing object and refuses what the API
// server would refuse.
func (w *World) update(existing, desired *unstructured.Unstructured) error {
	k := keyOf(existing)
	merged := existing.DeepCopy()
	before := w.applied[k]
	owners := mergedOwners(existing, &before, desired)
	removeAbsent(merged.Object, before.Object, desired.Object)
	merge(merged.Object, desired.DeepCopy().Object)
	merged.SetOwnerReferences(owners)
	if err := w.admit(existing, merged); err != nil {
		return fmt.Errorf("%s %q: %w", k.kind, k.name, err)
	}
	if !reflect.DeepEqual(merged.Object, existing.Object) {
		merged.SetResourceVersion(w.nextVersion())
	}
	w.objects[k] = merged
	return nil
}

// removeAbsent removes from live what was applied before and no longer is, as
// a server-side apply does: whoever leaves a field out gives it up.
func removeAbsent(live, before, after map[string]any) {
	for key, was := range before {
		now, kept := after[key]
		if !kept {
			delete(live, key)
			continue
		}
		wasMap, _ := was.(map[string]any)
		nowMap, _ := now.(map[string]any)
		if liveMap, ok := live[key].(map[string]any); ok {
			removeAbsent(liveMap, wasMap, nowMap)
		}
	}
}

// mergedOwners merges the one list that is applied entry by entry.
func mergedOwners(existing, before, desired *unstructured.Unstructured) []metav1.OwnerReference {
	given := func(refs []metav1.OwnerReference, uid types.UID) bool {
		return slices.ContainsFunc(refs, func(ref metav1.OwnerReference) bool { return ref.UID == uid })
	}
	earlier := before.GetOwnerReferences()
	out := slices.DeleteFunc(existing.GetOwnerReferences(), func(ref metav1.OwnerReference) bool {
		return given(earlier, ref.UID) || given(desired.GetOwnerReferences(), ref.UID)
	})
	return append(out, desired.GetOwnerReferences()...)
}

// merge writes src over dst, map by map; lists are replaced.
func merge(dst, src map[string]any) {
	for key, value := range src {
		child, isMap := value.(map[string]any)
		existing, both := dst[key].(map[string]any)
		if isMap && both {
			merge(existing, child)
			continue
		}
		dst[key] = value
	}
}

// own marks an object as composed, as Crossplane does.
func (w *World) own(object *unstructured.Unstructured, name string) {
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[resourceNameAnnotation] = name
	object.SetAnnotations(annotations)
	ref := metav1.NewControllerRef(w.Composite, w.Composite.GroupVersionKind())
	object.SetOwnerReferences(append(object.GetOwnerReferences(), *ref))
}

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
	copied := pvc.DeepCopy()
	unstructured.RemoveNestedField(copied.Object, "spec", "resources", "requests")
	return copied
}
