//go:build linux

package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"threescale.dev/backup/test/cluster/ports"
)

// startAPI starts etcd and the API server, and returns when there is a client.
func (c *Cluster) startAPI(ctx context.Context) error {
	etcd, err := c.startEtcd(ctx)
	if err != nil {
		return err
	}
	if err := c.startAPIServer(ctx, etcd); err != nil {
		return err
	}
	return c.makeClient()
}

// startEtcd returns the URL of a new etcd. It need not survive a power cut, so
// it does not wait for the disk.
func (c *Cluster) startEtcd(ctx context.Context) (string, error) {
	clientPort, err := ports.Free(ctx)
	if err != nil {
		return "", err
	}
	peerPort, err := ports.Free(ctx)
	if err != nil {
		return "", err
	}
	url, peer := localURL(clientPort), localURL(peerPort)
	p, err := c.StartProcess(ProcessOptions{Name: "etcd", Path: c.binaries["etcd"], Args: []string{
		"--data-dir", c.path("etcd"),
		"--unsafe-no-fsync",
		"--listen-client-urls", url, "--advertise-client-urls", url,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer,
		"--log-level", "warn",
	}})
	if err != nil {
		return "", err
	}
	return url, p.Await(ctx, "etcd", func(ctx context.Context) error { return getOK(ctx, http.DefaultClient, url+"/health") })
}

func localURL(port int) string { return "http://127.0.0.1:" + strconv.Itoa(port) }

func (c *Cluster) startAPIServer(ctx context.Context, etcd string) error {
	p, err := c.StartProcess(ProcessOptions{Name: "kube-apiserver", Path: c.binaries["kube-apiserver"], Args: []string{
		"--etcd-servers", etcd,
		"--bind-address", apiAddress, "--secure-port", "443", "--advertise-address", apiAddress,
		"--tls-cert-file", c.path("tls", "apiserver.crt"), "--tls-private-key-file", c.path("tls", "apiserver.key"),
		"--service-cluster-ip-range", serviceRange,
		"--service-account-issuer", issuerURL,
		"--service-account-key-file", c.path("tls", "tokens.pub"),
		"--service-account-signing-key-file", c.path("tls", "tokens.key"),
		"--token-auth-file", c.path("tls", "tokens.csv"),
		"--authorization-mode", "Node,RBAC",
		// The second is on in OpenShift: who sets an owner reference that blocks
		// the owner's deletion needs a right on the owner's finalizers.
		"--enable-admission-plugins", "NodeRestriction,OwnerReferencesPermissionEnforcement",
		"--kubelet-client-certificate", c.path("tls", "kubelet-client.crt"),
		"--kubelet-client-key", c.path("tls", "kubelet-client.key"),
		"--kubelet-preferred-address-types", "InternalIP",
		"--allow-privileged",
	}})
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.authority.pem)
	httpClient := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	defer httpClient.CloseIdleConnections()
	return p.Await(ctx, "the API server", func(ctx context.Context) error { return getOK(ctx, httpClient, apiURL+"/readyz") })
}

// startControllers starts the controller manager, whose controllers run under
// ServiceAccounts of their own as in any real cluster. It waits for a thing
// that only they make.
func (c *Cluster) startControllers(ctx context.Context) error {
	port, err := ports.Free(ctx)
	if err != nil {
		return err
	}
	manager, err := c.startController("kube-controller-manager", port,
		"--service-account-private-key-file", c.path("tls", "tokens.key"),
		"--root-ca-file", c.path("tls", "ca.crt"),
		"--use-service-account-credentials",
		// A volume's binding is noticed by watching; this is how often it is
		// looked for besides, and what a test would otherwise wait for.
		"--pvclaimbinder-sync-period", "2s",
	)
	if err != nil {
		return err
	}
	return manager.Await(ctx, "the ServiceAccount of namespace default", func(ctx context.Context) error {
		return c.client.Get(ctx, types.NamespacedName{Namespace: "default", Name: "default"}, &corev1.ServiceAccount{})
	})
}

// startScheduler returns when the scheduler has seen all that it schedules by.
func (c *Cluster) startScheduler(ctx context.Context) error {
	port, err := ports.Free(ctx)
	if err != nil {
		return err
	}
	scheduler, err := c.startController("kube-scheduler", port)
	if err != nil {
		return err
	}
	health := "readyz"
	if os.Getenv(KubernetesVariable) != "" {
		health = "healthz" // 1.29 knows no other, and a pod waits until it has seen the rest.
	}
	// Its certificate is its own, and no secret passes.
	httpClient := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}}}
	defer httpClient.CloseIdleConnections()
	return scheduler.Await(ctx, "the scheduler", func(ctx context.Context) error {
		return getOK(ctx, httpClient, fmt.Sprintf("https://127.0.0.1:%d/%s", port, health))
	})
}

// startController starts a component that is a client of the API server. There
// is one of each, so it elects no leader.
func (c *Cluster) startController(name string, port int, args ...string) (*Process, error) {
	kubeconfig := c.path(name + ".kubeconfig")
	return c.StartProcess(ProcessOptions{Name: name, Path: c.binaries[name], Args: append([]string{
		"--kubeconfig", kubeconfig, "--authentication-kubeconfig", kubeconfig, "--authorization-kubeconfig", kubeconfig,
		"--leader-elect=false", "--bind-address", "127.0.0.1", "--secure-port", strconv.Itoa(port),
	}, args...)})
}

// getOK is nil when the URL answers with status 200.
func getOK(ctx context.Context, httpClient *http.Client, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("cannot get %q: %w", url, err)
	}
	response, err := httpClient.Do(request)
	if err != nil {
		return fmt.Errorf("cannot get %q: %w", url, err)
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return fmt.Errorf("cannot get %q: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("cannot get %q: status %s: %s", url, response.Status, body)
	}
	return nil
}
