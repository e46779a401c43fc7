//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/dataset"
	"threescale.dev/backup/test/porta"
)

const (
	// patience bounds every wait of these tests.
	patience = 3 * time.Minute
	// dumpVariable names the folder in which a failed test leaves the state of
	// the cluster.
	dumpVariable = "THREESCALE_BACKUP_E2E_DUMP"

	maxNamespace = 50
)

// tenant is a namespace with a 3scale installation, and somebody who may apply
// claims in it and read what is his, and no more.
type tenant struct {
	t         *testing.T
	c         *cluster.Cluster
	namespace string
	account   *cluster.Tenant
	// user is the account's client.
	user client.Client
	// files is the directory behind the file storage.
	files string
	// flavour is the one that was installed when the tenant was made.
	flavour string
	// database is System's, filled by an installation of long ago.
	database *porta.Database
}

// options of a tenant.
type options struct {
	// suffix tells the second tenant of a test from the first.
	suffix string
	// set of files in the file storage; "" leaves it empty.
	set     dataset.Set
	files   cluster.VolumeOptions
	objects dataset.Options
	// namespace changes the namespace before it is made.
	namespace func(*corev1.Namespace)
	// emptyDatabase is that of an installation that is to be made.
	emptyDatabase bool
}

// newTenant makes a namespace that enforces Pod Security "restricted" with an
// installation in it, as its operator and its users would have made it.
func newTenant(t *testing.T, change ...func(*options)) *tenant {
	t.Helper()
	ctx := t.Context()
	o := options{
		set: dataset.SetS, objects: dataset.Options{Seed: 1, WithoutServerMetadata: true},
		namespace: func(*corev1.Namespace) {},
	}
	for _, f := range change {
		f(&o)
	}
	namespace := namespaceOf(t) + o.suffix
	o.objects.Namespace = namespace
	w := &tenant{t: t, c: shared, namespace: namespace, flavour: flavour, database: newDatabase(t, o)}
	o.objects.SystemRedisURL = w.database.URL()
	made := namespaceWith(namespace)
	o.namespace(made)
	require.NoError(t, shared.Client().Create(ctx, made))
	t.Cleanup(w.end)
	w.makeFiles(o)
	for _, object := range dataset.Installation(o.objects) {
		if kind := object.GetKind(); kind == "Namespace" || kind == "PersistentVolumeClaim" {
			continue
		}
		require.NoError(t, shared.Client().Create(ctx, object))
	}
	var err error
	w.account, err = shared.Tenant(ctx, namespace, "tenant", []rbacv1.PolicyRule{
		{APIGroups: []string{"backup.threescale.dev"}, Resources: []string{"threescalebackups", "threescalerestores"}, Verbs: []string{"*"}},
		{APIGroups: []string{""}, Resources: []string{"persistentvolumeclaims", "pods", "pods/log", "events", "configmaps"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"get", "list", "watch"}},
	})
	require.NoError(t, err)
	w.user, err = client.New(w.account.Config, client.Options{})
	require.NoError(t, err)
	return w
}

// newDatabase is System's database, of an installation that there was.
func newDatabase(t *testing.T, o options) *porta.Database {
	t.Helper()
	made := porta.DatabaseOptions{Domain: "apps.example.com", Password: dataset.SecretMarker + "system-redis"}
	if o.emptyDatabase {
		made.Domain = ""
	}
	database, err := porta.NewDatabase(context.WithoutCancel(t.Context()), made)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, database.Close()) })
	return database
}

// toBeOperated makes newTenant leave to the operator what it makes itself.
func toBeOperated(o *options) {
	o.emptyDatabase = true
	o.objects.MissingConfigMaps = []string{"apicast-environment", "system-environment"}
	o.objects.MissingSecrets = []string{
		"backend-internal-api", "backend-listener", "system-app", "system-events-hook", "system-master-apicast",
		"system-memcache", "system-recaptcha", "system-seed", "system-smtp",
	}
}

// second makes newTenant make another namespace for the same test.
func second(o *options) { o.suffix = "-2" }

// namespaceOf returns the name of a test as a namespace's.
func namespaceOf(t *testing.T) string {
	name := strings.TrimPrefix(strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name())), "test")
	if len(name) <= maxNamespace {
		return name
	}
	digest := sha256.Sum256([]byte(name))
	return name[:maxNamespace-9] + "-" + hex.EncodeToString(digest[:4])
}

func namespaceWith(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
}

// makeFiles makes the file storage: a volume, data on it, and a PVC bound to it.
func (w *tenant) makeFiles(o options) {
	w.t.Helper()
	o.files.Name = w.namespace + "-files"
	if o.files.AccessModes == nil {
		o.files.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
	}
	volume, err := shared.Volume(w.t.Context(), o.files)
	require.NoError(w.t, err)
	w.files = volume.Path
	if o.set != "" {
		_, err = dataset.Generate(volume.Path, o.set, 1)
		require.NoError(w.t, err)
	}
	w.bind(threescale.FileStoragePVCName, o.files)
}

// bind makes a PersistentVolumeClaim for a volume.
func (w *tenant) bind(name string, o cluster.VolumeOptions) {
	w.t.Helper()
	require.NoError(w.t, shared.Client().Create(w.t.Context(), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: o.AccessModes, StorageClassName: &o.StorageClass, VolumeName: o.Name,
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")}},
		},
	}))
}

// apiManager reads the installation's APIManager.
func (w *tenant) apiManager() *unstructured.Unstructured {
	w.t.Helper()
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(threescale.APIManagerGVK())
	require.NoError(w.t, shared.Client().Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: "example"}, u))
	return u
}

// writeFile puts a file into the file storage, as readable as those of an installation.
func (w *tenant) writeFile(name string, data []byte) string {
	w.t.Helper()
	path := filepath.Join(w.files, name)
	require.NoError(w.t, os.WriteFile(path, data, 0o600))
	require.NoError(w.t, os.Chmod(path, 0o644))
	return path
}

// end looks for leaked values, leaves the state behind when the test failed,
// and removes the namespace.
func (w *tenant) end() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	w.checkLeaks(ctx)
	if dir := os.Getenv(dumpVariable); w.t.Failed() && dir != "" {
		if err := shared.Dump(ctx, filepath.Join(dir, w.namespace)); err != nil {
			w.t.Log("cannot dump the cluster:", err)
		}
	}
	if w.t.Failed() {
		w.describe(ctx)
	}
	_, err := shared.Kubectl(ctx, "", "delete", "namespace", w.namespace, "--wait=false", "--ignore-not-found")
	if err != nil {
		w.t.Log(err)
	}
}

// describe logs what a user would look at.
func (w *tenant) describe(ctx context.Context) {
	looks := [][]string{
		{"get", "threescalebackups.backup.threescale.dev", "-o", "yaml"},
		{"get", "jobs,pods,pvc", "-o", "wide"},
		{"get", "events", "--sort-by=.metadata.creationTimestamp", "-o", "custom-columns=AT:.metadata.creationTimestamp,KIND:.involvedObject.kind,REASON:.reason,MESSAGE:.message"},
	}
	if stage.Stage != nil {
		looks = append(looks, []string{"get", "apimanagers", "-o", "yaml"}, []string{"get", "deploymentconfigs,replicationcontrollers,deployments,routes"})
	}
	if flux.controller != nil {
		looks = append(looks, []string{"get", "threescalerestores,gitrepositories,kustomizations", "-o", "yaml"})
	}
	for _, args := range looks {
		out, err := shared.Kubectl(ctx, "", append([]string{"-n", w.namespace}, args...)...)
		w.t.Log("\n"+out, err)
	}
}

// kubectl runs kubectl as the tenant.
func (w *tenant) kubectl(args ...string) (string, error) {
	return w.c.Kubectl(w.t.Context(), w.account.Kubeconfig, append([]string{"-n", w.namespace}, args...)...)
}

// admin runs kubectl as the administrator in the tenant's namespace.
func (w *tenant) admin(args ...string) string {
	w.t.Helper()
	out, err := w.c.Kubectl(w.t.Context(), "", append([]string{"-n", w.namespace}, args...)...)
	require.NoError(w.t, err)
	return out
}
