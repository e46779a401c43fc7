//go:build linux

// Package cluster runs a whole real cluster on one Linux machine, from Go: etcd,
// kube-apiserver, kube-controller-manager, kube-scheduler, containerd, kubelet
// and Crossplane, with no container engine, no image registry and no network
// beyond this machine. Start with [Start]; Flux comes with [Cluster.StartFlux].
//
// What would hide a fault is not used: every component has its own identity and
// the rights that Kubernetes, Crossplane and Flux give it, pods really run, and
// volumes are real file systems. It needs root and a few packages of the
// distribution; [Preconditions] says which.
//
// One cluster runs on a machine at a time, since it needs the address
// 10.96.0.1; a second one waits. Nothing of it survives its harness: see
// package node, and [Cluster.Stop].
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/test/cluster/machine"
	"threescale.dev/backup/test/peers"
)

// Options of a cluster. The zero value is a whole one.
type Options struct {
	// WorkDir is the folder in which the cluster's own temporary folder is
	// made; by default that of the system. It has to be on a disk that
	// overlayfs can use, so not on one itself, and not below a folder that the
	// node has of its own, such as /run.
	WorkDir string
	// LogDir is where the components' logs go. By default they are in the
	// temporary folder, and go with it. It cannot be below /var/log, which the
	// node has of its own.
	LogDir string
	// Logf is told about progress. By default nobody is.
	Logf func(format string, args ...any)
	// WithoutNode leaves out containerd and kubelet: no pod runs.
	WithoutNode bool
	// WithoutCrossplane leaves out Crossplane.
	WithoutCrossplane bool
	// RunPackages has Crossplane itself run the functions that are installed as
	// packages, in pods, as it does by default elsewhere. Otherwise a function is
	// a process: see StartFunction.
	RunPackages bool
}

// A Cluster is running from Start to Stop.
type Cluster struct {
	options Options
	dir     string
	lock    *os.File
	janitor *janitor
	state   *machine.State
	spawner *spawner
	// binaries are the peers' programs by name.
	binaries map[string]string

	authority *authority
	tokens    map[string]string
	admin     *rest.Config
	client    client.Client

	mu          sync.Mutex
	processes   []*Process
	crossplane  *Process
	function    *function
	flux        *flux
	provisioner *provisioner
	servers     []*http.Server
	stopNames   context.CancelFunc
}

// Start starts a cluster and returns when it is ready to be used. First it
// cleans up after an earlier one that was killed.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	if err := Preconditions(); err != nil {
		return nil, err
	}
	if err := o.makeAbsolute(); err != nil {
		return nil, err
	}
	binaries, err := peerBinaries(ctx)
	if err != nil {
		return nil, err
	}
	lock, err := machine.Lock(ctx, o.Logf)
	if err != nil {
		return nil, err
	}
	c := &Cluster{options: o, lock: lock, binaries: binaries, spawner: newSpawner()}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Stop()) //nolint:contextcheck // Cleaning up is not cut short.
	}
	return c, nil
}

// Stop ends everything that Start and later calls started, and leaves nothing
// on the machine. It may be called twice. Without it, when the harness ends by
// an interrupt or a panic, the janitor does the same.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lock == nil {
		return nil
	}
	if c.provisioner != nil {
		c.provisioner.stop()
	}
	if c.stopNames != nil {
		c.stopNames()
	}
	var errs []error
	for _, server := range c.servers {
		errs = append(errs, server.Close())
	}
	// The last first: nobody loses what it depends on. Nothing that they would
	// write before they end is kept.
	for _, p := range slices.Backward(c.processes) {
		errs = append(errs, p.Kill())
	}
	c.spawner.close()
	if c.state != nil {
		errs = append(errs, c.state.Undo(context.Background()))
	}
	if c.janitor != nil {
		errs = append(errs, c.janitor.stop())
	}
	errs = append(errs, c.lock.Close())
	c.lock = nil
	return errors.Join(errs...)
}

// makeAbsolute makes the folders' paths absolute: children have other working
// folders.
func (o *Options) makeAbsolute() error {
	if o.WorkDir == "" {
		o.WorkDir = os.TempDir()
	}
	var err error
	if o.WorkDir, err = filepath.Abs(o.WorkDir); err != nil {
		return fmt.Errorf("cannot resolve work folder: %w", err)
	}
	if o.LogDir == "" {
		return nil
	}
	if o.LogDir, err = filepath.Abs(o.LogDir); err != nil {
		return fmt.Errorf("cannot resolve folder of logs: %w", err)
	}
	return nil
}

// KubernetesVariable names the minor of Kubernetes that the cluster runs, as in
// the names of the peers: "1.29". Without it, it is the newest.
const KubernetesVariable = "THREESCALE_BACKUP_KUBERNETES"

// peerBinaries builds what is not built yet.
func peerBinaries(ctx context.Context) (map[string]string, error) {
	suffix := ""
	if minor := os.Getenv(KubernetesVariable); minor != "" {
		suffix = "-" + minor
	}
	programs := map[string]string{}
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"} {
		programs[name] = name + suffix
	}
	for _, name := range []string{"etcd", "kubectl", "containerd", "containerd-shim-runc-v2", "ctr", "crossplane"} {
		programs[name] = name
	}
	for name, peer := range programs {
		path, err := peers.Binary(ctx, peer)
		if err != nil {
			return nil, err
		}
		programs[name] = path
	}
	return programs, nil
}

func (c *Cluster) start(ctx context.Context) error {
	start := time.Now()
	if err := c.prepare(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	if !c.options.WithoutNode {
		g.Go(func() error { return c.startNode(ctx) })
	}
	g.Go(func() error {
		if err := c.startAPI(ctx); err != nil {
			return err
		}
		c.options.Logf("API server is ready after %s", since(start))
		for _, step := range c.afterAPI() {
			g.Go(func() error { return step(ctx) })
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	c.options.Logf("cluster is ready after %s: KUBECONFIG=%s", since(start), c.Kubeconfig())
	return nil
}

// afterAPI lists what needs an API server and nothing else to begin.
func (c *Cluster) afterAPI() []func(context.Context) error {
	steps := []func(context.Context) error{c.startControllers, c.startScheduler, c.startStorage, c.applyAPIManagerCRD}
	if !c.options.WithoutNode {
		steps = append(steps, c.awaitNode)
	}
	if !c.options.WithoutCrossplane {
		steps = append(steps, c.installCrossplane)
	}
	return steps
}

// prepare cleans up after an earlier cluster and makes the folders and
// identities of this one.
func (c *Cluster) prepare(ctx context.Context) error {
	if err := c.cleanUpPrevious(ctx); err != nil {
		return err
	}
	var err error
	if c.janitor, err = startJanitor(ctx, c.lock); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(c.options.WorkDir, "threescale-backup-cluster-")
	if err != nil {
		return fmt.Errorf("cannot create work folder: %w", err)
	}
	// Mount points are compared with what the kernel says.
	if c.dir, err = filepath.EvalSymlinks(dir); err != nil {
		return fmt.Errorf("cannot resolve work folder %q: %w", dir, err)
	}
	if c.state, err = machine.New(c.dir); err != nil {
		return err
	}
	if err := visibleOnNode(c.dir, c.logDir(), c.binaries["kubelet"]); err != nil {
		return err
	}
	for _, dir := range []string{c.logDir(), c.path("tls"), c.volumeDir()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("cannot create folder %q: %w", dir, err)
		}
	}
	// MkdirTemp lets only the owner in; a pod's user has to reach its volume.
	if err := os.Chmod(c.dir, 0o711); err != nil {
		return fmt.Errorf("cannot open work folder %q: %w", c.dir, err)
	}
	if err := c.state.AddAddress(ctx); err != nil {
		return err
	}
	return c.makeIdentities()
}

// cleanUpPrevious does what an earlier harness and its janitor could not.
func (c *Cluster) cleanUpPrevious(ctx context.Context) error {
	previous, err := machine.Load()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c.options.Logf("cleaning up after an interrupted cluster in %s", previous.WorkDir)
	return previous.Undo(ctx)
}

// path returns a path in the cluster's folder.
func (c *Cluster) path(elements ...string) string {
	return filepath.Join(append([]string{c.dir}, elements...)...)
}

// logDir is where the components write their logs.
func (c *Cluster) logDir() string {
	if c.options.LogDir != "" {
		return c.options.LogDir
	}
	return c.path("logs")
}

func since(start time.Time) time.Duration { return time.Since(start).Round(100 * time.Millisecond) }
