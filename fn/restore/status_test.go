package restore

import (
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// TestNote: what each action leaves in the status, and for the rest of the call.
func TestNote(t *testing.T) {
	now := metav1.Time{Time: noon.Add(time.Minute)}
	inventory := []v1alpha1.ObjectReference{{Kind: "Secret", Name: "s"}}
	for name, tc := range map[string]struct {
		before func(*State)
		action Action
		result Result
		want   func(*State)
	}{
		"RightsAsked": {nil, AskRights, Result{RightsMissing: []string{"get x"}}, func(s *State) { s.RightsAsked, s.RightsMissing = true, []string{"get x"} }},
		"BranchRead":  {nil, ReadBranch, Result{Branch: &Branch{}}, func(s *State) { s.Branch = &Branch{} }},
		"CommitFound": {nil, ReadBranch, Result{Branch: &Branch{Commit: commit}}, func(s *State) { s.Branch, s.Restore.Status.FoundCommit = &Branch{Commit: commit}, commit }},
		"PlanDropped": {planned, DropPlan, Result{}, func(s *State) { s.Restore.Status.Plan = nil }},
		"PlanMade": {inspected, MakePlan, Result{Plan: &v1alpha1.Plan{Run: run}}, func(s *State) {
			s.Planned, s.Restore.Status.Plan = true, &v1alpha1.Plan{Run: run}
			s.Restore.Status.RestoredRun, s.Restore.Status.ManifestSHA256 = run, manifestDigest
		}},
		"Pushed": {artifact, Publish, Result{Push: &Push{Commit: commit, Inventory: inventory}}, func(s *State) { pushedAt(s, now, inventory, "main@sha1:0") }},
		"PushFound": {artifact, Publish, Result{Push: &Push{Commit: commit, Found: true, Inventory: inventory}}, func(s *State) {
			pushedAt(s, now, inventory, "") // what Flux has may be later
		}},
		"FluxAsked":    {nil, AskFlux, Result{}, func(s *State) { s.Asked = true }},
		"Differs":      {fluxApplied, CompareLive, Result{}, func(s *State) { s.Compared = true }},
		"Holds":        {fluxApplied, CompareLive, Result{Holds: true}, func(s *State) { s.Compared = true; applied(s); s.Restore.Status.WaitingSince = &now }},
		"ResyncNoted":  {nil, NoteResync, Result{}, resynced},
		"ResyncAgain":  {resynced, DropResync, Result{}, func(s *State) { s.Restore.Status.Resynced = false }},
		"ResyncAsked":  {asks(resynced), DropResync, Result{}, func(s *State) { s.Restore.Status.Resynced = false; s.Restore.Status.WaitingSince = &now }},
		"CleanedUp":    {nil, CleanUp, Result{}, func(s *State) { s.CleanedUp = true }},
		"PVCMade":      {nil, MakeSourcePVC, Result{}, func(*State) {}},
		"StorageMade":  {nil, MakeFileStorage, Result{}, func(*State) {}},
		"RefillDone":   {nil, StartRefill, Result{}, func(*State) {}},
		"RefillAgain":  {planned, DropRefill, Result{}, func(*State) {}},
		"InspectAgain": {planned, DropInspect, Result{}, func(*State) {}},
		"InspectStart": {nil, StartInspect, Result{}, func(*State) {}},
		"ResyncStarts": {nil, StartResync, Result{}, func(*State) {}},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := observed(inspected), observed(inspected)
			if tc.before != nil {
				tc.before(got)
				tc.before(want)
			}
			got.Note(tc.action, tc.result, now.Time)
			tc.want(want)
			assert.Equal(t, want, got)
		})
	}
}

func artifact(s *State) { s.Repository.Status.Artifact = &meta.Artifact{Revision: "main@sha1:0"} }

func asks(stage func(*State)) func(*State) {
	return func(s *State) { stage(s); requested("now")(s) }
}

func pushedAt(s *State, now metav1.Time, inventory []v1alpha1.ObjectReference, before string) {
	status := &s.Restore.Status
	status.LastPushCommit, status.LastPushTime, status.WaitingSince = commit, &now, &now
	status.Inventory, status.RevisionBefore = inventory, before
}
