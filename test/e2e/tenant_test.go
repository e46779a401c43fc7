//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
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
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/dataset"
)

const (
	// patience bounds every wait of these tests.
	patience = 3 * time.Minute
	// dumpDir is where a failed test leaves the state of the cluster.
	dumpVariable = "THREESCALE_BACKUP_E2E_DUMP"
)

// tenant is a namespace with a 3scale installation, and somebody who may apply
// claims in it and read what is his, and no more.
type tenant struct {
	t         *testing.T
	c         *cluster.Cluster
	namespace string
	account   *cluster.Tenant
	// files is the directory behind the file storage.
	files string
}

// options of a tenant.
type options struct {
	set      dataset.Set
	files    cluster.VolumeOptions
	objects  dataset.Options
	noClaims bool
}

// newTenant makes a namespace that enforces Pod Security "restricted" with an
// installation in it, as its operator and its users would have made it.
func newTenant(t *testing.T, change ...func(*options)) *tenant {
	t.Helper()
	ctx := t.Context()
	namespace := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	namespace = strings.TrimPrefix(namespace, "test")
	if len(namespace) > 50 {
		namespace = namespace[:50]
	}
	o := options{set: dataset.SetS, objects: dataset.Options{Seed: 1, Namespace: namespace, WithoutServerMetadata: true}}
	for _, f := range change {
		f(&o)
	}
	w := &tenant{t: t, c: shared, namespace: namespace}
	require.NoError(t, shared.ApplyYAML(ctx, toYAML(t, namespaceWith(namespace))))
	if o.set != "" {
		w.makeFiles(o)
	}
	for _, object := range dataset.Installation(o.objects) {
		kind := object["kind"]
		if kind == "Namespace" || (kind == "PersistentVolumeClaim" && o.set != "") {
			continue
		}
		require.NoError(t, shared.ApplyYAML(ctx, toYAML(t, object)))
	}
	account, err := shared.Tenant(ctx, namespace, "tenant", []rbacv1.PolicyRule{
		{APIGroups: []string{"backup.threescale.dev"}, Resources: []string{"threescalebackups"}, Verbs: []string{"*"}},
		{APIGroups: []string{""}, Resources: []string{"persistentvolumeclaims", "pods", "pods/log", "events", "configmaps"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"get", "list", "watch"}},
	})
	require.NoError(t, err)
	w.account = account
	t.Cleanup(w.end)
	return w
}

func namespaceWith(name string) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{
		"name": name, "labels": map[string]any{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
}

// makeFiles makes the file storage: a volume, data on it, and a claim bound to it.
func (w *tenant) makeFiles(o options) {
	w.t.Helper()
	ctx := w.t.Context()
	o.files.Name = w.namespace + "-files"
	if o.files.AccessModes == nil {
		o.files.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
	}
	volume, err := shared.Volume(ctx, o.files)
	require.NoError(w.t, err)
	w.files = volume.Path
	_, err = dataset.Generate(volume.Path, o.set, 1)
	require.NoError(w.t, err)
	none := ""
	require.NoError(w.t, shared.Client().Create(ctx, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: threescale.FileStorageClaimName, Namespace: w.namespace},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: o.files.AccessModes, StorageClassName: &none, VolumeName: o.files.Name,
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")}},
		},
	}))
}

// end leaves the state behind when the test failed, and removes the namespace.
func (w *tenant) end() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if dir := os.Getenv(dumpVariable); w.t.Failed() && dir != "" {
		if err := shared.Dump(ctx, filepath.Join(dir, w.namespace)); err != nil {
			w.t.Log("cannot dump the cluster:", err)
		}
	}
	if w.t.Failed() {
		w.describe(ctx)
	}
	_, err := shared.Kubectl(ctx, "", "delete", "namespace", w.namespace, "--wait=false")
	if err != nil {
		w.t.Log(err)
	}
}

// describe logs what a user would look at.
func (w *tenant) describe(ctx context.Context) {
	for _, args := range [][]string{
		{"describe", "threescalebackups.backup.threescale.dev"},
		{"get", "jobs,pods,pvc,events", "-o", "wide"},
	} {
		out, err := shared.Kubectl(ctx, "", append([]string{"-n", w.namespace}, args...)...)
		w.t.Log(out, err)
	}
}

// kubectl runs kubectl as the tenant.
func (w *tenant) kubectl(args ...string) (string, error) {
	return w.c.Kubectl(w.t.Context(), w.account.Kubeconfig, append([]string{"-n", w.namespace}, args...)...)
}

// apply applies YAML as the tenant.
func (w *tenant) apply(text string) error {
	file := filepath.Join(w.t.TempDir(), "claim.yaml")
	require.NoError(w.t, os.WriteFile(file, []byte(text), 0o600))
	_, err := w.kubectl("apply", "-f", file)
	return err
}

// claim returns the YAML of a claim with the given spec, in flow style.
func claim(name, spec string) string {
	return fmt.Sprintf("apiVersion: backup.threescale.dev/v1alpha1\nkind: ThreeScaleBackup\nmetadata: {name: %s}\nspec: %s\n", name, spec)
}

const tenGi = `{backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}}}}`

// get reads a claim as the tenant.
func (w *tenant) get(name string) (*unstructured.Unstructured, error) {
	out, err := w.kubectl("get", "threescalebackup", name, "-o", "json")
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{}
	return u, json.Unmarshal([]byte(out), &u.Object)
}

func status(u *unstructured.Unstructured, path ...string) any {
	v, _, _ := unstructured.NestedFieldNoCopy(u.Object, append([]string{"status"}, path...)...)
	return v
}

func condition(u *unstructured.Unstructured, name string) map[string]any {
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, entry := range list {
		if c, ok := entry.(map[string]any); ok && c["type"] == name {
			return c
		}
	}
	return nil
}

// until waits until check passes for the claim, and returns the claim.
func (w *tenant) until(name, what string, check func(*unstructured.Unstructured) bool) *unstructured.Unstructured {
	w.t.Helper()
	var got *unstructured.Unstructured
	require.NoError(w.t, cluster.Eventually(w.t.Context(), patience, what, func(context.Context) error {
		u, err := w.get(name)
		if err != nil {
			return err
		}
		if got = u; !check(u) {
			return fmt.Errorf("status is %v", u.Object["status"])
		}
		return nil
	}))
	return got
}

// untilCompleted waits until the newest finished run of the claim succeeded and
// it is not one of the runs before.
func (w *tenant) untilCompleted(name string, before ...string) *unstructured.Unstructured {
	w.t.Helper()
	return w.until(name, "the backup to complete", func(u *unstructured.Unstructured) bool {
		id, _ := status(u, "lastRun", "id").(string)
		for _, known := range before {
			if id == known {
				return false
			}
		}
		return status(u, "completed") == true && id != ""
	})
}

// untilReason waits for a condition with a reason.
func (w *tenant) untilReason(name, conditionType, reason string) map[string]any {
	w.t.Helper()
	u := w.until(name, conditionType+" to have reason "+reason, func(u *unstructured.Unstructured) bool {
		return condition(u, conditionType)["reason"] == reason
	})
	return condition(u, conditionType)
}

// timeline logs when what happened, by the API server's own times.
func (w *tenant) timeline() {
	w.t.Helper()
	for _, args := range [][]string{
		{"get", "threescalebackups,persistentvolumeclaims,secrets,configmaps", "--sort-by=.metadata.creationTimestamp", "-o", "custom-columns=AT:.metadata.creationTimestamp,KIND:.kind,NAME:.metadata.name"},
		{"get", "events", "--sort-by=.metadata.creationTimestamp", "-o", "custom-columns=AT:.metadata.creationTimestamp,FROM:.source.component,KIND:.involvedObject.kind,REASON:.reason,MESSAGE:.message"},
	} {
		out, err := shared.Kubectl(w.t.Context(), "", append([]string{"-n", w.namespace}, args...)...)
		require.NoError(w.t, err)
		w.t.Log("\n" + out)
	}
}

// volumeDir is the directory behind the claim's PersistentVolume.
func (w *tenant) volumeDir(claimName string) string {
	w.t.Helper()
	ctx := w.t.Context()
	out, err := w.c.Kubectl(ctx, "", "-n", w.namespace, "get", "pvc", claimName, "-o", "jsonpath={.spec.volumeName}")
	require.NoError(w.t, err)
	dir, err := w.c.Kubectl(ctx, "", "get", "pv", out, "-o", "jsonpath={.spec.local.path}{.spec.hostPath.path}")
	require.NoError(w.t, err)
	return dir
}

func toYAML(t *testing.T, object map[string]any) []byte {
	t.Helper()
	data, err := yaml.Marshal(object)
	require.NoError(t, err)
	return data
}
