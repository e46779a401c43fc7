package restore

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// refilling is a PVC and the Job that fills it.
func refilling(o *State) {
	storageMade(o)
	o.FileStorage.UID = "a"
	o.Refill = Pod{Exists: true, FileStorage: "a"}
}

func replacedPVC(o *State) { o.FileStorage.UID = "b" }

// TestFileStorageIsTakenAway: the garbage collector takes the PVC along with
// the APIManager that owned it, whenever it gets to it.
func TestFileStorageIsTakenAway(t *testing.T) {
	doomed := func(o *State) { o.FileStorageDoomed = true }
	withoutFiles := func(o *State) { o.Inspection.FileStorage.Stored = false }
	same := func(o *State) {
		o.Inspection.Existing.Present, o.Inspection.Existing.Same = true, true
		o.Restore.Status.Plan.FileStorage.Action = storageUnchanged
	}
	gone := func(o *State) { o.FileStorage = nil }
	going := func(o *State) { o.FileStorage.DeletionTimestamp = &metav1.Time{Time: noon} }
	before := stages(branchRead, inspected, planned, refilling)
	after := append(stages(branchRead, inspected, planned, refilling, refilledIt), published)
	cases := map[string]struct {
		reason  string
		reached []func(*State)
		action  Action
		problem string
	}{
		"Doomed":        {"no pod is started that would hold it up", stages(branchRead, storageMade, doomed), "", "FileStorageUnusable"},
		"DoomedLater":   {"nothing is written to it", append(before, doomed), "", "FileStorageUnusable"},
		"DoomedForGood": {"its files are nowhere else", stages(branchRead, inspected, withoutFiles, planned, storageMade, doomed), "", "FileStorageUnusable"},
		"Replaced":      {"what was written is gone with the former", append(before, replacedPVC), DropRefill, ""},
		"Gone":          {"it is made anew", append(before, gone), MakeFileStorage, ""},
		"GoneUnchanged": {"what was compared is gone", stages(branchRead, inspected, planned, same), DropInspect, ""},
		"AfterThePush":  {"Flux makes an empty one in its place", append(after, replacedPVC), "", "FileStorageUnusable"},
		"GoneSince":     {"or is about to", append(after, gone), "", "FileStorageUnusable"},
		"GoingSince":    {"a pod holds it a moment longer", append(after, going), "", "FileStorageUnusable"},
		"Kept":          {"the usual case", after, "", ""},
		"OlderJob":      {"a Job of an earlier version does not say what it fills", append(before, replacedPVC, func(o *State) { o.Refill.FileStorage = "" }), "", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := told(observed(tc.reached...))
			assert.Equal(t, tc.action, d.Action, tc.reason)
			if tc.problem == "" {
				assert.Nil(t, d.Problem, tc.reason)
				return
			}
			require.NotNil(t, d.Problem, tc.reason)
			assert.Equal(t, tc.problem, d.Problem.Reason, tc.reason)
			t.Log(d.Problem.Message)
		})
	}
}

func refilledIt(o *State) {
	refilled(o)
	o.Refill.FileStorage = "a"
}
