//go:build linux

package cluster

import (
	"context"
	"fmt"
	"net"

	"threescale.dev/backup/test/cluster/machine"
)

const (
	// apiAddress is where the API server is, for this machine and for pods.
	apiAddress   = machine.Address
	serviceRange = "10.96.0.0/16"
	// podRange is not the 10.88.0.0/16 of podman, which developers may have.
	podRange = "10.97.0.0/24"
)

// freePort returns a TCP port of the loopback address that nobody listens on.
func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("cannot find a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // A TCP listener has a TCP address.
	if err := l.Close(); err != nil {
		return 0, fmt.Errorf("cannot free port %d: %w", port, err)
	}
	return port, nil
}
