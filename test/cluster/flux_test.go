//go:build e2e && linux

package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/cmd/sops/common"
	"github.com/getsops/sops/v3/cmd/sops/formats"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/version"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/gitserver"
)

// fluxWait is longer than wait: a commit goes through two controllers.
const fluxWait = 3 * time.Minute

// A delivery is a Git repository of its own and the objects that have Flux apply
// it to a namespace of its own.
type delivery struct {
	*cluster.Cluster
	namespace  string
	repository *gitserver.Repository
	identity   *age.X25519Identity
}

// TestFlux runs one cluster without pods for all that Flux and the Git server do
// for the other tests of the project.
func TestFlux(t *testing.T) {
	before := takeInventory(t)
	c, err := cluster.Start(t.Context(), cluster.Options{Logf: log.Printf, WithoutNode: true, WithoutCrossplane: true})
	require.NoError(t, err)
	stopped := false
	defer func() {
		if !stopped {
			require.NoError(t, c.Dump(t.Context(), filepath.Join(os.TempDir(), "threescale-backup-dump")))
			require.NoError(t, c.Stop())
		}
	}()
	require.ErrorContains(t, c.RestartFlux(t.Context()), "it was not started")
	require.NoError(t, c.StartFlux(t.Context(), cluster.FluxOptions{}))
	require.ErrorContains(t, c.StartFlux(t.Context(), cluster.FluxOptions{}), "started already")
	server, err := gitserver.Start(filepath.Join(c.Dir(), "git"))
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Stop()) }()

	cases := map[string]struct {
		reason string
		test   func(*testing.T, *cluster.Cluster, *gitserver.Server)
	}{
		"Protocols": {
			reason: "what is committed should be applied, decrypted, whatever the protocol",
			test:   testProtocols,
		},
		"Identity": {
			reason: "a Kustomization should apply with the rights of its ServiceAccount",
			test:   testIdentity,
		},
		"Restart": {
			reason: "a commit that is pushed while the controllers are dead should be applied later",
			test:   testRestart,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Log(tc.reason)
			tc.test(t, c, server)
		})
	}

	require.NoError(t, c.Stop())
	stopped = true
	requireInventory(t, before)
}

func testProtocols(t *testing.T, c *cluster.Cluster, server *gitserver.Server) {
	t.Helper()
	protocols := map[string]struct {
		url  func(*gitserver.Repository) string
		auth map[string][]byte
	}{
		"http":  {url: (*gitserver.Repository).HTTP, auth: server.BasicAuth()},
		"https": {url: (*gitserver.Repository).HTTPS, auth: server.TLSAuth()},
		"ssh":   {url: (*gitserver.Repository).SSH, auth: server.SSHAuth()},
	}
	for name, protocol := range protocols {
		d := newDelivery(t, c, server, name)
		secret := d.encrypt(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: committed}\nstringData: {password: swordfish}\n")
		require.NotContains(t, string(secret), "swordfish")
		hash := d.push(t, map[string]string{"configmap.yaml": configMap(name), "secret.yaml": string(secret)})
		d.gitRepository(t, protocol.url(d.repository), protocol.auth)
		d.kustomization(t, nil)
		d.awaitApplied(t, hash)
		got := &corev1.Secret{}
		require.NoError(t, c.Client().Get(t.Context(), client.ObjectKey{Namespace: name, Name: "committed"}, got))
		require.Equal(t, "swordfish", string(got.Data["password"]))
		require.Equal(t, name, d.committed(t))
	}
}

func testIdentity(t *testing.T, c *cluster.Cluster, server *gitserver.Server) {
	t.Helper()
	d := newDelivery(t, c, server, "identity")
	_, err := c.Tenant(t.Context(), d.namespace, "reconciler", []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"*"}},
	})
	require.NoError(t, err)
	hash := d.push(t, map[string]string{"configmap.yaml": configMap("first")})
	d.gitRepository(t, d.repository.HTTP(), server.BasicAuth())
	d.kustomization(t, map[string]any{"serviceAccountName": "reconciler"})
	d.awaitReady(t, "False", `configmaps "committed" is forbidden`)
	_, err = c.Tenant(t.Context(), d.namespace, "reconciler", []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"*"}},
	})
	require.NoError(t, err)
	d.awaitApplied(t, hash)
}

func testRestart(t *testing.T, c *cluster.Cluster, server *gitserver.Server) {
	t.Helper()
	d := newDelivery(t, c, server, "restart")
	d.gitRepository(t, d.repository.HTTP(), server.BasicAuth())
	d.kustomization(t, nil)
	d.awaitApplied(t, d.push(t, map[string]string{"configmap.yaml": configMap("first")}))

	require.NoError(t, c.SourceController().Kill())
	require.NoError(t, c.StopFlux())
	require.Nil(t, c.KustomizeController())
	hash := d.push(t, map[string]string{"configmap.yaml": configMap("second")})
	require.NoError(t, c.RestartFlux(t.Context()))
	d.awaitApplied(t, hash)
	require.Equal(t, "second", d.committed(t))
}

// newDelivery makes a namespace, a repository and a key of age.
func newDelivery(t *testing.T, c *cluster.Cluster, server *gitserver.Server, namespace string) delivery {
	t.Helper()
	create(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	repository, err := server.CreateRepository(t.Context(), namespace, "main", "")
	require.NoError(t, err)
	identity, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	create(t, c, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "sops-age"},
		StringData: map[string]string{"age.agekey": identity.String()},
	})
	return delivery{Cluster: c, namespace: namespace, repository: repository, identity: identity}
}

// push commits files to the folder that is applied, and asks Flux to look.
func (d delivery) push(t *testing.T, files map[string]string) string {
	t.Helper()
	change := gitserver.Change{Branch: "main", Message: "Deliver", Files: map[string][]byte{}}
	for name, content := range files {
		change.Files["apps/"+name] = []byte(content)
	}
	hash, err := d.repository.Push(t.Context(), change)
	require.NoError(t, err)
	_, err = d.Kubectl(t.Context(), "", "annotate", "--overwrite", "gitrepository", "-n", d.namespace, "--all", "reconcile.fluxcd.io/requestedAt="+hash)
	require.NoError(t, err)
	return hash
}

func (d delivery) gitRepository(t *testing.T, url string, auth map[string][]byte) {
	t.Helper()
	create(t, d.Cluster, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: d.namespace, Name: "git"}, Data: auth})
	create(t, d.Cluster, d.object("source.toolkit.fluxcd.io/v1", "GitRepository", map[string]any{
		"interval": "1h", "url": url, "secretRef": map[string]any{"name": "git"}, "ref": map[string]any{"branch": "main"},
	}))
}

// kustomization applies the folder; more is added to its specification.
func (d delivery) kustomization(t *testing.T, more map[string]any) {
	t.Helper()
	spec := map[string]any{
		"interval": "1h", "retryInterval": "2s", "timeout": "3m", "prune": true, "path": "./apps", "targetNamespace": d.namespace,
		"sourceRef":  map[string]any{"kind": "GitRepository", "name": "apps"},
		"decryption": map[string]any{"provider": "sops", "secretRef": map[string]any{"name": "sops-age"}},
	}
	maps.Copy(spec, more)
	create(t, d.Cluster, d.object("kustomize.toolkit.fluxcd.io/v1", "Kustomization", spec))
}

func (d delivery) object(apiVersion, kind string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"namespace": d.namespace, "name": "apps"}, "spec": spec,
	}}
}

// awaitApplied waits until the commit is applied and its objects are healthy.
func (d delivery) awaitApplied(t *testing.T, hash string) {
	t.Helper()
	d.awaitReady(t, "True", "Applied revision: main@sha1:"+hash)
}

// awaitReady waits until the Kustomization says so.
func (d delivery) awaitReady(t *testing.T, status, message string) {
	t.Helper()
	err := cluster.Eventually(t.Context(), fluxWait, "the Kustomization of "+d.namespace, func(ctx context.Context) error {
		ready, err := d.condition(ctx, d.object("kustomize.toolkit.fluxcd.io/v1", "Kustomization", nil), "Ready")
		if err != nil {
			return err
		}
		if ready["status"] == status && strings.Contains(fmt.Sprint(ready["message"]), message) {
			return nil
		}
		source, err := d.condition(ctx, d.object("source.toolkit.fluxcd.io/v1", "GitRepository", nil), "Ready")
		return errors.Join(fmt.Errorf("it is %v, its source %v", ready, source), err)
	})
	require.NoError(t, err)
}

// condition reads a condition of an object; nil if there is none.
func (d delivery) condition(ctx context.Context, object *unstructured.Unstructured, kind string) (map[string]any, error) {
	if err := d.Client().Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
		return nil, err
	}
	conditions, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, entry := range conditions {
		if condition := entry.(map[string]any); condition["type"] == kind {
			return condition, err
		}
	}
	return nil, err
}

// committed is the value in the ConfigMap that was applied.
func (d delivery) committed(t *testing.T) string {
	t.Helper()
	applied := &corev1.ConfigMap{}
	require.NoError(t, d.Client().Get(t.Context(), client.ObjectKey{Namespace: d.namespace, Name: "committed"}, applied))
	return applied.Data["value"]
}

func configMap(value string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: committed}\ndata: {value: " + value + "}\n"
}

// encrypt encrypts the values of a Secret for the key in the namespace.
func (d delivery) encrypt(t *testing.T, plain string) []byte {
	t.Helper()
	store := common.StoreForFormat(formats.Yaml, config.NewStoresConfig())
	branches, err := store.LoadPlainFile([]byte(plain))
	require.NoError(t, err)
	keys, err := sopsage.MasterKeysFromRecipients(d.identity.Recipient().String())
	require.NoError(t, err)
	var group sops.KeyGroup
	for _, key := range keys {
		group = append(group, key)
	}
	tree := sops.Tree{Branches: branches, Metadata: sops.Metadata{
		KeyGroups: []sops.KeyGroup{group}, EncryptedRegex: "^(data|stringData)$", MACOnlyEncrypted: true, Version: version.Version,
	}}
	dataKey, errs := tree.GenerateDataKey()
	assert.Empty(t, errs)
	require.NoError(t, common.EncryptTree(common.EncryptTreeOpts{DataKey: dataKey, Tree: &tree, Cipher: aes.NewCipher()}))
	encrypted, err := store.EmitEncryptedFile(tree)
	require.NoError(t, err)
	return encrypted
}
