//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/gitserver"
	"threescale.dev/backup/test/operator"
	"threescale.dev/backup/test/peers"
	"threescale.dev/backup/test/porta"
	"threescale.dev/backup/test/threescale"
)

const (
	controllerNamespace = "threescale-backup"
	controllerAccount   = "threescale-backup"
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
	ctx, cancel := context.WithTimeout(ctx, cluster.StartTimeout)
	defer cancel()
	if err := shared.StartFlux(ctx, cluster.FluxOptions{}); err != nil {
		return err
	}
	if flux.git, err = gitserver.Start(filepath.Join(shared.Dir(), "git")); err != nil {
		return err
	}
	flux.binary = filepath.Join(shared.Dir(), "controller")
	if err := peers.Build(ctx, "./fn/cmd/controller", flux.binary); err != nil {
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
	kubeconfig, err := shared.AccountKubeconfig(ctx, controllerNamespace, controllerAccount)
	if err != nil {
		return err
	}
	return startControllerWith(kubeconfig, flags...)
}

// startControllerWith starts it with a kubeconfig of its account. As in its pod
// on OpenShift, its user is one that no passwd file knows, in group 0, and its
// home is what container runtimes then say, which it cannot write to.
func startControllerWith(kubeconfig string, flags ...string) error {
	if err := os.Chmod(kubeconfig, 0o640); err != nil {
		return err
	}
	user := []string{"--reuid=1000650000", "--regid=0", "--clear-groups", "--no-new-privs", "--pdeathsig=KILL"}
	command := []string{flux.binary, "--metrics-addr=0", "--health-addr=0", "--mover-image=" + image, "--allow-database-images=docker.io/local/*", "--log-level=debug"}
	var err error
	flux.controller, err = shared.StartProcess(cluster.ProcessOptions{
		Name: "restore-controller",
		Path: "setpriv",
		Args: slices.Concat(user, command, flags),
		Env:  []string{"KUBECONFIG=" + kubeconfig, "HOME=/", "USER="},
	})
	return err
}

// delivery is a Git repository of a tenant's, and what has Flux apply it.
type delivery struct {
	*tenant
	repository *gitserver.Repository
	identity   *age.X25519Identity
}

// newDelivery makes a repository and, in the tenant's namespace, the keys to it.
func (w *tenant) newDelivery() *delivery {
	w.t.Helper()
	d := w.newRepository()
	d.makeSecret("git", flux.git.BasicAuth())
	d.makeSecret("sops-age", map[string][]byte{"it.agekey": []byte(d.identity.String() + "\n")})
	return d
}

// newRepository makes a repository that holds a file of its own and .sops.yaml.
func (w *tenant) newRepository() *delivery {
	w.t.Helper()
	ctx := w.t.Context()
	identity, err := age.GenerateX25519Identity()
	require.NoError(w.t, err)
	d := &delivery{tenant: w, identity: identity}
	d.repository, err = flux.git.CreateRepository(ctx, w.namespace, branch, "")
	require.NoError(w.t, err)
	w.t.Cleanup(d.checkRepository)
	d.push(map[string][]byte{"README.md": []byte("Somebody else's.\n"), ".sops.yaml": rules(identity.Recipient().String())})
	return d
}

// rules is a .sops.yaml that encrypts Secrets for an age recipient.
func rules(recipient string) []byte {
	return fmt.Appendf(nil, "creation_rules:\n- encrypted_regex: ^(data|stringData)$\n  age: %s\n", recipient)
}

// push has the maintainer commit files.
func (d *delivery) push(files map[string][]byte) string {
	d.t.Helper()
	hash, err := d.repository.Push(d.t.Context(), gitserver.Change{Branch: branch, Message: "By the maintainer", Files: files})
	require.NoError(d.t, err)
	return hash
}

// checkRepository looks for plain text in everything that was ever pushed, and
// in what everybody may read of Flux' objects.
func (d *delivery) checkRepository() {
	content, err := d.repository.Objects(context.WithoutCancel(d.t.Context()))
	assert.NoError(d.t, err)
	assert.NotEmpty(d.t, content)
	assert.False(d.t, leaks(string(content)), "repository of %s holds a value of a Secret", d.namespace)
}

// deliver makes a repository, with the GitRepository and the Kustomization of
// an installation that is restored by dr.
func (w *tenant) deliver() *delivery {
	w.t.Helper()
	d := w.newDelivery()
	d.follow("1h")
	return d
}

// follow has Flux apply what dr restores.
func (d *delivery) follow(interval string) {
	d.t.Helper()
	d.create(fmt.Sprintf(`{apiVersion: source.toolkit.fluxcd.io/v1, kind: GitRepository, metadata: {name: apps}, spec: {interval: 1h, url: %q, ref: {branch: main}, secretRef: {name: git}}}`, d.repository.HTTP()))
	d.create(d.kustomization(interval))
}

// kustomization applies what dr restores.
func (d *delivery) kustomization(interval string) string {
	return `{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {name: apps}, spec: {interval: ` + interval + `, retryInterval: 5s, timeout: 2m, prune: true, path: ./apps/overlays/dr,
		sourceRef: {kind: GitRepository, name: apps}, decryption: {provider: sops, secretRef: {name: sops-age}}}}`
}

// dr is a restore of the last run of nightly, with more of a spec.
func dr(name, spec string) string {
	return fmt.Sprintf(`{apiVersion: backup.threescale.dev/v1alpha1, kind: ThreeScaleRestore, metadata: {name: %s}, spec: %s}`, name, merge(`{
		restoreSource: {backupRef: {name: nightly}}, sourceRef: {name: apps}, path: ./apps, retryInterval: 5s, timeout: 2m}`, spec))
}

// merge puts the fields of one flow mapping over those of another.
func merge(base, over string) string {
	var fields, changes map[string]any
	if err := yaml.Unmarshal([]byte(base), &fields); err != nil {
		panic(err)
	}
	if err := yaml.Unmarshal([]byte(over), &changes); err != nil {
		panic(err)
	}
	maps.Copy(fields, changes)
	out, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// withKustomization has a restore wait for Flux.
const withKustomization = `{kustomizationRef: {name: apps}}`

// ask applies a restore as the tenant.
func (w *tenant) ask(restore string) {
	w.t.Helper()
	require.NoError(w.t, w.apply(inNamespace(w.t, restore, w.namespace)))
}

func (w *tenant) makeSecret(name string, data map[string][]byte) {
	w.t.Helper()
	w.makeSecretIn(w.namespace, name, data)
}

func (w *tenant) makeSecretIn(namespace, name string, data map[string][]byte) {
	w.t.Helper()
	require.NoError(w.t, w.c.Client().Create(w.t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Data: data}))
}

// makeNamespace makes another namespace for a test, which goes with it.
func (w *tenant) makeNamespace(name string) {
	w.t.Helper()
	require.NoError(w.t, w.c.Client().Create(w.t.Context(), namespaceWith(name)))
	w.t.Cleanup(func() {
		_, err := w.c.Kubectl(context.WithoutCancel(w.t.Context()), "", "delete", "namespace", name, "--wait=false", "--ignore-not-found")
		assert.NoError(w.t, err)
	})
}

// create makes an object of YAML as the administrator.
func (w *tenant) create(text string) {
	w.t.Helper()
	require.NoError(w.t, w.c.ApplyYAML(w.t.Context(), []byte(inNamespace(w.t, text, w.namespace))))
}

// stage is what plays around the 3scale operators of all tests.
var stage struct {
	sync.Once
	*threescale.Stage
	err error
}

// withThreeScale starts it the first time.
func withThreeScale(t *testing.T) {
	t.Helper()
	stage.Do(func() { stage.Stage, stage.err = threescale.Start(context.WithoutCancel(t.Context()), shared) })
	require.NoError(t, stage.err)
}

// operate starts the 3scale operator for the namespace, whose installation uses
// the tenant's database, and returns what stops it.
func (w *tenant) operate() (stop func()) {
	w.t.Helper()
	w.relax()
	process, err := stage.Operate(context.WithoutCancel(w.t.Context()), w.namespace, w.database)
	require.NoError(w.t, err)
	return w.stopping(process.Stop)
}

// operateAsNewer starts the stand-in for a newer operator.
func (w *tenant) operateAsNewer(options operator.Options) (stop func()) {
	w.t.Helper()
	w.relax()
	stage.Porta.Use(w.namespace, w.database)
	options.Namespace, options.SystemImage = w.namespace, porta.SystemImage
	o, err := operator.Start(context.WithoutCancel(w.t.Context()), w.c.Config(), options)
	require.NoError(w.t, err)
	return w.stopping(o.Stop)
}

func (w *tenant) stopping(end func() error) (stop func()) {
	stop = sync.OnceFunc(func() { require.NoError(w.t, end()) })
	w.t.Cleanup(stop)
	return stop
}

// relax lets the operator's pods in: their templates do not meet Pod Security
// "restricted", which the namespace enforces until then.
func (w *tenant) relax() {
	w.t.Helper()
	withThreeScale(w.t)
	_, err := w.c.Kubectl(w.t.Context(), "", "label", "--overwrite", "namespace", w.namespace, "pod-security.kubernetes.io/enforce=baseline")
	require.NoError(w.t, err)
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
		if conditionType != "Stalled" && condition(got, "Stalled")["status"] == "True" && c["reason"] != reason {
			return fmt.Errorf("it is stalled: %v", condition(got, "Stalled"))
		}
		if c["status"] != conditionStatus || c["reason"] != reason {
			return fmt.Errorf("after %s: %v", time.Since(start).Round(time.Second), got.Object["status"])
		}
		return nil
	})
	return got
}

// untilRestoreSays waits for a text in the message of a restore that is not ready.
func (w *tenant) untilRestoreSays(name, text string) *unstructured.Unstructured {
	w.t.Helper()
	var got *unstructured.Unstructured
	w.eventually(fmt.Sprintf("restore %q to say %q", name, text), func(ctx context.Context) (err error) {
		if got, err = w.restoreOf(ctx, name); err != nil {
			return err
		}
		if condition(got, "Ready")["status"] == "True" || !strings.Contains(message(got, "Ready"), text) {
			return fmt.Errorf("status is %v", got.Object["status"])
		}
		return nil
	})
	return got
}

// splitYAML returns the documents of a text.
func splitYAML(text string) []string { return strings.Split(text, "\n---\n") }
