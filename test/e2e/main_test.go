//go:build e2e

// Package e2e runs the product on a real cluster: real API server, kubelet and
// Crossplane under the RBAC that is shipped, claims applied by tenants with
// tokens of their own.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/gitserver"
	"threescale.dev/backup/test/peers"
)

const (
	functionPackage = "function-threescale-backup"
	image           = "docker.io/local/threescale-backup:e2e"
	// sideBySide is how many tests run at a time: mostly they wait.
	sideBySide = "6"
)

// shared is the one cluster of all tests in this package.
var shared *cluster.Cluster

// functionBinary is the function, which the image holds too.
var functionBinary string

// others are the tests that run side by side.
var others sync.WaitGroup

// onOldest are the tests that run on the oldest Kubernetes, too: what the API server has to know of CRDs, Jobs and rights.
func onOldest() []func(*testing.T) {
	return []func(*testing.T){
		TestClaimBecomesVerifiedBackup, TestJobThatFailsForGood, TestMoverMayWriteItsReportOnly,
		TestRefusedRestores, TestRestoreOfALostInstallation, TestRestoreAsAccount,
	}
}

func TestMain(m *testing.M) {
	if asked, err := gitserver.ServeAlone(); asked {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	flags := map[string]string{"test.parallel": sideBySide}
	if os.Getenv(cluster.KubernetesVariable) != "" {
		var names []string
		for _, test := range onOldest() {
			name := runtime.FuncForPC(reflect.ValueOf(test).Pointer()).Name()
			names = append(names, name[strings.LastIndex(name, ".")+1:])
		}
		flags["test.run"] = "^(" + strings.Join(names, "|") + ")$"
	}
	for name, value := range flags {
		if err := flag.Set(name, value); err != nil { // the command line's come after, and win
			fmt.Fprintf(os.Stderr, "cannot set -%s: %v\n", name, err)
			os.Exit(1)
		}
	}
	os.Exit(run(m))
}

// run returns an exit code, so that its folder is gone before the process ends.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "threescale-backup-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot make a folder:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	return cluster.RunTests(m, func(ctx context.Context) (*cluster.Cluster, error) { return start(ctx, dir) })
}

// parallel has a test run side by side with others that call it. Those that
// change what is not of one namespace do not; they run before.
func parallel(t *testing.T) {
	t.Helper()
	others.Add(1)
	t.Cleanup(others.Done)
	t.Parallel()
}

// last has a test run after all others.
func last(t *testing.T) {
	t.Helper()
	t.Parallel()
	others.Wait()
}

// start brings up the cluster with the product installed as the page says.
func start(ctx context.Context, dir string) (_ *cluster.Cluster, err error) {
	functionBinary = filepath.Join(dir, "function")
	if err := peers.Build(ctx, "./fn/cmd/function", functionBinary); err != nil {
		return nil, err
	}
	moverBinary := filepath.Join(dir, "mover")
	if err := peers.Build(ctx, "./fn/cmd/mover", moverBinary); err != nil {
		return nil, err
	}
	shared, err = cluster.Start(ctx, cluster.Options{Logf: func(format string, args ...any) { fmt.Printf(format+"\n", args...) }})
	if err != nil {
		return nil, err
	}
	return shared, install(ctx, shared, map[string]string{"/function": functionBinary, job.MoverPath: moverBinary})
}

// install loads the image, applies manifests/claim, and starts the function.
func install(ctx context.Context, c *cluster.Cluster, binaries map[string]string) error {
	if err := c.LoadImage(ctx, cluster.Image{Name: image, Binaries: binaries, Entrypoint: []string{"/function"}, User: "65532:65532"}); err != nil {
		return err
	}
	if err := c.InstallThreeScale(ctx); err != nil {
		return err
	}
	if err := installFlavour(ctx, c, claimFlavour); err != nil {
		return err
	}
	return c.StartFunction(ctx, cluster.FunctionOptions{Package: functionPackage, Binary: functionBinary, Args: []string{"--metrics-address="}})
}
