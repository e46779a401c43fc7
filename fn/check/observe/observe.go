// Package observe reads from a cluster what package check looks at. What it may not
// read becomes a finding there. It writes nothing.
package observe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/check"
	"threescale.dev/backup/manifests"
)

// Options name the accounts whose rights are checked.
type Options struct{ Crossplane, Controller check.Account }

// Each right is one request.
const (
	requestsPerSecond = 200
	requestsAtOnce    = 400
)

// Installation reads all that a check of an installation needs. An error means
// that there is no cluster to talk to.
func Installation(ctx context.Context, config *rest.Config, o Options) (check.Observed, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = requestsPerSecond, requestsAtOnce
	config.WarningHandler = rest.NoWarnings{} // of Crossplane's own deprecations
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return check.Observed{}, fmt.Errorf("cannot reach the cluster %q: %w", config.Host, err)
	}
	observed, err := Startup(config)
	if err != nil {
		return check.Observed{}, err
	}
	r := reader{client}
	observed.Crossplane = r.program(ctx, o.Crossplane, "crossplane", manifests.CrossplaneRole())
	observed.Controller = r.program(ctx, o.Controller, check.ControllerName, manifests.ControllerRole(), manifests.LeaderElectionRole())
	observed.XRDs = r.named(ctx, crossplane("compositeresourcedefinitions"), check.XRDNames())
	observed.Compositions = r.all(ctx, crossplane("compositions"))
	observed.Functions = r.all(ctx, schema.GroupVersionResource{Group: "pkg.crossplane.io", Version: "v1", Resource: "functions"})
	observed.BackupCRD = r.get(ctx, schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}, "", check.BackupCRD)
	return observed, nil
}

// Startup reads what the controller needs to start, which any account may read. An
// error means that there is no cluster to talk to.
func Startup(config *rest.Config) (check.Observed, error) {
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return check.Observed{}, fmt.Errorf("cannot reach the cluster %q: %w", config.Host, err)
	}
	version, err := client.ServerVersion()
	if reason := apierrors.ReasonForError(err); err != nil && reason != metav1.StatusReasonUnknown {
		return check.Observed{}, fmt.Errorf("cannot read the version of the cluster %q (%s): %w", config.Host, reason, err)
	}
	if err != nil {
		return check.Observed{}, fmt.Errorf("cannot reach the cluster %q: %w", config.Host, err)
	}
	return check.Observed{Version: version.GitVersion, Served: served(client), RestoreSchema: restoreSchema(client)}, nil
}

func crossplane(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apiextensions.crossplane.io", Version: "v1", Resource: resource}
}

// reader reads objects of any kind.
type reader struct{ client dynamic.Interface }

// get reads an object; nil when there is none, or none of its kind.
func (r reader) get(ctx context.Context, resource schema.GroupVersionResource, namespace, name string) check.Read[*unstructured.Unstructured] {
	object, err := r.client.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return check.Read[*unstructured.Unstructured]{}
	}
	if err != nil {
		return check.Read[*unstructured.Unstructured]{Err: fmt.Errorf("cannot read %s %q: %w", resource.Resource, name, err)}
	}
	return check.Read[*unstructured.Unstructured]{Value: object}
}

// named reads those objects of the given names that there are.
func (r reader) named(ctx context.Context, resource schema.GroupVersionResource, names []string) check.Read[map[string]*unstructured.Unstructured] {
	out := check.Read[map[string]*unstructured.Unstructured]{Value: map[string]*unstructured.Unstructured{}}
	for _, name := range names {
		found := r.get(ctx, resource, "", name)
		if found.Err != nil {
			return check.Read[map[string]*unstructured.Unstructured]{Err: found.Err}
		}
		if found.Value != nil {
			out.Value[name] = found.Value
		}
	}
	return out
}

// all reads all objects of a kind.
func (r reader) all(ctx context.Context, resource schema.GroupVersionResource) check.Read[map[string]*unstructured.Unstructured] {
	out := check.Read[map[string]*unstructured.Unstructured]{Value: map[string]*unstructured.Unstructured{}}
	list, err := r.client.Resource(resource).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return out
	}
	if err != nil {
		return check.Read[map[string]*unstructured.Unstructured]{Err: fmt.Errorf("cannot list %s: %w", resource.Resource, err)}
	}
	for i := range list.Items {
		out.Value[list.Items[i].GetName()] = &list.Items[i]
	}
	return out
}

// program reads a Deployment and its ServiceAccount, and asks which rights of the roles
// the account lacks.
func (r reader) program(ctx context.Context, account check.Account, deployment string, roles ...[]byte) check.Program {
	found := r.get(ctx, schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}, account.Namespace, account.Name)
	return check.Program{
		Account:    account,
		Exists:     check.Read[bool]{Value: found.Value != nil, Err: found.Err},
		Deployment: r.get(ctx, schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, account.Namespace, deployment),
		Missing:    r.missing(ctx, account, roles),
	}
}

// missing asks the API server for each right of the roles. A Role is for the
// namespace of the account.
func (r reader) missing(ctx context.Context, account check.Account, roles [][]byte) check.Read[[]check.Right] {
	var missing []check.Right
	for _, role := range roles {
		rights, err := check.Rights(role, account.Namespace)
		if err != nil {
			return check.Read[[]check.Right]{Err: err}
		}
		for _, right := range rights {
			allowed, err := r.allowed(ctx, account, right)
			if err != nil {
				return check.Read[[]check.Right]{Err: fmt.Errorf("cannot ask whether ServiceAccount %q may %s: %w", account, right, err)}
			}
			if !allowed {
				missing = append(missing, right)
			}
		}
	}
	return check.Read[[]check.Right]{Value: missing}
}

func (r reader) allowed(ctx context.Context, account check.Account, right check.Right) (bool, error) {
	review := authorizationv1.SubjectAccessReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SubjectAccessReview"},
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User:   "system:serviceaccount:" + account.Namespace + ":" + account.Name,
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + account.Namespace, "system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: right.Namespace, Verb: right.Verb, Group: right.Group, Version: "*", Resource: right.Resource, Subresource: right.Subresource,
			},
		},
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&review)
	if err != nil {
		return false, err
	}
	reviews := schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "subjectaccessreviews"}
	answer, err := r.client.Resource(reviews).Create(ctx, &unstructured.Unstructured{Object: fields}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	allowed, _, err := unstructured.NestedBool(answer.Object, "status", "allowed")
	return allowed, err
}

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
