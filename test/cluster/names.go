//go:build linux

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// nameInterval is how often the names of Crossplane's Services are looked for.
const nameInterval = 500 * time.Millisecond

// serveNames gives core the names that a cluster's DNS would: those of the
// headless Services in its namespace, each with the addresses of its ready pods.
// They are in a file that core has in the place of /etc/hosts, so that no DNS
// server is needed; it is written over and never replaced, since it is mounted.
func (c *Cluster) serveNames(ctx context.Context) {
	written := []byte(nil)
	for {
		hosts, err := c.serviceHosts(ctx)
		if err == nil && !bytes.Equal(hosts, written) {
			if err = os.WriteFile(c.hostsFile(), hosts, 0o644); err == nil {
				written = hosts
			}
		}
		if err != nil && ctx.Err() == nil {
			c.options.Logf("cannot tell Crossplane the names of its Services: %v", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(nameInterval):
		}
	}
}

func (c *Cluster) hostsFile() string { return c.path("crossplane-hosts") }

// serviceHosts is the text of the file.
func (c *Cluster) serviceHosts(ctx context.Context) ([]byte, error) {
	var slicesOf discoveryv1.EndpointSliceList
	if err := c.client.List(ctx, &slicesOf, client.InNamespace(crossplaneNamespace)); err != nil {
		return nil, fmt.Errorf("cannot list EndpointSlices: %w", err)
	}
	lines := []string{"127.0.0.1 localhost\n"}
	for _, s := range slicesOf.Items {
		service := s.Labels[discoveryv1.LabelServiceName] + "." + s.Namespace
		for _, endpoint := range s.Endpoints {
			if endpoint.Conditions.Ready != nil && !*endpoint.Conditions.Ready {
				continue
			}
			for _, address := range endpoint.Addresses {
				lines = append(lines, fmt.Sprintf("%s %s %s.svc\n", address, service, service))
			}
		}
	}
	slices.Sort(lines)
	var out bytes.Buffer
	for _, line := range lines {
		out.WriteString(line)
	}
	return out.Bytes(), nil
}

// withNames has a program see these names, and no DNS server, in a mount
// namespace of its own.
func (c *Cluster) withNames(o ProcessOptions) (ProcessOptions, error) {
	for _, path := range []string{c.hostsFile(), c.path("resolv.conf")} {
		file, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return o, fmt.Errorf("cannot create file %q: %w", path, err)
		}
		if err := file.Close(); err != nil {
			return o, fmt.Errorf("cannot create file %q: %w", path, err)
		}
	}
	const script = `mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/resolv.conf && shift 2 && exec "$@"`
	o.Args = append([]string{"--mount", "--propagation", "private", "sh", "-c", script, "sh", c.hostsFile(), c.path("resolv.conf"), o.Path}, o.Args...)
	o.Path = "unshare"
	return o, nil
}
