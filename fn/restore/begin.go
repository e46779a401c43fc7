package restore

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// Abandoned tells whether the attempt before has not come to its end: what it
// made for itself has to go before another begins.
func Abandoned(r *v1alpha1.ThreeScaleRestore, attempt string) bool {
	return r.Status.Attempt != "" && r.Status.Attempt != attempt && !r.Status.Completed
}

// Begin makes the status that of a new attempt, if it is of another one, and
// tells whether it did. What was restored before stays in the history.
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
