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

// refusedBefore is the refusal of a push by the server: it is not asked again
// for each event, but when somebody asks, or asks for something else.
func refusedBefore(o *State) *Problem {
	r := o.Restore
	stopped := meta.FindStatusCondition(r.Status.Conditions, fluxmeta.StalledCondition)
	if stopped == nil || stopped.Status != metav1.ConditionTrue || stopped.Reason != v1alpha1.ReasonPushRejected ||
		stopped.ObservedGeneration != r.Generation || requestedAgain(r) {
		return nil
	}
	return &Problem{Reason: stopped.Reason, Message: stopped.Message, Terminal: true}
}

// FluxRequest is a request for Flux to look at the repository, as the flux
// command makes it.
func FluxRequest(now time.Time) string { return now.Format(time.RFC3339Nano) }

// askFlux has Flux look at the repository, until it was asked after the push.
func askFlux(o *State) Decision {
	if askedFlux(o) || o.Restore.Status.LastAppliedRevision != "" {
		return nil
	}
	return Act{AskFlux}
}

// askedFlux tells that Flux was asked after the push, or has found the commit by
// itself. Another restore into the same repository may have asked: who wanted
// his own request there would take turns with it for ever.
func askedFlux(o *State) bool {
	status := o.Repository.Status
	if o.Asked || status.Artifact != nil && strings.HasSuffix(status.Artifact.Revision, ":"+o.Restore.Status.LastPushCommit) {
		return true
	}
	return requestedAfterPush(o, o.Repository.Annotations[fluxmeta.ReconcileRequestAnnotation]) || requestedAfterPush(o, status.LastHandledReconcileAt)
}

// requestedAfterPush tells whether a request is younger than the push.
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
		// What the Kustomization says by now is about an earlier commit.
		return inTime(o, v1alpha1.ReasonNotApplied, wait("Waiting for Kustomization %q to apply commit %s%s", name, commit, saying(o, o.Restore.Spec.SourceRef.NamespacedReference, "the GitRepository", o.Repository.Status.Conditions)))
	case !inInventory(k, o.Restore.Namespace, status.Inventory):
		return inTime(o, v1alpha1.ReasonNotApplied, wait("Waiting for Kustomization %q to apply commit %s%s", name, commit, saying(o, *o.Restore.Spec.KustomizationRef, "it", k.Status.Conditions)))
	}
	if !o.Compared {
		return Act{CompareLive}
	}
	return inTime(o, v1alpha1.ReasonNotApplied, wait("Kustomization %q has applied commit %s, but not all live objects are as it has them; somebody else may be changing them", name, commit))
}

// saying quotes why one of Flux' objects is not ready; of an object of another
// namespace only that it is not, since its message may name what is there.
func saying(o *State, ref v1alpha1.NamespacedReference, who string, conditions []metav1.Condition) string {
	ready := meta.FindStatusCondition(conditions, fluxmeta.ReadyCondition)
	switch {
	case ready == nil || ready.Status == metav1.ConditionTrue || ready.Message == "":
		return ""
	case crossesNamespace(o.Restore, ref):
		return fmt.Sprintf("; %s is not ready, and of another namespace: who may read it there sees why", who)
	}
	return fmt.Sprintf("; %s says: %s", who, ready.Message)
}

func short(commit string) string { return commit[:min(len(commit), 12)] }

// inTime turns a wait for others into a problem once it has taken too long. It
// ends by itself if they come round later.
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
	return Stop{Problem: stalled(reason, "%s; not within %s (spec.timeout): it goes on by itself when that happens, or ask again: %s", d.Message, o.Restore.GetTimeout(), AskAgain(o.Restore))}
}

// lasting ends the retries of a problem once they have taken too long.
func lasting(o *State, d Stop) Decision {
	since := o.Restore.Status.WaitingSince
	if since == nil || requestedAgain(o.Restore) || o.Now.Before(since.Add(o.Restore.GetTimeout())) {
		return d
	}
	return Stop{Problem: stalled(d.Problem.Reason, "%s; not within %s (spec.timeout): mend it, then ask again: %s", d.Problem.Message, o.Restore.GetTimeout(), AskAgain(o.Restore))}
}

// cleanUp removes what only the restore needed.
func cleanUp(o *State) Decision {
	if leaves(o) {
		return Act{CleanUp}
	}
	return nil
}

// leaves tells whether something is there that only the restore needed. What
// stays after its removal was asked for, something else holds.
func leaves(o *State) bool {
	return !o.CleanedUp && (o.Inspect.Exists || o.Refill.Exists || o.Resync.Exists || o.Leftovers)
}
