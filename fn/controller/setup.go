package controller

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/predicates"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	batchv1 "k8s.io/api/batch/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
)

// Indexes of restores by the objects that they wait for.
const (
	indexRepository    = "sourceRef"
	indexKustomization = "kustomizationRef"
)

// Options of the controller.
type Options struct {
	Concurrency int
	RateLimiter workqueue.TypedRateLimiter[reconcile.Request]
}

// SetupWithManager registers the reconciler for all that a restore may wait for. The watches decode
// into types that take any object: otherwise one object that does not decode would stop the watch of
// all. [CacheOptions] says what is cached.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, o Options) error {
	for _, index := range []string{indexRepository, indexKustomization} {
		err := mgr.GetFieldIndexer().IndexField(ctx, watchedRestore(), index, func(object client.Object) []string {
			if name := referred(object, index); name != "" {
				return []string{name}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("cannot index restores by %q: %w", index, err)
		}
	}
	apiManager := &unstructured.Unstructured{}
	apiManager.SetGroupVersionKind(threescale.APIManagerGVK())
	waiting := restores{mgr.GetCache()}
	return ctrl.NewControllerManagedBy(mgr).
		For(watchedRestore(), builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicates.ReconcileRequestedPredicate{}))).
		Owns(&batchv1.Job{}, builder.OnlyMetadata).
		WatchesMetadata(&sourcev1.GitRepository{}, handler.EnqueueRequestsFromMapFunc(waiting.forObject(indexRepository))).
		WatchesMetadata(&kustomizev1.Kustomization{}, handler.EnqueueRequestsFromMapFunc(waiting.forObject(indexKustomization))).
		WatchesMetadata(apiManager, handler.EnqueueRequestsFromMapFunc(waiting.inNamespace)).
		WatchesRawSource(source.TypedChannel(r.Children.woken, &handler.TypedEnqueueRequestForObject[*v1alpha1.ThreeScaleRestore]{})).
		// With controller-runtime's priorities, restores that a tenant wakes all the time would come
		// before those whose time has come.
		WithOptions(controller.Options{MaxConcurrentReconciles: o.Concurrency, RateLimiter: o.RateLimiter, UsePriorityQueue: new(bool), NewQueue: r.Children.looks.queue}).
		Complete(r)
}

// restores finds restores in the cache.
type restores struct{ cache client.Reader }

// forObject finds the restores that an index lists for an object.
func (r restores) forObject(index string) handler.MapFunc {
	return func(ctx context.Context, object client.Object) []reconcile.Request {
		return r.requests(ctx, client.MatchingFields{index: object.GetNamespace() + "/" + object.GetName()})
	}
}

// inNamespace finds the restores of an object's namespace.
func (r restores) inNamespace(ctx context.Context, object client.Object) []reconcile.Request {
	return r.requests(ctx, client.InNamespace(object.GetNamespace()))
}

// requests are for the restores that have not completed.
func (r restores) requests(ctx context.Context, of client.ListOption) []reconcile.Request {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(watchedRestore().GroupVersionKind())
	if err := r.cache.List(ctx, list, of); err != nil {
		return nil // the cache has it, or the interval comes
	}
	var out []reconcile.Request
	for _, item := range list.Items {
		if completed, _, _ := unstructured.NestedBool(item.Object, "status", "completed"); !completed {
			out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: item.GetNamespace(), Name: item.GetName()}})
		}
	}
	return out
}

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
