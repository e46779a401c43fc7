package porta

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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

// The programs that have to do with Routes.
const (
	systemApp = "system-app"
	sidekiq   = "system-sidekiq"
	zync      = "zync"
	zyncQue   = "zync-que"
)

// Porta plays System and Zync in the namespaces that are given a Database.
type Porta struct {
	client client.Client
	// reader asks the API server: of these objects nothing is watched.
	reader client.Reader
	again  chan event.GenericEvent
	cancel context.CancelFunc
	ended  chan struct{}
	done   context.Context
	failed error // Why it ended; read after ended is closed.

	mu        sync.Mutex
	databases map[string]*Database
}

// Start starts it with the rights of the configuration, and returns when it runs.
func Start(ctx context.Context, c *rest.Config) (*Porta, error) {
	log.SetLogger(logr.Discard()) // What it does are Routes.
	every := true
	manager, err := ctrl.NewManager(c, ctrl.Options{
		Scheme:     scheme.Scheme,
		Logger:     logr.Discard(),
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: &every},
		Client:     client.Options{Cache: &client.CacheOptions{Unstructured: true}},
	})
	if err != nil {
		return nil, fmt.Errorf("cannot create manager of System and Zync: %w", err)
	}
	// It runs until it is stopped, not until this returns.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &Porta{
		client: manager.GetClient(), reader: manager.GetAPIReader(), again: make(chan event.GenericEvent),
		cancel: cancel, ended: make(chan struct{}), done: running, databases: map[string]*Database{},
	}
	if err := p.watch(manager); err != nil {
		cancel()
		return nil, fmt.Errorf("cannot watch for System and Zync: %w", err)
	}
	go func() {
		defer close(p.ended)
		p.failed = manager.Start(running)
	}()
	if !manager.GetCache().WaitForCacheSync(ctx) {
		return nil, errors.Join(errors.New("cannot start System and Zync: what they watch cannot be read"), p.Stop())
	}
	return p, nil
}

// Stop ends it. The Routes stay as they are.
func (p *Porta) Stop() error {
	p.cancel()
	<-p.ended
	if p.failed != nil {
		return fmt.Errorf("cannot run System and Zync: %w", p.failed)
	}
	return nil
}

// Use has the installation of a namespace use a Database, as the URLs in its
// Secrets say. Several may share one: a job is then done for each of them, where
// in truth one of their sidekiqs would take it, nobody knows which.
func (p *Porta) Use(namespace string, d *Database) {
	d.mu.Lock()
	if _, uses := d.namespaces[namespace]; !uses {
		d.namespaces[namespace] = false
	}
	d.changed, d.answers = p.look, func(ctx context.Context, namespace string) bool {
		return p.available(ctx, namespace, systemApp)
	}
	d.mu.Unlock()
	p.mu.Lock()
	p.databases[namespace] = d
	p.mu.Unlock()
	p.look([]string{namespace})
}

// look has installations be looked at although nothing of them has changed.
func (p *Porta) look(namespaces []string) {
	for _, namespace := range namespaces {
		object := &corev1.Namespace{}
		object.Namespace, object.Name = namespace, zync
		select {
		case p.again <- event.GenericEvent{Object: object}:
		case <-p.done.Done():
		}
	}
}

func (p *Porta) watch(manager ctrl.Manager) error {
	installation := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
		if !slices.Contains([]string{systemApp, sidekiq, zync, zyncQue}, object.GetName()) {
			return nil
		}
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: zync}}}
	})
	return ctrl.NewControllerManagedBy(manager).
		Named("porta").
		Watches(newObject(deploymentConfigKind()), installation).
		Watches(&appsv1.Deployment{}, installation).
		WatchesRawSource(source.Channel(p.again, &handler.EnqueueRequestForObject{})).
		Complete(reconcile.Func(p.reconcile))
}

// reconcile is one look at an installation.
func (p *Porta) reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	namespace := request.Namespace
	p.mu.Lock()
	d := p.databases[namespace]
	p.mu.Unlock()
	if d == nil {
		return reconcile.Result{}, nil
	}
	if err := p.seed(ctx, namespace, d); err != nil {
		return reconcile.Result{}, err
	}
	if !d.waits(namespace) {
		return reconcile.Result{}, nil
	}
	for _, name := range []string{sidekiq, zync, zyncQue} {
		if !p.available(ctx, namespace, name) {
			return reconcile.Result{}, nil // It is looked again when it is.
		}
	}
	if !d.take(namespace) {
		return reconcile.Result{}, nil
	}
	if err := p.makeRoutes(ctx, namespace, d); err != nil {
		d.putBack(namespace)
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, nil
}

// seed fills an empty database, as the hook before the rollout of system-app does
// (operator, component/system.go, "openshift:deploy"; porta, db/seeds.rb): the
// tenants have the domain of the environment, and the events of their creation
// have Zync make their Routes.
func (p *Porta) seed(ctx context.Context, namespace string, d *Database) error {
	if d.Domain() != "" || !p.available(ctx, namespace, systemApp) {
		return nil
	}
	environment, seed := &corev1.ConfigMap{}, &corev1.Secret{}
	if err := p.reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: "system-environment"}, environment); err != nil {
		return fmt.Errorf("cannot seed database of namespace %q: %w", namespace, err)
	}
	if err := p.reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: "system-seed"}, seed); err != nil {
		return fmt.Errorf("cannot seed database of namespace %q: %w", namespace, err)
	}
	if d.seed(environment.Data["THREESCALE_SUPERDOMAIN"], string(seed.Data["TENANT_NAME"]), string(seed.Data["MASTER_DOMAIN"])) {
		// Not from here: who reads what it writes is the caller.
		go d.enqueue()
	}
	return nil
}

// available reports whether a DeploymentConfig, or a Deployment of newer versions,
// is there and available.
func (p *Porta) available(ctx context.Context, namespace, name string) bool {
	object, err := p.workload(ctx, namespace, name)
	if err != nil {
		return false
	}
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(entry any) bool {
		condition, ok := entry.(map[string]any)
		return ok && condition["type"] == "Available" && condition["status"] == "True"
	})
}

func (p *Porta) workload(ctx context.Context, namespace, name string) (*unstructured.Unstructured, error) {
	key := types.NamespacedName{Namespace: namespace, Name: name}
	for _, kind := range []schema.GroupVersionKind{deploymentConfigKind(), appsv1.SchemeGroupVersion.WithKind("Deployment")} {
		object := newObject(kind)
		err := p.reader.Get(ctx, key, object)
		if err == nil {
			return object, nil
		}
		if !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("cannot get %s %q: %w", kind.Kind, name, err)
		}
	}
	return nil, fmt.Errorf("there is no DeploymentConfig and no Deployment %q", name)
}

func deploymentConfigKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "apps.openshift.io", Version: "v1", Kind: "DeploymentConfig"}
}

func newObject(kind schema.GroupVersionKind) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	return object
}
