//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/gitserver"
	"threescale.dev/backup/test/operator"
	"threescale.dev/backup/test/peers"
)

const (
	controllerNamespace = "threescale-backup"
	branch              = "main"
)

// flux is what all tests of restores share: Flux, a Git server, and the
// controller as a process with its own ServiceAccount and no other right.
var flux struct {
	sync.Once
	err        error
	git        *gitserver.Server
	controller *cluster.Process
	binary     string
}

// withFlux starts it the first time.
func withFlux(t *testing.T) {
	t.Helper()
	flux.Do(func() { flux.err = startFlux(context.WithoutCancel(t.Context())) })
	require.NoError(t, flux.err)
}

func startFlux(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := shared.StartFlux(ctx, cluster.FluxOptions{}); err != nil {
		return err
	}
	if flux.git, err = gitserver.Start(filepath.Join(shared.Dir(), "git")); err != nil {
		return err
	}
	flux.binary = filepath.Join(shared.Dir(), "threescale-backup")
	if err := peers.Build(ctx, "./fn/cmd/threescale-backup", flux.binary); err != nil {
		return err
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	for _, file := range []string{"crd/restore.yaml", "controller/namespace.yaml", "controller/serviceaccount.yaml", "controller/clusterrole.yaml", "controller/clusterrolebinding.yaml", "controller/leaderelection.yaml"} {
		if err := shared.Apply(ctx, filepath.Join(root, "manifests", file)); err != nil {
			return err
		}
	}
	return startController(ctx)
}

// startController starts the controller as its Deployment would.
func startController(ctx context.Context, flags ...string) error {
	kubeconfig, err := shared.AccountKubeconfig(ctx, controllerNamespace, "threescale-backup")
	if err != nil {
		return err
	}
	flux.controller, err = shared.StartProcess(cluster.ProcessOptions{
		Name: "restore-controller",
		Path: flux.binary,
		Args: append([]string{"controller", "--metrics-addr=0", "--health-addr=0", "--mover-image=" + image, "--log-level=debug"}, flags...),
		Env:  []string{"KUBECONFIG=" + kubeconfig},
	})
	return err
}

// delivery is a Git repository of a tenant's, and what has Flux apply it.
type delivery struct {
	*tenant
	repository *gitserver.Repository
	identity   *age.X25519Identity
}

// deliver makes a repository that holds a file of its own and .sops.yaml, with
// the GitRepository and the Kustomization of an installation that is restored by dr.
func (w *tenant) deliver() *delivery {
	w.t.Helper()
	ctx := w.t.Context()
	identity, err := age.GenerateX25519Identity()
	require.NoError(w.t, err)
	repository, err := flux.git.CreateRepository(ctx, w.namespace, branch, "")
	require.NoError(w.t, err)
	_, err = repository.Push(ctx, gitserver.Change{Branch: branch, Message: "Begin", Files: map[string][]byte{
		"README.md":  []byte("Somebody else's.\n"),
		".sops.yaml": fmt.Appendf(nil, "creation_rules:\n- encrypted_regex: ^(data|stringData)$\n  age: %s\n", identity.Recipient()),
	}})
	require.NoError(w.t, err)
	d := &delivery{tenant: w, repository: repository, identity: identity}
	d.makeSecret("git", flux.git.BasicAuth())
	d.makeSecret("sops-age", map[string][]byte{"it.agekey": []byte(identity.String() + "\n")})
	d.create(fmt.Sprintf(`{apiVersion: source.toolkit.fluxcd.io/v1, kind: GitRepository, metadata: {name: apps}, spec: {interval: 1h, url: %q, ref: {branch: main}, secretRef: {name: git}}}`, repository.HTTP()))
	d.create(`{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {name: apps}, spec: {interval: 1h, retryInterval: 5s, timeout: 2m, prune: true, path: ./apps/overlays/dr,
		sourceRef: {kind: GitRepository, name: apps}, decryption: {provider: sops, secretRef: {name: sops-age}},
		healthChecks: [{apiVersion: apps.3scale.net/v1alpha1, kind: APIManager, name: example, namespace: ` + w.namespace + `}],
		healthCheckExprs: [{apiVersion: apps.3scale.net/v1alpha1, kind: APIManager, current: "status.conditions.exists(c, c.type == 'Available' && c.status == 'True')"}]}}`)
	return d
}

func (w *tenant) makeSecret(name string, data map[string][]byte) {
	w.t.Helper()
	require.NoError(w.t, w.c.Client().Create(w.t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace}, Data: data}))
}

// create makes an object of YAML as the administrator.
func (w *tenant) create(text string) {
	w.t.Helper()
	require.NoError(w.t, w.c.ApplyYAML(w.t.Context(), []byte(inNamespace(w.t, text, w.namespace))))
}

// operate starts the stand-in of the 3scale operator.
func (w *tenant) operate() {
	w.t.Helper()
	o, err := operator.Start(context.WithoutCancel(w.t.Context()), w.c.Config(), operator.Options{Namespace: w.namespace})
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, o.Stop()) })
}

// restoreOf reads a restore.
func (w *tenant) restoreOf(ctx context.Context, name string) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("backup.threescale.dev/v1alpha1")
	u.SetKind("ThreeScaleRestore")
	return u, w.c.Client().Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: name}, u)
}

// untilRestore waits for a condition of a restore.
func (w *tenant) untilRestore(name, conditionType, conditionStatus, reason string) *unstructured.Unstructured {
	w.t.Helper()
	var got *unstructured.Unstructured
	start := time.Now()
	w.eventually(fmt.Sprintf("restore %q to have %s=%s %s", name, conditionType, conditionStatus, reason), func(ctx context.Context) (err error) {
		if got, err = w.restoreOf(ctx, name); err != nil {
			return err
		}
		c := condition(got, conditionType)
		if c["status"] != conditionStatus || c["reason"] != reason {
			return fmt.Errorf("after %s: %v", time.Since(start).Round(time.Second), got.Object["status"])
		}
		return nil
	})
	return got
}
