package controller

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"
)

// TestTrim: what is kept of all objects of all tenants is small, whatever they hold.
func TestTrim(t *testing.T) {
	large := strings.Repeat("x", 1<<20)
	restore := object(t, `
apiVersion: backup.threescale.dev/v1alpha1
kind: ThreeScaleRestore
metadata: {name: dr, namespace: 3scale, generation: 3, resourceVersion: "7", annotations: {reconcile.fluxcd.io/requestedAt: now, large: `+large+`}, labels: {a: b}}
spec: {sourceRef: {name: apps}, kustomizationRef: {name: apps, namespace: flux-system}, timeout: 9999999999h, git: {commit: {messageTemplate: `+large+`}}}
status: {completed: true, history: [`+large+`]}
`)
	before := restore.DeepCopy()
	trimmed, err := trim(restore)
	require.NoError(t, err)
	kept, ok := trimmed.(*unstructured.Unstructured)
	require.True(t, ok)
	for _, index := range []string{indexRepository, indexKustomization} {
		assert.Equal(t, referred(before, index), referred(kept, index), "it is woken by what it refers to")
	}
	assert.Equal(t, "3scale/apps", referred(kept, indexRepository))
	assert.Equal(t, "flux-system/apps", referred(kept, indexKustomization))
	assert.Equal(t, before.GetGeneration(), kept.GetGeneration(), "a predicate compares it")
	assert.Equal(t, before.GetResourceVersion(), kept.GetResourceVersion())
	assert.Equal(t, map[string]string{meta.ReconcileRequestAnnotation: "now"}, kept.GetAnnotations(), "a predicate compares it")
	one, other := before.DeepCopy(), before.DeepCopy()
	one.SetAnnotations(map[string]string{meta.ReconcileRequestAnnotation: large + "1"})
	other.SetAnnotations(map[string]string{meta.ReconcileRequestAnnotation: large + "2"})
	for _, object := range []*unstructured.Unstructured{one, other} {
		_, err = trim(object)
		require.NoError(t, err)
		assert.Less(t, len(object.GetAnnotations()[meta.ReconcileRequestAnnotation]), 100, "also of this one not all is kept")
	}
	assert.NotEqual(t, one.GetAnnotations(), other.GetAnnotations(), "another request is another one")
	completed, _, err := unstructured.NestedBool(kept.Object, "status", "completed")
	require.NoError(t, err)
	assert.True(t, completed, "one that has completed is not woken")
	data, err := json.Marshal(kept)
	require.NoError(t, err)
	assert.Less(t, len(data), 1000)

	again, err := trim(kept.DeepCopy())
	require.NoError(t, err)
	assert.Equal(t, kept, again)

	named := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: "job", Annotations: map[string]string{meta.ReconcileRequestAnnotation: large},
		OwnerReferences: []metav1.OwnerReference{{Kind: "ThreeScaleRestore", Name: "dr", Controller: new(true)}, {Kind: "X", Name: large}},
	}}
	_, err = trim(named)
	require.NoError(t, err)
	assert.Empty(t, named.Annotations)
	require.Len(t, named.OwnerReferences, 1, "a Job wakes its owner")
	assert.Equal(t, "dr", named.OwnerReferences[0].Name)

	gone := cache.DeletedFinalStateUnknown{Key: "3scale/dr"}
	got, err := trim(gone)
	require.NoError(t, err)
	assert.Equal(t, gone, got)
}

// TestReferredMalformed: a restore is indexed whatever its fields hold.
func TestReferredMalformed(t *testing.T) {
	for name, spec := range map[string]string{
		"None": `{}`, "String": `{sourceRef: apps}`, "List": `{sourceRef: [apps]}`, "Number": `{sourceRef: {name: 3}}`, "Null": `{sourceRef: null}`, "NoSpec": `null`,
	} {
		t.Run(name, func(t *testing.T) {
			restore := object(t, `{apiVersion: v1, kind: x, metadata: {name: dr, namespace: 3scale}, spec: `+spec+`}`)
			assert.Empty(t, referred(restore, indexRepository))
			_, err := trim(restore)
			require.NoError(t, err)
		})
	}
}
