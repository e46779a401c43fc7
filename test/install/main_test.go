//go:build e2e

// Package install walks through the documents on a fresh cluster, as somebody does
// who has Crossplane and Flux and not yet us: each shell block of their pages is
// run as it stands there. Crossplane's own package manager installs the
// packages and runs the function, Flux applies manifests/, and all images are
// pulled from a registry.
package install

import (
	"context"
	"fmt"
	"os"
	"testing"

	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/threescale"
)

// shared is the cluster that the tests of this package install the product on.
var shared *cluster.Cluster

// stage is what plays around the 3scale operator.
var stage *threescale.Stage

func TestMain(m *testing.M) {
	code := cluster.RunTests(m, start)
	if shared != nil { // another one than that which RunTests started and has stopped
		if err := shared.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "cannot stop the cluster:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// start brings up what a user has before us: Kubernetes, Crossplane, Flux, and
// what the 3scale operator runs with.
func start(ctx context.Context) (_ *cluster.Cluster, err error) {
	shared, err = cluster.Start(ctx, cluster.Options{
		RunPackages: true,
		Logf:        func(format string, args ...any) { fmt.Printf(format+"\n", args...) },
	})
	if err != nil {
		return nil, err
	}
	if stage, err = threescale.Start(ctx, shared); err != nil {
		return shared, err
	}
	return shared, shared.StartFlux(ctx, cluster.FluxOptions{})
}
