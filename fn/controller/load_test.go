package controller

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/restore"
	"threescale.dev/backup/fn/specs"
)

const (
	loadedRun      = "20261122t020000z-1a2b3c4d"
	systemDatabase = "system-database"
	backendRedis   = "backend-redis"
)

// loads is the work on a restore that loads two databases, in a namespace with these Secrets.
func loads(secrets ...client.Object) *work {
	r := someRestore()
	r.UID = "7027a0bd-0351-4059-9ce8-5ee8f02ad2b3"
	r.Spec.Databases = v1alpha1.RestoreDatabases{Policy: v1alpha1.DatabasesIfEmpty, System: &v1alpha1.RestoreSQLDatabase{Image: "registry.example.com/postgresql-15"}}
	r.Status.ManifestSHA256 = "00ff"
	r.Status.Plan = &v1alpha1.Plan{Run: loadedRun, Databases: []v1alpha1.PlannedDatabase{
		{Name: backendRedis, Kind: "Redis", Action: v1alpha1.DatabaseLoad},
		{Name: systemDatabase, Kind: "PostgreSQL", Action: v1alpha1.DatabaseLoad},
	}}
	c := fake.NewClientBuilder().WithObjects(append(secrets, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.Namespace}})...).Build()
	w := &work{Reconciler: &Reconciler{Client: c, Image: "registry.example.com/mover", DatabaseImages: []string{"registry.example.com/*"}}, restore: r, tenant: c}
	w.state = restore.State{Facts: restore.Facts{Restore: r, Inspection: &job.Inspection{Databases: []job.InspectedDatabase{
		{Name: backendRedis, Kind: recorded.Redis}, {Name: systemDatabase, Kind: recorded.PostgreSQL, Encrypted: true},
	}}}}
	return w
}

func databaseSecret(name string, keys ...string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "3scale"}, Data: map[string][]byte{}}
	for _, key := range keys {
		s.Data[key] = []byte("a value")
	}
	return s
}

func onlyJob(t *testing.T, w *work) batchv1.Job {
	t.Helper()
	var jobs batchv1.JobList
	require.NoError(t, w.List(t.Context(), &jobs))
	require.Len(t, jobs.Items, 1)
	return jobs.Items[0]
}

// TestStartLoad: the Job loads what the plan says and is not loaded yet, of the run that was inspected.
func TestStartLoad(t *testing.T) {
	w := loads()
	require.NoError(t, w.startLoad(t.Context()))
	made := onlyJob(t, w)
	assert.Equal(t, "dr-load-01234567", made.Name)
	pod := made.Spec.Template.Spec
	require.Len(t, pod.InitContainers, 2)
	assert.Subset(t, pod.InitContainers[0].Args, []string{"--run=" + loadedRun, "--manifest-sha256=00ff", "--database=" + backendRedis, "--database=" + systemDatabase, "--connections=/connections"})
	assert.Equal(t, "registry.example.com/postgresql-15", pod.InitContainers[1].Image)
	assert.Contains(t, pod.InitContainers[1].Args, "--encrypted="+systemDatabase)
	assert.Contains(t, pod.Containers[0].Args, "--policy=IfEmpty")
	assert.False(t, slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == "file-storage" }), "the files are none of its business")

	w = loads()
	w.restore.Status.LoadedDatabases = []string{systemDatabase}
	require.NoError(t, w.startLoad(t.Context()))
	pod = onlyJob(t, w).Spec.Template.Spec
	require.Len(t, pod.InitContainers, 2)
	assert.Contains(t, pod.InitContainers[1].Args, "--loaded="+systemDatabase, "what is loaded is not empty any more")
	assert.NotContains(t, pod.Containers[0].Args, "--loaded="+backendRedis)
}

// TestLiveConnections: with databaseSecrets: Omit the Secrets of the namespace say where its databases are, whatever else they hold.
func TestLiveConnections(t *testing.T) {
	w := loads(databaseSecret("system-database", "URL", "DB_PASSWORD", "somebodys-own"), databaseSecret("backend-redis"))
	w.restore.Spec.DatabaseSecrets = v1alpha1.DatabaseSecretsOmit
	require.NoError(t, w.startLoad(t.Context()))
	pod := onlyJob(t, w).Spec.Template.Spec
	keys := map[string][]string{}
	for _, v := range pod.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, item := range v.Projected.Sources[0].Secret.Items {
			keys[v.Name] = append(keys[v.Name], item.Key)
		}
	}
	assert.Equal(t, map[string][]string{"connection-" + systemDatabase: {"URL"}}, keys)
	assert.NotContains(t, pod.InitContainers[0].Args, "--connections=/connections", "those of the run are not meant")
}

// TestInspectIsToldThePolicy: the plan tells what the databases are, whatever becomes of them.
func TestInspectIsToldThePolicy(t *testing.T) {
	for policy, want := range map[v1alpha1.DatabasesPolicy]string{"": "Skip", v1alpha1.DatabasesSkip: "Skip", v1alpha1.DatabasesReplace: "Replace"} {
		w := loads()
		w.restore.Spec.Databases.Policy = policy
		require.NoError(t, w.startInspect(t.Context()))
		assert.Contains(t, onlyJob(t, w).Spec.Template.Spec.Containers[0].Args, "--databases="+want)
	}
}

// TestObserveLoad: what the Job has loaded is in its report, and only there.
func TestObserveLoad(t *testing.T) {
	w := loads()
	require.NoError(t, w.startLoad(t.Context()))
	key := types.NamespacedName{Namespace: "3scale", Name: specs.StepReportName(w.step(specs.Loading))}
	report := &corev1.ConfigMap{}
	require.NoError(t, w.Get(t.Context(), key, report))
	report.Data = map[string]string{job.KeyLoad: `{"run":"` + loadedRun + `","databases":[{"name":"system-database"}]}`}
	require.NoError(t, w.Update(t.Context(), report))
	require.NoError(t, w.observePods(t.Context()))
	assert.True(t, w.state.Load.Exists)
	require.NotNil(t, w.state.Loaded)
	w.state.Note(restore.DropLoad, restore.Result{}, noon)
	assert.Equal(t, []string{systemDatabase}, w.restore.Status.LoadedDatabases)
	require.NoError(t, w.cleanUp(t.Context()))
	var jobs batchv1.JobList
	require.NoError(t, w.List(t.Context(), &jobs))
	assert.Empty(t, jobs.Items)
}
