package restore

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// Abandoned reports whether the previous attempt has not ended. Its Jobs and helpers are removed
// before another attempt begins.
func Abandoned(r *v1alpha1.ThreeScaleRestore, attempt string) bool {
	return r.Status.Attempt != "" && r.Status.Attempt != attempt && !r.Status.Completed
}

// Begin resets the status for a new attempt, and reports whether it did. The history of earlier
// restores is kept.
func Begin(r *v1alpha1.ThreeScaleRestore, attempt string, now time.Time) bool {
	if r.Status.Attempt == attempt {
		return false
	}
	status := v1alpha1.ThreeScaleRestoreStatus{
		ObservedGeneration:     r.Status.ObservedGeneration,
		ReconcileRequestStatus: r.Status.ReconcileRequestStatus,
		ForceRequestStatus:     r.Status.ForceRequestStatus,
		Attempt:                attempt,
		StartTime:              &metav1.Time{Time: now},
		History:                r.Status.History,
		Conditions:             r.Status.Conditions,
	}
	if token, ok := forceRequest(r); ok {
		status.LastHandledForceAt = token
	}
	r.Status = status
	return true
}
