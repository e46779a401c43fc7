package compose_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
)

const (
	mysqlImage    = "registry.example.com/mysql:8.0"
	allDatabases  = `databases: {system: {image: "` + mysqlImage + `"}, zync: {image: "registry.example.com/postgresql:15"}, backendRedis: {}, systemRedis: {}}`
	encryptedSpec = `, encryption: {age: {recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]}}`
)

// connect changes a key of the Secret that leads to a database.
func connect(secret, key, value string) func(*world) {
	return func(w *world) {
		w.editNamed("Secret", secret, set(base64.StdEncoding.EncodeToString([]byte(value)), "data", key))
	}
}

// databaseRefusals: what would fail in each pod of each run.
func databaseRefusals() map[string]refusal {
	system := beside(`databases: {system: {image: "` + mysqlImage + `"}}`)
	zync := beside(`databases: {zync: {image: "registry.example.com/postgresql:15"}}`)
	return map[string]refusal{
		"Databases/None": {
			reason: "who writes this means something", spec: beside(`databases: {}`),
			want: v1alpha1.ReasonInvalidDatabases, holds: []string{"Spec.databases: names none"},
		},
		"Databases/Oracle": {
			reason: "there is no client that could dump it", spec: system,
			arrange: connect("system-database", "URL", "oracle-enhanced://system:secret-word@oracle.example.com:1521/system"),
			want:    v1alpha1.ReasonInvalidDatabases, holds: []string{"Spec.databases.system", "Oracle"}, lack: []string{"secret-word"},
		},
		"Databases/NoURL": {
			reason: "the key and its Secret are told, and no value", spec: system,
			arrange: connect("system-database", "URL", "mysql2://user:secret-word"),
			want:    v1alpha1.ReasonInvalidDatabases, holds: []string{"Spec.databases.system", `Secret "system-database"`, `key "URL"`}, lack: []string{"secret-word"},
		},
		"Databases/Redis": {
			reason: "likewise", spec: beside(`databases: {backendRedis: {}}`),
			arrange: connect("backend-redis", "REDIS_STORAGE_URL", "redis://:secret-word@redis.example.com:6379/first"),
			want:    v1alpha1.ReasonInvalidDatabases, holds: []string{"Spec.databases.backendRedis", `key "REDIS_STORAGE_URL"`}, lack: []string{"secret-word"},
		},
		"Databases/Token": {
			reason: "a Secret that is never copied is in no snapshot, and a pod could not mount it", spec: system,
			arrange: func(w *world) {
				w.editNamed("Secret", "system-database", set(string(corev1.SecretTypeServiceAccountToken), "type"))
			},
			want: v1alpha1.ReasonInvalidDatabases, holds: []string{"Spec.databases.system", `key "URL" is missing`},
		},
		"Databases/InternalZync": {
			reason: "it goes with the installation, which makes it anew", spec: zync,
			options: func(o *dataset.Options) { o.InternalDatabases = []threescale.Database{threescale.ZyncDatabase} },
			want:    v1alpha1.ReasonInvalidDatabases, holds: []string{"Spec.databases.zync", "spec.externalComponents.zync.database"},
		},
		"Databases/NoZync": {
			reason: "there is none", spec: zync,
			arrange: func(w *world) { w.editNamed("APIManager", "example", set(false, "spec", "zync", "enabled")) },
			want:    v1alpha1.ReasonInvalidDatabases, holds: []string{"Spec.databases.zync", "spec.zync.enabled"},
		},
		"Databases/Image": {
			reason: "the pod would wait for it until its deadline", spec: beside(`databases: {system: {image: "https://registry.example.com/mysql"}}`),
			want: v1alpha1.ReasonInvalidDatabases, holds: []string{"Spec.databases.system.image", `"https://registry.example.com/mysql"`},
		},
		"Databases/ImageRefused": {
			reason: "an image of the author's own would get a login that the author may not read", spec: system,
			arrange: func(w *world) { w.Allow = v1alpha1.Allow{DatabaseImages: []string{"registry.example.org/*"}} },
			want:    v1alpha1.ReasonDatabaseImageRefused, holds: []string{`Image "` + mysqlImage + `"`, "input.allow.databaseImages"},
		},
	}
}

// TestDatabases takes a run with all databases from its start to its end.
func TestDatabases(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(allDatabases+encryptedSpec))
	w.Allow = v1alpha1.Allow{DatabaseImages: []string{"registry.example.com/*"}}
	w.untilJob()
	run := w.runID()
	pod := w.typedJob().Spec.Template.Spec
	var names, images []string
	for _, c := range pod.InitContainers {
		names, images = append(names, c.Name), append(images, c.Image)
	}
	assert.Equal(t, []string{"prepare", "zync-database-image", "system-database-image", "backend-redis", "system-redis", "zync-database", "system-database"}, names, "what comes later may know more")
	assert.Equal(t, []string{w.Image, "registry.example.com/postgresql:15", mysqlImage, w.Image, w.Image, "registry.example.com/postgresql:15", mysqlImage}, images)
	assert.Contains(t, pod.Containers[0].Args, "--databases=/backup/.scratch/"+run)
	keys := map[string][]string{}
	for _, v := range pod.Volumes {
		if name, ok := strings.CutPrefix(v.Name, "connection-"); ok {
			secret := v.Projected.Sources[0].Secret
			for _, item := range secret.Items {
				keys[name] = append(keys[name], item.Key)
			}
			assert.NotNil(t, w.Get("Secret", namespace, secret.Name), "of the snapshot: %s", secret.Name)
		}
	}
	for _, d := range threescale.Databases() {
		source, readable := threescale.ConnectionKeys(d)
		require.NotEmpty(t, keys[string(d)], d)
		assert.Subset(t, readable, keys[string(d)], "only what the connection is read from, of %s", source)
	}

	w.reportText(job.KeyProgress, `{"phase":"`+job.DumpingPhase("system-database")+`","bytesDone":4096}`)
	w.reconcile()
	assert.Equal(t, "Dumping system-database", w.status("progress", "phase"))

	w.setSpec(map[string]any{"backendRedis": map[string]any{}}, "databases")
	w.reconcile()
	assert.Len(t, w.typedJob().Spec.Template.Spec.InitContainers, 7, "a run goes on as it was started")
	w.setSpec(map[string]any{"backendRedis": map[string]any{}, "system": map[string]any{"image": mysqlImage}}, "databases")

	result := completed(run)
	result.Databases = []recorded.Dump{
		{Name: "backend-redis", Kind: recorded.Redis, ServerVersion: "7.0.15", StartTime: noon, CompletionTime: noon.Add(time.Second), Bytes: 5, Keys: 3},
		{Name: "system-database", Kind: recorded.MySQL, ServerVersion: "8.0.41", Tool: "mysqldump 8.0.41", StartTime: noon, CompletionTime: noon.Add(time.Second), Bytes: 7},
	}
	w.report(result)
	w.endJob("Complete")
	w.reconcile()
	assert.Equal(t, "True", w.condition(v1alpha1.ConditionBackupCompleted)["status"])
	assert.JSONEq(t, `[{"name":"backend-redis","kind":"Redis","serverVersion":"7.0.15","bytes":5},{"name":"system-database","kind":"MySQL","serverVersion":"8.0.41","bytes":7}]`,
		jsonOf(t, w.status("lastRun", "databases")))
	assert.Equal(t, []any{"queues of backend-redis", "system-redis", "zync-database", "capability resources", "changes to Routes"}, w.status("notIncluded"))
	assert.Equal(t, "False", w.condition(v1alpha1.ConditionWarning)["status"])
}

// TestDumpsThatWereLeft: a pod that was killed left readable dumps on the volume, and the next one removes them.
func TestDumpsThatWereLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(allDatabases+encryptedSpec))
	assert.NotContains(t, strings.Join(w.prepareArgs(), " "), "--ended")
	w.endJobBecause("Failed", "DeadlineExceeded")
	failed := w.runID()
	w.reconcileAll()
	w.setSpec("again", "trigger")
	w.reconcileAll()
	require.NotEqual(t, failed, w.runID())
	assert.Contains(t, w.prepareArgs(), "--ended="+failed)
	assert.NotContains(t, w.prepareArgs(), "--ended="+w.runID())
}

// prepareArgs is the command line of the first container of the run's Job.
func (w *world) prepareArgs() []string {
	w.t.Helper()
	w.untilJob()
	return w.typedJob().Spec.Template.Spec.InitContainers[0].Args
}

// TestDatabasesStart: what was refused starts once it is put right.
func TestDatabasesStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(allDatabases+encryptedSpec))
	connect("system-redis", "URL", "redis://redis.example.com:6379/first")(w)
	w.reconcileAll()
	require.Zero(t, w.count("Job"))
	assert.Equal(t, v1alpha1.ReasonInvalidDatabases, w.condition(v1alpha1.ConditionPreflightPassed)["reason"])
	connect("system-redis", "URL", "redis://redis.example.com:6379/1")(w)
	w.backUp()
	assert.Equal(t, true, w.status("completed"))
}

// TestNotIncluded: the status names exactly what is missing.
func TestNotIncluded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason, spec string
		zync         bool
		want         []any
	}{
		"None":   {"as before there were any", "", true, []any{"databases"}},
		"All":    {"all but the queues", beside(allDatabases), true, []any{"queues of backend-redis"}},
		"One":    {"the others are named", beside(`databases: {systemRedis: {}}`), true, []any{"backend-redis", "zync-database", "system-database"}},
		"NoZync": {"what the installation has not is not missing", beside(`databases: {systemRedis: {}}`), false, []any{"backend-redis", "system-database"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tc.spec)
			w.editNamed("APIManager", "example", set(tc.zync, "spec", "zync", "enabled"))
			w.reconcile()
			assert.Equal(t, append(tc.want, "capability resources", "changes to Routes"), w.status("notIncluded"), tc.reason)
		})
	}
}

// TestDumpFails: the message says which database, and what to do.
func TestDumpFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, beside(allDatabases))
	w.untilJob()
	w.report(job.Result{Run: w.runID(), Reason: v1alpha1.ReasonDatabaseDenied, Message: "system-database: cannot log in"})
	w.endJobBecause("Failed", "PodFailurePolicy")
	w.reconcile()
	assert.Contains(t, w.condition(v1alpha1.ConditionBackupCompleted)["message"],
		"ystem-database: cannot log in; "+job.FailureOf(v1alpha1.ReasonDatabaseDenied).BackupAdvice)
}
