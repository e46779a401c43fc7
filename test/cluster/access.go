//go:build linux

package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os/exec"
	"strings"

	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// apiURL is the API server as everybody reaches it, pods too.
const apiURL = "https://" + apiAddress + ":443"

// identity is a user of the control plane and the group that makes it one.
type identity struct{ user, group string }

// identities are the users that have a token from the start: the harness, which
// is the administrator, and the components, with the rights that Kubernetes'
// own roles give them. Whatever is under test has a ServiceAccount's token.
func identities() map[string]identity {
	return map[string]identity{
		"admin":                   {user: "admin", group: "system:masters"},
		"kube-controller-manager": {user: "system:kube-controller-manager"},
		"kube-scheduler":          {user: "system:kube-scheduler"},
		"kubelet":                 {user: "system:node:" + nodeName, group: "system:nodes"},
	}
}

// makeIdentities makes the certificate authority, the tokens and a kubeconfig
// for each component.
func (c *Cluster) makeIdentities() error {
	var err error
	if c.authority, err = newAuthority("threescale-backup-test"); err != nil {
		return err
	}
	server, err := c.authority.serve("kubernetes.default.svc", "kubernetes.default", "kubernetes", "localhost", apiAddress, "127.0.0.1")
	if err != nil {
		return err
	}
	kubeletClient, err := c.authority.identify("kube-apiserver-kubelet-client", "system:masters")
	if err != nil {
		return err
	}
	private, public, err := tokenKeys()
	if err != nil {
		return err
	}
	var tokens strings.Builder
	c.tokens = map[string]string{}
	for name, id := range identities() {
		c.tokens[name] = rand.Text()
		fmt.Fprintf(&tokens, "%s,%s,%s,%q\n", c.tokens[name], id.user, name, id.group)
		if err := c.writeKubeconfig(c.path(name+".kubeconfig"), c.tokens[name], ""); err != nil {
			return err
		}
	}
	if c.admin, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig()); err != nil {
		return fmt.Errorf("cannot read kubeconfig %q: %w", c.Kubeconfig(), err)
	}
	c.admin.QPS, c.admin.Burst = 500, 1000
	return writeFiles(map[string][]byte{
		c.path("tls", "ca.crt"):             c.authority.pem,
		c.path("tls", "apiserver.crt"):      server.cert,
		c.path("tls", "apiserver.key"):      server.key,
		c.path("tls", "kubelet-client.crt"): kubeletClient.cert,
		c.path("tls", "kubelet-client.key"): kubeletClient.key,
		c.path("tls", "tokens.key"):         private,
		c.path("tls", "tokens.pub"):         public,
		c.path("tls", "tokens.csv"):         []byte(tokens.String()),
	})
}

// writeKubeconfig writes a kubeconfig for a bearer token, in a namespace.
func (c *Cluster) writeKubeconfig(path, token, namespace string) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: apiURL, CertificateAuthorityData: c.authority.pem}
	config.AuthInfos["test"] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test", Namespace: namespace}
	config.CurrentContext = "test"
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("cannot write kubeconfig %q: %w", path, err)
	}
	return nil
}

// makeClient makes the administrator's client. It waits for nothing: kinds are
// looked up when they are first used.
func (c *Cluster) makeClient() error {
	config := c.Config()
	config.WarningHandler = rest.NoWarnings{} // The harness lists deprecated kinds, too.
	cl, err := client.New(config, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		return fmt.Errorf("cannot create client: %w", err)
	}
	c.client = cl
	return nil
}

// Kubeconfig is the path of the administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return c.path("admin.kubeconfig") }

// Config is the administrator's configuration; the caller may change it.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.admin) }

// Client is the administrator's client. It knows Kubernetes' own types; others
// are read as unstructured objects.
func (c *Cluster) Client() client.Client { return c.client }

// Dir is a folder for files that go with the cluster.
func (c *Cluster) Dir() string { return c.dir }

// Kubectl runs kubectl as a user would, with the given kubeconfig (empty: the
// administrator's), and returns what it prints.
func (c *Cluster) Kubectl(ctx context.Context, kubeconfig string, args ...string) (string, error) {
	return c.kubectl(ctx, kubeconfig, nil, args...)
}

// Apply applies files or folders server-side, as the administrator.
func (c *Cluster) Apply(ctx context.Context, files ...string) error {
	args := make([]string, 0, 3+2*len(files))
	args = append(args, "apply", "--server-side", "--force-conflicts")
	for _, file := range files {
		args = append(args, "-f", file)
	}
	_, err := c.kubectl(ctx, "", nil, args...)
	return err
}

// ApplyYAML applies the objects of a YAML stream server-side, as the
// administrator.
func (c *Cluster) ApplyYAML(ctx context.Context, stream []byte) error {
	_, err := c.kubectl(ctx, "", stream, "apply", "--server-side", "--force-conflicts", "-f", "-")
	return err
}

func (c *Cluster) kubectl(ctx context.Context, kubeconfig string, stdin []byte, args ...string) (string, error) {
	if kubeconfig == "" {
		kubeconfig = c.Kubeconfig()
	}
	cmd := exec.CommandContext(ctx, c.binaries["kubectl"], append([]string{"--kubeconfig", kubeconfig, "--cache-dir", c.path("kubectl-cache")}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("cannot run kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
