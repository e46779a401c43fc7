//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// StartRegistry starts an OCI registry on this machine, in memory, and returns
// its address, such as 127.0.0.1:5000. Of a registry there nobody expects TLS:
// not Crossplane, not containerd, and not those who push. It goes with the
// cluster.
func (c *Cluster) StartRegistry(ctx context.Context) (string, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("cannot listen for registry: %w", err)
	}
	server := &http.Server{
		Handler:           registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)),
		ReadHeaderTimeout: time.Minute,
	}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			c.options.Logf("registry ended: %v", err)
		}
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.servers = append(c.servers, server)
	return listener.Addr().String(), nil
}
