package compose_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/test/dataset"
)

func (w *world) requests() string {
	w.t.Helper()
	size, _, err := unstructured.NestedString(w.composedVolume().Object, "spec", "resources", "requests", "storage")
	require.NoError(w.t, err)
	return size
}

func (w *world) namespaceUID() string { return string(w.Get("Namespace", "", namespace).GetUID()) }

// ownerUIDs of the composed volume.
func (w *world) ownerUIDs() []string {
	var out []string
	for _, ref := range w.composedVolume().GetOwnerReferences() {
		out = append(out, string(ref.UID))
	}
	return out
}

// deleteComposite deletes the composite and plays the garbage collector: what
// has no other owner goes. It returns what is left.
func (w *world) deleteComposite() []*unstructured.Unstructured {
	w.t.Helper()
	var left []*unstructured.Unstructured
	for _, o := range w.Composed() {
		o = o.DeepCopy()
		var owners []metav1.OwnerReference
		for _, ref := range o.GetOwnerReferences() {
			if ref.UID != w.Composite.GetUID() {
				owners = append(owners, ref)
			}
		}
		if len(owners) > 0 {
			o.SetOwnerReferences(owners)
			left = append(left, o)
		}
	}
	return left
}

func TestComposedVolume(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason  string
		spec    string
		arrange func(*world)
		want    string
	}{
		"SizeOnly": {
			reason: "the class is the cluster's default, so that none is sent",
			want:   `{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"10Gi"}}}`,
		},
		"All": {
			reason: "as the user has it",
			spec:   destination(`resources: {requests: 1.5Ti}, storageClass: fast, accessModes: [ReadWriteMany]`),
			want:   `{"accessModes":["ReadWriteMany"],"resources":{"requests":{"storage":"1536Gi"}},"storageClassName":"fast"}`,
		},
		"NoClass": {
			reason: "an empty class is one, and not the default", spec: destination(`resources: {requests: 1Gi}, storageClass: ""`),
			want: `{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}},"storageClassName":""}`,
		},
		"PlainNumber": {
			reason: "YAML has numbers too", spec: destination(`resources: {requests: 1073741824}`),
			want: `{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1073741824"}}}`,
		},
		"NamedVolume": {
			reason: "size, class and access modes are the volume's, or it would never bind",
			spec:   destination(`volumeName: pv-1`), arrange: withVolume("", "7Gi", "ReadWriteMany", "", "Available"),
			want: `{"accessModes":["ReadWriteMany"],"resources":{"requests":{"storage":"7Gi"}},"storageClassName":"","volumeName":"pv-1"}`,
		},
		"NamedVolumeAndMore": {
			reason: "whatever else the spec says",
			spec:   destination(`volumeName: pv-1, resources: {requests: 1Gi}, storageClass: fast, accessModes: [ReadWriteOnce]`),
			arrange: func(w *world) {
				withVolume("", "7Gi", "ReadWriteMany", "", "Available")(w)
				w.editNamed("PersistentVolume", "pv-1", set("slow", "spec", "storageClassName"))
			},
			want: `{"accessModes":["ReadWriteMany"],"resources":{"requests":{"storage":"7Gi"}},"storageClassName":"slow","volumeName":"pv-1"}`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tc.spec)
			if tc.arrange != nil {
				tc.arrange(w)
			}
			w.reconcile()
			require.NotNil(t, w.composedVolume(), w.condition("PreflightPassed"))
			assert.JSONEq(t, tc.want, jsonOf(t, w.composedVolume().Object["spec"]), tc.reason)
			w.backUp()
			assert.Equal(t, true, w.status("completed"))
		})
	}
}

// TestVolumeSurvives: the second owner is what Kubernetes' garbage collector
// spares the volume for.
func TestVolumeSurvives(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.backUp()
	assert.ElementsMatch(t, []string{string(w.Composite.GetUID()), w.namespaceUID()}, w.ownerUIDs())
	left := w.deleteComposite()
	require.Len(t, left, 1, "Secret copies and helpers go with the claim")
	assert.Equal(t, "nightly-backup", left[0].GetName())

	w = newWorld(t, beside(`deletionPolicy: Delete`))
	w.backUp()
	assert.Equal(t, []string{string(w.Composite.GetUID())}, w.ownerUIDs())
	assert.Empty(t, w.deleteComposite())
}

// TestDeletionPolicyCanChange as long as the composite is the same.
func TestDeletionPolicyCanChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.backUp()
	w.setSpec("Delete", "deletionPolicy")
	w.reconcile()
	w.reconcile()
	assert.Equal(t, []string{string(w.Composite.GetUID())}, w.ownerUIDs())
	assert.Equal(t, "NoWarnings", w.condition("Warning")["reason"])
	w.setSpec("Orphan", "deletionPolicy")
	w.reconcile()
	assert.ElementsMatch(t, []string{string(w.Composite.GetUID()), w.namespaceUID()}, w.ownerUIDs())
}

// TestNamespaceUIDIsNeverGuessed: the garbage collector deletes what names an
// owner that does not exist.
func TestNamespaceUIDIsNeverGuessed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.backUp()
	uid := w.namespaceUID()
	w.Delete("Namespace", "", namespace)
	w.reconcile()
	assert.Equal(t, "NamespaceNotFound", w.condition("PreflightPassed")["reason"])
	assert.Contains(t, w.ownerUIDs(), uid, "what was read before stays, while the namespace cannot be read")
}

// TestAdoption: a claim of the same name takes over the volume that an earlier
// one left, unchanged, and takes a run of its own.
func TestAdoption(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(`trigger: A`))
	first := w.backUp()
	left := w.deleteComposite()
	require.Len(t, left, 1)
	volume := left[0]

	w = newWorld(t, destination(`resources: {requests: 12Gi}, storageClass: other, accessModes: [ReadWriteMany]`))
	w.Composite.SetUID("99999999-2222-3333-4444-555555555555")
	w.Put(volume)
	rsp := w.reconcile()
	adopted := w.composedVolume()
	require.NotNil(t, adopted, w.condition("PreflightPassed"))
	assert.Equal(t, volume.GetUID(), adopted.GetUID())
	assert.Equal(t, volume.Object["spec"], adopted.Object["spec"], "the API server refuses any other")
	assert.Equal(t, "Warning", rsp.GetConditions()[2].GetType())
	for _, text := range []string{"storageClass has no effect", "accessModes has no effect", "12Gi"} {
		assert.Contains(t, w.condition("Warning")["message"], text)
	}
	second := w.backUp()
	assert.NotEqual(t, first, second)
	assert.Equal(t, true, w.status("completed"))
	assert.ElementsMatch(t, []string{"99999999-2222-3333-4444-555555555555", w.namespaceUID()}, w.ownerUIDs())
}

// TestVolumeGrows where the API server allows it, and only then.
func TestVolumeGrows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.editNamed("StorageClass", "standard", set(true, "allowVolumeExpansion"))
	w.reconcile()
	w.setSpec("20Gi", destinationPath("resources", "requests")...)
	w.reconcile()
	assert.Equal(t, "10Gi", w.requests(), "not before it is bound")
	w.reconcile()
	assert.Equal(t, "20Gi", w.requests())
	assert.Equal(t, "NoWarnings", w.condition("Warning")["reason"])
	w.setSpec("15Gi", destinationPath("resources", "requests")...)
	w.reconcile()
	assert.Equal(t, "20Gi", w.requests(), "it never shrinks")
	assert.Equal(t, "DestinationChangeIgnored", w.condition("Warning")["reason"])
	w.setSpec("20480Mi", destinationPath("resources", "requests")...)
	w.reconcile()
	assert.Equal(t, "NoWarnings", w.condition("Warning")["reason"], "the same size in other words")
	w.succeed()
}

// TestDestinationEdited: whatever an edit asks for, a volume with backups on it
// is neither dropped nor replaced.
func TestDestinationEdited(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string
		edit   map[string]any
		holds  string
	}{
		"OtherClass":   {"the class of a PVC cannot change", map[string]any{"resources": map[string]any{"requests": "10Gi"}, "storageClass": "fast"}, "storageClass has no effect"},
		"OtherModes":   {"nor can its access modes", map[string]any{"resources": map[string]any{"requests": "10Gi"}, "accessModes": []any{"ReadWriteMany"}}, "accessModes has no effect"},
		"OtherVolume":  {"nor its volume", map[string]any{"volumeName": "pv-2"}, "volumeName has no effect"},
		"ClaimName":    {"the backups are on the composed one", map[string]any{"claimName": "backups"}, "claimName has no effect"},
		"OwnClaimName": {"this one names the composed PVC itself", map[string]any{"claimName": "nightly-backup"}, "Nothing wants attention"},
		"Nothing":      {"an invalid spec starts no run, but drops nothing either", map[string]any{}, "Nothing wants attention"},
		"Zero":         {"likewise", map[string]any{"resources": map[string]any{"requests": "0"}}, "Nothing wants attention"},
		"Malformed":    {"likewise", map[string]any{"resources": map[string]any{"requests": "many"}}, "Nothing wants attention"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "")
			w.Put(object(t, pvcYAML("backups", "", "ReadWriteOnce", "Bound")))
			run := w.backUp()
			before := w.composedVolume()
			w.setSpec(tc.edit, destinationPath()...)
			w.reconcile()
			w.reconcile()
			assert.Equal(t, before, w.composedVolume(), tc.reason)
			assert.Contains(t, w.condition("Warning")["message"], tc.holds, tc.reason)
			assert.Equal(t, true, w.status("completed"), tc.reason)
			assert.Equal(t, run, w.status("lastRun", "id"))
			assert.Equal(t, "nightly-backup", w.status("backupPersistentVolumeClaimName"))
		})
	}
}

// TestExistingPVC: a PVC of the user's is used and not touched.
func TestExistingPVC(t *testing.T) {
	t.Parallel()
	w := newWorld(t, destination(`claimName: backups`))
	w.Put(object(t, pvcYAML("backups", "", "ReadWriteMany", "Bound")))
	before := w.Get("PersistentVolumeClaim", namespace, "backups").DeepCopy()
	w.backUp()
	assert.Equal(t, 0, w.count("PersistentVolumeClaim"))
	assert.Equal(t, before, w.Get("PersistentVolumeClaim", namespace, "backups"))
	assert.Equal(t, "backups", w.status("backupPersistentVolumeClaimName"))
	assert.Equal(t, "uid-of-backups", w.status("backupPersistentVolumeClaimUID"))
	assert.Contains(t, w.condition("BackupCompleted")["message"], `"backups"`)
}

// TestDestinationChangedWhileTheJobRuns: the run goes where its Job writes to,
// and the status tells so; the next run goes to the new one.
func TestDestinationChangedWhileTheJobRuns(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string
		from   string
		edit   map[string]any
		after  string
	}{
		"AnotherExistingPVC": {
			reason: "the backup is not on the PVC that the spec names now",
			from:   `claimName: backups`, edit: map[string]any{"claimName": "other"}, after: "other",
		},
		"FromExistingToComposed": {
			reason: "nor on one that was not there when the Job started",
			from:   `claimName: backups`, edit: map[string]any{"resources": map[string]any{"requests": "1Gi"}}, after: "nightly-backup",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, destination(tc.from))
			w.Put(object(t, pvcYAML("backups", "", "ReadWriteMany", "Bound")))
			w.Put(object(t, pvcYAML("other", "", "ReadWriteMany", "Bound")))
			w.untilJob()
			w.setSpec(tc.edit, destinationPath()...)
			w.reconcile()
			w.reconcile()
			w.succeed()
			assert.Contains(t, w.condition("BackupCompleted")["message"], `"backups"`, tc.reason)
			assert.Equal(t, "backups", w.status("backupPersistentVolumeClaimName"), tc.reason)
			w.reconcile()
			w.reconcile()
			assert.Equal(t, tc.after, w.status("backupPersistentVolumeClaimName"))
			assert.Equal(t, false, w.status("completed"), "the new destination holds no run yet")
			assert.Equal(t, "BackupVolumeReplaced", w.condition("BackupCompleted")["reason"])
			w.setSpec("now", "trigger")
			w.backUp()
			assert.Equal(t, true, w.status("completed"))
			assert.Contains(t, w.condition("BackupCompleted")["message"], `"`+tc.after+`"`)
		})
	}
}

// TestVolumeDeletedByHand: it is made again, empty, and nobody is told that the
// backup is still there.
func TestVolumeDeletedByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.backUp()
	w.edit(w.composedVolume(), terminating)
	w.reconcile()
	assert.Equal(t, "DestinationUnusable", w.condition("PreflightPassed")["reason"])
	assert.Equal(t, true, w.status("completed"), "as long as it is there, the data are")
	w.Delete("PersistentVolumeClaim", namespace, "nightly-backup")
	w.reconcile()
	assert.Equal(t, false, w.status("completed"))
	assert.Equal(t, "BackupVolumeReplaced", w.condition("BackupCompleted")["reason"])
	require.NotNil(t, w.composedVolume(), "the next run needs one")
	w.reconcile()
	assert.Equal(t, false, w.status("completed"))
	w.setSpec("again", "trigger")
	w.untilJob()
	assert.Equal(t, "BackupVolumeReplaced", w.condition("BackupCompleted")["reason"])
	w.succeed()
	assert.Equal(t, true, w.status("completed"))
	w.reconcile()
	assert.Equal(t, true, w.status("completed"))
}

// TestVolumeDeletedBeforeTheFirstRun ends is nothing to complain of.
func TestVolumeDeletedBeforeTheFirstRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.reconcile()
	w.Delete("PersistentVolumeClaim", namespace, "nightly-backup")
	w.reconcile()
	assert.Nil(t, w.theJob(), "no Job without its volume")
	w.backUp()
	assert.Equal(t, true, w.status("completed"))
}

// TestVolumeIsKeptWhateverIsWrong: what is not desired, core deletes.
func TestVolumeIsKeptWhateverIsWrong(t *testing.T) {
	t.Parallel()
	for name, tc := range sourceRefusals() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tc.spec)
			w.function.quick = true
			w.Composite.Object["spec"].(map[string]any)["apiManagerName"] = "example"
			w.backUp()
			before := w.composedVolume()
			if tc.options != nil {
				o := dataset.Options{Seed: 1, Namespace: namespace, Name: "example"}
				tc.options(&o)
				for _, name := range append(o.MissingSecrets, o.MissingConfigMaps...) {
					w.Delete("Secret", namespace, name)
					w.Delete("ConfigMap", namespace, name)
				}
			}
			if tc.arrange != nil {
				tc.arrange(w)
			}
			w.reconcile()
			w.reconcile()
			assert.Equal(t, before, w.composedVolume())
			assert.Equal(t, true, w.status("completed"), "the run of before is still good")
			assert.Len(t, w.copies(), 18)
		})
	}
}

// TestVolumeReplacedAndStatusLost: with the history, the knowledge of which
// volume held the run must not be lost.
func TestVolumeReplacedAndStatusLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.backUp()
	w.Delete("PersistentVolumeClaim", namespace, "nightly-backup")
	w.reconcile()
	w.wipeStatus()
	for range 2 {
		w.reconcile()
		assert.Equal(t, false, w.status("completed"))
		assert.Equal(t, "BackupVolumeReplaced", w.condition("BackupCompleted")["reason"])
	}
}

// TestVolumeDeletedRightAfterTheRun, before anybody has seen that it succeeded.
func TestVolumeDeletedRightAfterTheRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.untilJob()
	w.report(completed(w.runID()))
	w.endJob("Complete")
	w.Delete("PersistentVolumeClaim", namespace, "nightly-backup")
	for range 3 {
		w.reconcile()
		assert.Equal(t, false, w.status("completed"))
		assert.Equal(t, "BackupVolumeReplaced", w.condition("BackupCompleted")["reason"])
	}
}
