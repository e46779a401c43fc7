package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/threescale"
)

var errCached = errors.New("it was read from the cache")

type cached struct{}

func (cached) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errCached
}

func (cached) List(context.Context, client.ObjectList, ...client.ListOption) error { return errCached }

// TestReadsPastTheCache: the cache may still show the APIManager that owns a claim when the garbage collector deletes the claim, and it
// cannot list pods by their phase.
func TestReadsPastTheCache(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	for _, kind := range []schema.GroupVersionKind{
		{Version: "v1", Kind: "Pod"}, {Version: "v1", Kind: "Secret"}, {Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "Role"},
		schema.FromAPIVersionAndKind(threescale.APIManagerAPIVersion, threescale.APIManagerKind),
	} {
		t.Run(kind.Kind, func(t *testing.T) {
			mapper := meta.NewDefaultRESTMapper(nil)
			mapper.Add(kind, meta.RESTScopeNamespace)
			scheme, err := types()
			require.NoError(t, err)
			c, err := client.New(&rest.Config{Host: server.URL}, client.Options{
				Scheme: scheme, Mapper: mapper, Cache: &client.CacheOptions{Reader: cached{}, DisableFor: uncached()},
			})
			require.NoError(t, err)
			one, list := &metav1.PartialObjectMetadata{}, &metav1.PartialObjectMetadataList{}
			one.SetGroupVersionKind(kind)
			list.SetGroupVersionKind(kind)
			assert.NotErrorIs(t, c.Get(t.Context(), client.ObjectKey{Namespace: "3scale", Name: "x"}, one), errCached)
			assert.NotErrorIs(t, c.List(t.Context(), list), errCached)
		})
	}
}
