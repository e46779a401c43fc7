package restore

import (
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// TestAttemptStays pins digests as they stand in commits: one that changed with
// an upgrade of ours would run every finished restore again.
func TestAttemptStays(t *testing.T) {
	cases := map[string]struct {
		reason, spec, want string
	}{
		"small": {"the least that one can write",
			`{restoreSource: {backupRef: {name: nightly}}, sourceRef: {name: apps}, path: ./apps}`,
			"96e0f43812ce48bc87389c32731361c4e72de1b9aad56276c939bcad246b091d"},
		"full": {"all that counts",
			`{restoreSource: {persistentVolume: {volumeName: pv}, run: latest}, sourceRef: {kind: GitRepository, name: apps, namespace: flux-system}, path: ./apps,
			git: {checkout: {ref: {branch: main}}, push: {branch: dr, refspec: "a:b", options: {x: y}}}, encryption: {age: {recipients: [age1]}},
			target: {wildcardDomain: example.com, storageClass: fast}, databaseSecrets: Omit, fileStorage: {existing: Mirror}}`,
			"5a8aaa4a48fb20862f7ed279c8ad041a20acf905fda4a4f794c5bd4d37bd6d92"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := &v1alpha1.ThreeScaleRestore{}
			require.NoError(t, yaml.UnmarshalStrict([]byte(c.spec), &r.Spec))
			assert.Equal(t, c.want, attemptOf(r), c.reason)
		})
	}
}

func TestAttemptChanges(t *testing.T) {
	cases := map[string]struct {
		reason  string
		change  func(*v1alpha1.ThreeScaleRestore)
		changed bool
	}{
		"run":      {"another run is another restore", func(r *v1alpha1.ThreeScaleRestore) { r.Spec.RestoreSource.Run = "20260101t000000z-1" }, true},
		"domain":   {"it stands in the commit", func(r *v1alpha1.ThreeScaleRestore) { r.Spec.Target.WildcardDomain = "b.example.com" }, true},
		"interval": {"how often to look is not what is restored", func(r *v1alpha1.ThreeScaleRestore) { r.Spec.Interval.Duration++ }, false},
		"dry run":  {"its end restores what was planned: that is no other restore", func(r *v1alpha1.ThreeScaleRestore) { r.Spec.DryRun = true }, false},
		"labels":   {"metadata is not asked for", func(r *v1alpha1.ThreeScaleRestore) { r.Labels = map[string]string{"a": "b"} }, false},
		"reconcile": {"a look is no restore", func(r *v1alpha1.ThreeScaleRestore) {
			r.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "1"}
		}, false},
		"force alone": {"as in Flux, it takes both", func(r *v1alpha1.ThreeScaleRestore) {
			r.Annotations = map[string]string{meta.ForceRequestAnnotation: "1"}
		}, false},
		"force unequal": {"an old request is not a new one", func(r *v1alpha1.ThreeScaleRestore) {
			r.Annotations = map[string]string{meta.ForceRequestAnnotation: "1", meta.ReconcileRequestAnnotation: "2"}
		}, false},
		"force": {"it asks for another", func(r *v1alpha1.ThreeScaleRestore) {
			r.Annotations = map[string]string{meta.ForceRequestAnnotation: "1", meta.ReconcileRequestAnnotation: "1"}
		}, true},
		"force, answered": {"a request that was handled counts once its annotation is gone", func(r *v1alpha1.ThreeScaleRestore) { r.Status.LastHandledForceAt = "1" }, true},
	}
	before := attemptOf(&v1alpha1.ThreeScaleRestore{})
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := &v1alpha1.ThreeScaleRestore{}
			c.change(r)
			assert.Equal(t, c.changed, before != attemptOf(r), c.reason)
		})
	}
}

// TestRecordOf: a restore that is applied again without the request that was
// made by hand finds the commit of that request.
func TestRecordOf(t *testing.T) {
	plain := &v1alpha1.ThreeScaleRestore{}
	attempt := attemptOf(plain)
	assert.Equal(t, attempt, RecordOf(plain))
	first, second := plain.DeepCopy(), plain.DeepCopy()
	first.Annotations = map[string]string{meta.ForceRequestAnnotation: "1", meta.ReconcileRequestAnnotation: "1"}
	second.Status.LastHandledForceAt = "2"
	assert.Regexp(t, "^"+attempt+`\+[0-9a-f]{8}$`, RecordOf(first))
	assert.Regexp(t, "^"+attempt+`\+[0-9a-f]{8}$`, RecordOf(second))
	assert.NotEqual(t, RecordOf(first), RecordOf(second), "each request is another")
	assert.False(t, Forced(plain))
	assert.True(t, Forced(first))
}
