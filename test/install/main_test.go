//go:build e2e

// Package install walks through the README on a fresh cluster, as somebody does
// who has Crossplane and Flux and not yet us: each command of its sections is
// run as it stands there. Crossplane's own package manager installs the
// packages and runs the function, Flux applies manifests/, and all images are
// pulled from a registry.
package install

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"threescale.dev/backup/test/cluster"
)

const startTimeout = 40 * time.Minute // the peers are built the first time

// shared is the cluster that the tests of this package install the product on.
var shared *cluster.Cluster

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run returns an exit code, so that deferred calls run before the process ends.
func run(m *testing.M) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	started, err := start(ctx)
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

// start brings up what a user has before us: Kubernetes, Crossplane, Flux, and
// the 3scale operator's API.
func start(ctx context.Context) (*cluster.Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c, err := cluster.Start(ctx, cluster.Options{
		RunPackages: true,
		Logf:        func(format string, args ...any) { fmt.Printf(format+"\n", args...) },
	})
	if err != nil {
		return nil, err
	}
	return c, c.StartFlux(ctx, cluster.FluxOptions{})
}
