package restore

import (
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// TestWay is the whole way of a restore: each stage is on top of those before.
func TestWay(t *testing.T) {
	t.Run("Volume", func(t *testing.T) { goesAllTheWay(t, observed()) })
	t.Run("Bucket", func(t *testing.T) { goesAllTheWay(t, observed(fromBucket)) })
}

func goesAllTheWay(t *testing.T, o *State) {
	t.Helper()
	way := []struct {
		reached func(*State)
		step    string
		action  Action
		waits   bool
	}{
		{func(*State) {}, "Rights", AskRights, false},
		{func(o *State) { o.RightsAsked = true }, "Branch", ReadBranch, false},
		{branchRead, "Inspect", StartInspect, false},
		{inspecting, "Inspect", "", true},
		{inspected, "Plan", MakePlan, false},
		{planned, "FileStorage", MakeFileStorage, false},
		{storageMade, "Refill", StartRefill, false},
		{func(o *State) { o.Refill = Pod{Exists: true} }, "Refill", "", true},
		{refilled, "Publish", Publish, false},
		{justPushed, "AskFlux", AskFlux, false},
		{fluxAsked, "Apply", "", true},
		{fluxApplied, "Apply", CompareLive, false},
		{func(o *State) { o.Compared = true }, "Apply", "", true},
		{applied, "Resync", "", true},
		{sidekiqRuns, "Resync", StartResync, false},
		{resyncing, "Resync", "", true},
		{resyncDone, "Resync", NoteResync, false},
		{resynced, "Available", "", true},
		{running, "CleanUp", CleanUp, false},
		{cleaned, "Completed", Complete, false},
		{func(o *State) { o.Restore.Status.Completed = true }, "Completed", "", false},
	}
	for i, stage := range way {
		stage.reached(o)
		d := told(o)
		assert.Equal(t, stage.step, d.Step, "stage %d", i)
		assert.Equal(t, stage.action, d.Action, "stage %d", i)
		assert.Equal(t, stage.waits, d.Waits, "stage %d", i)
		assert.Nil(t, d.Problem, "stage %d", i)
	}
}

// TestStatusAloneLeadsOn: after the push, what led there may be gone.
func TestStatusAloneLeadsOn(t *testing.T) {
	o := observed(published)
	assert.Equal(t, "Apply", told(o).Step)
	applied(o)
	resynced(o)
	running(o)
	assert.Equal(t, "Completed", told(o).Step)
}

// TestSourceGoesAfterwards: once nothing more is read from it, a backup may go.
func TestSourceGoesAfterwards(t *testing.T) {
	dry := func(o *State) { o.Restore.Spec.DryRun = true }
	cases := map[string]struct {
		reason  string
		reached []func(*State)
		step    string
		action  Action
	}{
		"Applying":   {"Flux has all of it in the commit", stages(published), "Apply", ""},
		"CleaningUp": {"The hand-over Secrets must not stay", stages(published, applied, resynced, running, inspecting), "CleanUp", CleanUp},
		"Restored":   {"It is whole", stages(published, applied, resynced, running), "Completed", Complete},
		"PlanMade":   {"What the dry run made goes", stages(dry, inspected, planned), "DryRun", CleanUp},
		"Planned":    {"The plan is what was asked for", stages(dry, inspected, planned, cleaned), "DryRun", ""},
	}
	gone := map[string]func(*State){
		"PVC": func(o *State) { o.SourcePVC = nil },
		"Backup": func(o *State) {
			o.SourcePVC = nil
			o.Restore.Spec.RestoreSource = v1alpha1.RestoreSource{BackupRef: &meta.LocalObjectReference{Name: "nightly"}}
		},
		"Bucket": func(o *State) {
			fromBucket(o)
			o.BucketSecrets = nil
		},
	}
	for name, tc := range cases {
		for what, goes := range gone {
			t.Run(name+what, func(t *testing.T) {
				o := observed(append(tc.reached, goes)...)
				d := told(o)
				assert.Nil(t, d.Problem, tc.reason)
				assert.Equal(t, tc.step, d.Step, tc.reason)
				assert.Equal(t, tc.action, d.Action, tc.reason)
			})
		}
	}
}

// TestSourceIsLookedAtAgain: what asks for more than was done needs the backup.
func TestSourceIsLookedAtAgain(t *testing.T) {
	another := func(o *State) {
		o.Restore.Spec.RestoreSource.Run = run
		require.True(t, Begin(o.Restore, noon))
	}
	dry := func(o *State) { o.Restore.Spec.DryRun = true }
	cases := map[string]struct {
		reason  string
		reached []func(*State)
	}{
		"AnotherRun":  {"It is another attempt", stages(published, another)},
		"AnotherPlan": {"Likewise", stages(dry, inspected, planned, cleaned, another)},
		"InEarnest":   {"A plan restores nothing", stages(dry, inspected, planned, cleaned, func(o *State) { o.Restore.Spec.DryRun = false })},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := observed(tc.reached...)
			o.SourcePVC = nil
			d := told(o)
			requireProblem(t, d, v1alpha1.ReasonSourceNotFound, false)
			assert.Equal(t, "Source", d.Step, tc.reason)
		})
	}
}

func TestCompletedLooksAtNothing(t *testing.T) {
	o := &State{Facts: Facts{Restore: &v1alpha1.ThreeScaleRestore{}}}
	o.Restore.Status.Completed = true
	assert.Equal(t, decided{Step: "Completed"}, told(o))
}

func TestDryRun(t *testing.T) {
	dry := func(o *State) { o.Restore.Spec.DryRun = true }
	o := observed(dry, branchRead, inspected)
	assert.Equal(t, MakePlan, told(o).Action)
	planned(o)
	o.Restore.Status.Plan.Objects[1].Verdict = v1alpha1.VerdictConflict
	assert.Equal(t, CleanUp, told(o).Action, "a conflict is told, and stops nothing")
	cleaned(o)
	d := told(o)
	assert.Equal(t, "DryRun", d.Step)
	assert.Empty(t, d.Action)
	assert.Contains(t, d.Message, "Planned: 1 to create, 0 to replace, 0 unchanged, 1 in conflict; a restore would stop with ObjectConflict: Secret \"system-seed\"")
}

// TestAskFlux: a commit that Flux is not asked to look at waits for the interval
// of the GitRepository, and what Flux attempts meanwhile would be taken for later.
func TestAskFlux(t *testing.T) {
	requestedOf := func(token string) func(*State) {
		return func(o *State) {
			o.Repository.Annotations = map[string]string{meta.ReconcileRequestAnnotation: token}
		}
	}
	cases := map[string]struct {
		reason string
		edits  []func(*State)
		asks   bool
	}{
		"Never":      {"The request failed, or the controller was killed before it", nil, true},
		"Before":     {"Somebody asked before the push", stages(requestedOf(FluxRequest(noon.Add(-time.Second)))), true},
		"NoTime":     {"It is not known when somebody asked", stages(requestedOf("1795348800")), true},
		"Another":    {"A restore into the same repository asked since", stages(requestedOf(FluxRequest(noon.Add(time.Minute)))), false},
		"Asked":      {"Once is enough", stages(fluxAsked), false},
		"Handled":    {"Flux has looked, and somebody asked since", stages(requestedOf("later"), func(o *State) { o.Repository.Status.LastHandledReconcileAt = FluxRequest(noon) }), false},
		"Fetched":    {"It found the commit by itself", stages(func(o *State) { o.Repository.Status.Artifact = &meta.Artifact{Revision: "main@sha1:" + commit} }), false},
		"OldFetched": {"It has not looked yet", stages(func(o *State) { o.Repository.Status.Artifact = &meta.Artifact{Revision: "main@sha1:feed"} }), true},
		"InThisCall": {"What was read may be older", stages(func(o *State) { o.Asked = true }), false},
		"Applied":    {"It has looked, whatever was asked since", stages(applied, requestedOf("later")), false},
		"NobodyWaits": {"Flux applies it, though no Kustomization is named", stages(func(o *State) {
			o.Restore.Spec.KustomizationRef, o.Kustomization = nil, nil
		}), true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := told(observed(append(stages(justPushed), tc.edits...)...))
			assert.Equal(t, tc.asks, d.Action == AskFlux, "%s: %+v", tc.reason, d)
			assert.Nil(t, d.Problem)
		})
	}
}

func TestWithoutKustomization(t *testing.T) {
	o := observed(func(o *State) { o.Restore.Spec.KustomizationRef, o.Kustomization = nil, nil }, published)
	assert.Equal(t, "Completed", told(o).Step, "nobody tells when it is applied")
}

// TestRecorded is a restore whose status was lost, or that was applied again
// in another cluster: its commit is on the branch.
func TestRecorded(t *testing.T) {
	o := observed(func(o *State) {
		o.RightsAsked, o.Branch = true, &Branch{Commit: commit, Run: run, Problem: Stalled("Any", "any")}
	})
	o.Restore.Status.FoundCommit = commit
	assert.Equal(t, StartInspect, told(o).Action, "the file storage may be gone; what a new commit would need is not")
	assert.Equal(t, run, WantedRun(o), "the recorded run, whatever is the latest by now")
	inspected(o)
	o.Inspection.Existing.Present = true
	storageMade(o)
	assert.Equal(t, storageSkip, storageAction(o, false), "3scale may have written to it since")
	planned(o)
	o.Restore.Status.Plan.Objects[0].Verdict = v1alpha1.VerdictConflict
	assert.Equal(t, Publish, told(o).Action, "what is there is its own; publishing finds the commit")
	o.Inspection.Existing.Empty = true
	planned(o)
	o.FileStorage = nil
	assert.Equal(t, MakeFileStorage, told(o).Action)
}

func TestStorageAction(t *testing.T) {
	cases := map[string]struct {
		reason string
		edit   func(*State)
		want   string
	}{
		"Absent": {"There is none yet", func(*State) {}, storageFill},
		"Empty":  {"It was just made", func(o *State) { o.Inspection.Existing.Present, o.Inspection.Existing.Empty = true, true }, storageFill},
		"MirrorOn": {"An interrupted one goes on with what it was to remove", func(o *State) {
			o.Inspection.Existing.Present, o.Inspection.Existing.Interrupted = true, true
			existing(v1alpha1.ExistingMirror)(o)
		}, storageMirror},
		"OverwriteOn": {"Likewise", func(o *State) {
			o.Inspection.Existing.Present, o.Inspection.Existing.Interrupted = true, true
			existing(v1alpha1.ExistingOverwrite)(o)
		}, storageOverwrite},
		"Interrupted": {"An earlier pod of ours was killed", func(o *State) { o.Inspection.Existing.Present, o.Inspection.Existing.Interrupted = true, true }, storageFill},
		"Same":        {"Somebody restored it already", func(o *State) { o.Inspection.Existing.Present, o.Inspection.Existing.Same = true, true }, storageUnchanged},
		"NotEmpty":    {"By default nothing is overwritten", func(o *State) { o.Inspection.Existing.Present = true }, storageConflict},
		"Overwrite":   {"On request it is", existing(v1alpha1.ExistingOverwrite), storageOverwrite},
		"Mirror":      {"And made the same", existing(v1alpha1.ExistingMirror), storageMirror},
		"Skip":        {"Or left alone", existing(v1alpha1.ExistingSkip), storageSkip},
		"NotStored":   {"The backup skipped it", func(o *State) { o.Inspection.FileStorage.Stored = false }, storageSkip},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, storageAction(observed(inspected, tc.edit), false), tc.reason)
		})
	}
}

func existing(policy v1alpha1.ExistingPolicy) func(*State) {
	return func(o *State) {
		o.Inspection.Existing.Present = true
		o.Restore.Spec.FileStorage.Existing = policy
	}
}

func TestSkippedStorageStartsNoPod(t *testing.T) {
	o := observed(branchRead, inspected, storageMade, existing(v1alpha1.ExistingSkip), planned)
	assert.Equal(t, Publish, told(o).Action)
}

func TestFailedPods(t *testing.T) {
	cases := map[string]struct {
		reason   string
		edits    []func(*State)
		want     string
		terminal bool
	}{
		"Damaged":        {"Reading again finds the same", stages(branchRead, failedInspect("Integrity")), "Integrity", true},
		"WrongKey":       {"So does a key that does not fit", stages(branchRead, failedInspect("DecryptionFailed")), "DecryptionFailed", true},
		"IO":             {"A disk may come back", stages(branchRead, failedInspect("IO")), "IO", false},
		"Silent":         {"A pod that was never started says nothing", stages(branchRead, failedInspect("")), "Failed", false},
		"NoReport":       {"It ended well and told nothing", stages(branchRead, func(o *State) { o.Inspect = Pod{Exists: true, Complete: true, EndedAt: noon} }), "ReportMissing", false},
		"RefillNoSpace":  {"It does not grow by itself", stages(branchRead, inspected, planned, storageMade, failedRefill("NoSpace")), "NoSpace", true},
		"RefillIO":       {"A disk may come back", stages(branchRead, inspected, planned, storageMade, failedRefill("IO")), "IO", false},
		"RefillNotEmpty": {"Somebody wrote to it meanwhile", stages(branchRead, inspected, planned, storageMade, failedRefill("NotEmpty")), "NotEmpty", true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := observed(tc.edits...)
			d := told(o)
			requireProblem(t, d, tc.want, tc.terminal)
			if !tc.terminal {
				assert.Equal(t, 10*time.Minute, d.Retry, tc.reason)
			}
			o.Now = noon.Add(11 * time.Minute)
			later := told(o)
			if tc.terminal {
				requireProblem(t, later, tc.want, true)
			} else {
				assert.Contains(t, []Action{DropInspect, DropRefill}, later.Action, tc.reason)
			}
			o.Now = noon
			requested("now")(o)
			assert.Contains(t, []Action{DropInspect, DropRefill}, told(o).Action, "on request it is tried at once")
			o.Restore.Status.LastHandledReconcileAt = "now"
			requireProblem(t, told(o), tc.want, tc.terminal)
		})
	}
}

// TestRecordedRunIsGone: retention may have removed what an earlier commit
// restored. Another look finds no more than this one.
func TestRecordedRunIsGone(t *testing.T) {
	const (
		newest = "commit 0123456789ab restored run \"" + run + "\", which is no longer on the volume; to restore the newest run: " +
			"now=$(date +%s); kubectl -n 3scale annotate --overwrite threescalerestore dr reconcile.fluxcd.io/requestedAt=$now reconcile.fluxcd.io/forceAt=$now"
		again = "fix it, then ask again: kubectl -n 3scale annotate --overwrite threescalerestore dr reconcile.fluxcd.io/requestedAt="
	)
	cases := map[string]struct {
		reason string
		edit   func(*State)
		want   string
	}{
		"Recorded": {"The record leads to it, whatever is the newest", func(*State) {}, newest},
		"Named":    {"The newest is not what the spec asks for", func(o *State) { o.Restore.Spec.RestoreSource.Run = run }, "which is no longer on the volume; name another run, or latest, in spec.restoreSource.run"},
		"NotFound": {"Nothing is recorded: the name is mistaken, or the run not there yet", func(o *State) { o.Restore.Status.FoundCommit = "" }, again},
		"Damaged":  {"The run is there", func(o *State) { o.Inspection.Reason = "Integrity" }, again},
		"NoRuns":   {"The record names no run, and no volume is newer than an empty one", func(o *State) { o.Inspection.Run = "latest" }, again},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := observed(branchRead, failedInspect("RunNotFound"))
			o.Restore.Status.FoundCommit = commit
			tc.edit(o)
			d := told(o)
			requireProblem(t, d, o.Inspection.Reason, true)
			assert.Contains(t, d.Problem.Message, tc.want, tc.reason)
			assert.Equal(t, tc.want == again, strings.Contains(d.Problem.Message, again), tc.reason)
		})
	}
	o := observed(annotated(meta.ReconcileRequestAnnotation, "1", meta.ForceRequestAnnotation, "1"))
	o.Restore.Status.FoundCommit = commit
	require.True(t, Begin(o.Restore, noon))
	assert.Equal(t, "latest", WantedRun(o), "the command has it restore the newest")
}

func failedInspect(reason string) func(*State) {
	return func(o *State) {
		inspected(o)
		o.Inspect = Pod{Exists: true, Failed: true, EndedAt: noon, Message: "BackoffLimitExceeded"}
		o.Inspection.Completed, o.Inspection.Reason, o.Inspection.Message = false, reason, "what it says"
	}
}

func failedRefill(reason string) func(*State) {
	return func(o *State) {
		refilled(o)
		o.Refill = Pod{Exists: true, Failed: true, EndedAt: noon}
		o.Refilled.Completed, o.Refilled.Reason, o.Refilled.Message = false, reason, "what it says"
	}
}

// TestDeadlines: no wait for others is for ever, and none ends for good.
func TestDeadlines(t *testing.T) {
	cases := map[string]struct {
		reached []func(*State)
		reason  string
		mended  func(*State)
	}{
		"NotApplied":   {stages(published), "NotApplied", func(o *State) { applied(o); o.Restore.Status.WaitingSince = &metav1.Time{Time: o.Now} }},
		"NoSidekiq":    {stages(published, applied), "ResyncFailed", func(o *State) { resynced(o); running(o) }},
		"NotAvailable": {stages(published, applied, resynced), "NotAvailable", running},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := observed(tc.reached...)
			d := told(o)
			assert.True(t, d.Waits)
			assert.Equal(t, time.Hour, d.Retry)
			o.Now = noon.Add(2 * time.Hour)
			requireProblem(t, told(o), tc.reason, true)
			requested("now")(o)
			assert.True(t, told(o).Waits, "on request it waits again")
			o.Restore.Annotations = nil
			tc.mended(o)
			assert.Nil(t, told(o).Problem)
		})
	}
}

func TestKustomizationSaysWhy(t *testing.T) {
	o := observed(published)
	o.Kustomization.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: metav1.ConditionFalse, Message: "kustomize build failed"}}
	assert.NotContains(t, told(o).Message, "kustomize build failed", "that is of an earlier commit")
	o.Kustomization.Status.LastAttemptedRevision = "main@sha1:" + commit
	assert.Contains(t, told(o).Message, "it says: kustomize build failed")
}

func TestRepositorySaysWhy(t *testing.T) {
	o := observed(published)
	o.Repository.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: metav1.ConditionFalse, Message: "authentication required"}}
	assert.Contains(t, told(o).Message, "the GitRepository says: authentication required")
}

func TestDryRunLeavesNothing(t *testing.T) {
	o := observed(branchRead, inspected, planned)
	o.Inspect = Pod{}
	o.Restore.Spec.DryRun, o.Leftovers = true, true
	assert.Equal(t, CleanUp, told(o).Action, "its Job is gone, what was handed over is not")
	o.CleanedUp = true
	assert.Empty(t, told(o).Action, "what is held by somebody else does not keep it from ending")
}

func TestDryRunTooLate(t *testing.T) {
	o := observed(inspected, planned, published)
	o.Restore.Spec.DryRun = true
	assert.Equal(t, "Apply", told(o).Step, "what is pushed cannot be planned any more")
}

func TestPodThatIsGoing(t *testing.T) {
	o := observed(branchRead)
	o.Inspect.Ending = true
	assert.True(t, told(o).Waits, "one of its name cannot be made yet")
	o = observed(branchRead, inspected, planned, storageMade)
	o.Refill.Ending = true
	assert.True(t, told(o).Waits)
}

// TestRefusedPushRests: each event would be one more line in the log of the
// server's owner.
func TestRefusedPushRests(t *testing.T) {
	o := observed(branchRead, inspected, planned, storageMade, refilled)
	assert.Equal(t, Publish, told(o).Action)
	o.Restore.Generation = 3
	o.Restore.Status.Conditions = []metav1.Condition{{Type: "Stalled", Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonPushRejected, Message: "hook declined", ObservedGeneration: 3}}
	d := told(o)
	requireProblem(t, d, v1alpha1.ReasonPushRejected, true)
	assert.Equal(t, "hook declined", d.Problem.Message)
	requested("now")(o)
	assert.Equal(t, Publish, told(o).Action, "somebody asks")
	o.Restore.Annotations, o.Restore.Generation = nil, 4
	assert.Equal(t, Publish, told(o).Action, "somebody asks for something else")
}
