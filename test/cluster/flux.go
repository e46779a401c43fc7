//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"threescale.dev/backup/test/cluster/ports"
	"threescale.dev/backup/test/peers"
)

const (
	// FluxNamespace is where Flux's ServiceAccounts are.
	FluxNamespace = "flux-system"

	sourceController    = "source-controller"
	kustomizeController = "kustomize-controller"
)

// FluxOptions describe an installation of Flux. The zero value is Flux as it is
// shipped: kustomize-controller applies as cluster-admin, save where a
// Kustomization names a ServiceAccount.
type FluxOptions struct {
	// SourceArgs are added to those of source-controller.
	SourceArgs []string
	// KustomizeArgs are added to those of kustomize-controller; for instance
	// --default-service-account=default or --no-cross-namespace-refs=true, as
	// a cluster of many tenants has them.
	KustomizeArgs []string
}

// flux is an installed Flux.
type flux struct {
	options FluxOptions
	// binaries are the controllers' programs by name.
	binaries map[string]string
	// storage is the address at which source-controller serves artifacts. It
	// stays over a restart, as that of a Service does.
	storage           string
	source, kustomize *Process
}

// StartFlux installs Flux's source-controller and kustomize-controller with the
// ServiceAccounts, rights and CRDs that it ships, and returns when both are
// ready. They run on this machine and not in pods, so that they reach a Git
// server on 127.0.0.1 and a test can kill them; nobody else reaches them.
//
// Flux's own manifests bind kustomize-controller to cluster-admin, and say what
// else it may do: impersonate the ServiceAccount of a Kustomization's
// spec.serviceAccountName, which then needs the rights. source-controller has
// the ClusterRole crd-controller only: it reads Secrets, and owns Flux's kinds.
func (c *Cluster) StartFlux(ctx context.Context, o FluxOptions) error {
	if f := c.installedFlux(); f != nil {
		return errors.New("cannot start Flux: it was started already, restart it")
	}
	start := time.Now()
	binaries := map[string]string{}
	for _, name := range []string{sourceController, kustomizeController} {
		path, err := peers.Binary(ctx, name)
		if err != nil {
			return err
		}
		binaries[name] = path
	}
	if err := c.installFlux(ctx); err != nil {
		return err
	}
	port, err := ports.Free(ctx)
	if err != nil {
		return err
	}
	f := &flux{options: o, binaries: binaries, storage: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	c.mu.Lock()
	c.flux = f
	c.mu.Unlock()
	c.options.Logf("Flux is installed after %s", since(start))
	return c.runFlux(ctx, f)
}

// StopFlux stops both controllers. Their objects stay, and nobody reconciles
// them.
func (c *Cluster) StopFlux() error {
	source, kustomize := c.SourceController(), c.KustomizeController()
	c.setFluxProcesses(nil, nil)
	var errs []error
	for _, p := range []*Process{kustomize, source} {
		if p != nil {
			errs = append(errs, p.Stop())
		}
	}
	return errors.Join(errs...)
}

// RestartFlux stops both controllers and starts them again, with the same
// options and the artifacts that source-controller has kept.
func (c *Cluster) RestartFlux(ctx context.Context) error {
	f := c.installedFlux()
	if f == nil {
		return errors.New("cannot restart Flux: it was not started")
	}
	if err := c.StopFlux(); err != nil {
		return err
	}
	return c.runFlux(ctx, f)
}

// SourceController is its process, for a test that kills it; nil when stopped.
func (c *Cluster) SourceController() *Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flux == nil {
		return nil
	}
	return c.flux.source
}

// KustomizeController is its process, for a test that kills it; nil when
// stopped.
func (c *Cluster) KustomizeController() *Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flux == nil {
		return nil
	}
	return c.flux.kustomize
}

func (c *Cluster) installedFlux() *flux {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flux
}

func (c *Cluster) setFluxProcesses(source, kustomize *Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flux != nil {
		c.flux.source, c.flux.kustomize = source, kustomize
	}
}

// installFlux applies what `flux install` does for the two controllers, from
// the manifests in Flux's own modules, without the Deployments.
func (c *Cluster) installFlux(ctx context.Context) error {
	manifests, err := peers.ModuleDir(ctx, "flux")
	if err != nil {
		return err
	}
	manifests = filepath.Join(manifests, "manifests")
	if err := c.createNamespace(ctx, FluxNamespace); err != nil {
		return err
	}
	var crds []string
	for _, name := range []string{sourceController, kustomizeController} {
		dir, err := peers.ModuleDir(ctx, name)
		if err != nil {
			return err
		}
		files, err := filepath.Glob(filepath.Join(dir, "config", "crd", "bases", "*.yaml"))
		if err != nil {
			return fmt.Errorf("cannot list CRDs of %q: %w", name, err)
		}
		crds = append(crds, files...)
		account := filepath.Join(manifests, "bases", name, "account.yaml")
		if _, err := c.Kubectl(ctx, "", "apply", "--server-side", "-n", FluxNamespace, "-f", account); err != nil {
			return err
		}
		if err := c.accountKubeconfig(ctx, FluxNamespace, name); err != nil {
			return err
		}
	}
	rights := filepath.Join(manifests, "rbac")
	err = c.Apply(ctx, append(crds,
		filepath.Join(rights, "controller.yaml"), filepath.Join(rights, "reconciler.yaml"),
		filepath.Join(rights, "edit.yaml"), filepath.Join(rights, "view.yaml"))...)
	if err != nil {
		return err
	}
	// A controller ends when a kind that it watches is not served yet.
	args := []string{"wait", "--for=condition=Established", "--timeout=" + readyTimeout.String()}
	for _, crd := range crds {
		args = append(args, "-f", crd)
	}
	_, err = c.Kubectl(ctx, "", args...)
	return err
}

// runFlux starts both controllers, and waits until they are ready and artifacts
// are served.
func (c *Cluster) runFlux(ctx context.Context, f *flux) error {
	start := time.Now()
	data := c.path("flux-artifacts")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("cannot create folder %q: %w", data, err)
	}
	source, sourceHealth, err := c.startFluxController(ctx, f, sourceController, append([]string{
		"--storage-path=" + data, "--storage-addr=" + f.storage, "--storage-adv-addr=" + f.storage,
	}, f.options.SourceArgs...)...)
	if err != nil {
		return err
	}
	kustomize, kustomizeHealth, err := c.startFluxController(ctx, f, kustomizeController, append([]string{
		// What a dependency is looked for besides its events, and what a test
		// would otherwise wait for.
		"--requeue-dependency=2s",
	}, f.options.KustomizeArgs...)...)
	if err != nil {
		return errors.Join(err, source.Stop())
	}
	c.setFluxProcesses(source, kustomize)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := c.awaitFluxController(ctx, source, sourceHealth, start); err != nil {
			return err
		}
		return source.Await(ctx, "artifacts", func(ctx context.Context) error { return dial(ctx, f.storage) })
	})
	g.Go(func() error { return c.awaitFluxController(ctx, kustomize, kustomizeHealth, start) })
	return g.Wait()
}

// startFluxController returns the process and the URL of its health.
func (c *Cluster) startFluxController(ctx context.Context, f *flux, name string, args ...string) (*Process, string, error) {
	health, err := ports.Free(ctx)
	if err != nil {
		return nil, "", err
	}
	metrics, err := ports.Free(ctx)
	if err != nil {
		return nil, "", err
	}
	// Clones and builds are temporary, and go with the cluster.
	home := c.path(name)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, "", fmt.Errorf("cannot create folder %q: %w", home, err)
	}
	p, err := c.StartProcess(ProcessOptions{
		Name: name,
		Path: f.binaries[name],
		Args: append([]string{
			"--watch-all-namespaces", "--log-level=debug", "--events-addr=",
			"--health-addr=" + net.JoinHostPort("127.0.0.1", strconv.Itoa(health)),
			"--metrics-addr=" + net.JoinHostPort("127.0.0.1", strconv.Itoa(metrics)),
		}, args...),
		Env: []string{
			"KUBECONFIG=" + c.path(name+".kubeconfig"),
			"RUNTIME_NAMESPACE=" + FluxNamespace,
			"HOME=" + home,
			"TMPDIR=" + home,
		},
	})
	return p, localURL(health) + "/readyz", err
}

func (c *Cluster) awaitFluxController(ctx context.Context, p *Process, url string, start time.Time) error {
	err := p.Await(ctx, p.Name(), func(ctx context.Context) error { return getOK(ctx, http.DefaultClient, url) })
	if err != nil {
		return err
	}
	c.options.Logf("%s is ready after %s", p.Name(), since(start))
	return nil
}

// dial is nil when somebody listens at the address.
func dial(ctx context.Context, address string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("cannot dial %q: %w", address, err)
	}
	return conn.Close()
}
