package restore

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/api/job"
)

func TestStorageOf(t *testing.T) {
	const gib = 1 << 30
	text := func(s string) *string { return &s }
	many := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
	cases := map[string]struct {
		reason, apiManager string
		claim              *job.Claim
		bytes              int64
		asked              string
		class              *string
		size               string
		modes              []corev1.PersistentVolumeAccessMode
	}{
		"nothing known":  {"as the operator would", `{}`, nil, 1000, "", nil, "100Mi", many},
		"by APIManager":  {"what it asks for", `{spec: {system: {fileStorage: {persistentVolumeClaim: {storageClassName: nfs, resources: {requests: 5Gi}}}}}}`, nil, gib, "", text("nfs"), "5Gi", many},
		"recorded":       {"it was made by hand, and grown since", `{spec: {system: {fileStorage: {persistentVolumeClaim: {resources: {requests: 5Gi}}}}}}`, &job.Claim{StorageClass: text("efs"), Size: "8Gi", AccessModes: []string{"ReadWriteOnce"}}, gib, "", text("efs"), "8Gi", []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}},
		"default class":  {"it was bound by hand to a volume that is not there again", `{spec: {system: {fileStorage: {persistentVolumeClaim: {storageClassName: nfs}}}}}`, &job.Claim{Size: "8Gi"}, gib, "", nil, "8Gi", many},
		"asked":          {"another class, for another cluster", `{}`, &job.Claim{StorageClass: text("efs"), Size: "8Gi"}, 1000, "fast", text("fast"), "8Gi", many},
		"too small":      {"files take a file system's room too", `{}`, &job.Claim{Size: "1Gi"}, gib, "", nil, "1280Mi", many},
		"deprecated S3":  {"the operator ignores it, and makes a volume", `{spec: {system: {fileStorage: {amazonSimpleStorageService: {awsBucket: files}}}}}`, &job.Claim{Size: "8Gi"}, 1000, "", nil, "8Gi", many},
		"size malformed": {"a volume holds what anybody wrote", `{}`, &job.Claim{Size: "much"}, 1000, "", nil, "100Mi", many},
		"size negative":  {"likewise", `{}`, &job.Claim{Size: "-1Gi"}, 1000, "", nil, "100Mi", many},
		"modes unknown":  {"likewise", `{}`, &job.Claim{AccessModes: []string{"ReadOnlyMany", "Any"}}, 1000, "", nil, "100Mi", many},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var apiManager Object
			require.NoError(t, yaml.Unmarshal([]byte(c.apiManager), &apiManager))
			i := &job.Inspection{Source: job.Source{FileStorage: c.claim}}
			i.FileStorage.Bytes = c.bytes
			got := StorageOf(apiManager, i, c.asked)
			require.NotNil(t, got, c.reason)
			assert.Equal(t, c.class, got.Class, c.reason)
			assert.Zero(t, got.Size.Cmp(resource.MustParse(c.size)), "%s: %s", c.reason, got.Size.String())
			assert.Equal(t, c.modes, got.AccessModes, c.reason)
		})
	}
	assert.Nil(t, StorageOf(Object{"spec": map[string]any{"system": map[string]any{"fileStorage": map[string]any{"simpleStorageService": map[string]any{}}}}}, &job.Inspection{}, ""), "S3 has no claim")
}

// refilling is a claim and the Job that fills it.
func refilling(o *Observed) {
	storageMade(o)
	o.FileStorage.UID = "a"
	o.Refill = Pod{Exists: true, FileStorage: "a"}
}

func replacedClaim(o *Observed) { o.FileStorage.UID = "b" }

// TestFileStorageIsTakenAway: the garbage collector takes the claim along with
// the APIManager that owned it, whenever it gets to it.
func TestFileStorageIsTakenAway(t *testing.T) {
	doomed := func(o *Observed) { o.FileStorageDoomed = true }
	withoutFiles := func(o *Observed) { o.Inspection.FileStorage.Stored = false }
	same := func(o *Observed) {
		o.Inspection.Existing.Present, o.Inspection.Existing.Same = true, true
		o.Restore.Status.Plan.FileStorage.Action = StorageUnchanged
	}
	gone := func(o *Observed) { o.FileStorage = nil }
	going := func(o *Observed) { o.FileStorage.DeletionTimestamp = &metav1.Time{Time: noon} }
	before := stages(branchRead, inspected, planned, refilling)
	after := append(stages(branchRead, inspected, planned, refilling, refilledIt), published)
	cases := map[string]struct {
		reason  string
		reached []func(*Observed)
		action  Action
		problem string
	}{
		"Doomed":        {"no pod is started that would hold it up", stages(branchRead, storageMade, doomed), "", "FileStorageUnusable"},
		"DoomedLater":   {"nothing is written to it", append(before, doomed), "", "FileStorageUnusable"},
		"DoomedForGood": {"its files are nowhere else", stages(branchRead, inspected, withoutFiles, planned, storageMade, doomed), "", "FileStorageUnusable"},
		"Replaced":      {"what was written is gone with the former", append(before, replacedClaim), DropRefill, ""},
		"Gone":          {"it is made anew", append(before, gone), MakeFileStorage, ""},
		"GoneUnchanged": {"what was compared is gone", stages(branchRead, inspected, planned, same), DropInspect, ""},
		"AfterThePush":  {"Flux makes an empty one in its place", append(after, replacedClaim), "", "FileStorageUnusable"},
		"GoneSince":     {"or is about to", append(after, gone), "", "FileStorageUnusable"},
		"GoingSince":    {"a pod holds it a moment longer", append(after, going), "", "FileStorageUnusable"},
		"Kept":          {"the usual case", after, "", ""},
		"OlderJob":      {"a Job of an earlier version does not say what it fills", append(before, replacedClaim, func(o *Observed) { o.Refill.FileStorage = "" }), "", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := Next(observed(tc.reached...))
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

func refilledIt(o *Observed) {
	refilled(o)
	o.Refill.FileStorage = "a"
}
