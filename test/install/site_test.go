//go:build e2e

package install

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/dataset"
	"threescale.dev/backup/test/gitserver"
	"threescale.dev/backup/test/peers"
	"threescale.dev/backup/test/porta"
)

const (
	// patience bounds every wait of these tests.
	patience  = 3 * time.Minute
	namespace = "3scale" // as in the documents
	// dumpVariable names the folder in which a failed test leaves the state of
	// the cluster.
	dumpVariable = "THREESCALE_BACKUP_E2E_DUMP"
	// productRepository can be read by everybody.
	productRepository = "threescale-backup"
)

// A site is where somebody works: a cluster, a registry, a Git server, and an
// installation of 3scale.
type site struct {
	t        *testing.T
	registry string
	git      *gitserver.Server
	// apps is the repository from which Flux applies the installation.
	apps *gitserver.Repository
	// gitURL is the Git server's for this machine and for pods.
	gitURL string
	// database is System's, filled by an installation of long ago.
	database *porta.Database
	// operator is the 3scale operator that runs.
	operator *cluster.Process
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t}
	t.Cleanup(s.dump)
	var err error
	s.registry, err = shared.StartRegistry(t.Context())
	require.NoError(t, err)
	// It outlives the cluster.
	s.git, err = gitserver.Start(filepath.Join(t.TempDir(), "git"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.git.Stop()) })
	s.database, err = porta.NewDatabase(context.WithoutCancel(t.Context()), porta.DatabaseOptions{
		Domain: "apps.example.com", Password: dataset.SecretMarker + "system-redis",
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.database.Close()) })
	readme := filepath.Join(t.TempDir(), "apps")
	require.NoError(t, os.MkdirAll(readme, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(readme, "README.md"), []byte("# What runs here\n"), 0o644))
	s.apps, err = s.git.CreateRepository(t.Context(), "apps", "main", readme)
	require.NoError(t, err)
	s.gitURL, err = shared.Expose(t.Context(), s.git.Address(), s.letRead)
	require.NoError(t, err)
	return s
}

// letRead lets everybody read the product's repository.
func (s *site) letRead(r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/"+productRepository+".git/") && r.Header.Get("Authorization") == "" {
		r.SetBasicAuth(s.login())
	}
}

func (s *site) login() (username, password string) {
	auth := s.git.BasicAuth()
	return string(auth["username"]), string(auth["password"])
}

// dump leaves what is known of the cluster when the test has failed.
func (s *site) dump() {
	if dir := os.Getenv(dumpVariable); s.t.Failed() && dir != "" {
		if err := shared.Dump(context.WithoutCancel(s.t.Context()), filepath.Join(dir, "install")); err != nil {
			s.t.Logf("cannot dump the cluster: %v", err)
		}
	}
}

// environment is that of somebody who administers the cluster: kubectl and
// age-keygen are in his path, and git knows his name.
func (s *site) environment() []string {
	kubectl, err := peers.Binary(s.t.Context(), "kubectl")
	require.NoError(s.t, err)
	tools := s.t.TempDir()
	out, err := exec.Command("go", "build", "-o", tools, "filippo.io/age/cmd/age-keygen").CombinedOutput()
	require.NoError(s.t, err, string(out))
	username, password := s.login()
	return []string{
		"PATH=" + filepath.Dir(kubectl) + ":" + tools + ":" + os.Getenv("PATH"),
		// What his credential helper does.
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader",
		"GIT_CONFIG_VALUE_0=Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password)),
		"KUBECONFIG=" + shared.Kubeconfig(),
		"GIT_AUTHOR_NAME=reader", "GIT_AUTHOR_EMAIL=reader@example.com",
		"GIT_COMMITTER_NAME=reader", "GIT_COMMITTER_EMAIL=reader@example.com",
	}
}

// choices are what the pages leave to the reader, and what he chooses here.
func (s *site) choices() []string {
	_, password := s.login()
	return []string{
		"registry.example.com/backup", s.registry + "/backup",
		"https://git.example.com/platform/threescale-backup.git", s.gitURL + "/" + productRepository + ".git",
		"export APPS=https://git.example.com/platform/apps.git", "export APPS=" + s.gitURL + "/apps.git",
		"GIT_PASSWORD=token", "GIT_PASSWORD=" + password,
	}
}

// publish pushes the reader's clone to where Flux reads it.
func (s *site) publish(r *reader) {
	s.t.Helper()
	_, err := s.git.CreateRepository(s.t.Context(), productRepository, "main", "")
	require.NoError(s.t, err)
	r.shell("git push --quiet " + s.gitURL + "/" + productRepository + ".git main")
}

// makeInstallation makes 3scale as its operator and its users would have made it.
func (s *site) makeInstallation() {
	s.t.Helper()
	ctx := s.t.Context()
	require.NoError(s.t, shared.Client().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: namespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}))
	volume, err := shared.Volume(ctx, cluster.VolumeOptions{Name: "files", AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}})
	require.NoError(s.t, err)
	_, err = dataset.Generate(volume.Path, dataset.SetM, 1)
	require.NoError(s.t, err)
	require.NoError(s.t, shared.Client().Create(ctx, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: threescale.FileStoragePVCName, Namespace: namespace},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}, VolumeName: "files", StorageClassName: new(""),
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")}},
		},
	}))
	for _, object := range dataset.Installation(dataset.Options{Seed: 1, Namespace: namespace, SystemRedisURL: s.database.URL(), WithoutServerMetadata: true}) {
		if kind := object.GetKind(); kind == "Namespace" || kind == "PersistentVolumeClaim" {
			continue
		}
		require.NoError(s.t, shared.Client().Create(ctx, object))
	}
}

// operate runs the 3scale operator, as from now on.
func (s *site) operate() {
	s.t.Helper()
	ctx := context.WithoutCancel(s.t.Context())
	_, err := shared.Kubectl(ctx, "", "label", "--overwrite", "namespace", namespace, "pod-security.kubernetes.io/enforce=baseline")
	require.NoError(s.t, err)
	operator, err := stage.Operate(ctx, namespace, s.database)
	require.NoError(s.t, err)
	s.operator = operator
	s.t.Cleanup(func() { require.NoError(s.t, operator.Stop()) })
}

// installation is what a restore is to bring back.
type installation struct {
	secrets map[string]map[string][]byte
	files   string
}

// remember keeps what the Secrets of an installation hold, and its files.
func (s *site) remember() *installation {
	s.t.Helper()
	apiManager := &unstructured.Unstructured{}
	apiManager.SetGroupVersionKind(threescale.APIManagerGVK())
	require.NoError(s.t, shared.Client().Get(s.t.Context(), types.NamespacedName{Namespace: namespace, Name: "example"}, apiManager))
	kept := &installation{secrets: map[string]map[string][]byte{}, files: filepath.Join(s.t.TempDir(), "files")}
	for _, object := range threescale.Secrets(apiManager) {
		kept.secrets[object.Name] = s.secret(object.Name)
	}
	for _, reference := range threescale.ReferencedSecrets(apiManager) {
		kept.secrets[reference.Name] = s.secret(reference.Name)
	}
	out, err := exec.Command("cp", "-a", s.folderOf(threescale.FileStoragePVCName), kept.files).CombinedOutput()
	require.NoError(s.t, err, string(out))
	return kept
}

func (s *site) secret(name string) map[string][]byte {
	s.t.Helper()
	var secret corev1.Secret
	require.NoError(s.t, shared.Client().Get(s.t.Context(), types.NamespacedName{Namespace: namespace, Name: name}, &secret))
	return secret.Data
}

// lose deletes what is restored. What the operator has made its own may go with
// the APIManager.
func (s *site) lose(kept *installation) {
	s.t.Helper()
	files := s.folderOf(threescale.FileStoragePVCName)
	s.kubectl("delete", "apimanagers.apps.3scale.net", "--all", "--timeout=1m")
	for name := range kept.secrets {
		s.kubectl("delete", "secret", "--ignore-not-found", name)
	}
	s.kubectl("delete", "configmap", "--ignore-not-found", "apicast-environment", "system", "system-environment")
	entries, err := filepath.Glob(filepath.Join(files, "*"))
	require.NoError(s.t, err)
	for _, entry := range entries {
		require.NoError(s.t, os.RemoveAll(entry))
	}
}

// assertRestored compares what there was with what there is, each value of a
// Secret and each file.
func (s *site) assertRestored(kept *installation) {
	s.t.Helper()
	for name, data := range kept.secrets {
		live := s.secret(name)
		for key, value := range data {
			assert.True(s.t, bytes.Equal(value, live[key]), "Secret %s has key %s again", name, key)
		}
	}
	s.assertFiles(kept, s.folderOf(threescale.FileStoragePVCName))
}

// assertFiles compares files with those of an installation.
func (s *site) assertFiles(kept *installation, folder string) {
	s.t.Helper()
	out, err := exec.Command("rsync", "-rlptnic", "--delete", kept.files+"/", folder+"/").CombinedOutput()
	require.NoError(s.t, err, string(out))
	for line := range strings.Lines(string(out)) {
		assert.Regexp(s.t, `^\.d\S+ \./\n$`, line, "the files are the same")
	}
}

// useCapabilities makes an object of the capabilities.
func (s *site) useCapabilities() {
	s.t.Helper()
	s.until("the capabilities to be served", func(ctx context.Context) error {
		return shared.ApplyYAML(ctx, []byte(`{apiVersion: capabilities.3scale.net/v1beta1, kind: Backend, metadata: {name: a-backend, namespace: 3scale},
			spec: {name: A backend, systemName: a-backend, privateBaseURL: "https://backend.example.com"}}`))
	})
}

// lendRepository makes a GitRepository of somebody else's namespace.
func (s *site) lendRepository() {
	s.t.Helper()
	require.NoError(s.t, shared.ApplyYAML(s.t.Context(), []byte(`{apiVersion: source.toolkit.fluxcd.io/v1, kind: GitRepository, metadata: {name: apps, namespace: flux-system},
		spec: {interval: 1h, suspend: true, url: "https://git.example.com/platform/apps.git"}}`)))
}

// kubectl runs as the administrator in the installation's namespace.
func (s *site) kubectl(args ...string) string {
	s.t.Helper()
	out, err := shared.Kubectl(s.t.Context(), "", append([]string{"-n", namespace}, args...)...)
	require.NoError(s.t, err)
	return strings.TrimSpace(out)
}

// until waits for a condition.
func (s *site) until(what string, condition func(context.Context) error) {
	s.t.Helper()
	require.NoError(s.t, cluster.Eventually(s.t.Context(), patience, what, condition))
}

// assertRuns counts the complete runs on the volume of a PVC.
func (s *site) assertRuns(r *reader, want int, pvc, reason string) {
	s.t.Helper()
	runs := r.shell("bin/threescale-backup list --volume " + s.folderOf(pvc))
	assert.Equal(s.t, want, strings.Count(runs, " Complete "), "%s:\n%s", reason, runs)
}

// loseCluster leaves of an installation and its backups the disk and what was
// kept elsewhere: the reader's folder, and Git. The 3scale operator goes with the
// cluster, so that nobody waits for it to take its finalizers away, and is installed
// again.
func (s *site) loseCluster(r *reader) {
	s.t.Helper()
	require.NoError(s.t, s.operator.Stop())
	s.kubectl("patch", "backends.capabilities.3scale.net", "a-backend", "--type=merge", `--patch={"metadata":{"finalizers":null}}`)
	r.shell("kubectl delete namespace " + namespace + " --timeout=3m")
	r.shell(`kubectl delete persistentvolume "$volume"`)
	r.shell("kubectl -n flux-system delete gitrepository apps")
	require.NoError(s.t, shared.Client().Create(s.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	s.operate()
}

// folderOf is the folder behind a bound PVC.
func (s *site) folderOf(pvc string) string {
	s.t.Helper()
	volume := s.kubectl("get", "persistentvolumeclaim", pvc, "-o", "jsonpath={.spec.volumeName}")
	path := s.kubectl("get", "persistentvolume", volume, "-o", "jsonpath={.spec.local.path}")
	require.NotEmpty(s.t, path, pvc)
	return path
}
