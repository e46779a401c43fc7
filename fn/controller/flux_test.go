package controller

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"threescale.dev/backup/fn/restore"
)

// TestFluxIsAskedUntilItWas: a request that fails is made again, and one that
// was made is not.
func TestFluxIsAskedUntilItWas(t *testing.T) {
	scheme := runtime.NewScheme()
	require.NoError(t, sourcev1.AddToScheme(scheme))
	repository := &sourcev1.GitRepository{}
	repository.Name, repository.Namespace = "apps", "3scale"
	refused := errors.New("the API server is away")
	patches := 0
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(repository).WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if patches++; patches == 1 {
				return refused
			}
			return c.Patch(ctx, o, p, opts...)
		},
	}).Build()
	r := someRestore()
	r.Spec.SourceRef.Name = "apps"
	r.Status.LastPushCommit = "0123456789abcdef0123456789abcdef01234567"
	now := time.Date(2026, 11, 22, 12, 0, 0, 5, time.UTC)
	w := &work{Reconciler: &Reconciler{Client: c, Now: func() time.Time { return now }}, restore: r, state: restore.State{Facts: restore.Facts{Restore: r}}}
	require.NoError(t, w.observeFlux(t.Context()))

	_, err := w.act(t.Context(), restore.AskFlux)
	require.ErrorIs(t, err, refused, "the next decision is to ask again")
	_, err = w.act(t.Context(), restore.AskFlux)
	require.NoError(t, err)
	require.NoError(t, w.observeFlux(t.Context()))
	assert.Equal(t, restore.FluxRequest(now), w.state.Repository.Annotations[meta.ReconcileRequestAnnotation], "later calls know it by this")
}
