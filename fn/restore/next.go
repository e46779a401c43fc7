// Package restore decides what a ThreeScaleRestore does next. Next is a pure function of the State:
// the facts that the cluster shows, and the progress of the present call. It is called again after
// each action, after each event and after a restart. State.Note writes the result of an action into
// the status. Start with Next and its steps.
package restore

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// Action is something that the controller does between two decisions.
type Action string

// The actions.
const (
	// MakeSourcePVC makes the PersistentVolumeClaim that binds to the named PersistentVolume.
	MakeSourcePVC Action = "MakeSourcePVC"
	// AskRights asks the API server which rights for the last steps are missing.
	AskRights Action = "AskRights"
	// ReadBranch reads the branch in Git.
	ReadBranch Action = "ReadBranch"
	// DropPlan removes a plan that was made of what is no longer there, as by a dry run.
	DropPlan Action = "DropPlan"
	// StartInspect makes the inspect Job with its helpers and empty hand-over Secrets.
	StartInspect Action = "StartInspect"
	// DropInspect deletes the inspect Job, so that it runs again.
	DropInspect Action = "DropInspect"
	// MakePlan reads the objects that were handed over and compares them with the namespace.
	MakePlan Action = "MakePlan"
	// MakeFileStorage makes the PersistentVolumeClaim of the System file storage.
	MakeFileStorage Action = "MakeFileStorage"
	// StartRefill makes the refill Job with its helpers.
	StartRefill Action = "StartRefill"
	// DropRefill deletes the refill Job, so that it runs again.
	DropRefill Action = "DropRefill"
	// StartLoad makes the load Job with its helpers.
	StartLoad Action = "StartLoad"
	// DropLoad notes what the load Job has loaded, and deletes it, so that it runs again for the rest.
	DropLoad Action = "DropLoad"
	// NoteLoad notes that the load Job has completed.
	NoteLoad Action = "NoteLoad"
	// Publish encrypts, commits and pushes.
	Publish Action = "Publish"
	// AskFlux has Flux look at the repository now (see FluxRequest).
	AskFlux Action = "AskFlux"
	// CompareLive compares the live objects with the commit.
	CompareLive Action = "CompareLive"
	// StartResync makes the Job that has Zync make its Routes again.
	StartResync Action = "StartResync"
	// DropResync deletes the resync Job, so that it runs again.
	DropResync Action = "DropResync"
	// NoteResync notes that the resync Job has completed.
	NoteResync Action = "NoteResync"
	// CleanUp removes Jobs, helpers and hand-over Secrets.
	CleanUp Action = "CleanUp"
	// Complete ends the restore.
	Complete Action = "Complete"
)

// step is one step of a restore.
type step struct {
	name   string
	decide func(*State) Decision
}

// steps are in the order in which they are done. A step that has nothing left to do returns nil.
func steps() []step {
	return []step{
		{"Source", source},
		{"Repository", repository},
		{"Rights", rights},
		{"Branch", branch},
		{"Inspect", inspect},
		{"Plan", plan},
		{"DryRun", dryRun},
		{"FileStorage", fileStorage},
		{"Refill", refill},
		{"Load", load},
		{"Publish", publish},
		{"KeptFiles", keptFiles},
		{"AskFlux", askFlux},
		{"Apply", apply},
		{"Resync", resync},
		{"Available", available},
		{"CleanUp", cleanUp},
	}
}

// Next returns what to do next.
func Next(s *State) Decision {
	_, d := next(s)
	return d
}

// next also returns the name of the step that decides.
func next(s *State) (string, Decision) {
	const completed = "Completed"
	if s.Restore.Status.Completed {
		return completed, End{}
	}
	for _, step := range steps() {
		switch d := step.decide(s).(type) {
		case nil:
		case Stop:
			d.Problem = WithCommand(s.Restore, d.Problem)
			return step.name, d
		default:
			return step.name, d
		}
	}
	return completed, Act{Complete}
}

// WithCommand appends the command that asks for another look, if the controller cannot see by itself
// that the problem is solved.
func WithCommand(r *v1alpha1.ThreeScaleRestore, p *Problem) *Problem {
	unseen := []string{
		v1alpha1.ReasonSourceUnusable, v1alpha1.ReasonObjectConflict, v1alpha1.ReasonAPIManagerExists, v1alpha1.ReasonVersionRefused,
		v1alpha1.ReasonNotEmpty, v1alpha1.ReasonFileStorageOfOthers, v1alpha1.ReasonVolumeTooSmall,
		v1alpha1.ReasonBucketIncompatible, v1alpha1.ReasonDatabaseNotEmpty, v1alpha1.ReasonDatabaseUnsupported, v1alpha1.ReasonDatabaseClientMissing,
	}
	if !p.Terminal || !slices.Contains(unseen, p.Reason) {
		return p
	}
	told := *p
	told.Message += "; then ask again: " + AskAgain(r)
	return &told
}

// pushed reports whether this attempt's commit is on the branch, according to the status.
func pushed(o *State) bool { return o.Restore.Status.LastPushCommit != "" }

// repository checks what the commit needs before any pod runs.
func repository(o *State) Decision {
	if p := cmp.Or(checkRepository(o), checkKustomization(o)); p != nil {
		return Stop{Problem: p}
	}
	return nil
}

// rights checks before the first pod starts that the restore may do what its last steps need. Without
// a Kustomization there are no such steps.
func rights(o *State) Decision {
	switch {
	case o.Inspect.Exists || pushed(o) || planEnds(o) || o.Restore.Spec.KustomizationRef == nil:
		return nil
	case !o.RightsAsked:
		return Act{AskRights}
	case len(o.RightsMissing) > 0:
		return Stop{Problem: Failing(v1alpha1.ReasonRightsMissing, "%s may not %s in namespace %q, which the last steps of the restore need; grant it, as examples/restore/other-namespace/account.yaml does",
			job.Sentence(o.Account), strings.Join(o.RightsMissing, ", nor "), o.Restore.Namespace)}
	}
	return nil
}

// branch reads the branch once before the first pod starts. An attempt that is recorded there makes no
// second commit, and one that cannot be committed starts no pod.
func branch(o *State) Decision {
	switch {
	case o.Inspect.Exists || pushed(o) || planEnds(o):
		return nil
	case o.Branch == nil:
		return Act{ReadBranch}
	case o.Branch.Problem != nil && o.Branch.Commit == "":
		return Stop{Problem: o.Branch.Problem}
	}
	return nil
}

// planEnds reports whether a dry run has its plan.
func planEnds(o *State) bool {
	return o.Restore.Spec.DryRun && o.Restore.Status.Plan != nil && !pushed(o)
}

// dryRun ends a dry run once it has its plan.
func dryRun(o *State) Decision {
	if !planEnds(o) {
		return nil
	}
	if leaves(o) {
		return Act{CleanUp}
	}
	message := fmt.Sprintf("Planned: %s", summary(o.Restore.Status.Plan))
	if p := checkObjects(o); p != nil {
		message += "; a restore would stop with " + p.Error()
	}
	return End{message}
}

// summary counts the verdicts of a plan.
func summary(p *v1alpha1.Plan) string {
	counts := map[v1alpha1.Verdict]int{}
	for _, object := range p.Objects {
		counts[object.Verdict]++
	}
	text := fmt.Sprintf("%d to create, %d to replace, %d unchanged, %d in conflict", counts[v1alpha1.VerdictCreate], counts[v1alpha1.VerdictReplace], counts[v1alpha1.VerdictUnchanged], counts[v1alpha1.VerdictConflict])
	var databases []string
	for _, d := range p.Databases {
		if isLoaded(d) {
			databases = append(databases, d.Name)
		}
	}
	if len(databases) > 0 {
		text += "; databases to load: " + strings.Join(databases, ", ")
	}
	return text
}
