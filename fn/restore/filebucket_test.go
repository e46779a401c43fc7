package restore

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// toBucket is a run of this namespace that is known, and whose files go into a bucket, which is empty.
func toBucket(o *State) {
	o.Restore.Spec.RestoreSource.ManifestSHA256 = manifestDigest
	o.Inspection.Source.Namespace = namespace
	o.Inspection.FileBucket = &job.InspectedBucket{Secret: "files"}
	o.Inspection.Existing = job.ExistingStorage{Present: true, Empty: true}
}

// plannedBucket is planned with what PlanOf tells of the source.
func plannedBucket(o *State) {
	planned(o)
	o.Planned, o.Restore.Status.Plan.Source.Namespace = true, o.Inspection.Source.Namespace
	if o.Inspection.Source.WildcardDomain != o.Restore.Spec.Target.WildcardDomain {
		o.Restore.Status.Plan.Rewritten = []string{"APIManager example spec.wildcardDomain"}
	}
}

// holding has the bucket hold something else than the run.
func holding(o *State) { o.Inspection.Existing = job.ExistingStorage{Present: true} }

func interruptedThere(o *State) {
	o.Inspection.Existing = job.ExistingStorage{Present: true, Interrupted: true}
}

func committed(o *State) { o.Restore.Status.FoundCommit = commit }

// otherDomain is a drill in a namespace of the same name, on another cluster.
func otherDomain(o *State) {
	o.Inspection.Source.WildcardDomain, o.Restore.Spec.Target.WildcardDomain = "example.com", "dr.example.com"
}

func elsewhere(o *State) { o.Inspection.Source.Namespace = "prod" }

// unknownRun is one whose digest nobody knows.
func unknownRun(o *State) { o.Restore.Spec.RestoreSource.ManifestSHA256 = "" }

// omitBucket is a restore that leaves the Secret of the bucket to its namespace.
func omitBucket(o *State) { o.Restore.Spec.FileStorage.BucketSecret = v1alpha1.BucketSecretOmit }

func policy(p v1alpha1.ExistingPolicy) func(*State) {
	return func(o *State) { o.Restore.Spec.FileStorage.Existing = p }
}

func TestBucketActions(t *testing.T) {
	overwrite, mirror, skip := policy(v1alpha1.ExistingOverwrite), policy(v1alpha1.ExistingMirror), policy(v1alpha1.ExistingSkip)
	for name, tc := range map[string]struct {
		reason string
		edits  []func(*State)
		want   string
	}{
		"Empty":                {"the usual case", nil, storageFill},
		"Same":                 {"it was not lost", stages(func(o *State) { o.Inspection.Existing = job.ExistingStorage{Present: true, Same: true} }), storageUnchanged},
		"Holding":              {"whose objects they are, nobody said", stages(holding), storageConflict},
		"Overwrite":            {"somebody said", stages(holding, overwrite), storageOverwrite},
		"Mirror":               {"likewise", stages(holding, mirror), storageMirror},
		"Skip":                 {"it outlived the installation", stages(holding, skip), storageSkip},
		"Interrupted":          {"it goes on", stages(interruptedThere), storageFill},
		"ElsewhereEmpty":       {"nobody loses anything", stages(elsewhere), storageFill},
		"ElsewhereFail":        {"they are production's", stages(elsewhere, holding), storageConflict},
		"ElsewhereOverwrite":   {"likewise, whatever is asked for", stages(elsewhere, holding, overwrite), storageConflict},
		"ElsewhereMirror":      {"likewise", stages(elsewhere, holding, mirror), storageConflict},
		"ElsewhereSkip":        {"nothing is written", stages(elsewhere, holding, skip), storageSkip},
		"ElsewhereInterrupted": {"beside what was written there may be production's", stages(elsewhere, interruptedThere, mirror), storageConflict},
		"ElsewhereGoesOn":      {"only what is missing is written", stages(elsewhere, interruptedThere), storageFill},
		"MovedEmpty":           {"nobody loses anything", stages(otherDomain), storageFill},
		"MovedFail":            {"they may be production's", stages(otherDomain, holding), storageConflict},
		"MovedMirror":          {"likewise, whatever is asked for", stages(otherDomain, holding, mirror), storageConflict},
		"MovedSkip":            {"nothing is written", stages(otherDomain, holding, skip), storageSkip},
		"MovedOwnBucket":       {"it is the copy's own", stages(otherDomain, holding, mirror, omitBucket), storageMirror},
		"SameDomain": {"it is the one that was lost", stages(holding, mirror, otherDomain, func(o *State) {
			o.Inspection.Source.WildcardDomain = o.Restore.Spec.Target.WildcardDomain
		}), storageMirror},
		"ElsewhereOwnBucket":   {"it is the copy's own", stages(elsewhere, holding, mirror, omitBucket), storageMirror},
		"NotStored":            {"the run holds none", stages(func(o *State) { o.Inspection.FileStorage.Stored, o.Inspection.FileBucket = false, nil }), storageSkip},
		"FoundCommit":          {"3scale has written to it since", stages(holding, mirror, committed), storageSkip},
		"FoundCommitEmpty":     {"the bucket was lost since", stages(committed), storageFill},
		"FoundCommitElsewhere": {"likewise, and it is not replaced", stages(elsewhere, holding, mirror, committed), storageSkip},
		"FoundCommitMarked":    {"whoever may not delete the marker leaves it", stages(interruptedThere, committed), storageSkip},
		"FoundCommitMirrored":  {"likewise", stages(interruptedThere, mirror, committed), storageSkip},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, storageAction(observed(append(stages(inspected, toBucket), tc.edits...)...), true), tc.reason)
		})
	}
	o := observed(inspected, interruptedThere, committed, policy(v1alpha1.ExistingMirror))
	assert.Equal(t, storageMirror, storageAction(o, false), "a marker on a volume is always removed")
}

// TestLeftMarkerIsTold: where a restore into the bucket has not ended, the files that are missing are brought back on request.
func TestLeftMarkerIsTold(t *testing.T) {
	for name, tc := range map[string]struct {
		edits []func(*State)
		told  bool
	}{
		"Marked":   {stages(interruptedThere, committed), true},
		"Unmarked": {stages(holding, committed), false},
		"First":    {stages(interruptedThere), false},
		"Volume":   {stages(interruptedThere, committed, func(o *State) { o.Inspection.FileBucket = nil }), false},
	} {
		t.Run(name, func(t *testing.T) {
			o := observed(append(stages(inspected, toBucket), tc.edits...)...)
			text := strings.Join(warnings(o, installation(o), Notes{}), "\n")
			assert.Equal(t, tc.told, strings.Contains(text, "if files are missing there, bring them back: "+ForceAgain(o.Restore)), text)
		})
	}
}

// TestOtherPlaceThanReported: what the committed APIManager says counts, and what was seen elsewhere says nothing of it.
func TestOtherPlaceThanReported(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		edit   func(*State)
		bucket bool
	}{
		"VolumeReported": {"a volume that is left over says nothing of the bucket", func(o *State) {
			o.Inspection.FileBucket, o.Inspection.Existing = nil, job.ExistingStorage{Present: true, Same: true}
		}, true},
		"BucketReported": {"nor a bucket of the volume", func(o *State) { o.Inspection.Existing = job.ExistingStorage{Present: true, Same: true} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := observed(inspected, toBucket, policy(v1alpha1.ExistingMirror), tc.edit)
			assert.Equal(t, storageFill, storageAction(o, tc.bucket), tc.reason)
			assert.Equal(t, v1alpha1.ExistingFail, Existing(&v1alpha1.Plan{FileStorage: v1alpha1.PlannedFileStorage{Action: storageFill}}), "which leaves alone what is there")
		})
	}
}

// TestBucketNeedsNoVolume: no PersistentVolumeClaim is made, waited for, or missed.
func TestBucketNeedsNoVolume(t *testing.T) {
	before := stages(branchRead, inspected, toBucket, plannedBucket)
	doomed := func(o *State) {
		storageMade(o)
		o.FileStorageDoomed = true
	}
	for name, tc := range map[string]struct {
		reason string
		edits  []func(*State)
		want   Action
	}{
		"Fill":     {"there is nothing to make before", nil, StartRefill},
		"Left":     {"that of former days is not filled", stages(storageMade, capacity("1Mi")), StartRefill},
		"Doomed":   {"it may go", stages(doomed), StartRefill},
		"Refilled": {"the files are there", stages(doomed, refilled), Publish},
		"Skip":     {"nor does one have to be there", stages(holding, policy(v1alpha1.ExistingSkip), plannedBucket), Publish},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, told(observed(append(before, tc.edits...)...)).Action, tc.reason)
		})
	}
	o := observed(append(before, refilled, published)...)
	assert.Equal(t, "Apply", told(o).Step, "no volume is missed that was not filled")
}

// TestBucketLogin: the pod gets what only the run says it needs, by a second look, and by no third.
func TestBucketLogin(t *testing.T) {
	role := func(o *State) { o.Inspection.FileBucket.Audience = "openshift" }
	failed := func(o *State) {
		failedInspect(v1alpha1.ReasonUsage)(o)
		toBucket(o)
	}
	for name, tc := range map[string]struct {
		reason string
		edits  []func(*State)
		want   *v1alpha1.FileBucketLogin
	}{
		"Keys": {"they are in the run", nil, nil},
		"Role": {"the token is the pod's", stages(role), &v1alpha1.FileBucketLogin{Audience: "openshift"}},
		"Omit": {"the Secret is the namespace's", stages(omitBucket), &v1alpha1.FileBucketLogin{SecretName: "files"}},
		"Both": {"both", stages(omitBucket, role), &v1alpha1.FileBucketLogin{SecretName: "files", Audience: "openshift"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := observed(append(stages(branchRead, failed), tc.edits...)...)
			if tc.want == nil {
				requireProblem(t, told(o), v1alpha1.ReasonUsage, true)
				return
			}
			require.Equal(t, DropInspect, told(o).Action, tc.reason)
			o.Note(DropInspect, Result{}, noon)
			assert.Equal(t, tc.want, o.Restore.Status.FileBucket)
			requireProblem(t, told(o), v1alpha1.ReasonUsage, true)
			requested("now")(o)
			assert.Equal(t, DropInspect, told(o).Action, "somebody mended it")
		})
	}
}

// TestBucketStops: nothing is written where somebody would lose something, and the message says so, with what to do.
func TestBucketStops(t *testing.T) {
	overwrite := policy(v1alpha1.ExistingOverwrite)
	for name, tc := range map[string]struct {
		reason string
		edits  []func(*State)
		want   string
		says   []string
		not    string
	}{
		"NotEmpty": {"its objects are somebody's", stages(holding), v1alpha1.ReasonNotEmpty,
			[]string{"The bucket of the file storage holds other files than the run", "may be that of the installation that was backed up", "Skip leaves them alone, Overwrite replaces", "; then ask again"}, "PersistentVolumeClaim"},
		"Elsewhere": {"they are production's", stages(holding, elsewhere), v1alpha1.ReasonNotEmpty,
			[]string{`the bucket of the installation in namespace "prod"`, "bucketSecret to Omit"}, "Mirror"},
		"OfOthers": {"likewise, whatever is asked for", stages(holding, elsewhere, overwrite), v1alpha1.ReasonFileStorageOfOthers,
			[]string{"whose files fileStorage.existing Overwrite would take", "set spec.fileStorage.existing to Skip", "bucketSecret to Omit", "; then ask again"}, "Mirror"},
		"Moved": {"they may be production's", stages(holding, otherDomain), v1alpha1.ReasonNotEmpty,
			[]string{"the bucket of the installation that was backed up, which has another domain", "bucketSecret to Omit"}, "Mirror"},
		"MovedOfOthers": {"likewise, whatever is asked for", stages(holding, otherDomain, overwrite), v1alpha1.ReasonFileStorageOfOthers,
			[]string{"which has another domain, whose files fileStorage.existing Overwrite would take"}, "Mirror"},
		"OwnNotEmpty": {"it is the copy's own", stages(holding, elsewhere, omitBucket), v1alpha1.ReasonNotEmpty, []string{"Mirror also deletes all others"}, "prod"},
	} {
		t.Run(name, func(t *testing.T) {
			o := observed(append(append(stages(branchRead, inspected, toBucket), tc.edits...), plannedBucket)...)
			if o.Restore.OmitsBucketSecret() {
				o.Restore.Status.FileBucket = bucketLogin(o)
			}
			d := told(o)
			requireProblem(t, d, tc.want, true)
			assert.Equal(t, "Plan", d.Step, tc.reason)
			for _, text := range tc.says {
				assert.Contains(t, strings.ToLower(d.Problem.Message), strings.ToLower(text), tc.reason)
			}
			assert.NotContains(t, d.Problem.Message, tc.not, tc.reason)
			requested("now")(o)
			assert.Equal(t, DropInspect, told(o).Action, "only another look can tell that it is empty now")
			cleaned(o)
			o.Inspection, o.Restore.Spec.DryRun = nil, true
			assert.Contains(t, told(o).Message, "; a restore would stop with "+tc.want, "also where nobody looks any more")
		})
	}
}

// TestBucketOfAProvenRun: whoever can write to the volume can have real files decrypted, and sent to where his own Secret leads.
func TestBucketOfAProvenRun(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		edits  []func(*State)
		says   string // "" if it goes on
	}{
		"Unknown":   {"nobody knows who wrote the run", nil, "and it says where the bucket of the file storage would be"},
		"Bucket":    {"likewise", stages(fromBucket), "in the bucket, is the one"},
		"Databases": {"likewise", stages(dumped, ifEmpty, unknownRun), "the databases and the bucket of the file storage"},
		"Replaces":  {"likewise", stages(holding, policy(v1alpha1.ExistingMirror)), "where the bucket of the file storage would be"},
		"Omit":      {"the run still names which Secret of the namespace leads there", stages(omitBucket), "where the bucket of the file storage would be"},
		"OmitBoth":  {"those of the databases have fixed names", stages(omitBucket, dumped, ifEmpty, unknownRun, omitted), "says where the bucket of the file storage would be"},
		"Digest":    {"somebody wrote it down", stages(func(o *State) { o.Restore.Spec.RestoreSource.ManifestSHA256 = manifestDigest }), ""},
		"Backup":    {"the ThreeScaleBackup knows it", stages(fromBackup(run, manifestDigest)), ""},
		"OmitKnown": {"likewise", stages(omitBucket, func(o *State) { o.Restore.Spec.RestoreSource.ManifestSHA256 = manifestDigest }), ""},
		"Skip":      {"nothing is written", stages(holding, policy(v1alpha1.ExistingSkip)), ""},
		"Volume":    {"it is the namespace's own", stages(func(o *State) { o.Inspection.FileBucket = nil }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := observed(append(append(stages(branchRead, inspected, toBucket, unknownRun), tc.edits...), plannedBucket, func(o *State) {
				o.Restore.Status.Plan.Databases = plannedDatabases(o)
			})...)
			if tc.says == "" {
				assert.Nil(t, checkObjects(o), tc.reason)
				return
			}
			if o.Restore.OmitsBucketSecret() {
				o.Restore.Status.FileBucket = bucketLogin(o)
			}
			d := told(o)
			requireProblem(t, d, v1alpha1.ReasonRunUnproven, true)
			assert.Contains(t, d.Problem.Message, tc.says, tc.reason)
			assert.NotContains(t, d.Problem.Message, "Omit", "it is not enough")
		})
	}
}

// TestFileBucketFails: the advice is about the bucket that failed; where it may be either, about both.
func TestFileBucketFails(t *testing.T) {
	denied := job.FailureOf(v1alpha1.ReasonBucketDenied)
	require.NotEmpty(t, denied.FileBucketAdvice)
	inspectDenied := func(o *State) {
		failedInspect(denied.Reason)(o)
		toBucket(o)
	}
	for name, tc := range map[string]struct {
		reason string
		edits  []func(*State)
		want   string
	}{
		"Inspect":    {"the runs are on a volume", stages(inspectDenied), denied.FileBucketAdvice},
		"Refill":     {"likewise", stages(inspected, toBucket, plannedBucket, failedRefill(denied.Reason)), denied.FileBucketAdvice},
		"Either":     {"nobody knows which", stages(fromBucket, inspectDenied), "if it is the bucket of the runs, " + denied.RestoreAdvice + "; if it is that of the file storage, " + denied.FileBucketAdvice},
		"OnlySource": {"the files go onto a volume", stages(fromBucket, failedInspect(denied.Reason)), "what it says; " + denied.RestoreAdvice},
	} {
		t.Run(name, func(t *testing.T) {
			o := observed(append(stages(branchRead), tc.edits...)...)
			d := told(o)
			requireProblem(t, d, denied.Reason, false)
			assert.Contains(t, d.Problem.Message, tc.want, tc.reason)
			o.Now = noon.Add(11 * time.Minute)
			assert.Contains(t, []Action{DropInspect, DropRefill}, told(o).Action, "it is tried again")
		})
	}
}

// TestSecretOfTheRunCannotBeCorrected: whoever is to correct it needs one of the namespace.
func TestSecretOfTheRunCannotBeCorrected(t *testing.T) {
	const another = "set spec.fileStorage.bucketSecret to Omit, and make the Secret in this namespace"
	for name, tc := range map[string]struct {
		reason, failure string
		edits           []func(*State)
		want            bool
	}{
		"Denied":      {"its keys were rotated", v1alpha1.ReasonBucketDenied, nil, true},
		"NotFound":    {"the bucket was moved", v1alpha1.ReasonBucketNotFound, nil, true},
		"Untrusted":   {"its address was changed", v1alpha1.ReasonBucketUntrusted, nil, true},
		"Either":      {"it may be that of the runs", v1alpha1.ReasonBucketDenied, stages(fromBucket), true},
		"Omit":        {"it is the namespace's", v1alpha1.ReasonBucketDenied, stages(omitBucket, func(o *State) { o.Restore.Status.FileBucket = bucketLogin(o) }), false},
		"Unreachable": {"no Secret is at fault", v1alpha1.ReasonBucketUnreachable, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := observed(append(stages(branchRead, failedInspect(tc.failure), toBucket), tc.edits...)...)
			d := told(o)
			requireProblem(t, d, tc.failure, false)
			assert.Equal(t, tc.want, strings.Contains(d.Problem.Message, another), "%s: %s", tc.reason, d.Problem.Message)
		})
	}
}

// TestRefillWarns: what a bucket could not take is told in the plan, as all else.
func TestRefillWarns(t *testing.T) {
	o := observed(branchRead, inspected, toBucket, plannedBucket, refilled)
	o.Refilled.Warnings = []string{"a bucket cannot hold symlinks: 2 of the run were left out"}
	o.Note(Publish, Result{Push: &Push{Commit: commit}}, noon)
	assert.Equal(t, []string{"file storage: a bucket cannot hold symlinks: 2 of the run were left out"}, o.Restore.Status.Plan.Warnings)
}

// TestAttemptOfBucketSecret: a restore that was finished before there was the field is not done again.
func TestAttemptOfBucketSecret(t *testing.T) {
	r := observed().Restore
	encoded, err := json.Marshal(r.Spec.FileStorage)
	require.NoError(t, err)
	assert.JSONEq(t, `{"existing":"Fail"}`, string(encoded), "commits hold its digest")
	before := attemptOf(r)
	r.Spec.FileStorage.BucketSecret = v1alpha1.BucketSecretOmit
	assert.NotEqual(t, before, attemptOf(r), "another Secret is another restore")
}
