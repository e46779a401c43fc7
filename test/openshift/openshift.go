package openshift

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// OpenShift runs from Start to Stop, for all namespaces.
type OpenShift struct {
	client client.Client
	// again has an object be looked at although nothing of it has changed.
	again  map[string]chan event.GenericEvent
	cancel context.CancelFunc
	ended  chan struct{}
	failed error // Why it ended; read after ended is closed.

	mu sync.Mutex
	// held are DeploymentConfigs that are kept unavailable.
	held map[types.NamespacedName]int
	// refused are the hosts that are not admitted, with their namespace.
	refused map[types.NamespacedName]int
}

// Start starts it with the rights of the configuration, and returns when it runs.
// The kinds have to be there: see cluster.InstallThreeScale.
func Start(ctx context.Context, c *rest.Config) (*OpenShift, error) {
	log.SetLogger(logr.Discard()) // What it does is in the objects' status.
	every := true
	manager, err := ctrl.NewManager(c, ctrl.Options{
		Scheme:     scheme.Scheme,
		Logger:     logr.Discard(),
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: &every},
		Client:     client.Options{Cache: &client.CacheOptions{Unstructured: true}},
	})
	if err != nil {
		return nil, fmt.Errorf("cannot create manager of OpenShift: %w", err)
	}
	o := &OpenShift{
		client:  manager.GetClient(),
		again:   map[string]chan event.GenericEvent{},
		ended:   make(chan struct{}),
		held:    map[types.NamespacedName]int{},
		refused: map[types.NamespacedName]int{},
	}
	if err := o.watch(manager); err != nil {
		return nil, fmt.Errorf("cannot watch for OpenShift: %w", err)
	}
	// It runs until it is stopped, not until this returns.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	o.cancel = cancel
	go func() {
		defer close(o.ended)
		o.failed = manager.Start(running)
	}()
	if !manager.GetCache().WaitForCacheSync(ctx) {
		return nil, errors.Join(errors.New("cannot start OpenShift: what it watches cannot be read"), o.Stop())
	}
	return o, nil
}

// Stop ends it. The objects stay as they are.
func (o *OpenShift) Stop() error {
	o.cancel()
	<-o.ended
	if o.failed != nil {
		return fmt.Errorf("cannot run OpenShift: %w", o.failed)
	}
	return nil
}

// Hold keeps a DeploymentConfig unavailable until the returned function is called.
func (o *OpenShift) Hold(ctx context.Context, namespace, name string) (release func(context.Context) error, err error) {
	key := types.NamespacedName{Namespace: namespace, Name: name}
	return o.change(ctx, o.held, key, deploymentConfigKind())
}

// Refuse has no router admit a host of a namespace until the returned function is
// called.
func (o *OpenShift) Refuse(ctx context.Context, namespace, host string) (admit func(context.Context) error, err error) {
	key := types.NamespacedName{Namespace: namespace, Name: host}
	return o.change(ctx, o.refused, key, routeKind())
}

// change counts an entry until it is undone, and has all objects of the kind in
// the namespace be looked at each time.
func (o *OpenShift) change(ctx context.Context, set map[types.NamespacedName]int, key types.NamespacedName, kind schema.GroupVersionKind) (func(context.Context) error, error) {
	count := func(ctx context.Context, by int) error {
		o.mu.Lock()
		set[key] += by
		o.mu.Unlock()
		return o.look(ctx, key.Namespace, kind)
	}
	return func(ctx context.Context) error { return count(ctx, -1) }, count(ctx, 1)
}

func (o *OpenShift) counts(set map[types.NamespacedName]int, namespace, name string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return set[types.NamespacedName{Namespace: namespace, Name: name}] > 0
}

func (o *OpenShift) look(ctx context.Context, namespace string, kind schema.GroupVersionKind) error {
	list := newList(kind)
	if err := o.client.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("cannot list %s: %w", kind.Kind, err)
	}
	for i := range list.Items {
		select {
		case o.again[kind.Kind] <- event.GenericEvent{Object: &list.Items[i]}:
		case <-ctx.Done():
			return fmt.Errorf("cannot look at %s again: %w", kind.Kind, ctx.Err())
		}
	}
	return nil
}

func (o *OpenShift) watch(manager ctrl.Manager) error {
	for kind, reconciler := range map[schema.GroupVersionKind]reconcile.Func{
		deploymentConfigKind(): o.reconcileDeploymentConfig,
		routeKind():            o.reconcileRoute,
	} {
		o.again[kind.Kind] = make(chan event.GenericEvent)
		builder := ctrl.NewControllerManagedBy(manager).
			Named("openshift-" + kind.Kind).
			For(newObject(kind)).
			WatchesRawSource(source.Channel(o.again[kind.Kind], &handler.EnqueueRequestForObject{}))
		if kind == deploymentConfigKind() {
			builder = builder.
				Owns(&corev1.ReplicationController{}).
				Watches(newObject(imageStreamKind()), handler.EnqueueRequestsFromMapFunc(o.allOfNamespace))
		}
		if err := builder.Complete(reconciler); err != nil {
			return err
		}
	}
	return nil
}

// allOfNamespace are the DeploymentConfigs that may use an ImageStream.
func (o *OpenShift) allOfNamespace(ctx context.Context, stream client.Object) []reconcile.Request {
	list := newList(deploymentConfigKind())
	if err := o.client.List(ctx, list, client.InNamespace(stream.GetNamespace())); err != nil {
		return nil // The cache is being filled, and each of its objects is an event.
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

func deploymentConfigKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "apps.openshift.io", Version: "v1", Kind: "DeploymentConfig"}
}

func imageStreamKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "image.openshift.io", Version: "v1", Kind: "ImageStream"}
}

func routeKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "route.openshift.io", Version: "v1", Kind: "Route"}
}

func newObject(kind schema.GroupVersionKind) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	return object
}

func newList(kind schema.GroupVersionKind) *unstructured.UnstructuredList {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	return list
}
