package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/runtime/acl"
	runtimeclient "github.com/fluxcd/pkg/runtime/client"
	helper "github.com/fluxcd/pkg/runtime/controller"
	"github.com/fluxcd/pkg/runtime/events"
	"github.com/fluxcd/pkg/runtime/jitter"
	"github.com/fluxcd/pkg/runtime/leaderelection"
	"github.com/fluxcd/pkg/runtime/logger"
	"github.com/fluxcd/pkg/runtime/metrics"
	"github.com/fluxcd/pkg/runtime/probes"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	flag "github.com/spf13/pflag"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/check"
	"threescale.dev/backup/fn/check/observe"
	"threescale.dev/backup/fn/cmd/internal/exit"
	"threescale.dev/backup/fn/cmd/internal/version"
	"threescale.dev/backup/fn/confine"
	"threescale.dev/backup/fn/controller"
	"threescale.dev/backup/fn/threescale"
)

// options are the flags.
type options struct {
	version                             bool
	metricsAddr, eventsAddr, healthAddr string
	image, defaultServiceAccount        string
	concurrent, children                int
	childMemory                         int64
	childTimeout, shutdown              time.Duration
	providerLogin, databaseImages       []string

	client   runtimeclient.Options
	logger   logger.Options
	elect    leaderelection.Options
	acl      acl.Options
	rate     helper.RateLimiterOptions
	watch    helper.WatchOptions
	interval jitter.IntervalOptions
}

func (o *options) bind(flags *flag.FlagSet) {
	flags.BoolVar(&o.version, "version", false, "Print the version and exit.")
	flags.StringVar(&o.metricsAddr, "metrics-addr", ":8080", "The address the metric endpoint binds to.")
	flags.StringVar(&o.eventsAddr, "events-addr", "", "The address of the events receiver.")
	flags.StringVar(&o.healthAddr, "health-addr", ":9440", "The address the health endpoint binds to.")
	flags.IntVar(&o.concurrent, "concurrent", 4, "The number of concurrent reconciles.")
	flags.DurationVar(&o.shutdown, "graceful-shutdown-timeout", 2*time.Minute, "How long a reconcile may take to end when the controller stops.")
	flags.IntVar(&o.children, "children", 2, "How many child processes may run at once, at most one for each namespace. They process what tenants control: Git, SOPS rules, templates, kustomize. Each may fetch 1 GiB: for more than 2, raise sizeLimit of the volume tmp and the limits of ephemeral-storage and memory.")
	flags.Int64Var(&o.childMemory, "child-memory", 112, "MiB of memory that each child process may use (see --children).")
	flags.DurationVar(&o.childTimeout, "child-timeout", 5*time.Minute, "How long each child process may take (see --children), whatever spec.timeout of a GitRepository says.")
	flags.StringArrayVar(&o.providerLogin, "provider-login", nil, "<namespace>=https://<host>/<path>: for GitRepositories of that namespace with spec.provider, the controller logs in below that URL by its own workload identity. May be repeated; by default it does so for none.")
	flags.StringVar(&o.image, "mover-image", os.Getenv("MOVER_IMAGE"), "The image that the Jobs of restores run: that of the function. By default the value of the environment variable MOVER_IMAGE.")
	flags.StringVar(&o.defaultServiceAccount, "default-service-account", "", "ServiceAccount that a restore acts as if its spec.serviceAccountName names none. By default the controller acts as itself.")
	flags.StringArrayVar(&o.databaseImages, "allow-database-images", nil, "Image that a restore may name in spec.databases if it acts as no ServiceAccount; a star at the end stands for anything. May be repeated; by default there is none.")
	o.client.BindFlags(flags)
	o.logger.BindFlags(flags)
	o.elect.BindFlags(flags)
	o.acl.BindFlags(flags)
	o.rate.BindFlags(flags)
	o.watch.BindFlags(flags)
	o.interval.BindFlags(flags)
}

// parse returns the flags; [flag.ErrHelp] after --help, for which stderr has been
// told of them.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("controller", flag.ContinueOnError)
	flags.SetOutput(stderr)
	o.bind(flags)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("there are only flags, and no argument %q: remove it", flags.Arg(0))
	}
	return o, nil
}

// serve does what the flags say: it reconciles until ctx ends.
func serve(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return exit.Usage(err)
	case o.version:
		_, err := fmt.Fprintln(stdout, version.String())
		return err
	case o.image == "":
		return exit.Usage(errors.New("--mover-image is needed: the image that holds the mover"))
	}
	return o.reconcile(ctx)
}

// reconcile runs the reconciler until ctx ends.
func (o *options) reconcile(ctx context.Context) error {
	identities, err := controller.ParseIdentities(o.providerLogin)
	if err != nil {
		return exit.Usage(err)
	}
	children, err := o.newChildren()
	if err != nil {
		return err
	}
	log := logger.NewLogger(o.logger)
	logger.SetLogger(log)
	if err := o.interval.SetGlobalJitter(nil); err != nil {
		return exit.Usage(err)
	}
	restConfig := runtimeclient.GetConfigOrDie(o.client)
	if err := startup(restConfig, log); err != nil {
		return err
	}
	mgr, err := o.manager(restConfig)
	if err != nil {
		return err
	}
	probes.SetupChecks(mgr, log)
	recorder, err := events.NewRecorder(log, o.eventsAddr, controller.ControllerName, events.WithManager(mgr))
	if err != nil {
		return fmt.Errorf("cannot send events to %q: %w", o.eventsAddr, err)
	}
	reconciler := &controller.Reconciler{
		Client:                 mgr.GetClient(),
		Metrics:                helper.NewMetrics(mgr, metrics.MustMakeRecorder()),
		AnnotatedEventRecorder: recorder,
		Config:                 restConfig,
		Image:                  o.image,
		DefaultServiceAccount:  o.defaultServiceAccount,
		DatabaseImages:         o.databaseImages,
		NoCrossNamespaceRefs:   o.acl.NoCrossNamespaceRefs,
		Children:               children,
		Identities:             identities,
		Now:                    time.Now,
		Pace:                   controller.NewPace(),
	}
	err = reconciler.SetupWithManager(ctx, mgr, controller.Options{Concurrency: o.concurrent, RateLimiter: helper.GetRateLimiter(o.rate)})
	if err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// newChildren are processes of this very program.
func (o *options) newChildren() (*controller.Children, error) {
	if o.children < 1 || o.childMemory < 32 || o.childTimeout < 10*time.Second {
		return nil, exit.Usage(errors.New("--children must be at least 1, --child-memory 32 and --child-timeout 10s"))
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find this program: %w", err)
	}
	if err := confine.Sweep(); err != nil {
		return nil, fmt.Errorf("cannot remove what former child processes have left: %w", err)
	}
	limits := confine.Limits{Memory: o.childMemory << 20, Time: o.childTimeout}
	return controller.NewChildren(confine.Program{self, childName}, limits, o.children), nil
}

// startup refuses to start where the controller could only wait: a manager whose
// kinds are not served says so of one after the other, minutes later.
func startup(config *rest.Config, log logr.Logger) error {
	observed, err := observe.Startup(config)
	if err != nil {
		return exit.With(job.ExitTemporary, err)
	}
	unread, err := check.Startup(observed)
	for _, finding := range unread {
		log.Info("Starting without a check", "check", finding.Check, "message", finding.Message)
	}
	if err != nil {
		return exit.With(job.ExitConfig, err)
	}
	return nil
}

// uncached are the kinds that are read as they are: what the controller itself
// has just made or removed must not seem otherwise, Secrets are not kept, and of
// what is watched only the metadata is.
func uncached() []client.Object {
	apiManager := &metav1.PartialObjectMetadata{}
	apiManager.SetGroupVersionKind(threescale.APIManagerGVK())
	return []client.Object{
		&corev1.Secret{}, &corev1.ConfigMap{}, &corev1.Namespace{}, &corev1.Pod{}, &corev1.ServiceAccount{},
		&corev1.PersistentVolume{}, &corev1.PersistentVolumeClaim{}, &batchv1.Job{}, &rbacv1.Role{}, &rbacv1.RoleBinding{},
		&v1alpha1.ThreeScaleRestore{}, &sourcev1.GitRepository{}, &kustomizev1.Kustomization{}, apiManager,
	}
}

// types are those of the objects that the controller reads and writes.
func types() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, sourcev1.AddToScheme, kustomizev1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("cannot register types: %w", err)
		}
	}
	return scheme, nil
}

// manager makes the manager.
func (o *options) manager(restConfig *rest.Config) (ctrl.Manager, error) {
	scheme, err := types()
	if err != nil {
		return nil, err
	}
	namespaces := map[string]cache.Config{}
	if !o.watch.AllNamespaces {
		namespaces[os.Getenv(helper.EnvRuntimeNamespace)] = cache.Config{}
	}
	selector, err := helper.GetWatchSelector(o.watch)
	if err != nil {
		return nil, exit.Usage(err)
	}
	cached, err := controller.CacheOptions(selector)
	if err != nil {
		return nil, fmt.Errorf("cannot select what is watched: %w", err)
	}
	cached.DefaultNamespaces = namespaces
	mgr, err := ctrl.NewManager(restConfig, ctrl.Options{
		Scheme:                        scheme,
		Metrics:                       metricsserver.Options{BindAddress: o.metricsAddr},
		HealthProbeBindAddress:        o.healthAddr,
		LeaderElection:                o.elect.Enable,
		LeaderElectionReleaseOnCancel: o.elect.ReleaseOnCancel,
		LeaseDuration:                 &o.elect.LeaseDuration,
		RenewDeadline:                 &o.elect.RenewDeadline,
		RetryPeriod:                   &o.elect.RetryPeriod,
		LeaderElectionID:              leaderelection.GenerateID(controller.ControllerName+"-leader-election", o.watch.LabelSelector),
		GracefulShutdownTimeout:       &o.shutdown,
		Controller:                    config.Controller{RecoverPanic: new(true)},
		Cache:                         cached,
		Client:                        client.Options{Cache: &client.CacheOptions{DisableFor: uncached()}},
	})
	if err != nil {
		return nil, fmt.Errorf("cannot start the controller: %w", err)
	}
	return mgr, nil
}
