// Package ports finds TCP ports for programs that cannot tell which one they
// were given; see [Free].
package ports

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"syscall"
)

// The ports are below those that Linux gives to connections that go out
// (net.ipv4.ip_local_port_range begins at 32768), since one of those takes a port
// away between the time it was looked for and the time the program listens on
// it, and below those that Kubernetes gives to Services of type NodePort.
const (
	first = 20000
	count = 10000
)

var (
	mu    sync.Mutex
	given = map[int]bool{}
)

// Free returns a port of 127.0.0.1 that nobody listens on, and never the same
// one twice in a process.
func Free(ctx context.Context) (int, error) {
	mu.Lock()
	defer mu.Unlock()
	for _, n := range rand.Perm(count) {
		port := first + n
		if given[port] {
			continue
		}
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", Local(port))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("cannot find a free port: %w", err)
		}
		given[port] = true
		return port, l.Close()
	}
	return 0, errors.New("cannot find a free port: all are taken")
}

// Local is the address of a port of this machine.
func Local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
