package compose_test

import (
	"encoding/base64"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/test/dataset"
)

// copies are the composed copies of Secrets, by the name of their source.
func (w *world) copies() map[string]*unstructured.Unstructured {
	out := map[string]*unstructured.Unstructured{}
	for key, o := range w.Composed() {
		if strings.HasPrefix(key, "secret/") {
			out[o.GetAnnotations()[v1alpha1.AnnotationSourceName]] = o
		}
	}
	return out
}

func (w *world) objectsSecret() *unstructured.Unstructured {
	for key, o := range w.Composed() {
		if strings.HasPrefix(key, "objects/") {
			return o
		}
	}
	return nil
}

func data(o *unstructured.Unstructured) map[string]string {
	out, _, _ := unstructured.NestedStringMap(o.Object, "data")
	return out
}

// requireConsistent checks that the copies are what the sources are now.
func (w *world) requireConsistent() {
	w.t.Helper()
	for name, kept := range w.copies() {
		source := w.Get("Secret", namespace, name)
		require.NotNil(w.t, source, "%s is gone, its copy is not", name)
		require.True(w.t, maps.Equal(data(source), data(kept)), "%s differs from its copy", name)
	}
}

func TestSecretCopies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.reconcile()
	copies := w.copies()
	assert.Len(t, copies, 18)
	assert.NotContains(t, copies, "somebody-elses", "what 3scale does not refer to is not ours to copy")
	for name, kept := range copies {
		source := w.Get("Secret", namespace, name)
		assert.Equal(t, data(source), data(kept), name)
		assert.Equal(t, source.Object["type"], kept.Object["type"], name)
		assert.Equal(t, true, kept.Object["immutable"], name)
		assert.Equal(t, source.GetResourceVersion(), kept.GetAnnotations()[v1alpha1.AnnotationSourceResourceVersion], name)
		assert.NotContains(t, kept.GetLabels(), "apimanager.apps.3scale.net/watched-by", "the operator watches Secrets with this label")
		assert.NotContains(t, kept.GetLabels(), "app", "likewise")
	}
	confidential := 0
	for _, file := range w.decodedObjects() {
		if strings.Contains(file, "client_secret: "+dataset.SecretMarker) {
			assert.Contains(t, file, `"name": "system"`)
			confidential++
			continue
		}
		requireNoMarker(t, file, "the objects Secret")
	}
	assert.Equal(t, 1, confidential, "ConfigMap system lies in a Secret until it is on the volume")
}

// TestCopiesStayOurs: whoever may edit Secrets can make a copy again that can be changed,
// or that nobody finds by its labels.
func TestCopiesStayOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.reconcile()
	for _, kept := range []*unstructured.Unstructured{w.copies()["system-app"], w.objectsSecret()} {
		before := kept.DeepCopy()
		w.edit(kept, func(o map[string]any) {
			delete(o, "immutable")
			unstructured.RemoveNestedField(o, "metadata", "labels", v1alpha1.LabelBackup)
			unstructured.RemoveNestedField(o, "metadata", "labels", v1alpha1.LabelSource)
		})
		w.reconcile()
		after := w.Get("Secret", namespace, kept.GetName())
		assert.Equal(t, true, after.Object["immutable"], kept.GetName())
		assert.Equal(t, before.GetLabels(), after.GetLabels(), kept.GetName())
		assert.Equal(t, data(before), data(after), kept.GetName())
	}
}

// decodedObjects are the files in the objects Secret.
func (w *world) decodedObjects() []string {
	w.t.Helper()
	var out []string
	for _, value := range data(w.objectsSecret()) {
		text, err := base64.StdEncoding.DecodeString(value)
		require.NoError(w.t, err)
		out = append(out, string(text))
	}
	return out
}

// TestServiceAccountTokenIsNeverCopied, not even when the APIManager names it.
func TestServiceAccountTokenIsNeverCopied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.editNamed("Secret", "registry-pull", set("kubernetes.io/service-account-token", "type"))
	w.backUp()
	assert.NotContains(t, w.copies(), "registry-pull")
	assert.NotContains(t, strings.Join(w.decodedObjects(), "\n"), `"registry-pull",`, "nor its metadata")
	assert.Equal(t, true, w.status("completed"))
}

// TestSecretRotatedWhileSnapshotIsTaken: the Job starts only from copies of
// one moment; those of the earlier attempt go.
func TestSecretRotatedWhileSnapshotIsTaken(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string
		change func(*world)
	}{
		"Value": {
			reason: "a value of another moment may not fit the others",
			change: func(w *world) { w.rotate("system-app", "rotated") },
		},
		"Type": {
			reason: "the type is backed up as well",
			change: func(w *world) { w.editNamed("Secret", "system-app", set("example.com/other", "type")) },
		},
		"KeyRemoved": {
			reason: "a key less is a change",
			change: func(w *world) {
				w.editNamed("Secret", "system-smtp", func(o map[string]any) { delete(o["data"].(map[string]any), "port") })
			},
		},
		"Label": {
			reason: "labels are backed up: the operator watches by them",
			change: func(w *world) { w.editNamed("Secret", "system-app", set("x", "metadata", "labels", "new")) },
		},
		"ConfigMap": {
			reason: "a ConfigMap belongs to the snapshot too",
			change: func(w *world) { w.editNamed("ConfigMap", "system-environment", set("x", "data", "NEW")) },
		},
		"APIManager": {
			reason: "and so does the APIManager",
			change: func(w *world) { w.editNamed("APIManager", "example", set("acme", "spec", "tenantName")) },
		},
		"OptionalSecretDeleted": {
			reason: "its copy must not be restored beside the others",
			change: func(w *world) { w.Delete("Secret", namespace, "system-memcache") },
		},
		"NewReference": {
			reason: "a Secret that the APIManager names since",
			change: func(w *world) {
				w.editNamed("APIManager", "example", set("somebody-elses", "spec", "apicast", "stagingSpec", "httpsCertificateSecretRef", "name"))
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "")
			w.reconcile()
			before := w.copies()
			tc.change(w)
			w.reconcile()
			require.Nil(t, w.theJob(), tc.reason)
			for source, kept := range w.copies() {
				if earlier := before[source]; earlier != nil {
					assert.NotEqual(t, earlier.GetName(), kept.GetName(), "an immutable Secret cannot change: the attempt has names of its own")
					assert.Nil(t, w.Get("Secret", namespace, earlier.GetName()), "the earlier copies go")
				}
			}
			w.untilJob()
			assert.Equal(t, 2, w.attempt(), tc.reason)
			assert.Regexp(t, `-2$`, w.theJob().GetName())
			w.requireConsistent()
			w.requireMountsExist()
			w.succeed()
			assert.Equal(t, true, w.status("completed"))
			assert.Len(t, w.jobs, 1)
		})
	}
}

// requireMountsExist checks that each key that the Job mounts is there: else
// its pod would wait for ever.
func (w *world) requireMountsExist() {
	w.t.Helper()
	volumes, _, _ := unstructured.NestedSlice(w.theJob().Object, "spec", "template", "spec", "volumes")
	sources, _, _ := unstructured.NestedSlice(volumes[1].(map[string]any), "projected", "sources")
	require.NotEmpty(w.t, sources)
	for _, entry := range sources {
		name, _, _ := unstructured.NestedString(entry.(map[string]any), "secret", "name")
		secret := w.Get("Secret", namespace, name)
		require.NotNil(w.t, secret, "Secret %s", name)
		items, _, _ := unstructured.NestedSlice(entry.(map[string]any), "secret", "items")
		for _, item := range items {
			require.Contains(w.t, data(secret), item.(map[string]any)["key"], name)
		}
	}
}

// TestSourceTouchedOnly: a source whose version moved on without a change of
// what is backed up is no reason to begin again; busy controllers do so.
func TestSourceTouchedOnly(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*world){
		"ResourceVersion": func(w *world) { w.editNamed("Secret", "system-app", func(map[string]any) {}) },
		"ManagedFields": func(w *world) {
			w.editNamed("Secret", "system-app", set([]any{map[string]any{"manager": "other"}}, "metadata", "managedFields"))
		},
		"APIManagerStatus":     func(w *world) { w.editNamed("APIManager", "example", set("x", "status", "phase")) },
		"ConfigMapReplaced":    func(w *world) { w.editNamed("ConfigMap", "system-environment", set("other", "metadata", "uid")) },
		"SomebodyElsesRotated": func(w *world) { w.rotate("somebody-elses", "x") },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "")
			w.reconcile()
			change(w)
			w.reconcile()
			require.NotNil(t, w.theJob())
			assert.Equal(t, 1, w.attempt())
		})
	}
}

// TestRequiredSecretDeletedMidSnapshot: the run waits, and goes on from its
// copies if the Secret comes back as it was.
func TestRequiredSecretDeletedMidSnapshot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.reconcile()
	seed := w.Get("Secret", namespace, "system-seed").DeepCopy()
	w.Delete("Secret", namespace, "system-seed")
	for range 3 {
		rsp := w.reconcile()
		assert.Nil(t, w.theJob(), "no Job starts from less than the whole")
		assert.Equal(t, "SecretMissing", w.condition("PreflightPassed")["reason"])
		assert.Contains(t, w.condition("BackupCompleted")["message"], "waits")
		assert.Len(t, w.copies(), 18, "what is copied stays")
		assert.Positive(t, rsp.GetMeta().GetTtl().AsDuration())
	}
	w.Put(seed)
	w.reconcile()
	require.NotNil(t, w.theJob())
	assert.Equal(t, 1, w.attempt())
	w.requireConsistent()

	w = newWorld(t, "")
	w.reconcile()
	w.Delete("Secret", namespace, "system-seed")
	w.reconcile()
	seed.Object["data"] = map[string]any{"MASTER_PASSWORD": base64.StdEncoding.EncodeToString([]byte(dataset.SecretMarker + "new"))}
	seed.SetResourceVersion("")
	w.Put(seed)
	w.untilJob()
	assert.Equal(t, 2, w.attempt(), "another value is another moment")
	w.requireConsistent()
}

// TestPartOfASnapshot: an apply may stop half way (a quota), and a Secret be
// rotated before the rest is copied.
func TestPartOfASnapshot(t *testing.T) {
	t.Parallel()
	for _, rotated := range []string{"system-app", "zync"} {
		t.Run(rotated, func(t *testing.T) {
			w := newWorld(t, "")
			w.reconcile()
			w.Delete("Secret", namespace, w.copies()["zync"].GetName())
			w.rotate(rotated, "rotated")
			w.reconcile()
			assert.Nil(t, w.theJob(), "the copy that is missing is made first")
			w.untilJob()
			w.requireConsistent()
			w.requireMountsExist()
		})
	}
}

// TestSnapshotIsOfOneMomentOnceTheJobGoes: what changes later is not stored.
func TestSnapshotIsOfOneMomentOnceTheJobGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.untilJob()
	before := w.copies()
	job := w.theJob()
	w.rotate("system-app", "later")
	w.Delete("Secret", namespace, "system-memcache")
	w.editNamed("ConfigMap", "system-environment", set("x", "data", "NEW"))
	for range 3 {
		w.reconcile()
	}
	assert.Equal(t, before, w.copies())
	assert.Equal(t, job.GetUID(), w.theJob().GetUID())
	w.succeed()
	assert.Equal(t, before, w.copies(), "copies of the latest run stay")
}

// TestSourcesThatKeepChanging: a backup that is not of one moment is better
// than none, as long as it says so.
func TestSourcesThatKeepChanging(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.rotateUntilJob()
	assert.Equal(t, 5, w.attempt())
	w.requireMountsExist()
	assert.Equal(t, "SourcesChanging", w.condition("Warning")["reason"])
	w.succeed()
	w.reconcile()
	assert.Equal(t, true, w.status("completed"))
	assert.Contains(t, w.status("lastRun", "warnings").([]any)[0], "Sources changed in each of 5 attempts")
	w.setSpec("again", "trigger")
	w.backUp()
	assert.Equal(t, "NoWarnings", w.condition("Warning")["reason"], "the next run is consistent again")
}

// TestSecretCopiesNone: copies go once the run is on the volume.
func TestSecretCopiesNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(`secretCopies: None`))
	w.untilJob()
	assert.Len(t, w.copies(), 18, "the pod needs them")
	w.succeed()
	assert.Empty(t, w.copies())
	assert.Nil(t, w.objectsSecret())
	assert.NotNil(t, w.only("ConfigMap"), "the report stays: a lost history is read from it")

	w.setSpec("again", "trigger")
	w.untilJob()
	w.fail()
	w.reconcile()
	assert.NotNil(t, w.theJob(), "a failed Job stays for its log")
	w.setSpec("third", "trigger")
	w.backUp()
	assert.Equal(t, true, w.status("completed"))
}

// TestCopiesOfTheLatestRunOnly: each run replaces those of the run before.
func TestCopiesOfTheLatestRunOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.backUp()
	before := w.copies()
	w.setSpec("again", "trigger")
	w.backUp()
	assert.Len(t, w.copies(), 18)
	for name, kept := range before {
		assert.Nil(t, w.Get("Secret", namespace, kept.GetName()), name)
	}
}

// TestEmptySecret: a Secret without data has nothing to mount, but is backed up.
func TestEmptySecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.editNamed("Secret", "system-memcache", func(o map[string]any) { delete(o, "data") })
	w.untilJob()
	w.requireMountsExist()
	assert.Contains(t, strings.Join(w.decodedObjects(), "\n"), `"system-memcache"`)
	assert.Equal(t, 1, w.attempt())
}

// TestLargestSnapshotFitsIntoOneAnswer: what preflight lets through arrives.
func TestLargestSnapshotFitsIntoOneAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	for _, name := range []string{"apicast-custom-policy", "apicast-custom-environment", "apicast-certificate"} {
		w.editNamed("Secret", name, set(encoded(637<<10), "data", "large"))
	}
	w.editNamed("ConfigMap", "system-environment", set(strings.Repeat("x", 900<<10), "data", "LARGE"))
	w.backUp() // promising looks at the size of each answer
	assert.Equal(t, true, w.status("completed"))
}

// TestSourceOfAnyName: the user chooses what the Secrets that an APIManager
// refers to are called.
func TestSourceOfAnyName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"objects", "report", strings.Repeat("s", 250), strings.TrimSuffix(strings.Repeat("s.", 125), ".")} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "")
			source := w.Get("Secret", namespace, "apicast-certificate").DeepCopy()
			source.SetName(name)
			w.Put(source)
			w.editNamed("APIManager", "example", set(name, "spec", "apicast", "stagingSpec", "httpsCertificateSecretRef", "name"))
			w.untilJob()
			assert.Equal(t, 1, w.attempt())
			assert.Contains(t, w.copies(), name)
			w.requireMountsExist()
			w.succeed()
		})
	}
}
