package restore

import (
	"time"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
)

// publish makes the commit.
func publish(o *Observed) Decision {
	if pushed(o) {
		return done
	}
	return act(Publish, "Committing to branch %q of GitRepository %q", branchName(o), repositoryName(o.Restore))
}

// apply waits until the Kustomization has applied the commit.
func apply(o *Observed) Decision {
	if o.Restore.Spec.KustomizationRef == nil || o.Restore.Status.LastAppliedRevision != "" {
		return done
	}
	k, status := o.Kustomization, o.Restore.Status
	name := qualified(o.Restore, *o.Restore.Spec.KustomizationRef)
	if !attempted(k, status.LastPushCommit, status.RevisionBefore) || !inInventory(k, o.Restore.Namespace, status.Inventory) {
		return inTime(o, v1alpha1.ReasonNotApplied, wait("Waiting for Kustomization %q to apply commit %s%s", name, short(status.LastPushCommit), saying(k.Status.Conditions)))
	}
	if !o.Compared {
		return act(CompareLive, "Comparing the live objects with commit %s", short(status.LastPushCommit))
	}
	return inTime(o, v1alpha1.ReasonNotApplied, wait("Kustomization %q has applied commit %s, but not all live objects are as it has them; somebody else may be changing them", name, short(status.LastPushCommit)))
}

// saying quotes why a Kustomization is not ready.
func saying(conditions []metav1.Condition) string {
	ready := meta.FindStatusCondition(conditions, fluxmeta.ReadyCondition)
	if ready == nil || ready.Status == metav1.ConditionTrue || ready.Message == "" {
		return ""
	}
	return "; it says: " + ready.Message
}

func short(commit string) string { return commit[:min(len(commit), 12)] }

// available waits until the operator has the installation running.
func available(o *Observed) Decision {
	if o.Restore.Spec.KustomizationRef == nil {
		return done
	}
	if isAvailable(o.APIManager) {
		return done
	}
	return inTime(o, v1alpha1.ReasonNotAvailable, wait("Waiting for APIManager %q to be available", apiManagerOf(o.Restore.Status.Inventory)))
}

func apiManagerOf(inventory []v1alpha1.ObjectReference) string {
	for _, object := range inventory {
		if object.Kind == threescale.APIManagerKind {
			return object.Name
		}
	}
	return ""
}

// isAvailable reads the operator's condition. One that is absent is no success.
func isAvailable(apiManager Object) bool {
	status, _ := apiManager["status"].(map[string]any)
	conditions, _ := status["conditions"].([]any)
	for _, entry := range conditions {
		condition, _ := entry.(map[string]any)
		if condition["type"] == "Available" {
			return condition["status"] == "True"
		}
	}
	return false
}

// inTime turns a wait for others into a problem once it has taken too long. It
// ends by itself if they come round later.
func inTime(o *Observed, reason string, d Decision) Decision {
	since := o.Restore.Status.WaitingSince
	if since == nil || RequestedAgain(o.Restore) {
		return d
	}
	deadline := since.Add(o.Restore.GetTimeout())
	if o.Now.Before(deadline) {
		d.Retry = max(deadline.Sub(o.Now), time.Second)
		return d
	}
	return Decision{Problem: stalled(reason, "%s for longer than %s (spec.timeout); it goes on by itself when that happens, or ask again: %s", d.Message, o.Restore.GetTimeout(), AskAgain(o.Restore))}
}

// resync has the routes made again.
func resync(o *Observed) Decision {
	if !o.Restore.Spec.PostRestore.ResyncZyncDomains || o.Restore.Spec.KustomizationRef == nil || o.Restore.Status.Resynced {
		return done
	}
	return act(Resync, "Having Zync make the routes again")
}

// cleanUp removes what only the restore needed.
func cleanUp(o *Observed) Decision {
	if o.Inspect.Exists || o.Refill.Exists || o.Leftovers {
		return act(CleanUp, "Removing Jobs and hand-over Secrets")
	}
	return done
}
