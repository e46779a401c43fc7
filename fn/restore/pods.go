package restore

import (
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// inspect reads the run and hands its objects over.
func inspect(o *Observed) Decision {
	if pushed(o) || planEnds(o) {
		return done
	}
	switch {
	case o.Inspect.Ending:
		return wait("Waiting for the pod before to be gone; if it takes long, look at: %s", look(o))
	case !o.Inspect.Exists:
		return act(StartInspect, "Starting to read run %q from PersistentVolumeClaim %q", wantedRun(o), SourceClaimName(o.Restore, o.Backup))
	case o.Inspect.Failed:
		reason, message := v1alpha1.ReasonFailed, o.Inspect.Message
		if o.Inspection != nil && o.Inspection.Reason != "" {
			reason, message = o.Inspection.Reason, o.Inspection.Message
		}
		return failedPod(o, o.Inspect, DropInspect, "reading the backup", reason, message)
	case !o.Inspect.Complete:
		return wait("Reading the backup; if it takes long, look at: %s", look(o))
	case o.Inspection == nil || !o.Inspection.Completed:
		return failedPod(o, o.Inspect, DropInspect, "reading the backup", v1alpha1.ReasonReportMissing, "it ended well but left no result")
	}
	return done
}

// wantedRun is the run to read: the one that an earlier commit recorded, whatever
// is the latest by now.
func wantedRun(o *Observed) string {
	if o.Branch != nil && o.Branch.Run != "" {
		return o.Branch.Run
	}
	return o.Restore.Spec.RestoreSource.Run
}

// WantedRun is the run that the inspect Job is told to read.
func WantedRun(o *Observed) string { return wantedRun(o) }

// refill writes the file storage.
func refill(o *Observed) Decision {
	if pushed(o) || !fills(o) {
		return done
	}
	switch {
	case o.Refill.Ending:
		return wait("Waiting for the pod before to be gone; if it takes long, look at: %s", look(o))
	case !o.Refill.Exists:
		return act(StartRefill, "Starting to write the file storage")
	case o.Refill.Failed:
		reason, message := v1alpha1.ReasonFailed, o.Refill.Message
		if o.Refilled != nil && o.Refilled.Reason != "" {
			reason, message = o.Refilled.Reason, o.Refilled.Message
		}
		return failedPod(o, o.Refill, DropRefill, "writing the file storage", reason, message)
	case !o.Refill.Complete:
		return wait("Writing the file storage; if it takes long, look at: %s", look(o))
	case o.Refilled == nil || !o.Refilled.Completed:
		return failedPod(o, o.Refill, DropRefill, "writing the file storage", v1alpha1.ReasonReportMissing, "it ended well but left no result")
	}
	return done
}

func look(o *Observed) string {
	return fmt.Sprintf("kubectl -n %s describe job,pod -l %s=%s", o.Restore.Namespace, v1alpha1.LabelRestore, o.Restore.Name)
}

// final are the reasons with which a pod would fail again.
func final(reason string) bool {
	switch reason {
	case v1alpha1.ReasonIntegrity, v1alpha1.ReasonDecryptionFailed, v1alpha1.ReasonRunNotFound,
		v1alpha1.ReasonUnexpectedObject, v1alpha1.ReasonUnsupportedFormat, v1alpha1.ReasonHandoverTooSmall, v1alpha1.ReasonUsage, v1alpha1.ReasonNotEmpty, v1alpha1.ReasonNoSpace:
		return true
	}
	return false
}

// failedPod tells why a pod failed. One that may fare better runs again after
// the retry interval; the others when somebody asks for it.
func failedPod(o *Observed, pod Pod, drop Action, doing, reason, message string) Decision {
	if RequestedAgain(o.Restore) {
		return act(drop, "Trying again, as requested")
	}
	text := fmt.Sprintf("%s failed: %s", strings.ToUpper(doing[:1])+doing[1:], message)
	if final(reason) {
		return Decision{Problem: &Problem{Reason: reason, Terminal: true, Message: text + "; mend it, then: " + AskAgain(o.Restore)}}
	}
	after := pod.EndedAt.Add(o.Restore.GetRetryInterval()).Sub(o.Now)
	if after <= 0 {
		return act(drop, "Trying again")
	}
	return Decision{
		Problem: &Problem{Reason: reason, Message: fmt.Sprintf("%s; look at: %s; it is tried again", text, look(o))},
		Retry:   max(after, time.Second),
	}
}

// RequestedAgain tells that somebody asked for another look since the last one.
func RequestedAgain(r *v1alpha1.ThreeScaleRestore) bool {
	token, ok := meta.ReconcileAnnotationValue(r.GetAnnotations())
	return ok && token != r.Status.LastHandledReconcileAt
}

// AskAgain is the command that asks for another look.
func AskAgain(r *v1alpha1.ThreeScaleRestore) string {
	return fmt.Sprintf("kubectl -n %s annotate --overwrite %s %s %s=\"$(date +%%s)\"", r.Namespace, "threescalerestore", r.Name, meta.ReconcileRequestAnnotation)
}
