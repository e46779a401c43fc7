package restore

import (
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// fromBackup restores from a ThreeScaleBackup whose status knows one run.
func fromBackup(id, digest string) func(*State) {
	return func(o *State) {
		source := &o.Restore.Spec.RestoreSource
		source.PersistentVolumeClaim, source.BackupRef = nil, &meta.LocalObjectReference{Name: "nightly"}
		o.Backup = &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{
			"backupPersistentVolumeClaimName": "nightly-backup",
			"lastRun":                         map[string]any{"id": id, "manifestSHA256": digest},
			"manifests":                       []any{map[string]any{"run": id, "sha256": digest}, map[string]any{"run": "20261101t020000z-00000000", "sha256": other}},
		}}}
	}
}

var other = strings.Repeat("f", 64)

func TestWantedRunAndManifest(t *testing.T) {
	named := func(id string) func(*State) { return func(o *State) { o.Restore.Spec.RestoreSource.Run = id } }
	spec := func(o *State) { o.Restore.Spec.RestoreSource.ManifestSHA256 = other }
	earlier := func(o *State) { delete(o.Backup.Object["status"].(map[string]any), "manifests") }
	lost := func(o *State) {
		o.Backup.Object["status"] = map[string]any{"backupPersistentVolumeClaimName": "nightly-backup"}
	}
	for name, tc := range map[string]struct {
		why         string
		edits       []func(*State)
		run, digest string
	}{
		"Volume":         {"a volume by itself tells nothing", nil, "latest", ""},
		"VolumeAndSpec":  {"somebody wrote it down", stages(spec), "latest", other},
		"Backup":         {"the latest is not what the volume says", stages(fromBackup(run, manifestDigest)), run, manifestDigest},
		"Named":          {"each run has its own", stages(fromBackup(run, manifestDigest), named("20261101t020000z-00000000")), "20261101t020000z-00000000", other},
		"NamedUnknown":   {"older than what is kept", stages(fromBackup(run, manifestDigest), named("20250101t020000z-00000000")), "20250101t020000z-00000000", ""},
		"BackupAndSpec":  {"who writes it down means it", stages(fromBackup(run, manifestDigest), spec), run, other},
		"EarlierVersion": {"it kept that of the newest run", stages(fromBackup(run, manifestDigest), earlier), run, manifestDigest},
		"NoRunYet":       {"the status was lost, and the volume has runs", stages(fromBackup(run, manifestDigest), lost), "latest", ""},
		"NoDigest":       {"what was forged is none", stages(fromBackup(run, "$(HOME)"), earlier), run, ""},
		"NoID":           {"likewise", stages(fromBackup("../x", manifestDigest)), "latest", ""},
		"Recorded": {"what the commit restored", stages(fromBackup(run, manifestDigest), func(o *State) {
			o.Branch = &Branch{Commit: commit, Run: "20261101t020000z-00000000"}
		}), "20261101t020000z-00000000", other},
	} {
		t.Run(name, func(t *testing.T) {
			o := observed(tc.edits...)
			got := WantedRun(o)
			assert.Equal(t, tc.run, got, tc.why)
			assert.Equal(t, tc.digest, WantedManifest(o, got), tc.why)
		})
	}
}

// TestReplacedRunStops: whatever the pod says, its result is of the run that is known.
func TestReplacedRunStops(t *testing.T) {
	branchRead := func(o *State) { o.Branch, o.RightsAsked = &Branch{}, true }
	claim := func(o *State) { o.Inspection.ManifestSHA256 = other }
	newer := func(o *State) {
		set := o.Backup.Object["status"].(map[string]any)
		set["lastRun"] = map[string]any{"id": "20261123t020000z-00000001", "manifestSHA256": other}
	}
	for name, tc := range map[string]struct {
		why     string
		edits   []func(*State)
		stopped bool
	}{
		"Known":    {"it is what was written", stages(fromBackup(run, manifestDigest), inspected), false},
		"Replaced": {"it is not", stages(fromBackup(run, manifestDigest), inspected, claim), true},
		"Newer":    {"another run ended since the pod started: what was read stays what it is", stages(fromBackup(run, manifestDigest), inspected, newer), false},
		"Unknown":  {"the plan tells", stages(inspected, claim), false},
	} {
		t.Run(name, func(t *testing.T) {
			d := told(observed(append(stages(branchRead), tc.edits...)...))
			if !tc.stopped {
				assert.Equal(t, MakePlan, d.Action, "%s: %+v", tc.why, d)
				return
			}
			require.NotNil(t, d.Problem, tc.why)
			assert.Equal(t, v1alpha1.ReasonRunReplaced, d.Problem.Reason)
			assert.True(t, d.Problem.Terminal)
			assert.Contains(t, d.Problem.Message, "must have "+manifestDigest)
		})
	}
}

// TestLatestOfABackupThatIsGone: its status is believed, and not the volume.
func TestLatestOfABackupThatIsGone(t *testing.T) {
	gone := func(o *State) {
		o.Branch, o.RightsAsked = &Branch{}, true
		o.Inspect.Complete, o.Inspect.Failed = false, true
		o.Inspection.Completed, o.Inspection.Reason, o.Inspection.Message = false, v1alpha1.ReasonRunNotFound, `run "`+run+`" is not on the volume`
	}
	d := told(observed(fromBackup(run, manifestDigest), inspected, gone))
	require.NotNil(t, d.Problem)
	assert.True(t, d.Problem.Terminal)
	assert.Contains(t, d.Problem.Message, "status.lastRun")
	assert.Contains(t, d.Problem.Message, "spec.restoreSource.run")
}
