// Package controller is the adapter of ThreeScaleRestore to a cluster, in the manner of Flux'
// controllers: it observes, has package restore decide, acts, and saves the status. Besides the
// mover's reporter, no other package has a client of the cluster. Start with Reconciler.Reconcile;
// work.proceed is the loop.
package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	helper "github.com/fluxcd/pkg/runtime/controller"
	"github.com/fluxcd/pkg/runtime/jitter"
	"github.com/fluxcd/pkg/runtime/patch"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/restore"
)

// ControllerName is the field manager and the source of events.
const ControllerName = "threescale-backup"

// ownedConditions are the conditions that only this controller writes.
var ownedConditions = []string{meta.ReadyCondition, meta.ReconcilingCondition, meta.StalledCondition}

// Reconciler reconciles ThreeScaleRestores.
type Reconciler struct {
	client.Client
	helper.Metrics
	events.AnnotatedEventRecorder

	// Config reaches the API server. Requests in a restore's namespace impersonate the ServiceAccount
	// that the restore names.
	Config *rest.Config
	// Image is the mover's.
	Image string
	// DefaultServiceAccount is impersonated for restores that name none; "" uses the controller's own
	// rights.
	DefaultServiceAccount string
	// DatabaseImages are patterns of the images that restores may name which act by the controller's own
	// rights.
	DatabaseImages []string
	// NoCrossNamespaceRefs forbids references to other namespaces.
	NoCrossNamespaceRefs bool
	// Children do the work on what tenants control.
	Children *Children
	// Identities say which GitRepositories may log in as the controller itself.
	Identities Identities
	// Now returns the time.
	Now func() time.Time
	// Pace delays restores that fail.
	Pace *Pace
}

// Reconcile takes a restore as far as possible now. It does not wait for others: watches wake the
// restore. An error is either terminal or tried again with the backoff of the controller's flags; both
// are logged and counted.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	if !r.Pace.mayLook(req.Namespace, r.Now()) {
		return ctrl.Result{RequeueAfter: wait.Jitter(time.Second, 1)}, nil
	}
	obj := &v1alpha1.ThreeScaleRestore{}
	ok, err := read(ctx, r.Client, req.Namespace, req.Name, obj)
	var broken *undecodableError
	switch {
	case errors.As(err, &broken):
		return ctrl.Result{}, r.refuse(ctx, broken)
	case err != nil:
		return ctrl.Result{}, err
	case !ok:
		r.forget(ctx, req)
		return ctrl.Result{}, nil
	case !obj.DeletionTimestamp.IsZero() || obj.Spec.Suspend:
		r.Children.turns.forget(req.NamespacedName)
		return ctrl.Result{}, nil // what it made goes with it
	}
	if after := r.Pace.wait(obj, r.Now()); after > 0 {
		return ctrl.Result{RequeueAfter: after}, nil
	}
	return r.reconcile(ctx, obj)
}

// saveTimeout bounds the last write of a call, which happens even while the controller shuts down.
const saveTimeout = 10 * time.Second

// reconcile takes a restore as far as possible, and writes its conditions.
func (r *Reconciler) reconcile(ctx context.Context, obj *v1alpha1.ThreeScaleRestore) (ctrl.Result, error) {
	start, before, patcher := time.Now(), obj.DeepCopy(), patch.NewSerialPatcher(obj, r.Client)
	decision, err := r.proceed(ctx, obj, patcher)
	if err != nil {
		decision = restore.Stop{Problem: restore.Failing(v1alpha1.ReasonFailed, "%s", job.Sentence(err.Error()))}
	}
	untouched := ctx.Err() != nil || decision == queued() && conditions.IsFalse(obj, meta.ReadyCondition)
	if !untouched { // else what was said still holds
		conclude(obj, decision)
	}
	r.RecordDuration(ctx, obj, start)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	if saved := r.save(last, patcher, obj); saved != nil {
		return ctrl.Result{}, errors.Join(err, saved)
	}
	r.notify(before, obj)
	if err != nil {
		r.Pace.failed(obj, 0, r.Now())
		return ctrl.Result{}, err
	}
	return r.again(ctx, obj, decision)
}

// again returns when to look at a restore again, if nothing wakes it before.
func (r *Reconciler) again(ctx context.Context, obj *v1alpha1.ThreeScaleRestore, decision restore.Decision) (ctrl.Result, error) {
	switch d := decision.(type) {
	case restore.Stop:
		after := r.Pace.failed(obj, d.Retry, r.Now())
		if d.Problem.Terminal {
			return ctrl.Result{}, reconcile.TerminalError(d.Problem)
		}
		ctrl.LoggerFrom(ctx).Error(d.Problem, "The restore is tried again", "after", after.String())
		return jitter.JitteredRequeueInterval(ctrl.Result{RequeueAfter: after}), nil
	case restore.Wait:
		return jitter.JitteredRequeueInterval(ctrl.Result{RequeueAfter: until(d.Retry, max(obj.GetRequeueAfter(), leastInterval))}), nil
	}
	return ctrl.Result{}, nil
}

// forget removes what is remembered of a restore that is gone. A restore has no finalizer, so the
// controller does not see its deletion.
func (r *Reconciler) forget(ctx context.Context, req ctrl.Request) {
	gone := &v1alpha1.ThreeScaleRestore{ObjectMeta: metav1.ObjectMeta{Name: req.Name, Namespace: req.Namespace, DeletionTimestamp: &metav1.Time{Time: r.Now()}}}
	r.RecordDuration(ctx, gone, r.Now())
	r.Pace.forget(req.NamespacedName)
	r.Children.turns.forget(req.NamespacedName)
}

// proceed begins an attempt, if it is due, and takes it as far as possible.
func (r *Reconciler) proceed(ctx context.Context, obj *v1alpha1.ThreeScaleRestore, patcher *patch.SerialPatcher) (restore.Decision, error) {
	w, err := r.newWork(obj, patcher)
	if err != nil {
		return nil, err
	}
	if restore.Abandoned(obj) {
		if err := w.cleanUp(ctx); err != nil { // its names are those of the former attempt
			return nil, err
		}
	}
	if restore.Begin(obj, r.Now()) {
		if err := r.save(ctx, patcher, obj); err != nil {
			return nil, err
		}
	}
	if obj.Status.Completed {
		return restore.End{}, nil
	}
	return w.proceed(ctx)
}

// save writes the status if it has changed.
func (r *Reconciler) save(ctx context.Context, patcher *patch.SerialPatcher, obj *v1alpha1.ThreeScaleRestore) error {
	opts := []patch.Option{patch.WithOwnedConditions{Conditions: ownedConditions}, patch.WithFieldOwner(ControllerName)}
	if conditions.IsReady(obj) || conditions.IsStalled(obj) {
		opts = append(opts, patch.WithStatusObservedGeneration{})
	}
	err := patcher.Patch(ctx, obj, opts...)
	if apierrors.IsNotFound(err) {
		return nil // it was deleted meanwhile
	}
	if err != nil {
		return fmt.Errorf("cannot write the status of ThreeScaleRestore %q: %w", obj.Name, err)
	}
	return nil
}

// notify sends an event if the condition Ready has changed.
func (r *Reconciler) notify(before, after *v1alpha1.ThreeScaleRestore) {
	ready := conditions.Get(after, meta.ReadyCondition)
	if ready == nil {
		return
	}
	if old := conditions.Get(before, meta.ReadyCondition); old != nil && old.Status == ready.Status && old.Reason == ready.Reason && old.Message == ready.Message {
		return
	}
	kind := eventv1.EventTypeTrace // which stays in the cluster: Flux forwards it to nobody
	switch ready.Status {
	case metav1.ConditionTrue:
		kind = corev1.EventTypeNormal
	case metav1.ConditionFalse:
		kind = corev1.EventTypeWarning
	}
	annotations := map[string]string{}
	if after.Status.LastPushCommit != "" {
		annotations[v1alpha1.Group+"/revision"] = after.Status.LastPushCommit
	}
	r.AnnotatedEventf(after, nil, annotations, kind, ready.Reason, eventAction, "%s", ready.Message)
}
