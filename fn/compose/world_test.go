package compose_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/simulate"
	"threescale.dev/backup/test/dataset"
)

const (
	namespace = "3scale"
	backup    = "nightly"
)

// noon is when every world of these tests stands still.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// world is a simulated cluster with one claim's composite.
type world struct {
	*simulate.World
	t        testing.TB
	function *promising
	// jobs are the UIDs of all Jobs that ever were.
	jobs map[types.UID]string
}

// newWorld returns a world with a complete installation and a composite whose
// spec is the given YAML (a minimal one if empty).
func newWorld(t testing.TB, spec string, change ...func(*dataset.Options)) *world {
	t.Helper()
	options := dataset.Options{Seed: 1, Namespace: namespace, Name: "example"}
	for _, f := range change {
		f(&options)
	}
	f := &promising{t: t, quick: raceDetector}
	w := simulate.NewWorld(f, composite(t, spec), dataset.Installation(options))
	w.Now = func() time.Time { return noon }
	w.Put(object(t, `{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: standard,
		annotations: {storageclass.kubernetes.io/is-default-class: "true"}}, provisioner: x, reclaimPolicy: Retain}`))
	return &world{World: w, t: t, function: f, jobs: map[types.UID]string{}}
}

func composite(t testing.TB, spec string) *unstructured.Unstructured {
	t.Helper()
	if spec == "" {
		spec = `{backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}}}}`
	}
	xr := object(t, `{apiVersion: backup.threescale.dev/v1alpha1, kind: XThreeScaleBackup, metadata: {name: nightly-x7k2p,
		uid: 11111111-2222-3333-4444-555555555555, creationTimestamp: "2026-11-22T11:59:00Z",
		labels: {crossplane.io/claim-namespace: 3scale, crossplane.io/claim-name: nightly}}}`)
	fields := object(t, spec).Object
	fields["claimRef"] = map[string]any{"namespace": namespace, "name": backup}
	xr.Object["spec"] = fields
	return xr
}

func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal([]byte(text), &u.Object))
	return u
}

// reconcile reconciles once and fails the test on an error; then the
// controllers have their turn.
func (w *world) reconcile() *fnv1.RunFunctionResponse {
	w.t.Helper()
	rsp, err := w.Reconcile(w.t.Context())
	require.NoError(w.t, err)
	w.control()
	return rsp
}

// condition returns a condition of the composite.
func (w *world) condition(name string) map[string]any {
	list, _, _ := unstructured.NestedSlice(w.Composite.Object, "status", "conditions")
	for _, entry := range list {
		if c := entry.(map[string]any); c["type"] == name {
			return c
		}
	}
	return nil
}

func (w *world) status(path ...string) any {
	v, _, _ := unstructured.NestedFieldNoCopy(w.Composite.Object, append([]string{"status"}, path...)...)
	return v
}

// theJob returns the composed Job, or nil.
func (w *world) theJob() *unstructured.Unstructured { return w.only("Job") }

func (w *world) only(kind string) *unstructured.Unstructured {
	var found *unstructured.Unstructured
	for _, o := range w.Composed() {
		if o.GetKind() == kind {
			require.Nil(w.t, found, "more than one %s", kind)
			found = o
		}
	}
	return found
}

func (w *world) count(kind string) int {
	n := 0
	for _, o := range w.Composed() {
		if o.GetKind() == kind {
			n++
		}
	}
	return n
}

// untilJob reconciles until there is a Job.
func (w *world) untilJob() *unstructured.Unstructured {
	w.t.Helper()
	for range 10 {
		w.reconcile()
		if w.theJob() != nil {
			return w.theJob()
		}
	}
	require.Fail(w.t, "no Job was composed", "%v", w.status())
	return nil
}

// report writes a result into the run's report, as the mover does.
func (w *world) report(result job.Result) {
	w.t.Helper()
	data, err := json.Marshal(result)
	require.NoError(w.t, err)
	w.reportText(job.KeyResult, string(data))
}

func (w *world) reportText(key, text string) {
	w.t.Helper()
	w.edit(w.only("ConfigMap"), func(o map[string]any) {
		require.NoError(w.t, unstructured.SetNestedField(o, text, "data", key))
	})
}

// edit changes an object as somebody else than the function would.
func (w *world) edit(o *unstructured.Unstructured, change func(map[string]any)) {
	w.t.Helper()
	require.NotNil(w.t, o)
	o = o.DeepCopy()
	change(o.Object)
	o.SetResourceVersion("")
	w.Put(o)
}

// editNamed likewise, by kind and name.
func (w *world) editNamed(kind, name string, change func(map[string]any)) {
	w.t.Helper()
	inNamespace := namespace
	if kind == "PersistentVolume" || kind == "StorageClass" || kind == "Namespace" {
		inNamespace = ""
	}
	o := w.Get(kind, inNamespace, name)
	require.NotNil(w.t, o, "%s %s", kind, name)
	w.edit(o, change)
}

// set returns a change of one field.
func set(value any, path ...string) func(map[string]any) {
	return func(o map[string]any) {
		if err := unstructured.SetNestedField(o, value, path...); err != nil {
			panic(err) // a test that names a field which is not there
		}
	}
}

// setSpec changes a field of the claim's spec, as a user would.
func (w *world) setSpec(value any, path ...string) {
	set(value, append([]string{"spec"}, path...)...)(w.Composite.Object)
}

// wipeStatus is what a restored or hand-edited claim has.
func (w *world) wipeStatus() { delete(w.Composite.Object, "status") }

// endJob sets a condition of the Job, as the Job controller does.
func (w *world) endJob(condition string) { w.endJobBecause(condition, "BackoffLimitExceeded") }

func (w *world) endJobBecause(condition, reason string) {
	w.t.Helper()
	w.edit(w.theJob(), func(o map[string]any) {
		require.NoError(w.t, unstructured.SetNestedSlice(o, []any{map[string]any{
			"type": condition, "status": "True", "reason": reason, "message": "Job has reached its end",
			"lastTransitionTime": w.Now().Format(time.RFC3339),
		}}, "status", "conditions"))
	})
}

func (w *world) runID() string { return w.theJob().GetLabels()["backup.threescale.dev/run"] }

// completed is what the mover reports of a run that went well.
func completed(run string) job.Result {
	return job.Result{
		Run: run, Completed: true, StartTime: noon, CompletionTime: noon.Add(time.Minute),
		Files: 3016, Bytes: 92331122, LinkedFiles: 0, ManifestSHA256: digestOf(run),
	}
}

// digestOf stands for the digest of a run's manifest.
func digestOf(run string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(run))) }

// succeed lets the run in flight succeed.
func (w *world) succeed() string {
	w.t.Helper()
	run := w.runID()
	result := completed(run)
	result.StartTime, result.CompletionTime = w.Now(), w.Now().Add(time.Minute)
	w.report(result)
	w.endJob("Complete")
	w.reconcile()
	return run
}

// fail lets the Job of the run in flight fail, with a word of the mover's.
func (w *world) fail() string {
	w.t.Helper()
	run := w.runID()
	w.report(job.Result{Run: run, Reason: "NoSpace", Message: "cannot write: the volume is full", StartTime: noon, CompletionTime: noon})
	w.endJob("Failed")
	w.reconcile()
	return run
}

// backUp takes a run from its start to its end.
func (w *world) backUp() string {
	w.t.Helper()
	w.untilJob()
	return w.succeed()
}

// rotate gives a Secret another value.
func (w *world) rotate(name, value string) {
	w.t.Helper()
	w.editNamed("Secret", name, set(base64.StdEncoding.EncodeToString([]byte(dataset.SecretMarker+value)), "data", "password"))
}

// rotateUntilJob rotates a Secret before each reconcile, until a Job starts all
// the same.
func (w *world) rotateUntilJob() {
	w.t.Helper()
	for i := range 20 {
		w.rotate("system-app", strconv.Itoa(i))
		w.reconcile()
		if w.theJob() != nil {
			return
		}
	}
	require.Fail(w.t, "no Job was composed", "%v", w.status())
}

func jsonOf(t testing.TB, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	require.NoError(t, err)
	return string(text)
}
