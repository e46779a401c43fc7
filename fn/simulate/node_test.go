package simulate_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/function"
	"threescale.dev/backup/fn/simulate"
	"threescale.dev/backup/test/dataset"
)

// installation is a world with a backup in it, and a node with its volumes.
type installation struct {
	*simulate.World
	*simulate.Node
	t      *testing.T
	volume string
	files  dataset.Stats
}

func newInstallation(t *testing.T, spec string) *installation {
	t.Helper()
	source, volume := filepath.Join(t.TempDir(), "files"), t.TempDir()
	stats, err := dataset.Generate(source, dataset.SetS, 1)
	require.NoError(t, err)
	backup := object(t, `{apiVersion: backup.threescale.dev/v1alpha1, kind: ThreeScaleBackup, metadata: {name: nightly, namespace: 3scale,
		uid: u, creationTimestamp: "2026-11-22T11:59:00Z"}, spec: {backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}}}`+spec+`}}`)
	fn := function.New(logging.NewNopLogger())
	w := simulate.NewWorld(fn, backup, dataset.Installation(dataset.Options{Seed: 1}))
	w.Now = func() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }
	fn.Now = func() time.Time { return w.Now() }
	return &installation{
		World: w, t: t, volume: volume, files: stats,
		Node: &simulate.Node{PVCs: map[string]string{"nightly-backup": volume, "system-storage": source}},
	}
}

func (i *installation) reconcile() {
	i.t.Helper()
	_, err := i.Reconcile(i.t.Context())
	require.NoError(i.t, err)
}

func (i *installation) untilJob() {
	i.t.Helper()
	i.reconcile()
	i.reconcile()
}

func (i *installation) status(path ...string) any {
	v, _, _ := unstructured.NestedFieldNoCopy(i.Composite.Object, append([]string{"status"}, path...)...)
	return v
}

// TestNodeRunsTheComposedJob: the Job's own command line, over directories,
// writes what the status then says.
func TestNodeRunsTheComposedJob(t *testing.T) {
	i := newInstallation(t, "")
	i.reconcile()
	_, ran, err := i.RunJob(t.Context(), i.World)
	require.NoError(t, err)
	assert.False(t, ran, "there is no Job yet")
	i.reconcile()
	result, ran, err := i.RunJob(t.Context(), i.World)
	require.NoError(t, err)
	require.True(t, ran)
	assert.True(t, result.Completed)
	assert.Equal(t, int64(i.files.Files+18+3+1), result.Files, "the files, 18 Secrets, 3 ConfigMaps and the APIManager")
	_, ran, err = i.RunJob(t.Context(), i.World)
	require.NoError(t, err)
	assert.False(t, ran, "a Job that has ended is not run again")
	i.reconcile()
	assert.Equal(t, true, i.status("completed"))
	assert.Equal(t, result.ManifestSHA256, i.status("lastRun", "manifestSHA256"))

	run := filepath.Join(i.volume, "runs", result.Run)
	requireBackedUp(t, run)
	latest, err := filepath.EvalSymlinks(filepath.Join(i.volume, "latest"))
	require.NoError(t, err)
	assert.Equal(t, run, latest)
}

// requireBackedUp compares the Secrets of a run with those of the installation.
func requireBackedUp(t *testing.T, run string) {
	t.Helper()
	found := 0
	for _, u := range dataset.Installation(dataset.Options{Seed: 1}) {
		if u.GetKind() != "Secret" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(run, "secrets", u.GetName()+".json"))
		if u.GetName() == "somebody-elses" {
			assert.Error(t, err, "what is not 3scale's is not in its backup")
			continue
		}
		require.NoError(t, err)
		var stored map[string]any
		require.NoError(t, json.Unmarshal(text, &stored))
		assert.Equal(t, u.Object["data"], stored["data"], u.GetName())
		assert.Equal(t, u.Object["type"], stored["type"], u.GetName())
		found++
	}
	assert.Equal(t, 18, found)
}

// TestSecondRunLinks: what has not changed is stored once.
func TestSecondRunLinks(t *testing.T) {
	i := newInstallation(t, "")
	i.untilJob()
	first, _, err := i.RunJob(t.Context(), i.World)
	require.NoError(t, err)
	i.reconcile()
	require.NoError(t, unstructured.SetNestedField(i.Composite.Object, "again", "spec", "trigger"))
	i.untilJob()
	second, ran, err := i.RunJob(t.Context(), i.World)
	require.NoError(t, err)
	require.True(t, ran)
	assert.NotEqual(t, first.Run, second.Run)
	assert.Equal(t, int64(i.files.Files), second.LinkedFiles)
	i.reconcile()
	assert.Equal(t, second.Run, i.status("lastRun", "id"))
	assert.Equal(t, "again", i.status("lastHandledTrigger"))
}

// TestPodKilledAfterItsRun: another pod of the same Job finds the run complete,
// checks it and reports it.
func TestPodKilledAfterItsRun(t *testing.T) {
	i := newInstallation(t, "")
	i.untilJob()
	first, _, err := i.RunJob(t.Context(), i.World)
	require.NoError(t, err)
	i.forget(job.KeyResult)
	second, ran, err := i.RunJob(t.Context(), i.World)
	require.NoError(t, err)
	require.True(t, ran)
	assert.Equal(t, first, second)
	i.reconcile()
	assert.Equal(t, true, i.status("completed"))
}

// forget makes the run's Job one that has not ended, and its report one without
// some keys.
func (i *installation) forget(keys ...string) {
	i.t.Helper()
	for name, o := range i.Composed() {
		again := o.DeepCopy()
		switch {
		case strings.HasPrefix(name, "job/"):
			delete(again.Object, "status")
		case strings.HasPrefix(name, "report/"):
			for _, key := range keys {
				unstructured.RemoveNestedField(again.Object, "data", key)
			}
		default:
			continue
		}
		i.Put(again)
	}
}

// TestPlantedRun: a run that was on the volume before ours began is not taken for
// ours, and the status vouches for none but ours.
func TestPlantedRun(t *testing.T) {
	i := newInstallation(t, "")
	i.untilJob()
	planted, _, err := i.RunJob(t.Context(), i.World)
	require.NoError(t, err)
	i.forget(job.KeyBegun, job.KeyResult)
	own, ran, err := i.RunJob(t.Context(), i.World)
	require.NoError(t, err)
	require.True(t, ran)
	require.Equal(t, planted.Run, own.Run)
	require.NotEqual(t, planted.ManifestSHA256, own.ManifestSHA256)
	i.reconcile()
	assert.Equal(t, []any{map[string]any{"run": own.Run, "sha256": own.ManifestSHA256}}, i.status("manifests"))
	assert.Equal(t, own.ManifestSHA256, i.status("lastRun", "manifestSHA256"))
	conditions, err := json.Marshal(i.status("conditions"))
	require.NoError(t, err)
	assert.Contains(t, string(conditions), "runs/.aside-"+own.Run)
}

// TestJobFails: what the mover says becomes the condition, and no Secret's
// value with it.
func TestJobFails(t *testing.T) {
	i := newInstallation(t, "")
	i.untilJob()
	require.NoError(t, os.WriteFile(filepath.Join(i.volume, "runs"), nil, 0o600), "where a folder belongs")
	result, ran, err := i.RunJob(t.Context(), i.World)
	require.Error(t, err)
	require.True(t, ran)
	assert.False(t, result.Completed)
	i.reconcile()
	assert.Equal(t, false, i.status("completed"))
	conditions, err := json.Marshal(i.status("conditions"))
	require.NoError(t, err)
	assert.Contains(t, string(conditions), "spec.trigger")
	for _, form := range dataset.MarkerForms() {
		assert.NotContains(t, string(conditions), form)
	}
}

// TestNodeCannotMount: a pod whose volumes are not there does not start.
func TestNodeCannotMount(t *testing.T) {
	cases := map[string]struct {
		arrange func(*installation)
		err     string
	}{
		"PVC": {func(i *installation) { delete(i.PVCs, "system-storage") }, `cannot mount PersistentVolumeClaim "system-storage"`},
		"Secret": {func(i *installation) {
			for name, o := range i.Composed() {
				if strings.HasSuffix(name, "/zync") {
					i.Delete("Secret", "3scale", o.GetName())
				}
			}
		}, "cannot mount Secret"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			i := newInstallation(t, "")
			i.untilJob()
			tc.arrange(i)
			_, _, err := i.RunJob(t.Context(), i.World)
			require.ErrorContains(t, err, tc.err)
		})
	}
}

// TestEncryptedRun: nothing readable is on the volume.
func TestEncryptedRun(t *testing.T) {
	i := newInstallation(t, `, encryption: {age: {recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]}}`)
	i.untilJob()
	result, _, err := i.RunJob(t.Context(), i.World)
	require.NoError(t, err)
	stored, err := os.ReadFile(filepath.Join(i.volume, "runs", result.Run, "secrets", "system-app.json.age"))
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(stored), "age-encryption.org/v1"))
	require.NoError(t, filepath.WalkDir(filepath.Join(i.volume, "runs"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, form := range dataset.MarkerForms() {
			assert.NotContains(t, string(text), form, path)
		}
		return err
	}))
}

// TestSkippedFileStorage needs no volume of it.
func TestSkippedFileStorage(t *testing.T) {
	i := newInstallation(t, `, fileStorage: Skip`)
	delete(i.PVCs, "system-storage")
	i.untilJob()
	result, ran, err := i.RunJob(t.Context(), i.World)
	require.NoError(t, err)
	require.True(t, ran)
	assert.Equal(t, int64(22), result.Files)
}
