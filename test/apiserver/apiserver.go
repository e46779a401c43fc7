// Package apiserver is a stand-in for an API server that is asked what it serves
// and holds: discovery, OpenAPI, objects, and who may do what.
package apiserver

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/manifests"
)

// Server is what an API server would say.
type Server struct {
	GitVersion string
	// Kinds that are served.
	Kinds []schema.GroupVersionKind
	// Schemas by kind, as OpenAPI has them.
	Schemas map[schema.GroupVersionKind]map[string]any
	// Objects by the path that they are read from; a list is one too.
	Objects map[string]map[string]any
	// Forbidden are the beginnings of paths that nobody may read.
	Forbidden []string
	// Broken are those of paths that only end in an error.
	Broken []string
	// Denied tells what a ServiceAccount may not do.
	Denied func(user string, of *authorizationv1.ResourceAttributes) bool
}

// Start serves until the test ends, and returns the address.
func (s *Server) Start(tb testing.TB) string {
	tb.Helper()
	server := httptest.NewServer(s)
	tb.Cleanup(server.Close)
	return server.URL
}

// Kubeconfig starts it too, and returns the path of a kubeconfig for it.
func (s *Server) Kubeconfig(tb testing.TB) string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "kubeconfig")
	text := `{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: "` + s.Start(tb) + `"}}],
		contexts: [{name: c, context: {cluster: c}}], current-context: c}`
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return name
}

// RestoreSchema is that of the shipped CRD of restores, less some fields of its spec.
func RestoreSchema(tb testing.TB, without ...string) map[schema.GroupVersionKind]map[string]any {
	tb.Helper()
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema map[string]map[string]any `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(manifests.RestoreCRD(), &crd); err != nil {
		tb.Fatal(err)
	}
	found := crd.Spec.Versions[0].Schema["openAPIV3Schema"]
	for _, field := range without {
		unstructured.RemoveNestedField(found, "properties", "spec", "properties", field)
	}
	return map[schema.GroupVersionKind]map[string]any{v1alpha1.GroupVersion.WithKind(v1alpha1.KindRestore): found}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch {
	case begins(path, s.Forbidden):
		refuse(w, http.StatusForbidden, metav1.StatusReasonForbidden, "it is forbidden to read "+path)
	case begins(path, s.Broken):
		refuse(w, http.StatusInternalServerError, metav1.StatusReasonInternalError, "broken on purpose")
	case path == "/version":
		answer(w, version.Info{GitVersion: s.GitVersion})
	case path == "/openapi/v3":
		answer(w, map[string]any{"paths": s.documents()})
	case strings.HasPrefix(path, "/openapi/v3/"):
		answer(w, s.document(strings.TrimPrefix(path, "/openapi/v3/apis/")))
	case path == "/apis/authorization.k8s.io/v1/subjectaccessreviews":
		s.review(w, r)
	default:
		s.object(w, path)
	}
}

func begins(path string, with []string) bool {
	for _, prefix := range with {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// documents are the OpenAPI documents that there are.
func (s *Server) documents() map[string]any {
	paths := map[string]any{}
	for kind := range s.Schemas {
		paths["apis/"+kind.GroupVersion().String()] = map[string]any{"serverRelativeURL": "/openapi/v3/apis/" + kind.GroupVersion().String() + "?hash=1"}
	}
	return paths
}

func (s *Server) document(groupVersion string) map[string]any {
	schemas := map[string]any{}
	for kind, of := range s.Schemas {
		if kind.GroupVersion().String() != groupVersion {
			continue
		}
		named := map[string]any{"x-kubernetes-group-version-kind": []any{map[string]any{"group": kind.Group, "version": kind.Version, "kind": kind.Kind}}}
		maps.Copy(named, of)
		schemas[kind.Group+"."+kind.Kind] = named
	}
	return map[string]any{"openapi": "3.0.0", "components": map[string]any{"schemas": schemas}}
}

func (s *Server) review(w http.ResponseWriter, r *http.Request) {
	var review authorizationv1.SubjectAccessReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		refuse(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error())
		return
	}
	review.Status.Allowed = s.Denied == nil || !s.Denied(review.Spec.User, review.Spec.ResourceAttributes)
	answer(w, review)
}

// object answers with an object, or with what a group serves.
func (s *Server) object(w http.ResponseWriter, path string) {
	if object, ok := s.Objects[path]; ok {
		answer(w, object)
		return
	}
	groupVersion := strings.TrimPrefix(path, "/apis/")
	list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}, GroupVersion: groupVersion}
	for _, kind := range s.Kinds {
		if kind.GroupVersion().String() == groupVersion {
			list.APIResources = append(list.APIResources, metav1.APIResource{Name: strings.ToLower(kind.Kind) + "s", Kind: kind.Kind})
		}
	}
	if len(list.APIResources) == 0 {
		refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, path+" not found")
		return
	}
	answer(w, list)
}

func refuse(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure,
		Code: int32(code), Reason: reason, Message: message,
	})
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}
