//go:build e2e

package install

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/dataset"
	"threescale.dev/backup/test/gitserver"
	"threescale.dev/backup/test/peers"
)

const (
	namespace = "3scale" // as in the README
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
	// gitURL is the Git server's for this machine and for pods.
	gitURL string
	// files is the folder behind the installation's file storage.
	files string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t}
	t.Cleanup(s.dump)
	var err error
	s.registry, err = shared.StartRegistry(t.Context())
	require.NoError(t, err)
	s.git, err = gitserver.Start(filepath.Join(shared.Dir(), "git"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.git.Stop()) })
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
	return []string{
		"PATH=" + filepath.Dir(kubectl) + ":" + os.Getenv("PATH"),
		"KUBECONFIG=" + shared.Kubeconfig(),
		"GIT_AUTHOR_NAME=reader", "GIT_AUTHOR_EMAIL=reader@example.com",
		"GIT_COMMITTER_NAME=reader", "GIT_COMMITTER_EMAIL=reader@example.com",
	}
}

// choices are what the README leaves to the reader, and what he chooses here.
func (s *site) choices() []string {
	return []string{
		"registry.example.com/backup", s.registry + "/backup",
		"https://git.example.com/platform/threescale-backup.git", s.gitURL + "/" + productRepository + ".git",
	}
}

// publish pushes the reader's clone to where Flux reads it.
func (s *site) publish(r *reader) {
	s.t.Helper()
	_, err := s.git.CreateRepository(s.t.Context(), productRepository, "main", "")
	require.NoError(s.t, err)
	username, password := s.login()
	r.shell("git push --quiet " + strings.Replace(s.gitURL, "http://", "http://"+username+":"+password+"@", 1) + "/" + productRepository + ".git main")
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
	s.files = volume.Path
	_, err = dataset.Generate(volume.Path, dataset.SetM, 1)
	require.NoError(s.t, err)
	require.NoError(s.t, shared.Client().Create(ctx, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: threescale.FileStorageClaimName, Namespace: namespace},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}, VolumeName: "files", StorageClassName: new(""),
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")}},
		},
	}))
	for _, object := range dataset.Installation(dataset.Options{Seed: 1, Namespace: namespace, WithoutServerMetadata: true}) {
		if kind := object["kind"]; kind == "Namespace" || kind == "PersistentVolumeClaim" {
			continue
		}
		require.NoError(s.t, shared.Client().Create(ctx, &unstructured.Unstructured{Object: object}))
	}
}
