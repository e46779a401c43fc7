package observe

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/check"
)

// served returns which of the kinds that matter the API server serves.
func served(client discovery.DiscoveryInterface) map[schema.GroupVersionKind]check.Read[bool] {
	out := map[schema.GroupVersionKind]check.Read[bool]{}
	for _, kind := range check.Kinds() {
		list, err := client.ServerResourcesForGroupVersion(kind.GroupVersion().String())
		switch {
		case apierrors.IsNotFound(err):
			out[kind] = check.Read[bool]{}
		case err != nil:
			out[kind] = check.Read[bool]{Err: fmt.Errorf("cannot read what %q serves: %w", kind.GroupVersion(), err)}
		default:
			out[kind] = check.Read[bool]{Value: slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Kind == kind.Kind })}
		}
	}
	return out
}

// errNotPublished means that the kind is not served, or only since a moment ago.
var errNotPublished = errors.New("it is not published yet")

// restoreSchema reads the schema of ThreeScaleRestore as it is served.
func restoreSchema(client discovery.DiscoveryInterface) check.Read[map[string]any] {
	found, err := openAPISchema(client, v1alpha1.GroupVersion.WithKind(v1alpha1.KindRestore))
	if err != nil {
		err = fmt.Errorf("cannot read the schema of %q: %w", v1alpha1.KindRestore, err)
	}
	return check.Read[map[string]any]{Value: found, Err: err}
}

func openAPISchema(client discovery.DiscoveryInterface, kind schema.GroupVersionKind) (map[string]any, error) {
	paths, err := client.OpenAPIV3().Paths()
	if err != nil {
		return nil, err
	}
	path, ok := paths["apis/"+kind.GroupVersion().String()]
	if !ok {
		return nil, errNotPublished
	}
	data, err := path.Schema("application/json")
	if err != nil {
		return nil, err
	}
	var document struct {
		Components struct {
			Schemas map[string]map[string]any `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, err
	}
	for _, found := range document.Components.Schemas {
		if isOf(found, kind) {
			return found, nil
		}
	}
	return nil, errNotPublished
}

// isOf reports whether a schema is that of a kind, and not of its list.
func isOf(found map[string]any, kind schema.GroupVersionKind) bool {
	kinds, _ := found["x-kubernetes-group-version-kind"].([]any)
	return slices.ContainsFunc(kinds, func(entry any) bool {
		of, _ := entry.(map[string]any)
		return of["group"] == kind.Group && of["version"] == kind.Version && of["kind"] == kind.Kind
	})
}
