//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/cluster"
)

// Namespaces of OpenShift: admission policies assign users and groups from the
// namespace's annotations and refuse all others, as restricted-v2 does.

// Two namespaces of OpenShift never have the same range of users.
const (
	firstUser int64 = 1_000_680_000
	otherUser int64 = 1_000_920_000
)

var openShift struct {
	sync.Once
	err error
}

// withOpenShift has the API server act as OpenShift in namespaces that say so.
func withOpenShift(t *testing.T) {
	t.Helper()
	openShift.Do(func() { openShift.err = shared.PlayOpenShift(context.WithoutCancel(t.Context())) })
	require.NoError(t, openShift.err)
}

// onOpenShift makes newTenant make a namespace of OpenShift.
func onOpenShift(o *options) {
	o.namespace = func(namespace *corev1.Namespace) { cluster.AsOpenShift(namespace, firstUser) }
}

// reassign gives the namespace another range: what its pods find on a volume is
// then of a namespace that is gone. It returns when new pods get a user of it.
func (w *tenant) reassign(user int64) {
	w.t.Helper()
	namespace := &corev1.Namespace{}
	require.NoError(w.t, shared.Client().Get(w.t.Context(), types.NamespacedName{Name: w.namespace}, namespace))
	cluster.AsOpenShift(namespace, user)
	require.NoError(w.t, shared.Client().Update(w.t.Context(), namespace))
	untilAssigned(w.t, w.plainPod(), user)
}

// untilAssigned waits until such a pod would get the user: the API server may
// not know the namespace's annotations yet.
func untilAssigned(t *testing.T, like *corev1.Pod, user int64) {
	t.Helper()
	require.NoError(t, cluster.Eventually(t.Context(), patience, "the user to be assigned", func(ctx context.Context) error {
		pod := like.DeepCopy()
		if err := shared.Client().Create(ctx, pod, client.DryRunAll); err != nil {
			return err
		}
		if sc := pod.Spec.Containers[0].SecurityContext; sc == nil || sc.RunAsUser == nil || *sc.RunAsUser != user {
			return fmt.Errorf("security context is %v", sc)
		}
		return nil
	}))
}

// plainPod asks for nothing that OpenShift would have to allow.
func (w *tenant) plainPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "plain"},
		Spec: corev1.PodSpec{
			RestartPolicy:   corev1.RestartPolicyNever,
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(true)},
			Containers:      []corev1.Container{{Name: "plain", Image: "docker.io/local/none"}},
		},
	}
}

// podLog is what pods were like when they were last seen.
type podLog struct {
	sync.Mutex
	pods map[string]corev1.Pod
	// checked are those of an earlier call; their end may be seen only after it.
	checked map[string]bool
}

// watchPods watches the pods of the mover; they go soon after they end.
func (w *tenant) watchPods() *podLog {
	w.t.Helper()
	watcher, err := client.NewWithWatch(w.c.Config(), client.Options{})
	require.NoError(w.t, err)
	events, err := watcher.Watch(w.t.Context(), &corev1.PodList{}, client.InNamespace(w.namespace))
	require.NoError(w.t, err)
	log := &podLog{pods: map[string]corev1.Pod{}, checked: map[string]bool{}}
	go func() {
		defer events.Stop()
		for event := range events.ResultChan() {
			if pod, ok := event.Object.(*corev1.Pod); ok && pod.Spec.Containers[0].Name == specs.ContainerName {
				log.Lock()
				if !log.checked[pod.Name] {
					log.pods[pod.Name] = *pod
				}
				log.Unlock()
			}
		}
	}()
	return log
}

// assertAssigned checks that all pods since the last call, at least so many, ran
// as what OpenShift assigned to them, and as nothing that they asked for.
func (l *podLog) assertAssigned(t *testing.T, least int, user int64) {
	t.Helper()
	l.Lock()
	defer l.Unlock()
	assert.GreaterOrEqual(t, len(l.pods), least)
	for name, pod := range l.pods {
		sc := pod.Spec.SecurityContext
		assert.Equal(t, user, *pod.Spec.Containers[0].SecurityContext.RunAsUser, name)
		assert.Equal(t, user, *sc.FSGroup, name)
		assert.Nil(t, sc.RunAsUser, name)
		assert.Nil(t, sc.RunAsGroup, name)
		assert.NotNil(t, sc.SELinuxOptions, name)
		l.checked[name] = true
	}
	clear(l.pods)
}

// assertOwner compares the user and the group of a file.
func (w *tenant) assertOwner(path string, user, group int64) {
	w.t.Helper()
	info, err := os.Lstat(path)
	require.NoError(w.t, err)
	stat := info.Sys().(*syscall.Stat_t)
	assert.Equal(w.t, []int64{user, group}, []int64{int64(stat.Uid), int64(stat.Gid)}, "user and group of %s", path)
}

// TestOpenShiftRefusesWhatIsNotAssigned: without this, the other tests here
// would prove nothing.
func TestOpenShiftRefusesWhatIsNotAssigned(t *testing.T) {
	withOpenShift(t)
	parallel(t)
	w := newTenant(t, onOpenShift)
	w.admin("label", "namespace", w.namespace, "pod-security.kubernetes.io/enforce=privileged", "--overwrite") // else that refuses most of them
	require.NoError(t, shared.Client().Create(t.Context(), w.plainPod(), client.DryRunAll))
	container := func(sc corev1.SecurityContext) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.Containers[0].SecurityContext = &sc }
	}
	for name, tc := range map[string]struct {
		reason string
		ask    func(*corev1.Pod)
	}{
		"user":                 {"runAsUser", func(p *corev1.Pod) { p.Spec.SecurityContext.RunAsUser = new(int64(65532)) }},
		"user of the next":     {"runAsUser", container(corev1.SecurityContext{RunAsUser: new(firstUser + 10000)})},
		"group of the volumes": {"fsGroup", func(p *corev1.Pod) { p.Spec.SecurityContext.FSGroup = new(int64(65532)) }},
		"capability":           {"all capabilities", container(corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"CHOWN"}}})},
		"privileged":           {"privileged", container(corev1.SecurityContext{Privileged: new(true), AllowPrivilegeEscalation: new(true)})},
		"host's network":       {"host namespaces", func(p *corev1.Pod) { p.Spec.HostNetwork = true }},
		"host's processes":     {"host namespaces", func(p *corev1.Pod) { p.Spec.HostPID = true }},
		"host's files": {"volumes of this type", func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}}
		}},
	} {
		pod := w.plainPod()
		tc.ask(pod)
		assert.ErrorContains(t, shared.Client().Create(t.Context(), pod, client.DryRunAll), "restricted-v2: "+tc.reason, name)
	}
}

// TestBlockedOwnersAreRefused: the API server asks for a right on the finalizers
// of an owner whose deletion a reference blocks, as OpenShift's does. So it is
// proven by all other tests that nobody lacks one.
func TestBlockedOwnersAreRefused(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := newTenant(t)
	config := w.c.Config()
	config.Impersonate.UserName = "system:serviceaccount:" + controllerNamespace + ":" + controllerAccount
	controller, err := client.New(config, client.Options{})
	require.NoError(t, err)
	owned := func(blocks bool) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "owned", OwnerReferences: []metav1.OwnerReference{{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.KindRestore, Name: "dr", UID: "1", BlockOwnerDeletion: &blocks,
		}}}}
	}
	require.NoError(t, controller.Create(t.Context(), owned(false), client.DryRunAll))
	assert.ErrorContains(t, controller.Create(t.Context(), owned(true), client.DryRunAll), "you can't set finalizers on")
}

// TestBackupOnOpenShift: runs under the user that is assigned, and goes on where
// one of another namespace ended: the kubelet gives the volume to the group of
// the pod that mounts it.
func TestBackupOnOpenShift(t *testing.T) {
	withOpenShift(t)
	parallel(t)
	w := newTenant(t, onOpenShift)
	pods := w.watchPods()
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	first := lastRun(w.untilCompleted(nightly))
	pods.assertAssigned(t, 1, firstUser)
	dir := w.volumeDir(nightlyVolume)
	manifest := filepath.Join(dir, "runs", first, "manifest.json")
	w.assertOwner(manifest, firstUser, firstUser)
	w.assertSameFiles(dir, first)

	w.writeFile("changed.txt", []byte("one file more"))
	w.reassign(otherUser)
	require.NoError(t, w.apply(withTrigger(nightly, "of another range")))
	done := w.untilCompleted(nightly, first)
	pods.assertAssigned(t, 1, otherUser)
	assert.Equal(t, []string{first, lastRun(done)}, w.verified(dir))
	w.assertOwner(filepath.Join(dir, "runs", lastRun(done), "manifest.json"), otherUser, otherUser)
	w.assertOwner(manifest, firstUser, otherUser)
	assert.NotZero(t, status(done, "lastRun", "linkedFiles"), "the first run's files can be linked to")
}

// TestBackupOnOpenShiftWithoutGroup: on a volume that the kubelet gives to no
// group, as NFS, what users of two ranges have in common is group 0, which may
// write to it.
func TestBackupOnOpenShiftWithoutGroup(t *testing.T) {
	withOpenShift(t)
	parallel(t)
	w := newTenant(t, onOpenShift)
	volume, err := shared.Volume(t.Context(), cluster.VolumeOptions{Name: w.namespace + "-nfs", HostPath: true})
	require.NoError(t, err)
	require.NoError(t, os.Chmod(volume.Path, 0o770))
	destination := fmt.Sprintf("backupDestination: {persistentVolumeClaim: {volumeName: %s}}", volume.Name)
	require.NoError(t, w.apply(claim(nightly, "{"+destination+"}")))
	first := lastRun(w.untilCompleted(nightly))
	w.assertOwner(filepath.Join(volume.Path, "runs", first, "manifest.json"), firstUser, 0)

	w.writeFile("changed.txt", []byte("one file more"))
	w.reassign(otherUser)
	require.NoError(t, w.apply(claim(nightly, "{trigger: of another range, "+destination+"}")))
	second := lastRun(w.untilCompleted(nightly, first))
	w.assertOwner(filepath.Join(volume.Path, "runs", second, "manifest.json"), otherUser, 0)
	assert.Equal(t, []string{first, second}, w.verified(volume.Path))
}

// TestRestoreOnOpenShift: the installation is lost, and the namespace that it
// is restored in has another range than the one that was backed up. Every pod
// of 3scale's can write to the files then.
func TestRestoreOnOpenShift(t *testing.T) {
	withOpenShift(t)
	withFlux(t)
	parallel(t)
	w := newTenant(t, onOpenShift)
	w.giveFiles(firstUser)
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	w.untilCompleted(nightly)
	kept := w.disaster()
	w.reassign(otherUser)
	pods := w.watchPods()
	d := w.newExample("lost-installation", w.inPlace())
	source, readOnly := "backupRef:\n      name: nightly", "persistentVolumeClaim:\n      claimSource: {claimName: nightly-backup, readOnly: true}"
	d.begin(source, readOnly)
	refused := d.untilRestore("dr", "Ready", "False", "Unreadable")
	assert.Contains(t, message(refused, "Ready"), "spec.job.podSecurityContext to supplementalGroups", "nobody may give the volume to the pod's group")
	d.restore(source, readOnly, "path: ./apps/3scale", fmt.Sprintf("path: ./apps/3scale\n  dryRun: true\n  job: {podSecurityContext: {supplementalGroups: [%d]}}", firstUser))
	d.untilRestore("dr", "Ready", "True", "Planned")
	d.restore()
	d.untilRestore("dr", "Ready", "True", "Restored")
	pods.assertAssigned(t, 4, otherUser)
	d.assertRestored(kept, d.onlyCommit(t, branch))
	w.assertFilesOf(otherUser)
	w.writeAs(otherUser + 1)
}

// giveFiles makes the file storage what it is after 3scale's pods wrote to it on
// OpenShift.
func (w *tenant) giveFiles(user int64) {
	w.t.Helper()
	w.shell(fmt.Sprintf(`cd "$FILES"; chown -R %[1]d:%[1]d .; chmod -R g+rwX .; find . -type d -exec chmod g+s {} +`, user), "FILES="+w.files)
}

// assertFilesOf checks whom the file storage belongs to.
func (w *tenant) assertFilesOf(user int64) {
	w.t.Helper()
	require.NoError(w.t, filepath.WalkDir(w.files, func(path string, _ os.DirEntry, err error) error {
		if err == nil && path != w.files {
			w.assertOwner(path, user, user)
		}
		return err
	}))
}

// writeAs changes every file of the file storage, and makes one beside each, in
// a pod as 3scale's, which OpenShift gives the namespace's group. No kubelet
// gives the files to that once more.
func (w *tenant) writeAs(user int64) {
	w.t.Helper()
	const busybox = "docker.io/local/busybox:e2e"
	require.NoError(w.t, shared.LoadImage(w.t.Context(), cluster.Image{Name: busybox, Binaries: map[string]string{"/busybox": "/bin/busybox"}, Entrypoint: []string{"/busybox"}, User: "1001"}))
	pod := w.plainPod()
	pod.Name = "system-app-1"
	pod.Spec.Containers[0].Image = busybox
	pod.Spec.Containers[0].Args = []string{"sh", "-ec", `cd /files; /busybox id; /busybox find . -type f ! -path "*lost+found*" | while read -r f; do echo more >>"$f"; echo new >"$f.new"; done`}
	pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{RunAsUser: &user, AllowPrivilegeEscalation: new(bool), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
	pod.Spec.SecurityContext.FSGroupChangePolicy = new(corev1.FSGroupChangeOnRootMismatch)
	pod.Spec.SecurityContext.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "files", MountPath: "/files"}}
	pod.Spec.Volumes = []corev1.Volume{{Name: "files", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: threescale.FileStoragePVCName}}}}
	require.NoError(w.t, shared.Client().Create(w.t.Context(), pod))
	w.eventually("the pod to end", func(ctx context.Context) error {
		if err := shared.Client().Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
			return fmt.Errorf("phase is %s", pod.Status.Phase)
		}
		return nil
	})
	assert.Equal(w.t, corev1.PodSucceeded, pod.Status.Phase, w.admin("logs", pod.Name))
}
