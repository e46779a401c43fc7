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
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// StartRegistry starts an OCI registry on this machine, in memory, and returns
// its address, such as 127.0.0.1:5000. Of a registry there nobody expects TLS:
// not Crossplane, not containerd, and not those who push. It goes with the
// cluster.
func (c *Cluster) StartRegistry(ctx context.Context) (string, error) {
	return c.serve(ctx, "127.0.0.1", registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)))
}

// Expose gives a server of this machine, such as http://127.0.0.1:8080, an
// address that pods can reach, too, and returns its URL. Each request passes
// through change, which may be nil. It goes with the cluster.
func (c *Cluster) Expose(ctx context.Context, target string, change func(*http.Request)) (string, error) {
	to, err := url.Parse(target)
	if err != nil {
		return "", fmt.Errorf("cannot expose server %q: %w", target, err)
	}
	address, err := c.serve(ctx, apiAddress, &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		if change != nil {
			change(r.Out)
		}
	}})
	return "http://" + address, err
}

// serve returns the address at which the handler is served until the end.
func (c *Cluster) serve(ctx context.Context, host string, handler http.Handler) (string, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "", fmt.Errorf("cannot listen on %q: %w", host, err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			c.options.Logf("server at %s ended: %v", listener.Addr(), err)
		}
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.servers = append(c.servers, server)
	return listener.Addr().String(), nil
}
