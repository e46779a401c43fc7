package restore

import (
	"fmt"
	"strings"
	"time"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// publish makes the commit.
func publish(o *State) Decision {
	if pushed(o) {
		return nil
	}
	if p := refusedBefore(o); p != nil {
		return Stop{Problem: p}
	}
	return Act{Publish}
}

// refusedBefore returns the server's refusal of an earlier push. The push is not repeated for each
// event, only on request or for another spec.
func refusedBefore(o *State) *Problem {
	r := o.Restore
	stopped := meta.FindStatusCondition(r.Status.Conditions, fluxmeta.StalledCondition)
	if stopped == nil || stopped.Status != metav1.ConditionTrue || stopped.Reason != v1alpha1.ReasonPushRejected ||
		stopped.ObservedGeneration != r.Generation || requestedAgain(r) {
		return nil
	}
	return &Problem{Reason: stopped.Reason, Message: stopped.Message, Terminal: true}
}

// FluxRequest is the value of the annotation that has Flux look at the repository, in the form that
// the flux command writes.
func FluxRequest(now time.Time) string { return now.Format(time.RFC3339Nano) }

// askFlux has Flux look at the repository, unless it was asked since the push.
func askFlux(o *State) Decision {
	if askedFlux(o) || o.Restore.Status.LastAppliedRevision != "" {
		return nil
	}
	return Act{AskFlux}
}

// askedFlux reports whether Flux was asked since the push, or has found the commit by itself. Another
// restore into the same repository may have asked: if each insisted on its own request, they would
// overwrite each other's for ever.
func askedFlux(o *State) bool {
	status := o.Repository.Status
	if o.Asked || status.Artifact != nil && strings.HasSuffix(status.Artifact.Revision, ":"+o.Restore.Status.LastPushCommit) {
		return true
	}
	return requestedAfterPush(o, o.Repository.Annotations[fluxmeta.ReconcileRequestAnnotation]) || requestedAfterPush(o, status.LastHandledReconcileAt)
}

// requestedAfterPush reports whether a request is younger than the push.
func requestedAfterPush(o *State, request string) bool {
	at, err := time.Parse(time.RFC3339Nano, request)
	return err == nil && o.Restore.Status.LastPushTime != nil && !at.Before(o.Restore.Status.LastPushTime.Time)
}

// apply waits until the Kustomization has applied the commit.
func apply(o *State) Decision {
	if o.Restore.Spec.KustomizationRef == nil || o.Restore.Status.LastAppliedRevision != "" {
		return nil
	}
	k, status := o.Kustomization, o.Restore.Status
	name := qualified(o.Restore, *o.Restore.Spec.KustomizationRef)
	commit := short(status.LastPushCommit)
	switch {
	case !attempted(o):
		// The conditions of the Kustomization are still about an earlier commit.
		return inTime(o, v1alpha1.ReasonNotApplied, wait("Waiting for Kustomization %q to apply commit %s%s", name, commit, saying(o, o.Restore.Spec.SourceRef.NamespacedReference, "the GitRepository", o.Repository.Status.Conditions)))
	case !inInventory(k, o.Restore.Namespace, status.Inventory):
		return inTime(o, v1alpha1.ReasonNotApplied, wait("Waiting for Kustomization %q to apply commit %s%s", name, commit, saying(o, *o.Restore.Spec.KustomizationRef, "it", k.Status.Conditions)))
	}
	if !o.Compared {
		return Act{CompareLive}
	}
	return inTime(o, v1alpha1.ReasonNotApplied, wait("Kustomization %q has applied commit %s, but some objects differ from it; something else may be changing them", name, commit))
}

// saying quotes why an object of Flux is not ready. Of an object in another namespace it only says
// that it is not ready: the message may name what is there.
func saying(o *State, ref v1alpha1.NamespacedReference, who string, conditions []metav1.Condition) string {
	ready := meta.FindStatusCondition(conditions, fluxmeta.ReadyCondition)
	switch {
	case ready == nil || ready.Status == metav1.ConditionTrue || ready.Message == "":
		return ""
	case crossesNamespace(o.Restore, ref):
		return fmt.Sprintf("; %s is not ready, for a reason that only those see who may read it in its namespace", who)
	}
	return fmt.Sprintf("; %s says: %s", who, ready.Message)
}

func short(commit string) string { return commit[:min(len(commit), 12)] }

// inTime turns a wait into a problem once it has lasted longer than spec.timeout. The problem ends by
// itself when what the restore waits for happens after all.
func inTime(o *State, reason string, d Wait) Decision {
	since := o.Restore.Status.WaitingSince
	if since == nil || requestedAgain(o.Restore) {
		return d
	}
	deadline := since.Add(o.Restore.GetTimeout())
	if o.Now.Before(deadline) {
		d.Retry = max(deadline.Sub(o.Now), time.Second)
		return d
	}
	return Stop{Problem: Stalled(reason, "%s; this takes longer than %s (spec.timeout); the restore goes on by itself once it happens; to have it look now: %s", d.Message, o.Restore.GetTimeout(), AskAgain(o.Restore))}
}

// lasting ends the retries of a problem once they have taken too long.
func lasting(o *State, d Stop) Decision {
	since := o.Restore.Status.WaitingSince
	if since == nil || requestedAgain(o.Restore) || o.Now.Before(since.Add(o.Restore.GetTimeout())) {
		return d
	}
	return Stop{Problem: Stalled(d.Problem.Reason, "%s; it was tried for %s (spec.timeout); fix the cause, then ask again: %s", strings.TrimSuffix(d.Problem.Message, triedAgain), o.Restore.GetTimeout(), AskAgain(o.Restore))}
}

// cleanUp removes what only the restore needed.
func cleanUp(o *State) Decision {
	if leaves(o) {
		return Act{CleanUp}
	}
	return nil
}

// leaves reports whether something is left that only the restore needed. What is still there after its
// removal was requested is held by something else.
func leaves(o *State) bool {
	return !o.CleanedUp && (o.Inspect.Exists || o.Refill.Exists || o.Load.Exists || o.Resync.Exists || o.Leftovers)
}
