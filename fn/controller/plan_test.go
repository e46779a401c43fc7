package controller

import (
	"context"
	"encoding/json"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/commit"
	"threescale.dev/backup/fn/confine"
	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/restore"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

// TestClassOfFileStorage: Flux could never apply another class to a PVC that
// is there.
func TestClassOfFileStorage(t *testing.T) {
	pvc := func(class *string) *corev1.PersistentVolumeClaim {
		return &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: class,
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany},
			Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		}}
	}
	for name, tc := range map[string]struct {
		reason   string
		asked    string
		existing *corev1.PersistentVolumeClaim
		want     *string
	}{
		"Anew":            {"it is what the restore asks for", "fast", nil, new("fast")},
		"AsItWas":         {"nothing else is asked for", "", nil, new("files")},
		"Existing":        {"the field is immutable", "fast", pvc(new("files")), new("files")},
		"ExistingNoClass": {"an empty one is no class at all", "fast", pvc(new("")), new("")},
	} {
		t.Run(name, func(t *testing.T) {
			r := someRestore()
			r.Spec.Target.StorageClass = tc.asked
			inspection := &job.Inspection{Source: job.Source{FileStorage: &recorded.PVC{StorageClass: new("files"), Size: "1Gi"}}}
			w := &work{restore: r, state: restore.State{Facts: restore.Facts{FileStorage: tc.existing, Inspection: inspection}}}
			in := w.input()
			in.Admitted = []overlay.Key{{Kind: threescale.APIManagerKind, Name: "apimanager"}}
			answer := commit.Worker{}.Do(t.Context(), commit.Request{Build: &commit.TreeInput{
				Input:   in,
				Objects: []json.RawMessage{[]byte(`{"apiVersion":"apps.3scale.net/v1alpha1","kind":"APIManager","metadata":{"name":"apimanager"},"spec":{"wildcardDomain":"a.example"}}`)},
			}})
			require.Nil(t, answer.Failure)
			tree, err := built(answer.Tree)
			require.NoError(t, err)
			made, _, err := unstructured.NestedFieldNoCopy(tree.Objects[overlay.Key{Kind: threescale.KindPVC, Name: threescale.FileStoragePVCName}].Object, "spec", "storageClassName")
			require.NoError(t, err)
			if tc.want == nil {
				assert.Nil(t, made, tc.reason)
				return
			}
			assert.Equal(t, *tc.want, made, tc.reason)
		})
	}
}

// TestHugeAPIManager: what was handed over takes in the controller what its text takes, and what it decodes to costs a child process.
func TestHugeAPIManager(t *testing.T) {
	const values = 400_000 // of 3 bytes each, that take some hundred as maps
	text := `{"apiVersion":"apps.3scale.net/v1alpha1","kind":"APIManager","metadata":{"name":"apimanager"},"spec":{"wildcardDomain":"a.example","x":[` +
		strings.TrimSuffix(strings.Repeat("{},", values), ",") + `]}}`
	handed := job.HandoverEntry{Kind: threescale.APIManagerKind, Name: "apimanager", Pieces: handoverParts}
	parts, size := make([]map[string][]byte, handoverParts), len(text)/handoverParts
	for part := range parts {
		end := (part + 1) * size
		if part == handoverParts-1 {
			end = len(text)
		}
		parts[part] = map[string][]byte{handed.Key(): []byte(text[part*size : end])}
	}
	of := someRestore()
	w := &work{Reconciler: &Reconciler{Children: newTestChildren(t, confine.Limits{Memory: 112 << 20, Time: time.Minute})}, restore: of}
	w.state = restore.State{Facts: restore.Facts{Inspection: &job.Inspection{HandoverSHA256: job.HandoverDigest(parts), Objects: []job.HandoverEntry{handed}}}}
	secrets := map[string]map[string][]byte{}
	for part := range handoverParts {
		secrets[specs.HandoverName(w.step(specs.Inspecting), part)] = parts[part]
	}
	w.tenant = reconcilingOf(t, stored, interceptor.Funcs{}).Client
	w.tenant = interceptor.NewClient(w.tenant.(client.WithWatch), interceptor.Funcs{
		Get: func(_ context.Context, _ client.WithWatch, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
			secret := into.(*corev1.Secret)
			secret.Data, secret.OwnerReferences = secrets[key.Name], w.owners()
			return nil
		},
	})

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := w.build(t.Context())
	w.endTurn()
	runtime.ReadMemStats(&after)

	var problem *restore.Problem
	require.ErrorAs(t, err, &problem)
	assert.Equal(t, v1alpha1.ReasonLimitExceeded, problem.Reason)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(24<<20))
}

// TestObjectsOfAChild: who has taken a child process over has the controller neither read nor make what a tree does not hold.
func TestObjectsOfAChild(t *testing.T) {
	const secret = `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","namespace":"3scale"}}`
	for name, tc := range map[string]struct {
		objects []string
		ok      bool
	}{
		"Own":            {[]string{secret}, true},
		"Twice":          {[]string{secret, secret}, false},
		"OtherNamespace": {[]string{strings.Replace(secret, `"3scale"`, `"other"`, 1)}, false},
		"NoNamespace":    {[]string{`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"}}`}, false},
		"OtherKind":      {[]string{strings.Replace(secret, "Secret", "Pod", 1)}, false},
		"OtherGroup":     {[]string{strings.Replace(secret, `"v1"`, `"example.org/v1"`, 1)}, false},
		"NoObject":       {[]string{`[]`}, false},
		"Null":           {[]string{`null`}, false},
	} {
		t.Run(name, func(t *testing.T) {
			answer := &commit.BuiltTree{Tree: overlay.Tree{Name: "dr", Namespace: "3scale"}}
			for _, object := range tc.objects {
				answer.Objects = append(answer.Objects, json.RawMessage(object))
			}
			tree, err := built(answer)
			if !tc.ok {
				assert.Error(t, err)
				return
			}
			require.NoError(t, err)
			assert.Len(t, tree.Objects, len(tc.objects))
		})
	}
}

// FuzzObjectsOfAChild: whatever a child says, each object of a tree is of a kind that trees have, in the namespace of the
// restore, and there once.
func FuzzObjectsOfAChild(f *testing.F) {
	const secret = `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","namespace":"3scale"}}`
	f.Add([]byte(secret), []byte(strings.Replace(secret, `"s"`, `"t"`, 1)))
	f.Add([]byte(secret), []byte(secret))
	f.Add([]byte(`{"apiVersion":"apps.3scale.net/v1alpha1","kind":"APIManager","metadata":{"name":"a","namespace":"3scale","NAMESPACE":"b"}}`), []byte(`{"metadata":1}`))
	f.Fuzz(func(t *testing.T, one, other []byte) {
		tree, err := built(&commit.BuiltTree{Tree: overlay.Tree{Name: "dr", Namespace: "3scale"}, Objects: []json.RawMessage{one, other}})
		if err != nil {
			return
		}
		require.Len(t, tree.Objects, 2)
		for key, object := range tree.Objects {
			assert.Equal(t, overlay.Key{Kind: object.GetKind(), Name: object.GetName()}, key)
			assert.Equal(t, "3scale", object.GetNamespace())
			assert.Contains(t, []string{"APIManager", "Secret", "ConfigMap", "PersistentVolumeClaim"}, key.Kind)
		}
	})
}
