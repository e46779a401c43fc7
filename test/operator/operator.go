package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Options of a stand-in.
type Options struct {
	// Namespace that it watches, and no other.
	Namespace string
	// Version of 3scale that it installs, "2.16.0" by default. An APIManager
	// whose annotation is more than one minor version older is left alone.
	Version string
	// OperatorVersion is "0.13.0" by default.
	OperatorVersion string
	// SystemImage runs in the pods of system-sidekiq.
	SystemImage string
	// Preflights is why they fail, such as the version of a database; they do not
	// if it is empty.
	Preflights string
}

// An Operator runs from Start to Stop.
type Operator struct {
	options Options
	client  client.Client
	cancel  context.CancelFunc
	ended   chan struct{}
	failed  error // Why it ended; read after ended is closed.

	mu  sync.Mutex
	err error
}

// Start starts a stand-in with the identity of the configuration, and returns
// when it runs. It watches APIManagers, Secrets, ConfigMaps, PVCs,
// Deployments and Routes of its namespace, and looks at nothing without an event.
func Start(ctx context.Context, c *rest.Config, o Options) (*Operator, error) {
	o.Version, o.OperatorVersion = cmp.Or(o.Version, "2.16.0"), cmp.Or(o.OperatorVersion, "0.13.0")
	log.SetLogger(logr.Discard()) // What it says is in Err and in the objects' status.
	every := true
	manager, err := ctrl.NewManager(c, ctrl.Options{
		Scheme:     scheme.Scheme,
		Logger:     logr.Discard(),
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Cache:      cache.Options{DefaultNamespaces: map[string]cache.Config{o.Namespace: {}}},
		Controller: config.Controller{SkipNameValidation: &every}, // A test process has one per namespace.
		Client:     client.Options{Cache: &client.CacheOptions{Unstructured: true}},
	})
	if err != nil {
		return nil, fmt.Errorf("cannot create manager of operator: %w", err)
	}
	s := &Operator{options: o, client: manager.GetClient(), ended: make(chan struct{})}
	if err := s.watch(manager); err != nil {
		return nil, fmt.Errorf("cannot watch for operator: %w", err)
	}
	// It runs until it is stopped, not until this returns.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	go func() {
		defer close(s.ended)
		s.failed = manager.Start(running)
	}()
	if !manager.GetCache().WaitForCacheSync(ctx) {
		return nil, errors.Join(errors.New("cannot start operator: what it watches cannot be read"), s.Stop())
	}
	return s, nil
}

// Stop ends it. The objects stay as they are.
func (s *Operator) Stop() error {
	s.cancel()
	<-s.ended
	if s.failed != nil {
		return fmt.Errorf("cannot run operator: %w", s.failed)
	}
	return nil
}

// Err is why the last look at the namespace failed; nil if it did not.
func (s *Operator) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// watch has each event lead to a look at the namespace's APIManagers.
func (s *Operator) watch(manager ctrl.Manager) error {
	apiManagers := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, _ client.Object) []reconcile.Request {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(apiManagerKind().GroupVersion().WithKind("APIManagerList"))
		if err := s.client.List(ctx, list, client.InNamespace(s.options.Namespace)); err != nil {
			return nil // The cache is being filled, and each of its objects is an event.
		}
		var requests []reconcile.Request
		for i := range list.Items {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
		return requests
	})
	route := &unstructured.Unstructured{}
	route.SetGroupVersionKind(routeKind())
	return ctrl.NewControllerManagedBy(manager).
		Named("operator-stand-in").
		For(newAPIManager()).
		Watches(&corev1.Secret{}, apiManagers).
		Watches(&corev1.ConfigMap{}, apiManagers).
		Watches(&corev1.PersistentVolumeClaim{}, apiManagers).
		Watches(&appsv1.Deployment{}, apiManagers).
		Watches(route, apiManagers).
		Complete(reconcile.Func(s.reconcile))
}

func (s *Operator) reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	apiManager := newAPIManager()
	if err := s.client.Get(ctx, request.NamespacedName, apiManager); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if apiManager.GetDeletionTimestamp() != nil {
		return reconcile.Result{}, nil
	}
	err := s.reconcileAPIManager(ctx, apiManager)
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
	return reconcile.Result{}, err
}

func apiManagerKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "apps.3scale.net", Version: "v1alpha1", Kind: "APIManager"}
}

func newAPIManager() *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(apiManagerKind())
	return object
}
