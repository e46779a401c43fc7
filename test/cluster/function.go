//go:build linux

package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	grpcstatus "google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/test/cluster/ports"
)

// FunctionOptions describe a composition function that runs on this machine.
type FunctionOptions struct {
	// Package is the name by which a Composition refers to the function.
	Package string
	// Binary is the path of the program.
	Binary string
	// Args come before --tls-server-certs-dir and --address, which the harness
	// adds.
	Args []string
	// Env is added to the harness's own environment.
	Env []string
}

// A function is a running one.
type function struct {
	options FunctionOptions
	port    int
	process *Process
}

// StartFunction starts a composition function with a certificate that core
// trusts, and tells core where it is: a FunctionRevision made by hand stands
// for an installed package, paused so that core does not look for its image. It
// returns when the function answers. The other calls are about the function that
// was started last.
func (c *Cluster) StartFunction(ctx context.Context, o FunctionOptions) error {
	binary, err := filepath.Abs(o.Binary)
	if err != nil {
		return fmt.Errorf("cannot resolve path %q: %w", o.Binary, err)
	}
	o.Binary = binary
	port, err := ports.Free(ctx)
	if err != nil {
		return err
	}
	f := &function{options: o, port: port}
	if err := c.writeFunctionCertificate(ctx); err != nil {
		return err
	}
	if err := c.runFunction(ctx, f); err != nil {
		return err
	}
	return c.registerFunction(ctx, f)
}

// StopFunction stops the function. Core cannot reach it then.
func (c *Cluster) StopFunction() error {
	c.mu.Lock()
	f := c.function
	c.mu.Unlock()
	if f == nil {
		return nil
	}
	return f.process.Stop()
}

// RestartFunction stops the function and starts it again at the same address.
// A changed binary is the way to test an upgrade.
func (c *Cluster) RestartFunction(ctx context.Context) error {
	if err := c.StopFunction(); err != nil {
		return err
	}
	c.mu.Lock()
	f := c.function
	c.mu.Unlock()
	if f == nil {
		return errors.New("cannot restart function: none was started")
	}
	return c.runFunction(ctx, f)
}

// Function is the function's process, for a test that kills it; nil before
// StartFunction.
func (c *Cluster) Function() *Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.function == nil {
		return nil
	}
	return c.function.process
}

func (c *Cluster) functionCerts() string { return c.path("function-tls-server") }

// writeFunctionCertificate signs a server certificate with Crossplane's own
// root, as core does for a function that it runs itself.
func (c *Cluster) writeFunctionCertificate(ctx context.Context) error {
	const root = "crossplane-root-ca"
	var secret corev1.Secret
	if err := c.client.Get(ctx, types.NamespacedName{Namespace: crossplaneNamespace, Name: root}, &secret); err != nil {
		return fmt.Errorf("cannot get Secret %q: %w", root, err)
	}
	ca, err := parseAuthority(keyPair{cert: secret.Data[corev1.TLSCertKey], key: secret.Data[corev1.TLSPrivateKeyKey]})
	if err != nil {
		return err
	}
	pair, err := ca.serve("localhost", "127.0.0.1")
	if err != nil {
		return err
	}
	dir := c.functionCerts()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot create folder %q: %w", dir, err)
	}
	return writeFiles(map[string][]byte{
		filepath.Join(dir, "ca.crt"):  ca.pem,
		filepath.Join(dir, "tls.crt"): pair.cert,
		filepath.Join(dir, "tls.key"): pair.key,
	})
}

// runFunction starts the process and waits until it answers a call.
func (c *Cluster) runFunction(ctx context.Context, f *function) error {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(f.port))
	args := append([]string{}, f.options.Args...)
	p, err := c.StartProcess(ProcessOptions{
		Name: "function",
		Path: f.options.Binary,
		Args: append(args, "--tls-server-certs-dir", c.functionCerts(), "--address", address),
		Env:  f.options.Env,
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	f.process = p
	c.function = f
	c.mu.Unlock()
	return p.Await(ctx, "the function", func(ctx context.Context) error { return c.callFunction(ctx, address) })
}

// callFunction calls the function as core does, with core's certificate. Any
// answer will do, an error of the function's own too.
func (c *Cluster) callFunction(ctx context.Context, address string) error {
	certs := c.path("crossplane-tls-client")
	pair, err := tls.LoadX509KeyPair(filepath.Join(certs, "tls.crt"), filepath.Join(certs, "tls.key"))
	if err != nil {
		return fmt.Errorf("cannot load certificate of Crossplane: %w", err)
	}
	ca, err := os.ReadFile(filepath.Join(certs, "ca.crt"))
	if err != nil {
		return fmt.Errorf("cannot read root certificate of Crossplane: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	creds := credentials.NewTLS(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
	if err != nil {
		return fmt.Errorf("cannot dial function at %q: %w", address, err)
	}
	_, err = fnv1.NewFunctionRunnerServiceClient(conn).RunFunction(ctx, &fnv1.RunFunctionRequest{})
	if code := grpcstatus.Code(err); code == codes.Unavailable || code == codes.DeadlineExceeded || code == codes.Canceled {
		return errors.Join(fmt.Errorf("cannot call function at %q: %w", address, err), conn.Close())
	}
	return conn.Close()
}

// registerFunction makes or updates the FunctionRevision.
func (c *Cluster) registerFunction(ctx context.Context, f *function) error {
	revision := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "pkg.crossplane.io/v1",
		"kind":       "FunctionRevision",
		"metadata": map[string]any{
			"name":        f.options.Package + "-test",
			"labels":      map[string]any{"pkg.crossplane.io/package": f.options.Package},
			"annotations": map[string]any{"crossplane.io/paused": "true"},
		},
		"spec": map[string]any{
			"desiredState": "Active",
			"image":        "example.invalid/" + f.options.Package + ":test",
			"revision":     int64(1),
		},
	}}
	if err := c.client.Create(ctx, revision); client.IgnoreAlreadyExists(err) != nil {
		return fmt.Errorf("cannot create FunctionRevision %q: %w", revision.GetName(), err)
	}
	patch := fmt.Appendf(nil, `{"status":{"endpoint":"dns:///localhost:%d","capabilities":["composition","operation"]}}`, f.port)
	target := &unstructured.Unstructured{}
	target.SetGroupVersionKind(revision.GroupVersionKind())
	target.SetName(revision.GetName())
	if err := c.client.Status().Patch(ctx, target, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("cannot patch endpoint of FunctionRevision %q: %w", revision.GetName(), err)
	}
	return nil
}
