package controller

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// maxQuoted bounds what is quoted of an error, which may quote a field.
const maxQuoted = 300

// undecodableError means that an object holds a value that its schema admits and its Go type cannot
// hold, such as a duration of a million years.
type undecodableError struct {
	object *unstructured.Unstructured
	cause  error
}

func (e *undecodableError) Error() string {
	return fmt.Sprintf("cannot decode %s %q: %s", e.object.GetKind(), e.object.GetName(), e.quoted())
}

func (e *undecodableError) quoted() string {
	text := e.cause.Error()
	if len(text) > maxQuoted {
		text = text[:maxQuoted] + "..."
	}
	return text
}

// read reads an object of a custom kind and decodes it. The error is an [*undecodableError] if it does
// not decode, unlike those of an API server that fails. ok is false if there is no such object.
func read(ctx context.Context, c client.Client, namespace, name string, into client.Object) (ok bool, err error) {
	gvk, err := apiutil.GVKForObject(into, c.Scheme())
	if err != nil {
		return false, err
	}
	stored := &unstructured.Unstructured{}
	stored.SetGroupVersionKind(gvk)
	if ok, err := get(ctx, c, namespace, name, stored); !ok {
		return false, err
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(stored.Object, into); err != nil {
		return false, &undecodableError{stored, err}
	}
	return true, nil
}

// refuse writes into the status of a restore that does not decode what is wrong with it. Nothing else
// happens until it is changed.
func (r *Reconciler) refuse(ctx context.Context, broken *undecodableError) error {
	obj := &v1alpha1.ThreeScaleRestore{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.KindRestore}}
	obj.Name, obj.Namespace, obj.UID = broken.object.GetName(), broken.object.GetNamespace(), broken.object.GetUID()
	obj.Generation = broken.object.GetGeneration()
	obj.Status.Conditions = v1alpha1.ConditionsOf(broken.object)
	before := obj.DeepCopy()
	message := fmt.Sprintf("The restore cannot be read: %s; correct the field that it names", broken.quoted())
	conditions.Delete(obj, meta.ReconcilingCondition)
	conditions.MarkStalled(obj, v1alpha1.ReasonInvalidSpec, "%s", message)
	conditions.MarkFalse(obj, meta.ReadyCondition, v1alpha1.ReasonInvalidSpec, "%s", message)
	data, err := json.Marshal(map[string]any{"status": v1alpha1.ThreeScaleRestoreStatus{ObservedGeneration: obj.Generation, Conditions: obj.Status.Conditions}})
	if err != nil {
		return err
	}
	err = r.Status().Patch(ctx, broken.object, client.RawPatch(types.MergePatchType, data), client.FieldOwner(ControllerName))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("cannot write the status of ThreeScaleRestore %q: %w", obj.Name, err)
	}
	r.notify(before, obj)
	return reconcile.TerminalError(broken)
}
