// Package observe reads from a cluster what package check looks at. What it may not
// read becomes a finding there. It writes nothing.
package observe

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

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
func (r reader) get(ctx context.Context, resource schema.GroupVersionResource, namespace, name string) check.Read[check.Object] {
	object, err := r.client.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return check.Read[check.Object]{}
	}
	if err != nil {
		return check.Read[check.Object]{Err: fmt.Errorf("cannot read %s %q: %w", resource.Resource, name, err)}
	}
	return check.Read[check.Object]{Value: object}
}

// named reads those objects of the given names that there are.
func (r reader) named(ctx context.Context, resource schema.GroupVersionResource, names []string) check.Read[map[string]check.Object] {
	out := check.Read[map[string]check.Object]{Value: map[string]check.Object{}}
	for _, name := range names {
		found := r.get(ctx, resource, "", name)
		if found.Err != nil {
			return check.Read[map[string]check.Object]{Err: found.Err}
		}
		if found.Value != nil {
			out.Value[name] = found.Value
		}
	}
	return out
}

// all reads all objects of a kind.
func (r reader) all(ctx context.Context, resource schema.GroupVersionResource) check.Read[map[string]check.Object] {
	out := check.Read[map[string]check.Object]{Value: map[string]check.Object{}}
	list, err := r.client.Resource(resource).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return out
	}
	if err != nil {
		return check.Read[map[string]check.Object]{Err: fmt.Errorf("cannot list %s: %w", resource.Resource, err)}
	}
	for i := range list.Items {
		out.Value[list.Items[i].GetName()] = &list.Items[i]
	}
	return out
}
