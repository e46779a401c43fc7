//go:build linux

package cluster

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// StartTimeout is how long a cluster and what a package installs on it may take:
// the peers are built the first time.
const StartTimeout = 40 * time.Minute

// RunTests runs the tests of a package, which are a *testing.M, on a cluster of
// its own: start brings it up, and it is stopped when the tests have ended or
// the process is told to end. The result is the process' exit code.
func RunTests(tests interface{ Run() int }, start func(context.Context) (*Cluster, error)) int {
	log.SetLogger(logr.Discard()) // without one, clients of the tests print a stack
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	starting, cancel := context.WithTimeout(ctx, StartTimeout)
	defer cancel()
	started, err := start(starting)
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
	done := make(chan int, 1)
	go func() { done <- tests.Run() }()
	select {
	case code := <-done:
		return code
	case <-ctx.Done():
		return 1
	}
}
