package restore

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// Abandoned reports whether the previous attempt has not ended. Its Jobs and helpers are removed
// before another attempt begins.
func Abandoned(r *v1alpha1.ThreeScaleRestore) bool {
	return r.Status.Attempt != "" && r.Status.Attempt != attemptOf(r) && !r.Status.Completed
}

// Begin resets the status if something else is asked for than before, and reports whether it did. The
// history of earlier restores is kept.
func Begin(r *v1alpha1.ThreeScaleRestore, now time.Time) bool {
	attempt := attemptOf(r)
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

// Result is what an action found out or made. The comments name the action; all others return nothing.
type Result struct {
	RightsMissing []string       // AskRights
	Branch        *Branch        // ReadBranch
	Plan          *v1alpha1.Plan // MakePlan
	Push          *Push          // Publish
	Holds         bool           // CompareLive: the live objects hold what was committed
}

// Push is a commit on the branch.
type Push struct {
	Commit string
	// Found means that the commit was on the branch already.
	Found bool
	// Inventory lists the objects of the commit.
	Inventory []v1alpha1.ObjectReference
}

// Note writes the result of an action into the status and the progress. Nothing else writes the
// status, except Begin, and the controller, which writes the conditions.
func (s *State) Note(action Action, result Result, now time.Time) {
	status := &s.Restore.Status
	switch action {
	case AskRights:
		s.RightsAsked, s.RightsMissing = true, result.RightsMissing
	case ReadBranch:
		if s.Branch = result.Branch; s.Branch.Commit != "" {
			status.FoundCommit = s.Branch.Commit
		}
	case DropPlan:
		status.Plan = nil
	case DropInspect:
		if s.Inspection != nil { // else nothing else is known
			status.FileBucket = bucketLogin(s)
		}
	case MakePlan:
		s.Planned, status.Plan = true, result.Plan
		status.RestoredRun, status.ManifestSHA256 = s.Inspection.Run, s.Inspection.ManifestSHA256
	case DropLoad, NoteLoad:
		s.noteLoaded()
	case Publish:
		s.noteRefilled()
		s.notePush(result.Push, now)
	case AskFlux:
		s.Asked = true
	case CompareLive:
		if s.Compared = true; result.Holds {
			status.LastAppliedRevision, status.WaitingSince = s.Kustomization.Status.LastAttemptedRevision, &metav1.Time{Time: now}
		}
	case DropResync:
		if status.Resynced = false; requestedAgain(s.Restore) {
			status.WaitingSince = &metav1.Time{Time: now}
		}
	case NoteResync:
		status.Resynced = true
	case CleanUp:
		s.CleanedUp = true
	case Complete:
		s.complete(now)
	}
}

func (s *State) notePush(push *Push, now time.Time) {
	status := &s.Restore.Status
	status.LastPushCommit, status.Inventory, status.RevisionBefore = push.Commit, push.Inventory, ""
	if artifact := s.Repository.Status.Artifact; artifact != nil && !push.Found { // what was pushed long ago may be earlier than what Flux has
		status.RevisionBefore = artifact.Revision
	}
	status.LastPushTime, status.WaitingSince = &metav1.Time{Time: now}, &metav1.Time{Time: now}
}

// complete writes the end of the restore into the status, before the conditions show it.
func (s *State) complete(now time.Time) {
	status := &s.Restore.Status
	status.Completed, status.CompletionTime, status.WaitingSince = true, &metav1.Time{Time: now}, nil
	status.History.Upsert(status.Attempt, now, now.Sub(status.StartTime.Time), v1alpha1.ReasonRestored,
		map[string]string{"run": status.RestoredRun, "commit": status.LastPushCommit})
}
