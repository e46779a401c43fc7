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

// CacheOptions say what is kept of what is watched in all namespaces: of a restore
// what tells when to wake it, and of anything else the name. All else is read
// when it is needed, an object at a time. restores selects restores by labels.
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

// watchedRestore is a ThreeScaleRestore as it is watched: not as its Go type,
// which cannot hold all that an API server may have stored.
func watchedRestore() *unstructured.Unstructured {
	restore := &unstructured.Unstructured{}
	restore.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.KindRestore))
	return restore
}

// trim leaves of a watched object what its handlers and predicates look at.
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

// shortened is a text that differs where the given one does, and is short.
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

// referred is the namespace and name that a field of a restore's spec refers to,
// joined by a slash; "" if it refers to nothing.
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
