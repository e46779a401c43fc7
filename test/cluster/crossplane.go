//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/test/cluster/ports"
	"threescale.dev/backup/test/peers"
)

const (
	crossplaneNamespace = "crossplane-system"
	crossplaneVersion   = "v2.4.0"
	// crossplaneAccount is both the ServiceAccount and the ClusterRole of core.
	crossplaneAccount = "crossplane"
	rbacAccount       = "rbac-manager"
)

// installCrossplane does what its Helm chart does, save that core runs on this
// machine and not in a pod, so that it reaches a function on 127.0.0.1 and a
// test can kill it. Core has the token of its own ServiceAccount, bound to the
// aggregated ClusterRole of the chart; what it may do with composed resources
// is up to the ClusterRole that we ship. Webhooks are off: they need a Service
// that routes to this process.
func (c *Cluster) installCrossplane(ctx context.Context) error {
	dir, err := peers.ModuleDir(ctx, "crossplane")
	if err != nil {
		return err
	}
	chart := chart{dir: filepath.Join(dir, "cluster", "charts", "crossplane"), version: crossplaneVersion, namespace: crossplaneNamespace}
	objects, err := chart.render(
		"serviceaccount.yaml", "clusterrole.yaml", "clusterrolebinding.yaml", "secret.yaml",
		"rbac-manager-serviceaccount.yaml", "rbac-manager-clusterrole.yaml", "rbac-manager-clusterrolebinding.yaml",
		"rbac-manager-managed-clusterroles.yaml", "rbac-manager-allowed-provider-permissions.yaml",
	)
	if err != nil {
		return err
	}
	if err := c.createNamespace(ctx, crossplaneNamespace); err != nil {
		return err
	}
	if err := c.ApplyYAML(ctx, objects); err != nil {
		return err
	}
	// core init applies the CRDs itself, but then has to be tried again until
	// they are served. This uses the time that aggregation takes.
	if err := c.Apply(ctx, filepath.Join(dir, "cluster", "crds")); err != nil {
		return err
	}
	if err := c.awaitAggregation(ctx); err != nil {
		return err
	}
	for _, account := range []string{crossplaneAccount, rbacAccount} {
		if err := c.accountKubeconfig(ctx, crossplaneNamespace, account); err != nil {
			return err
		}
	}
	if err := c.initCrossplane(ctx, dir); err != nil {
		return err
	}
	if err := c.startRBACManager(); err != nil {
		return err
	}
	if c.options.RunPackages {
		names, stop := context.WithCancel(context.WithoutCancel(ctx))
		c.mu.Lock()
		c.stopNames = stop
		c.mu.Unlock()
		go c.serveNames(names)
	}
	return c.StartCrossplane(ctx)
}

func (c *Cluster) createNamespace(ctx context.Context, name string) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := c.client.Create(ctx, namespace); client.IgnoreAlreadyExists(err) != nil {
		return fmt.Errorf("cannot create namespace %q: %w", name, err)
	}
	return nil
}

// awaitAggregation waits until core's ClusterRole has the rules that Kubernetes
// aggregates into it.
func (c *Cluster) awaitAggregation(ctx context.Context) error {
	return Eventually(ctx, readyTimeout, "the rules of Crossplane's ClusterRole", func(ctx context.Context) error {
		var role rbacv1.ClusterRole
		if err := c.client.Get(ctx, types.NamespacedName{Name: crossplaneAccount}, &role); err != nil {
			return fmt.Errorf("cannot get ClusterRole %q: %w", crossplaneAccount, err)
		}
		if len(role.Rules) == 0 {
			return errors.New("nothing is aggregated yet")
		}
		return nil
	})
}

// initCrossplane runs core's init container: CRDs, certificates and the objects
// that core expects. It stops when one of its CRDs is not served yet; its pod
// would be restarted, and so is it here.
func (c *Cluster) initCrossplane(ctx context.Context, moduleDir string) error {
	return Eventually(ctx, readyTimeout, "crossplane core init", func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, c.binaries["crossplane"], "core", "init", "--activation", "*")
		cmd.Env = append(os.Environ(), append(c.crossplaneEnv(crossplaneAccount), "CRDS_PATH="+filepath.Join(moduleDir, "cluster", "crds"))...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("cannot run crossplane core init: %w: %s", err, strings.TrimSpace(string(out)))
		}
		return nil
	})
}

// crossplaneEnv is the environment that the chart gives both its containers.
func (c *Cluster) crossplaneEnv(account string) []string {
	return []string{
		"KUBECONFIG=" + c.path(account+".kubeconfig"),
		"POD_NAMESPACE=" + crossplaneNamespace,
		"POD_SERVICE_ACCOUNT=" + account,
		"ENABLE_WEBHOOKS=false",
		"TLS_CA_SECRET_NAME=crossplane-root-ca",
		"TLS_SERVER_SECRET_NAME=crossplane-tls-server",
		"TLS_CLIENT_SECRET_NAME=crossplane-tls-client",
	}
}

// startRBACManager starts the program that grants core the rights to each XR
// and claim that an XRD defines.
func (c *Cluster) startRBACManager() error {
	_, err := c.StartProcess(ProcessOptions{
		Name: "crossplane-rbac-manager",
		Path: c.binaries["crossplane"],
		Args: []string{"--debug", "rbac", "start", "--provider-clusterrole=crossplane:allowed-provider-permissions"},
		Env:  []string{"KUBECONFIG=" + c.path(rbacAccount+".kubeconfig")},
	})
	return err
}

// StartCrossplane starts core, and returns when it is ready. Start has done it
// already.
func (c *Cluster) StartCrossplane(ctx context.Context) error {
	certs := c.path("crossplane-tls-client")
	if err := c.writeSecret(ctx, "crossplane-tls-client", certs); err != nil {
		return err
	}
	probe, err := ports.Free(ctx)
	if err != nil {
		return err
	}
	metrics, err := ports.Free(ctx)
	if err != nil {
		return err
	}
	// A volume of the chart; core does not make it.
	if err := os.MkdirAll(c.path("crossplane-cache"), 0o700); err != nil {
		return fmt.Errorf("cannot create folder of packages: %w", err)
	}
	o := ProcessOptions{
		Name: "crossplane",
		Path: c.binaries["crossplane"],
		Args: []string{"--debug", "core", "start"},
		Env: append(c.crossplaneEnv(crossplaneAccount),
			"PACKAGE_RUNTIME="+c.packageRuntime(),
			"TLS_CLIENT_CERTS_DIR="+certs,
			"XPKG_CACHE_DIR="+c.path("crossplane-cache"),
			"HEALTH_PROBE_PORT="+strconv.Itoa(probe),
			"METRICS_PORT="+strconv.Itoa(metrics),
		),
	}
	if c.options.RunPackages {
		if o, err = c.withNames(o); err != nil {
			return err
		}
	}
	p, err := c.StartProcess(o)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.crossplane = p
	c.mu.Unlock()
	return p.Await(ctx, "Crossplane", func(ctx context.Context) error {
		return getOK(ctx, http.DefaultClient, localURL(probe)+"/readyz")
	})
}

// packageRuntime says who runs the functions that are installed as packages.
func (c *Cluster) packageRuntime() string {
	if c.options.RunPackages {
		return "Deployment"
	}
	return "External"
}

// StopCrossplane stops core. Its objects stay, and nobody reconciles them.
func (c *Cluster) StopCrossplane() error {
	c.mu.Lock()
	p := c.crossplane
	c.crossplane = nil
	c.mu.Unlock()
	if p == nil {
		return nil
	}
	return p.Stop()
}

// RestartCrossplane stops core and starts it again.
func (c *Cluster) RestartCrossplane(ctx context.Context) error {
	if err := c.StopCrossplane(); err != nil {
		return err
	}
	return c.StartCrossplane(ctx)
}

// Crossplane is core's process, for a test that kills it; nil when stopped.
func (c *Cluster) Crossplane() *Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.crossplane
}

// writeSecret writes the values of one of Crossplane's Secrets as files, as a
// volume would.
func (c *Cluster) writeSecret(ctx context.Context, name, dir string) error {
	var secret corev1.Secret
	if err := c.client.Get(ctx, types.NamespacedName{Namespace: crossplaneNamespace, Name: name}, &secret); err != nil {
		return fmt.Errorf("cannot get Secret %q: %w", name, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot create folder %q: %w", dir, err)
	}
	files := map[string][]byte{}
	for key, value := range secret.Data {
		files[filepath.Join(dir, key)] = value
	}
	return writeFiles(files)
}

// applyAPIManagerCRD applies the CRD of the 3scale operator, from its module.
func (c *Cluster) applyAPIManagerCRD(ctx context.Context) error {
	dir, err := peers.ModuleDir(ctx, "threescale-operator")
	if err != nil {
		return err
	}
	return c.Apply(ctx, filepath.Join(dir, "config", "crd", "bases", "apps.3scale.net_apimanagers.yaml"))
}
