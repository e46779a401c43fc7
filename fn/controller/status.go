package controller

import (
	"fmt"
	"time"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/restore"
)

const (
	eventNormal  = corev1.EventTypeNormal
	eventWarning = corev1.EventTypeWarning
	// eventTrace stays in the cluster: Flux sends it to nobody.
	eventTrace = eventv1.EventTypeTrace
)

// conclude writes a decision into the conditions, by the rules of kstatus that
// Flux has: Reconciling and Stalled are there only while they are true, and
// never with a Ready that is true.
func conclude(obj *v1alpha1.ThreeScaleRestore, d restore.Decision, now time.Time) ctrl.Result {
	if token, ok := meta.ReconcileAnnotationValue(obj.Annotations); ok {
		obj.Status.LastHandledReconcileAt = token
	}
	switch {
	case d.Problem != nil && d.Problem.Terminal:
		conditions.Delete(obj, meta.ReconcilingCondition)
		conditions.MarkStalled(obj, d.Problem.Reason, "%s", d.Problem.Message)
		conditions.MarkFalse(obj, meta.ReadyCondition, d.Problem.Reason, "%s", d.Problem.Message)
		return ctrl.Result{}
	case d.Problem != nil:
		conditions.Delete(obj, meta.StalledCondition)
		conditions.MarkReconciling(obj, meta.ProgressingWithRetryReason, "%s", d.Problem.Message)
		conditions.MarkFalse(obj, meta.ReadyCondition, d.Problem.Reason, "%s", d.Problem.Message)
		return ctrl.Result{RequeueAfter: orElse(d.Retry, obj.GetRetryInterval())}
	case d.Waits:
		conditions.Delete(obj, meta.StalledCondition)
		conditions.MarkReconciling(obj, meta.ProgressingReason, "%s", d.Message)
		conditions.MarkUnknown(obj, meta.ReadyCondition, meta.ProgressingReason, "%s", d.Message)
		return ctrl.Result{RequeueAfter: orElse(d.Retry, obj.GetRequeueAfter())}
	}
	finish(obj, d, now)
	return ctrl.Result{}
}

func orElse(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return min(d, otherwise)
	}
	return otherwise
}

// finish writes the end of a restore, or of a dry run, the first time it is seen.
func finish(obj *v1alpha1.ThreeScaleRestore, d restore.Decision, now time.Time) {
	conditions.Delete(obj, meta.StalledCondition)
	conditions.Delete(obj, meta.ReconcilingCondition)
	if obj.Spec.DryRun && !obj.Status.Completed {
		conditions.MarkTrue(obj, meta.ReadyCondition, v1alpha1.ReasonPlanned, "%s", d.Message)
		return
	}
	if !obj.Status.Completed {
		obj.Status.Completed = true
		obj.Status.CompletionTime = &metav1.Time{Time: now}
		obj.Status.WaitingSince = nil
		obj.Status.History.Upsert(obj.Status.Attempt, now, now.Sub(obj.Status.StartTime.Time), v1alpha1.ReasonRestored,
			map[string]string{"run": obj.Status.RestoredRun, "commit": obj.Status.LastPushCommit})
	}
	conditions.MarkTrue(obj, meta.ReadyCondition, v1alpha1.ReasonRestored, "%s", fmt.Sprintf("Run %s is restored by commit %s", obj.Status.RestoredRun, obj.Status.LastPushCommit))
}
