//go:build e2e

// Package e2e runs the product on a real cluster: real API server, kubelet and
// Crossplane under the RBAC that is shipped, claims applied by tenants with
// tokens of their own.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/peers"
)

const (
	functionPackage = "function-threescale-backup"
	image           = "docker.io/local/threescale-backup:e2e"
	startTimeout    = 40 * time.Minute // the peers are built the first time
)

// shared is the one cluster of all tests in this package.
var shared *cluster.Cluster

// functionBinary is the product: the function, and the mover in the image.
var functionBinary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

// run returns an exit code, so that deferred calls run before the process ends.
func run(m *testing.M) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	dir, err := os.MkdirTemp("", "threescale-backup-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot make a folder:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	started, err := start(ctx, dir)
	if started != nil {
		defer func() {
			if err := started.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, "cannot stop the cluster:", err)
			}
		}()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot start the cluster:", err)
		return 1
	}
	shared = started
	done := make(chan int, 1)
	go func() { done <- m.Run() }()
	select {
	case code := <-done:
		return code
	case <-ctx.Done():
		return 1
	}
}

// start brings up the cluster with the product installed as the README says.
func start(ctx context.Context, dir string) (*cluster.Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	functionBinary = filepath.Join(dir, "function")
	if err := peers.Build(ctx, "./fn/cmd/function", functionBinary); err != nil {
		return nil, err
	}
	c, err := cluster.Start(ctx, cluster.Options{Logf: func(format string, args ...any) { fmt.Printf(format+"\n", args...) }})
	if err != nil {
		return nil, err
	}
	return c, install(ctx, c, dir)
}

// install loads the image, applies manifests/claim, and starts the function.
func install(ctx context.Context, c *cluster.Cluster, dir string) error {
	if err := c.LoadImage(ctx, cluster.Image{Name: image, Binary: functionBinary, Entrypoint: []string{"/function"}, User: "65532:65532"}); err != nil {
		return err
	}
	operator, err := peers.ModuleDir(ctx, "threescale-operator")
	if err != nil {
		return err
	}
	if err := c.Apply(ctx, filepath.Join(operator, "config/crd/bases/apps.3scale.net_apimanagers.yaml")); err != nil {
		return err
	}
	if err := installFlavour(ctx, c, "claim"); err != nil {
		return err
	}
	return c.StartFunction(ctx, cluster.FunctionOptions{Package: functionPackage, Binary: functionBinary, Args: []string{"--metrics-address="}})
}
