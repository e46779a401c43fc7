//go:build e2e && linux

package cluster_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/peers"
)

const (
	probeImage = "docker.io/local/probe:test"
	uid        = int64(65532)
	wait       = time.Minute
)

// TestCluster runs one cluster for all its cases: each shows a thing that the
// other tests of the project rely on.
func TestCluster(t *testing.T) {
	before := takeInventory(t)
	c, err := cluster.Start(t.Context(), cluster.Options{Logf: log.Printf})
	require.NoError(t, err)
	stopped := false
	defer func() {
		if !stopped {
			require.NoError(t, c.Dump(t.Context(), filepath.Join(os.TempDir(), "threescale-backup-dump")))
			require.NoError(t, c.Stop())
		}
	}()
	loadProbe(t, c)

	cases := map[string]struct {
		reason string
		test   func(*testing.T, *cluster.Cluster)
	}{
		"RestrictedJobWritesExt4": {
			reason: "a non-root pod of a restricted namespace should write to a fresh file system that root owns, by fsGroup",
			test:   testRestrictedJob,
		},
		"LogsAndExec": {
			reason: "logs and exec should work, for tests and for the restore's own exec",
			test:   testExec,
		},
		"CrossplaneRole": {
			reason: "core's ClusterRole should get what an aggregated ClusterRole grants, and nothing else",
			test:   testAggregation,
		},
		"OtherVolumes": {
			reason: "a pod should write to a volume of any other kind, too",
			test:   testOtherVolumes,
		},
		"Dump": {
			reason: "a dump should say everything but the values of Secrets",
			test:   testDump,
		},
		"Provisioner": {
			reason: "a PVC of the default class should get a volume when its first pod comes, and lose it with itself",
			test:   testProvisioner,
		},
		"Tenant": {
			reason: "a tenant should have the rights that it was given and no others",
			test:   testTenant,
		},
		"Function": {
			reason: "a claim should compose what the function says, once core may",
			test:   testFunction,
		},
		"Operator": {
			reason: "the 3scale operator should make an installation available once all its routes are, and after a loss only when Zync was told to",
			test:   testOperator,
		},
		"NewerOperator": {
			reason: "the stand-in should say what newer operators say, and fail while another controller owns what it owns",
			test:   testNewerOperator,
		},
		"ObjectStore": {
			reason: "an object store should keep its users apart, and a locked object from being deleted",
			test:   testObjectStore,
		},
		"FullDisk": {
			reason: "small file systems should be full when they are, and a linkless one refuse links",
			test:   testFilesystems,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Log(tc.reason)
			tc.test(t, c)
		})
	}

	require.NoError(t, c.Stop())
	stopped = true
	require.NoError(t, c.Stop(), "a second Stop should do nothing")
	requireInventory(t, before)
}

func testRestrictedJob(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	restricted(t, c, "restricted")
	v, err := c.Volume(t.Context(), cluster.VolumeOptions{Name: "restricted-ext4", Filesystem: cluster.Ext4, SizeMiB: 32})
	require.NoError(t, err)
	require.DirExists(t, filepath.Join(v.Path, "lost+found"))
	runJob(t, c, "restricted", v)
	logs, err := c.Kubectl(t.Context(), "", "logs", "-n", "restricted", "job/"+v.Name)
	require.NoError(t, err)
	require.Equal(t, "https://10.96.0.1:443/api: 200 OK\n", logs)
}

func testOtherVolumes(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	restricted(t, c, "volumes")
	for _, filesystem := range []cluster.Filesystem{cluster.Directory, cluster.Tmpfs, cluster.Linkless} {
		v, err := c.Volume(t.Context(), cluster.VolumeOptions{Name: "job-" + strings.ToLower(string(filesystem)), Filesystem: filesystem})
		require.NoError(t, err)
		runJob(t, c, "volumes", v)
	}
}

// runJob runs a Job that writes a file to the volume.
func runJob(t *testing.T, c *cluster.Cluster, namespace string, v *cluster.Volume) {
	t.Helper()
	create(t, c, pvc(namespace, v.Name, "", v.Name))
	create(t, c, job(namespace, v.Name, v.Name, "job", "/data/file"))
	require.NoError(t, awaitJob(t.Context(), c, namespace, v.Name))
	written, err := os.ReadFile(filepath.Join(v.Path, "file"))
	require.NoError(t, err)
	require.Equal(t, "written by the probe\n", string(written))
}

func testDump(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	restricted(t, c, "dump")
	file := filepath.Join(t.TempDir(), "secret.yaml")
	writeFile(t, file, "apiVersion: v1\nkind: Secret\nmetadata: {name: dumped, namespace: dump}\nstringData: {password: swordfish}\n")
	_, err := c.Kubectl(t.Context(), "", "apply", "-f", file) // Leaves the value in an annotation too.
	require.NoError(t, err)
	create(t, c, pvc("dump", "data", cluster.RetainClass, ""))
	create(t, c, job("dump", "probe", "data", "job", "/data/file"))
	require.NoError(t, awaitJob(t.Context(), c, "dump", "probe"))

	dir := t.TempDir()
	require.NoError(t, c.Dump(t.Context(), dir))
	require.NoError(t, c.Dump(t.Context(), dir), "a second dump should replace the first")
	all := readAll(t, dir)
	require.Contains(t, all, "dump/dumped Opaque: password\n")
	require.Contains(t, all, "name: crossplane:system:aggregate-to-crossplane")
	require.Contains(t, all, "Container started", "events should be there")
	require.Contains(t, all, "https://10.96.0.1:443/api: 200 OK", "logs of pods should be there")
	require.Contains(t, all, "Starting kubelet", "logs of components should be there")
	require.NotContains(t, all, "swordfish")
	require.NotContains(t, all, base64.StdEncoding.EncodeToString([]byte("swordfish")))
}

func testExec(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	restricted(t, c, "exec")
	create(t, c, pvc("exec", "data", cluster.RetainClass, ""))
	create(t, c, job("exec", "probe", "data", "wait"))
	var out string
	err := cluster.Eventually(t.Context(), wait, "exec", func(ctx context.Context) (err error) {
		out, err = c.Kubectl(ctx, "", "exec", "-n", "exec", "job/probe", "--", "/probe", "stat", "/data")
		return err
	})
	require.NoError(t, err)
	require.Equal(t, "process 65532:65532 file 0:65532 mode 2775\n", out)
	_, err = c.Kubectl(t.Context(), "", "delete", "job", "probe", "-n", "exec")
	require.NoError(t, err)
}

func testAggregation(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	canI := func(verb, kind string) string {
		// "no" is exit status 1.
		out, _ := c.Kubectl(t.Context(), "", "auth", "can-i", verb, kind, "--as", "system:serviceaccount:crossplane-system:crossplane", "-n", "default")
		return strings.TrimSpace(out)
	}
	require.Equal(t, "yes", canI("create", "functionrevisions.pkg.crossplane.io"))
	require.Equal(t, "no", canI("create", "jobs.batch"))
	create(t, c, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "test-aggregate", Labels: map[string]string{"rbac.crossplane.io/aggregate-to-crossplane": "true"}},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"create"}}},
	})
	err := cluster.Eventually(t.Context(), wait, "the aggregated right", func(context.Context) error {
		if answer := canI("create", "jobs.batch"); answer != "yes" {
			return fmt.Errorf("can core create Jobs: %s", answer)
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, "no", canI("delete", "jobs.batch"))
	before := c.Crossplane().PID()
	require.NoError(t, c.RestartCrossplane(t.Context()))
	require.NotEqual(t, before, c.Crossplane().PID())
}

func testProvisioner(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	restricted(t, c, "provisioner")
	data := pvc("provisioner", "data", cluster.StandardClass, "")
	create(t, c, data)
	create(t, c, job("provisioner", "probe", "data", "job", "/data/file"))
	require.NoError(t, awaitJob(t.Context(), c, "provisioner", "probe"))

	require.NoError(t, c.Client().Get(t.Context(), client.ObjectKeyFromObject(data), data))
	require.Equal(t, corev1.ClaimBound, data.Status.Phase)
	_, err := c.Kubectl(t.Context(), "", "delete", "-n", "provisioner", "job/probe", "pvc/data")
	require.NoError(t, err)
	err = cluster.Eventually(t.Context(), wait, "the volume to go", func(ctx context.Context) error {
		err := c.Client().Get(ctx, client.ObjectKey{Name: data.Spec.VolumeName}, &corev1.PersistentVolume{})
		if client.IgnoreNotFound(err) != nil {
			return err
		}
		if err == nil {
			return errors.New("it is still there")
		}
		return nil
	})
	require.NoError(t, err)
}

func testTenant(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	tenant, err := c.Tenant(t.Context(), "tenant", "user", []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"create", "get"}},
	})
	require.NoError(t, err)
	_, err = c.Kubectl(t.Context(), tenant.Kubeconfig, "create", "configmap", "mine", "--from-literal=a=b")
	require.NoError(t, err)
	_, err = c.Kubectl(t.Context(), tenant.Kubeconfig, "get", "secrets")
	require.ErrorContains(t, err, "forbidden")
	_, err = c.Kubectl(t.Context(), tenant.Kubeconfig, "get", "configmaps", "-n", "default")
	require.ErrorContains(t, err, "forbidden")
}

func testFilesystems(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	small := map[string]cluster.VolumeOptions{
		"Ext4":     {Name: "full-ext4", Filesystem: cluster.Ext4, SizeMiB: 8},
		"Tmpfs":    {Name: "full-tmpfs", Filesystem: cluster.Tmpfs, SizeMiB: 8},
		"Linkless": {Name: "full-linkless", Filesystem: cluster.Linkless, SizeMiB: 8},
	}
	for name, o := range small {
		v, err := c.Volume(t.Context(), o)
		require.NoError(t, err, name)
		big := filepath.Join(v.Path, "big")
		require.Error(t, os.WriteFile(big, make([]byte, 16<<20), 0o600), name)
		require.NoError(t, os.Remove(big), name)
		require.NoError(t, os.WriteFile(filepath.Join(v.Path, "file"), []byte("content"), 0o600), name)
		err = os.Symlink("file", filepath.Join(v.Path, "link"))
		require.Equal(t, o.Filesystem == cluster.Linkless, err != nil, "%s: %v", name, err)
		require.NoError(t, v.Remove(t.Context()), name)
		require.NoDirExists(t, v.Path)
	}
	frozen, err := c.Volume(t.Context(), cluster.VolumeOptions{Name: "frozen", Filesystem: cluster.Ext4, ReadOnly: true})
	require.NoError(t, err)
	require.ErrorContains(t, os.Mkdir(filepath.Join(frozen.Path, "dir"), 0o700), "read-only")
	require.NoError(t, frozen.Remount(t.Context(), cluster.ReadWrite))
	require.NoError(t, os.Mkdir(filepath.Join(frozen.Path, "dir"), 0o700))
}

func loadProbe(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	require.NoError(t, buildProbe(t.Context(), c, filepath.Join(t.TempDir(), "probe")))
}

func buildProbe(ctx context.Context, c *cluster.Cluster, binary string) error {
	if err := peers.Build(ctx, "./test/cluster/probe", binary); err != nil {
		return err
	}
	return c.LoadImage(ctx, cluster.Image{Name: probeImage, Binaries: map[string]string{"/probe": binary}, Entrypoint: []string{"/probe"}, User: "65532:65532"})
}

func restricted(t *testing.T, c *cluster.Cluster, name string) {
	t.Helper()
	create(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}})
}

func create(t *testing.T, c *cluster.Cluster, object client.Object) {
	t.Helper()
	require.NoError(t, c.Client().Create(t.Context(), object))
}

func pvc(namespace, name, class, volume string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &class,
			VolumeName:       volume,
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("16Mi")}},
		},
	}
}

// job is a Job that Pod Security "restricted" accepts.
func job(namespace, name, pvcName string, args ...string) *batchv1.Job {
	yes, no, group, retries := true, false, uid, int32(0)
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: batchv1.JobSpec{BackoffLimit: &retries, Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: &yes, RunAsUser: &group, RunAsGroup: &group, FSGroup: &group,
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "probe", Image: probeImage, ImagePullPolicy: corev1.PullNever, Args: args,
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
				VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
			}},
			Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: pvcName},
			}}},
		}}},
	}
}

func awaitJob(ctx context.Context, c *cluster.Cluster, namespace, name string) error {
	return cluster.Eventually(ctx, wait, "Job "+name, func(ctx context.Context) error {
		var j batchv1.Job
		if err := c.Client().Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &j); err != nil {
			return err
		}
		if j.Status.Succeeded != 1 {
			return fmt.Errorf("status is %+v", j.Status)
		}
		return nil
	})
}

// readAll returns what is in all files of a folder.
func readAll(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all.Write(data)
		return err
	})
	require.NoError(t, err)
	return all.String()
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
}
