package controller

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/confine"
)

// stored is a restore of what is nowhere, as an API server stores it.
const stored = `
apiVersion: backup.threescale.dev/v1alpha1
kind: ThreeScaleRestore
metadata: {name: dr, namespace: 3scale, generation: 2}
spec: {restoreSource: {persistentVolumeClaim: {claimSource: {claimName: nightly-backup}}}, sourceRef: {name: apps}, interval: 10m, retryInterval: 1m, timeout: 1h}
`

// reconciling is a reconciler in a cluster that holds a restore.
type reconciling struct {
	*Reconciler
	events *events.FakeRecorder
}

// reconcilingOf makes one whose API server stores a restore as it is written here.
func reconcilingOf(t *testing.T, restore string, funcs interceptor.Funcs, objects ...client.Object) reconciling {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, sourcev1.AddToScheme, kustomizev1.AddToScheme} {
		require.NoError(t, add(scheme))
	}
	as, get := object(t, restore), funcs.Get
	funcs.Get = func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
		stored, ok := into.(*unstructured.Unstructured)
		if ok && stored.GetKind() == v1alpha1.KindRestore && key.Name == "dr" {
			stored.Object = as.DeepCopy().Object
			return nil
		}
		if get != nil {
			return get(ctx, c, key, into, opts...)
		}
		return c.Get(ctx, key, into, opts...)
	}
	known := &v1alpha1.ThreeScaleRestore{ObjectMeta: metav1.ObjectMeta{Name: "dr", Namespace: "3scale"}}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(append(objects, known)...).WithStatusSubresource(known).WithInterceptorFuncs(funcs).Build()
	recorder := events.NewFakeRecorder(10)
	return reconciling{&Reconciler{Client: c, AnnotatedEventRecorder: recorder, Now: func() time.Time { return noon }, Pace: NewPace(), Children: NewChildren(nil, confine.Limits{}, 1)}, recorder}
}

// reconcile is one call, and the restore after it.
func (r reconciling) reconcile(ctx context.Context, t *testing.T) (ctrl.Result, *v1alpha1.ThreeScaleRestore, error) {
	t.Helper()
	result, err := r.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKey{Namespace: "3scale", Name: "dr"}})
	after := &v1alpha1.ThreeScaleRestore{}
	require.NoError(t, r.Get(t.Context(), client.ObjectKey{Namespace: "3scale", Name: "dr"}, after))
	return result, after, err
}

// TestUndecodable: what the schema of an older release, or of somebody who changed
// it, admitted, is told in its own status and stops nothing else.
func TestUndecodable(t *testing.T) {
	for name, tc := range map[string]struct {
		edit string // merged into the restore
		says string
	}{
		"Timeout":  {`{spec: {timeout: 9999999999h}}`, "9999999999h"},
		"Interval": {`{spec: {interval: 5}}`, "string"},
		"Type":     {`{spec: {path: [x]}}`, "string"},
		"Quantity": {`{spec: {job: {resources: {limits: {memory: 1e.5}}}}}`, "quantit"},
		"Status":   {`{status: {startTime: yesterday}}`, "yesterday"},
		"History":  {`{status: {history: [{lastReconciledDuration: x}]}}`, "duration"},
		"Known":    {`{spec: {timeout: 9999999999h}, status: {conditions: [{type: Ready, status: "True", reason: Restored, message: m, lastTransitionTime: "2026-11-22T12:00:00Z"}, {type: 3}, x]}}`, "9999999999h"},
	} {
		t.Run(name, func(t *testing.T) {
			r := reconcilingOf(t, merged(t, stored, tc.edit), interceptor.Funcs{})
			result, after, err := r.reconcile(t.Context(), t)
			require.ErrorIs(t, err, reconcile.TerminalError(nil), "it is logged and counted, and not tried again")
			assert.Zero(t, result)
			for _, kind := range []string{meta.ReadyCondition, meta.StalledCondition} {
				assert.Equal(t, v1alpha1.ReasonInvalidSpec, conditions.GetReason(after, kind))
			}
			assert.False(t, conditions.IsReconciling(after))
			assert.Contains(t, conditions.GetMessage(after, meta.ReadyCondition), tc.says)
			assert.Less(t, len(conditions.GetMessage(after, meta.ReadyCondition)), 500)
			assert.Equal(t, int64(2), after.Status.ObservedGeneration)
			assert.Contains(t, <-r.events.Events, v1alpha1.ReasonInvalidSpec)
		})
	}
}

// object decodes YAML as a client does.
func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	object := &unstructured.Unstructured{}
	require.NoError(t, object.UnmarshalJSON(data))
	return object
}

func merged(t *testing.T, base, edit string) string {
	t.Helper()
	var a, b map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(base), &a))
	require.NoError(t, yaml.Unmarshal([]byte(edit), &b))
	merge(a, b)
	data, err := json.Marshal(a)
	require.NoError(t, err)
	return string(data)
}

func merge(into, from map[string]any) {
	for key, value := range from {
		inner, ok := value.(map[string]any)
		target, both := into[key].(map[string]any)
		if ok && both {
			merge(target, inner)
			continue
		}
		into[key] = value
	}
}

// TestReturns: the queue learns what became of a restore: errors and stalled ones
// are logged and counted, and a problem is tried again in its own time.
func TestReturns(t *testing.T) {
	away := errors.New("the API server is away")
	pvc := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "nightly-backup", Namespace: "3scale"}}
	for name, tc := range map[string]struct {
		restore string
		job     error
		after   time.Duration
		reason  string
		check   func(*testing.T, error)
	}{
		"Problem": {stored, nil, time.Minute, v1alpha1.ReasonRepositoryNotFound, func(t *testing.T, err error) { require.NoError(t, err) }},
		"Stalled": {merged(t, stored, `{spec: {sourceRef: {namespace: other}}}`), nil, 0, v1alpha1.ReasonAccessDenied, func(t *testing.T, err error) { require.ErrorIs(t, err, reconcile.TerminalError(nil)) }},
		"Error": {stored, away, 0, v1alpha1.ReasonFailed, func(t *testing.T, err error) {
			require.ErrorIs(t, err, away)
			require.NotErrorIs(t, err, reconcile.TerminalError(nil))
		}},
		"Gone": {merged(t, stored, `{metadata: {deletionTimestamp: "2026-11-22T12:00:00Z"}}`), nil, 0, "", func(t *testing.T, err error) { require.NoError(t, err) }},
	} {
		t.Run(name, func(t *testing.T) {
			r := reconcilingOf(t, tc.restore, interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
					if _, isJob := into.(*batchv1.Job); isJob && tc.job != nil {
						return tc.job
					}
					return c.Get(ctx, key, into, opts...)
				},
			}, pvc.DeepCopy())
			result, after, err := r.reconcile(t.Context(), t)
			tc.check(t, err)
			assert.Equal(t, tc.after, result.RequeueAfter)
			assert.Equal(t, tc.reason, conditions.GetReason(after, meta.ReadyCondition))
		})
	}
}

// TestWokenTooSoon: who changes a GitRepository a thousand times a second does not
// have the restore that fails log in as often.
func TestWokenTooSoon(t *testing.T) {
	r := reconcilingOf(t, stored, interceptor.Funcs{})
	_, _, err := r.reconcile(t.Context(), t)
	require.NoError(t, err)
	before := len(r.events.Events)
	result, _, err := r.reconcile(t.Context(), t)
	require.NoError(t, err)
	assert.Equal(t, ctrl.Result{RequeueAfter: time.Second}, result)
	assert.Len(t, r.events.Events, before)
}

// TestQueued: a restore that has failed and waits for its turn to try again says still
// why it failed.
func TestQueued(t *testing.T) {
	pvc := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "nightly-backup", Namespace: "3scale"}}
	repository := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Name: "apps", Namespace: "3scale"}, Spec: sourcev1.GitRepositorySpec{Reference: &sourcev1.GitRepositoryRef{Branch: "main"}}}
	failed := `{status: {conditions: [{type: Ready, status: "False", reason: LimitExceeded, message: m, lastTransitionTime: "2026-11-22T12:00:00Z"}]}}`
	for name, tc := range map[string]struct{ restore, want string }{
		"Failed": {merged(t, stored, failed), v1alpha1.ReasonLimitExceeded},
		"New":    {stored, v1alpha1.ReasonProgressing},
	} {
		t.Run(name, func(t *testing.T) {
			r := reconcilingOf(t, tc.restore, interceptor.Funcs{}, pvc.DeepCopy(), repository.DeepCopy())
			require.NotNil(t, r.Children.turns.take(client.ObjectKey{Namespace: "other", Name: "dr"}))
			result, after, err := r.reconcile(t.Context(), t)
			require.NoError(t, err)
			assert.LessOrEqual(t, result.RequeueAfter, notYourTurn)
			if name == "New" {
				assert.Equal(t, tc.want, conditions.GetReason(after, meta.ReadyCondition))
				return
			}
			assert.Empty(t, r.events.Events, "it is no news")
		})
	}
}

// TestSavedAtTheEnd: what was done is in the status also when the controller shuts
// down meanwhile, and nobody is told of what is not.
func TestSavedAtTheEnd(t *testing.T) {
	t.Run("Shutdown", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := reconcilingOf(t, stored, interceptor.Funcs{
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
				defer cancel()
				if err := ctx.Err(); err != nil {
					return err
				}
				return c.SubResource(sub).Patch(ctx, object, patch, opts...)
			},
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
				if err := ctx.Err(); err != nil {
					return err
				}
				return c.Get(ctx, key, into, opts...)
			},
		})
		_, after, err := r.reconcile(ctx, t)
		require.ErrorIs(t, err, context.Canceled)
		assert.NotEmpty(t, after.Status.Attempt)
		assert.Empty(t, after.Status.Conditions, "that the controller stops is no failure of the restore")
		assert.Empty(t, r.events.Events)
	})
	t.Run("NotSaved", func(t *testing.T) {
		refused := errors.New("the API server is away")
		saves := 0
		r := reconcilingOf(t, stored, interceptor.Funcs{
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
				if saves++; saves > 1 {
					return refused
				}
				return c.SubResource(sub).Patch(ctx, object, patch, opts...)
			},
		})
		_, _, err := r.reconcile(t.Context(), t)
		require.ErrorIs(t, err, refused)
		assert.Empty(t, r.events.Events)
	})
}

// TestLeftoversByName: to see whether hand-over Secrets are there takes no look into them.
func TestLeftoversByName(t *testing.T) {
	var asked []client.ListOptions
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "3scale", Labels: map[string]string{v1alpha1.LabelRestore: "dr"}}}
	r := reconcilingOf(t, stored, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			assert.IsType(t, &metav1.PartialObjectMetadataList{}, list)
			var o client.ListOptions
			o.ApplyOptions(opts)
			asked = append(asked, o)
			return c.List(ctx, list, opts...)
		},
	}, secret)
	w := &work{Reconciler: r.Reconciler, restore: someRestore(), tenant: r.Client}
	require.NoError(t, w.observeLeftovers(t.Context()))
	assert.True(t, w.state.Leftovers)
	require.Len(t, asked, 2)
	for _, o := range asked {
		assert.Equal(t, int64(1), o.Limit)
	}
}
