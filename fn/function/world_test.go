package function_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/function"
	"threescale.dev/backup/fn/simulate"
	"threescale.dev/backup/test/dataset"
)

const xr = `
apiVersion: backup.threescale.dev/v1alpha1
kind: XThreeScaleBackup
metadata:
  name: nightly-x7k2p
  uid: 11111111-2222-3333-4444-555555555555
  creationTimestamp: "2026-11-22T11:59:00Z"
  labels: {crossplane.io/claim-namespace: 3scale, crossplane.io/claim-name: nightly}
spec:
  claimRef: {apiVersion: backup.threescale.dev/v1alpha1, kind: ThreeScaleBackup, namespace: 3scale, name: nightly}
  backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}}}
`

// world is a simulated cluster that keeps the last request to the function.
type world struct {
	*simulate.World
	t    testing.TB
	last *fnv1.RunFunctionRequest
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t}
	w.World = simulate.NewWorld(w, object(t, xr), dataset.Installation(dataset.Options{Seed: 1}))
	w.Now = func() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }
	w.Put(object(t, `{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: standard,
		annotations: {storageclass.kubernetes.io/is-default-class: "true"}}, provisioner: x, reclaimPolicy: Retain}`))
	return w
}

func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal([]byte(text), &u.Object))
	return u
}

// RunFunction implements simulate.Runner.
func (w *world) RunFunction(ctx context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	w.last = proto.CloneOf(req)
	return function.New(logging.NewNopLogger()).RunFunction(ctx, req)
}

// request returns the request of a reconcile once all requirements are there,
// and undoes what the reconcile did.
func (w *world) request() *fnv1.RunFunctionRequest {
	w.t.Helper()
	w.reconcile()
	return w.last
}

func (w *world) reconcile() {
	w.t.Helper()
	_, err := w.Reconcile(w.t.Context())
	require.NoError(w.t, err)
}

func (w *world) composed(kind string) *unstructured.Unstructured {
	w.t.Helper()
	for _, o := range w.Composed() {
		if o.GetKind() == kind {
			return o.DeepCopy()
		}
	}
	require.Fail(w.t, "not composed", kind)
	return nil
}

// finish takes a run to its end.
func (w *world) finish() {
	w.t.Helper()
	w.reconcile()
	w.reconcile()
	ended, report := w.composed("Job"), w.composed("ConfigMap")
	result, err := json.Marshal(job.Result{
		Run: ended.GetLabels()[v1alpha1.LabelRun], Completed: true,
		StartTime: w.Now(), CompletionTime: w.Now().Add(time.Minute), Files: 3016, Bytes: 92331122, ManifestSHA256: "aa",
	})
	require.NoError(w.t, err)
	require.NoError(w.t, unstructured.SetNestedField(report.Object, string(result), "data", job.KeyResult))
	require.NoError(w.t, unstructured.SetNestedSlice(ended.Object, []any{map[string]any{
		"type": "Complete", "status": "True", "lastTransitionTime": w.Now().Format(time.RFC3339),
	}}, "status", "conditions"))
	w.Put(report)
	w.Put(ended)
	w.reconcile()
	w.reconcile()
}
