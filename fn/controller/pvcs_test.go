package controller

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/restore"
)

// TestNoFileStorageInTheTree: what a volume holds may contradict itself. No
// PVC is made of nothing, which would be tried for ever.
func TestNoFileStorageInTheTree(t *testing.T) {
	r := someRestore()
	r.Status.Plan = &v1alpha1.Plan{Run: "20261122t020000z-1a2b3c4d"}
	w := &work{restore: r, tenant: fake.NewClientBuilder().Build(), tree: &overlay.Tree{}}
	err := w.makeFileStorage(t.Context())
	var problem *restore.Problem
	require.ErrorAs(t, err, &problem)
	assert.Equal(t, v1alpha1.ReasonUnexpectedObject, problem.Reason)
	assert.True(t, problem.Terminal, "the run stays as it is")
	assert.Contains(t, problem.Message, `"20261122t020000z-1a2b3c4d" holds files`)
}
