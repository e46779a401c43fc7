package controller

import (
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/restore"
)

// eventAction is what every event is about; only Flux' receivers are told.
const eventAction = "Restore"

// conclude writes a decision into the conditions, by Flux' rules for kstatus: Reconciling and Stalled
// exist only while they are true, and never together with a Ready that is true.
func conclude(obj *v1alpha1.ThreeScaleRestore, decision restore.Decision) {
	if token, ok := meta.ReconcileAnnotationValue(obj.Annotations); ok {
		obj.Status.LastHandledReconcileAt = token
	}
	switch d := decision.(type) {
	case restore.Stop:
		if d.Problem.Terminal {
			conditions.Delete(obj, meta.ReconcilingCondition)
			conditions.MarkStalled(obj, d.Problem.Reason, "%s", d.Problem.Message)
		} else {
			conditions.Delete(obj, meta.StalledCondition)
			conditions.MarkReconciling(obj, v1alpha1.ReasonProgressingWithRetry, "%s", d.Problem.Message)
		}
		conditions.MarkFalse(obj, meta.ReadyCondition, d.Problem.Reason, "%s", d.Problem.Message)
	case restore.Wait:
		conditions.Delete(obj, meta.StalledCondition)
		conditions.MarkReconciling(obj, v1alpha1.ReasonProgressing, "%s", d.Message)
		conditions.MarkUnknown(obj, meta.ReadyCondition, v1alpha1.ReasonProgressing, "%s", d.Message)
	case restore.End:
		conditions.Delete(obj, meta.StalledCondition)
		conditions.Delete(obj, meta.ReconcilingCondition)
		if obj.Spec.DryRun && !obj.Status.Completed {
			conditions.MarkTrue(obj, meta.ReadyCondition, v1alpha1.ReasonPlanned, "%s", d.Message)
			return
		}
		conditions.MarkTrue(obj, meta.ReadyCondition, v1alpha1.ReasonRestored, "Run %s is restored by commit %s", obj.Status.RestoredRun, obj.Status.LastPushCommit)
	}
}
