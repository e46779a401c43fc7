package compose

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/specs"
)

// composedObjects are by resource name.
type composedObjects = map[string]*unstructured.Unstructured

// observedObject is an object with labels, and annotations, in turn a key and a value.
func observedObject(kind, name string, labels, annotations map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"kind": kind, "metadata": map[string]any{"name": name, "labels": labels, "annotations": annotations}}}
}

func ofRun(kind, run, attempt string, annotations map[string]any) *unstructured.Unstructured {
	return observedObject(kind, kind+"-"+attempt, map[string]any{v1alpha1.LabelRun: run, v1alpha1.LabelAttempt: attempt}, annotations)
}

func TestGatherRuns(t *testing.T) {
	t.Parallel()
	copied := map[string]any{v1alpha1.AnnotationSourceName: "zync", v1alpha1.AnnotationSourceResourceVersion: "7"}
	type seen struct {
		attempt              int
		job, report, objects bool
		copies               []string
	}
	for name, tc := range map[string]struct {
		reason   string
		composed composedObjects
		want     map[string]seen
	}{
		"None":     {"nothing is composed", nil, map[string]seen{}},
		"Others":   {"what is no run's is left out", composedObjects{"volume": ofRun("PersistentVolumeClaim", "r", "1", nil)}, map[string]seen{}},
		"Started":  {"a report is its key's", composedObjects{"report/r": ofRun("ConfigMap", "forged", "9", nil)}, map[string]seen{"r": {attempt: 1, report: true}}},
		"Copies":   {"the newest snapshot goes on", composedObjects{"objects/r": ofRun("Secret", "r", "1", nil), "secret/r/2/zync": ofRun("Secret", "r", "2", copied)}, map[string]seen{"r": {attempt: 2, copies: []string{"zync"}}}},
		"AtWork":   {"the Job's snapshot is the run's", composedObjects{"job/r": ofRun("Job", "r", "1", nil), "objects/r": ofRun("Secret", "r", "1", nil), "objects/r/2": ofRun("Secret", "r", "2", nil)}, map[string]seen{"r": {attempt: 1, job: true, objects: true}}},
		"TwoJobs":  {"the newest is the run's", composedObjects{"job/r": ofRun("Job", "r", "1", nil), "job/r/3": ofRun("Job", "r", "3", nil)}, map[string]seen{"r": {attempt: 3, job: true}}},
		"TwoRuns":  {"each has its own", composedObjects{"job/a": ofRun("Job", "a", "1", nil), "objects/b": ofRun("Secret", "b", "1", nil)}, map[string]seen{"a": {attempt: 1, job: true}, "b": {attempt: 1, objects: true}}},
		"NoNumber": {"a label that somebody changed", composedObjects{"objects/r": ofRun("Secret", "r", "many", nil)}, map[string]seen{"r": {attempt: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := map[string]seen{}
			for id, r := range runs(tc.composed, jobsOf(tc.composed)) {
				assert.Equal(t, id, r.ID)
				got[id] = seen{r.Attempt, r.Job != nil, r.Report != nil, r.Objects != nil, slices.Sorted(maps.Keys(r.Copies))}
			}
			assert.Equal(t, tc.want, got, tc.reason)
		})
	}
}

func TestGatherHandled(t *testing.T) {
	t.Parallel()
	noted := func(created, note string) *unstructured.Unstructured {
		o := observedObject("ConfigMap", "r", nil, map[string]any{v1alpha1.AnnotationHandled: note})
		o.Object["metadata"].(map[string]any)["creationTimestamp"] = created
		return o
	}
	early, late := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		reason   string
		composed composedObjects
		want     job.Handled
	}{
		"None":   {"nothing is noted", composedObjects{"a": observedObject("Job", "j", nil, nil)}, job.Handled{}},
		"Newest": {"a trigger is the newest report's, a slot the latest", composedObjects{"a": noted("2026-03-01T00:00:00Z", `{"trigger":"new","slot":"2026-01-01T00:00:00Z"}`), "b": noted("2026-02-01T00:00:00Z", `{"trigger":"old","slot":"2026-02-01T00:00:00Z"}`)}, job.Handled{Trigger: "new", Slot: &late}},
		"Either": {"verifications note theirs", composedObjects{"a": noted("", `{"verifySlot":"2026-01-01T00:00:00Z"}`)}, job.Handled{VerifySlot: &early}},
		"Forged": {"what is no note is none", composedObjects{"a": noted("", `{"trigger":7}`), "b": noted("", "x")}, job.Handled{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tc.want, handled(tc.composed), tc.reason)
		})
	}
}

// TestGatherDestination: which PVC is written to, and what is asked for because of it.
func TestGatherDestination(t *testing.T) {
	t.Parallel()
	pvc := func(name, volume string) *unstructured.Unstructured {
		o := observedObject("PersistentVolumeClaim", name, nil, nil)
		o.Object["spec"] = map[string]any{"volumeName": volume}
		return o
	}
	writing := ofRun("Job", "r", "1", nil)
	writing.Object["spec"] = map[string]any{"template": map[string]any{"spec": map[string]any{
		"volumes":    []any{map[string]any{"name": "backup", "persistentVolumeClaim": map[string]any{"claimName": "left"}}},
		"containers": []any{map[string]any{"args": []any{"backup", "--keep-last=3"}}},
	}}}
	for name, tc := range map[string]struct {
		reason string
		change func(*Observed)
		want   string
		exists bool
		asked  map[string]string // the name of what is asked for beyond the usual
	}{
		"New":   {"it is composed", func(*Observed) {}, "nightly-backup", false, nil},
		"Users": {"the user brings it", func(o *Observed) { o.Composite.Spec.BackupDestination.PersistentVolumeClaim.ClaimName = "mine" }, "mine", false, nil},
		"Kept": {"a composed one stays in use", func(o *Observed) {
			o.Composite.Spec.BackupDestination.PersistentVolumeClaim.ClaimName = "mine"
			o.Composed["volume"] = pvc("nightly-backup", "")
		}, "nightly-backup", true, nil},
		"Named": {"it shall be bound to a PV", func(o *Observed) { o.Composite.Spec.BackupDestination.PersistentVolumeClaim.VolumeName = "pv" }, "nightly-backup", false, map[string]string{requireVolume: "pv"}},
		"Bound": {"it is bound to another", func(o *Observed) {
			o.Composite.Spec.BackupDestination.PersistentVolumeClaim.VolumeName = "pv"
			o.Required[requireBackupVolume] = []*unstructured.Unstructured{pvc("nightly-backup", "other")}
		}, "nightly-backup", true, map[string]string{requireVolume: "other"}},
		"Left": {"a Job goes on where it started", func(o *Observed) { o.Composed["job/r"] = writing }, "nightly-backup", false, map[string]string{requireJobVolume: "left", requireReaders: ""}},
		"Foreign": {"Crossplane's command line hands it over", func(o *Observed) {
			other := pvc("nightly-backup", "x")
			other.Object["metadata"].(map[string]any)["namespace"] = "other"
			o.Required[requireBackupVolume] = []*unstructured.Unstructured{other}
		}, "nightly-backup", false, nil},
		"Retained": {"restores that read must be known", func(o *Observed) { o.Composite.Spec.Retention = &v1alpha1.Retention{KeepLast: 1} }, "nightly-backup", false, map[string]string{requireReaders: ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := Observed{Composed: composedObjects{}, Required: map[string][]*unstructured.Unstructured{}}
			tc.change(&o)
			f, err := gather(o, specs.Identity{Namespace: "3scale", Backup: "nightly"})
			require.NoError(t, err)
			assert.Equal(t, tc.want, f.Destination.Name, tc.reason)
			assert.Equal(t, tc.exists, f.Destination.PVC != nil, tc.reason)
			asked := requirements(f)
			for _, optional := range []string{requireVolume, requireJobVolume, requireReaders} {
				selector, isAsked := asked[optional]
				want, isWanted := tc.asked[optional]
				assert.Equal(t, isWanted, isAsked, "%s: %s", optional, tc.reason)
				assert.Equal(t, want, selector.Name, tc.reason)
			}
			assert.False(t, areAnswered(o, asked))
		})
	}
}

// TestRead: what does not have its type counts as absent, and never panics.
func TestRead(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string]map[string]any{
		"Empty": {},
		"Wrong": {"metadata": "x", "spec": []any{}, "status": 7, "rules": "x", "data": []any{}, "reclaimPolicy": 1.5, "allowVolumeExpansion": "yes"},
		"Deep": {"metadata": map[string]any{"name": 1, "labels": []any{}, "ownerReferences": []any{"x", nil}}, "spec": map[string]any{"accessModes": []any{1}, "resources": "x", "capacity": map[string]any{"storage": "much"}, "claimRef": 1,
			"template": map[string]any{"spec": map[string]any{"containers": []any{7, map[string]any{"args": []any{nil}}}, "volumes": []any{map[string]any{"name": "backup"}}}}}, "status": map[string]any{"conditions": []any{1}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &unstructured.Unstructured{Object: fields}
			assert.Empty(t, as[corev1.PersistentVolumeClaim](o).Name)
			assert.Nil(t, as[corev1.PersistentVolume](o).Spec.ClaimRef)
			assert.Nil(t, as[storagev1.StorageClass](o).AllowVolumeExpansion)
			assert.Empty(t, as[corev1.Namespace](o).Annotations)
			assert.Empty(t, as[corev1.ConfigMap](o).Data)
			assert.False(t, facts.Pods{Account: true, Role: as[rbacv1.Role](o)}.MayReport("r"))
			assert.Empty(t, secretOf(o, "").Data())
			assert.True(t, jobOf(o).IsActive())
			assert.Empty(t, jobOf(o).PVCName)
		})
	}
	assert.Nil(t, as[corev1.Namespace](nil))
}
