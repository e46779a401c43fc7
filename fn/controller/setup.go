package controller

import (
	"context"
	"fmt"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/runtime/predicates"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/restore"
	"threescale.dev/backup/fn/threescale"
)

// Indexes of restores by what they wait for.
const (
	indexRepository    = ".spec.sourceRef"
	indexKustomization = ".spec.kustomizationRef"
)

// Options of the controller.
type Options struct {
	Concurrency int
	RateLimiter workqueue.TypedRateLimiter[reconcile.Request]
}

// SetupWithManager has the manager call the reconciler whenever something
// changes that a restore may wait for.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, o Options) error {
	for index, key := range map[string]func(*v1alpha1.ThreeScaleRestore) string{
		indexRepository: func(obj *v1alpha1.ThreeScaleRestore) string {
			return qualified(obj, &obj.Spec.SourceRef.NamespacedReference)
		},
		indexKustomization: func(obj *v1alpha1.ThreeScaleRestore) string { return qualified(obj, obj.Spec.KustomizationRef) },
	} {
		err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.ThreeScaleRestore{}, index, func(object client.Object) []string {
			if name := key(object.(*v1alpha1.ThreeScaleRestore)); name != "" { //nolint:forcetypeassert // the index is of this type
				return []string{name}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("cannot index restores by %q: %w", index, err)
		}
	}
	apiManager := &unstructured.Unstructured{}
	apiManager.SetAPIVersion(threescale.APIManagerAPIVersion)
	apiManager.SetKind(threescale.APIManagerKind)
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.ThreeScaleRestore{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicates.ReconcileRequestedPredicate{}))).
		Owns(&batchv1.Job{}).
		Watches(&sourcev1.GitRepository{}, handler.EnqueueRequestsFromMapFunc(r.waitingFor(indexRepository))).
		Watches(&kustomizev1.Kustomization{}, handler.EnqueueRequestsFromMapFunc(r.waitingFor(indexKustomization))).
		Watches(apiManager, handler.EnqueueRequestsFromMapFunc(r.inNamespace)).
		WithOptions(controller.Options{MaxConcurrentReconciles: o.Concurrency, RateLimiter: o.RateLimiter}).
		Complete(r)
}

func qualified(obj *v1alpha1.ThreeScaleRestore, ref *v1alpha1.NamespacedReference) string {
	if ref == nil {
		return ""
	}
	return restore.NamespaceOf(obj, *ref) + "/" + ref.Name
}

// waitingFor finds the restores that an index names an object for.
func (r *Reconciler) waitingFor(index string) handler.MapFunc {
	return func(ctx context.Context, object client.Object) []reconcile.Request {
		return r.requests(ctx, client.MatchingFields{index: object.GetNamespace() + "/" + object.GetName()})
	}
}

// inNamespace finds the restores of an object's namespace.
func (r *Reconciler) inNamespace(ctx context.Context, object client.Object) []reconcile.Request {
	return r.requests(ctx, client.InNamespace(object.GetNamespace()))
}

// requests are for those restores that have something left to do.
func (r *Reconciler) requests(ctx context.Context, of client.ListOption) []reconcile.Request {
	var list v1alpha1.ThreeScaleRestoreList
	if err := r.List(ctx, &list, of); err != nil {
		return nil // the cache has it, or the interval comes
	}
	var out []reconcile.Request
	for _, item := range list.Items {
		if !item.Status.Completed {
			out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: item.Namespace, Name: item.Name}})
		}
	}
	return out
}
