package controller

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	batchv1 "k8s.io/api/batch/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// CacheOptions limits what is cached of the objects that are watched in all namespaces: of a restore
// the fields that tell when to wake it, and of everything else the metadata. Anything else is read
// from the API server when it is needed. restores selects restores by their labels.
func CacheOptions(restores labels.Selector) (cache.Options, error) {
	ours, err := labels.NewRequirement(v1alpha1.LabelRestore, selection.Exists, nil)
	if err != nil {
		return cache.Options{}, err
	}
	return cache.Options{
		ByObject: map[client.Object]cache.ByObject{
			watchedRestore(): {Label: restores},
			&batchv1.Job{}:   {Label: labels.NewSelector().Add(*ours)},
		},
		DefaultTransform: trim,
	}, nil
}

// watchedRestore is a ThreeScaleRestore as it is watched: unstructured, since its Go type cannot hold
// everything that an API server may have stored.
func watchedRestore() *unstructured.Unstructured {
	restore := &unstructured.Unstructured{}
	restore.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.KindRestore))
	return restore
}

// trim removes from a watched object what handlers and predicates do not look at.
func trim(in any) (any, error) {
	object, err := apimeta.Accessor(in)
	if err != nil {
		return in, nil //nolint:nilerr // the mark of an object that is gone
	}
	request := object.GetAnnotations()[meta.ReconcileRequestAnnotation]
	object.SetAnnotations(nil)
	object.SetLabels(nil)
	object.SetManagedFields(nil)
	object.SetFinalizers(nil)
	object.SetOwnerReferences(slices.DeleteFunc(object.GetOwnerReferences(), func(o metav1.OwnerReference) bool { return o.Kind != v1alpha1.KindRestore || o.Controller == nil }))
	restore, ok := in.(*unstructured.Unstructured)
	if !ok {
		return in, nil
	}
	if request != "" { // a predicate sees whether it is another one
		object.SetAnnotations(map[string]string{meta.ReconcileRequestAnnotation: shortened(request)})
	}
	trimRestore(restore)
	return in, nil
}

// shortened returns a short text that differs if the given one does.
func shortened(text string) string {
	if len(text) <= sha256.Size*2 {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func trimRestore(restore *unstructured.Unstructured) {
	trimmed := map[string]any{"apiVersion": restore.GetAPIVersion(), "kind": restore.GetKind(), "metadata": restore.Object["metadata"]}
	spec := map[string]any{}
	for _, index := range []string{indexRepository, indexKustomization} {
		if name := referred(restore, index); name != "" {
			namespace, name, _ := strings.Cut(name, "/")
			spec[index] = map[string]any{"namespace": namespace, "name": name}
		}
	}
	trimmed["spec"] = spec
	if completed, _, _ := unstructured.NestedBool(restore.Object, "status", "completed"); completed {
		trimmed["status"] = map[string]any{"completed": true}
	}
	restore.Object = trimmed
}

// referred returns the object that a field of a restore's spec refers to, as <namespace>/<name>; "" if
// it refers to none.
func referred(object client.Object, field string) string {
	restore, ok := object.(*unstructured.Unstructured)
	if !ok {
		return ""
	}
	name, _, _ := unstructured.NestedString(restore.Object, "spec", field, "name")
	namespace, _, _ := unstructured.NestedString(restore.Object, "spec", field, "namespace")
	if name == "" {
		return ""
	}
	return cmp.Or(namespace, restore.GetNamespace()) + "/" + name
}
