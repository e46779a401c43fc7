package simulate_test

import (
	"context"
	"testing"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/compose"
	"threescale.dev/backup/fn/simulate"
)

// answers is a function that desires what it is told.
type answers struct {
	t testing.TB
	// desired objects as YAML, by resource name.
	desired map[string]string
	fatal   bool
	// requires are answered one level a call.
	requires [][]string
	requests []*fnv1.RunFunctionRequest
}

// RunFunction implements simulate.Runner.
func (a *answers) RunFunction(_ context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	a.requests = append(a.requests, req)
	rsp := &fnv1.RunFunctionResponse{
		Desired:      &fnv1.State{Composite: &fnv1.Resource{}, Resources: map[string]*fnv1.Resource{}},
		Requirements: &fnv1.Requirements{Resources: map[string]*fnv1.ResourceSelector{}},
	}
	for name, text := range a.desired {
		s, err := structpb.NewStruct(object(a.t, text).Object)
		require.NoError(a.t, err)
		rsp.Desired.Resources[name] = &fnv1.Resource{Resource: s}
	}
	for level, names := range a.requires {
		if level > len(req.GetRequiredResources()) {
			break
		}
		for _, name := range names {
			rsp.Requirements.Resources[name] = &fnv1.ResourceSelector{ApiVersion: "v1", Kind: "Secret", Namespace: new("ns"), Match: &fnv1.ResourceSelector_MatchName{MatchName: name}}
		}
	}
	if a.fatal {
		rsp.Results = append(rsp.Results, &fnv1.Result{Severity: fnv1.Severity_SEVERITY_FATAL, Message: "no"})
	}
	return rsp, nil
}

func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal([]byte(text), &u.Object))
	return u
}

func newWorld(t testing.TB, objects ...string) (*simulate.World, *answers) {
	t.Helper()
	a := &answers{t: t, desired: map[string]string{}}
	var held []*unstructured.Unstructured
	for _, text := range objects {
		held = append(held, object(t, text))
	}
	w := simulate.NewWorld(a, object(t, `{apiVersion: example.com/v1, kind: X, metadata: {name: x, uid: u1}}`), held)
	w.Now = func() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }
	return w, a
}

// TestApplyRefuses what an API server refuses.
func TestApplyRefuses(t *testing.T) {
	const (
		secret = `{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: ns}, immutable: true, type: Opaque, data: {k: dg==}}`
		job    = `{apiVersion: batch/v1, kind: Job, metadata: {name: a, namespace: ns}, spec: {backoffLimit: 1, template: {spec: {containers: [{name: a, image: b}]}}}}`
		pvc    = `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a, namespace: ns}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}}`
		role   = `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: a, namespace: ns}, roleRef: {kind: Role, name: a}}`
	)
	cases := map[string]struct {
		reason string
		before string
		// arrange changes what exists.
		arrange func(*simulate.World, *unstructured.Unstructured)
		after   string
		err     string
	}{
		"NoNamespace":       {reason: "every composed kind lives in one", after: `{apiVersion: v1, kind: Secret, metadata: {name: a}}`, err: "no namespace"},
		"OtherName":         {reason: "core gives an existing object its observed name", before: secret, after: `{apiVersion: v1, kind: Secret, metadata: {name: b, namespace: ns}}`, err: "cannot change"},
		"ImmutableData":     {reason: "it says so itself", before: secret, after: `{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: ns}, immutable: true, type: Opaque, data: {k: dw==}}`, err: "immutable"},
		"ImmutableDataGone": {reason: "leaving it out removes it", before: secret, after: `{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: ns}, immutable: true, type: Opaque}`, err: "immutable"},
		"SecretType":        {reason: "of every Secret", before: secret, after: `{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: ns}, immutable: true, type: other, data: {k: dg==}}`, err: "[type] is immutable"},
		"JobTemplate":       {reason: "of every Job", before: job, after: `{apiVersion: batch/v1, kind: Job, metadata: {name: a, namespace: ns}, spec: {template: {spec: {containers: [{name: a, image: c}]}}}}`, err: "[spec template] is immutable"},
		"JobTemplateField":  {reason: "a field that is left out is removed", before: `{apiVersion: batch/v1, kind: Job, metadata: {name: a, namespace: ns}, spec: {template: {spec: {x: y, containers: []}}}}`, after: `{apiVersion: batch/v1, kind: Job, metadata: {name: a, namespace: ns}, spec: {template: {spec: {containers: []}}}}`, err: "immutable"},
		"JobLimit":          {reason: "the rest may change", before: job, after: `{apiVersion: batch/v1, kind: Job, metadata: {name: a, namespace: ns}, spec: {backoffLimit: 2, template: {spec: {containers: [{name: a, image: b}]}}}}`},
		"RoleRef":           {reason: "of every binding", before: role, after: `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: a, namespace: ns}, roleRef: {kind: Role, name: b}}`, err: "[roleRef] is immutable"},
		"PVCModes":          {reason: "of every PVC", before: pvc, after: `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a, namespace: ns}, spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 2Gi}}}}`, err: "[spec] is immutable"},
		"PVCShrinks":        {reason: "never", before: pvc, after: `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a, namespace: ns}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}`, err: "cannot shrink"},
		"PVCGrowsUnbound":   {reason: "a 403 of the API server", before: pvc, after: `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a, namespace: ns}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 3Gi}}}}`, err: "only a bound PersistentVolumeClaim"},
		"PVCGrows": {
			reason: "bound, and of a class that allows it", before: pvc,
			arrange: func(w *simulate.World, o *unstructured.Unstructured) {
				o.Object["status"] = map[string]any{"phase": "Bound"}
				o.Object["spec"].(map[string]any)["storageClassName"] = "c"
				w.Put(object(t, `{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: c}, allowVolumeExpansion: true}`))
			},
			after: `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a, namespace: ns}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 3Gi}}}}`,
		},
		"OtherController": {
			reason: "an object has one", before: secret,
			arrange: func(_ *simulate.World, o *unstructured.Unstructured) {
				o.Object["metadata"].(map[string]any)["ownerReferences"] = []any{map[string]any{"kind": "Y", "name": "y", "uid": "u2", "controller": true}}
			},
			after: secret, err: `controlled by Y "y"`,
		},
		"Same": {reason: "nothing changes", before: secret, after: secret},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w, a := newWorld(t)
			if tc.before != "" {
				a.desired["r"] = tc.before
				_, err := w.Reconcile(t.Context())
				require.NoError(t, err)
			}
			if tc.arrange != nil {
				o := w.Composed()["r"].DeepCopy()
				tc.arrange(w, o)
				w.Put(o)
			}
			a.desired["r"] = tc.after
			_, err := w.Reconcile(t.Context())
			if tc.err == "" {
				require.NoError(t, err, tc.reason)
				return
			}
			require.ErrorContains(t, err, tc.err, tc.reason)
		})
	}
}

// TestApplyIsServerSide: who leaves a field out gives it up; what others wrote stays.
func TestApplyIsServerSide(t *testing.T) {
	w, a := newWorld(t)
	a.desired["r"] = `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: ns, labels: {ours: a, both: b}, ownerReferences: [{kind: Namespace, name: ns, uid: n}]}}`
	_, err := w.Reconcile(t.Context())
	require.NoError(t, err)
	o := w.Get("ConfigMap", "ns", "a").DeepCopy()
	assert.Len(t, o.GetOwnerReferences(), 2)
	version := o.GetResourceVersion()
	o.Object["data"] = map[string]any{"theirs": "c"}
	o.SetLabels(map[string]string{"ours": "a", "both": "b", "theirs": "c"})
	w.Put(o)
	_, err = w.Reconcile(t.Context())
	require.NoError(t, err)
	assert.Equal(t, version, w.Get("ConfigMap", "ns", "a").GetResourceVersion(), "an apply that changes nothing is no change")
	a.desired["r"] = `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: ns, labels: {both: b}}}`
	_, err = w.Reconcile(t.Context())
	require.NoError(t, err)
	got := w.Get("ConfigMap", "ns", "a")
	assert.Equal(t, map[string]string{"both": "b", "theirs": "c"}, got.GetLabels())
	assert.Equal(t, map[string]any{"theirs": "c"}, got.Object["data"])
	require.Len(t, got.GetOwnerReferences(), 1)
	assert.Equal(t, "u1", string(got.GetOwnerReferences()[0].UID))
	assert.NotEqual(t, version, got.GetResourceVersion())
}

// TestGarbage: what is no longer desired goes, as long as it is the composite's.
func TestGarbage(t *testing.T) {
	w, a := newWorld(t)
	a.desired["one"] = `{apiVersion: v1, kind: ConfigMap, metadata: {name: one, namespace: ns}}`
	a.desired["two"] = `{apiVersion: v1, kind: ConfigMap, metadata: {name: two, namespace: ns}}`
	_, err := w.Reconcile(t.Context())
	require.NoError(t, err)
	freed := w.Get("ConfigMap", "ns", "two").DeepCopy()
	freed.SetOwnerReferences(nil)
	w.Put(freed)
	a.desired = nil
	_, err = w.Reconcile(t.Context())
	require.NoError(t, err)
	assert.Nil(t, w.Get("ConfigMap", "ns", "one"))
	assert.NotNil(t, w.Get("ConfigMap", "ns", "two"))
	assert.Empty(t, w.Composed())
}

// TestFatalChangesNothing but the conditions.
func TestFatalChangesNothing(t *testing.T) {
	w, a := newWorld(t)
	a.desired["r"] = `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: ns}}`
	_, err := w.Reconcile(t.Context())
	require.NoError(t, err)
	a.desired, a.fatal = nil, true
	_, err = w.Reconcile(t.Context())
	require.ErrorIs(t, err, simulate.ErrFatal)
	assert.NotNil(t, w.Get("ConfigMap", "ns", "a"))
}

// TestRequirements: core asks until nothing new is required, and begins the
// next reconcile with what it knows.
func TestRequirements(t *testing.T) {
	w, a := newWorld(t, `{apiVersion: v1, kind: Secret, metadata: {name: one, namespace: ns}}`, `{apiVersion: v1, kind: Secret, metadata: {name: one, namespace: other}}`)
	a.requires = [][]string{{"one"}, {"two"}}
	_, err := w.Reconcile(t.Context())
	require.NoError(t, err)
	require.Len(t, a.requests, 3)
	last := a.requests[2].GetRequiredResources()
	require.Len(t, last["one"].GetItems(), 1, "of the namespace that is asked for")
	assert.Empty(t, last["two"].GetItems(), "not found is an empty answer")
	_, err = w.Reconcile(t.Context())
	require.NoError(t, err)
	assert.Len(t, a.requests, 4, "one call is enough when nothing is new")

	a.requires = [][]string{{"a"}, {"b"}, {"c"}, {"d"}, {"e"}, {"f"}, {"g"}, {"h"}}
	_, err = w.Reconcile(t.Context())
	require.ErrorContains(t, err, "did not settle")
}

// TestLive is asked for what the world does not hold.
func TestLive(t *testing.T) {
	w, a := newWorld(t, `{apiVersion: v1, kind: Secret, metadata: {name: held, namespace: ns}}`)
	var asked []compose.Selector
	w.Live = func(_ context.Context, s compose.Selector) ([]*unstructured.Unstructured, error) {
		asked = append(asked, s)
		return []*unstructured.Unstructured{object(t, `{apiVersion: v1, kind: Secret, metadata: {name: live, namespace: ns}}`)}, nil
	}
	a.requires = [][]string{{"held", "live"}}
	_, err := w.Reconcile(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []compose.Selector{{APIVersion: "v1", Kind: "Secret", Namespace: "ns", Name: "live"}}, asked)
	w.Live = func(context.Context, compose.Selector) ([]*unstructured.Unstructured, error) {
		return nil, assert.AnError
	}
	_, err = w.Reconcile(t.Context())
	require.ErrorIs(t, err, assert.AnError)
}
