//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/dataset"
)

// untilCopied waits until the newest run of a claim, which is not one of those
// before, is in the bucket.
func (w *tenant) untilCopied(name string, before ...string) *unstructured.Unstructured {
	w.t.Helper()
	return w.until(name, "the run to be in the bucket", func(u *unstructured.Unstructured) bool {
		run := lastRun(u)
		return run != "" && !slices.Contains(before, run) && status(u, "offsite", "run") == run &&
			condition(u, v1alpha1.ConditionOffsiteCopied)["reason"] == v1alpha1.ReasonCopied
	})
}

// assertLayout: each key is one of those that the format has, each blob is named
// by what it holds, and each run's manifest is that of the volume.
func (b *bucket) assertLayout(dir string) {
	b.t.Helper()
	for _, key := range b.list("") {
		assert.Regexp(b.t, `^(OWNER|WRITER|blobs/[0-9a-f]{2}/[0-9a-f]{64}|trees/[^/]+/(MTREE|SHA256SUMS|files\.xattrs)|runs/[^/]+/(SHA256SUMS|manifest\.json|(secrets|configmaps|apimanager)/.+))$`, key)
	}
	for _, key := range b.list("blobs/") {
		digest := sha256.Sum256(b.read(key))
		require.Equal(b.t, filepath.Base(key), hex.EncodeToString(digest[:]))
	}
	for _, run := range b.runs() {
		want, err := os.ReadFile(filepath.Join(dir, "runs", run, "manifest.json"))
		require.NoError(b.t, err)
		require.Equal(b.t, string(want), string(b.read("runs/"+run+"/manifest.json")))
	}
}

// assertApart: no pod has both the Secrets of the installation and the keys of
// the bucket, and no pod has either in its command line or its environment.
func (w *tenant) assertApart(seen *podLog) {
	w.t.Helper()
	seen.Lock()
	defer seen.Unlock()
	copies := 0
	for name, pod := range seen.pods {
		secrets := secretsOf(&pod)
		for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			assert.Empty(w.t, container.EnvFrom, name)
			for _, variable := range container.Env {
				assert.Nil(w.t, variable.ValueFrom, "%s: %s", name, variable.Name)
			}
			assert.False(w.t, leaks(fmt.Sprint(container.Args, container.Command, container.Env)), "the command of pod %s holds a value of a Secret", name)
			if !slices.Contains(container.Args, job.CopyCommand) {
				assert.NotContains(w.t, secrets, "bucket", name)
				continue
			}
			copies++
			assert.ElementsMatch(w.t, []string{"bucket", "bucket-ca"}, secrets, "pod %s has nothing of the installation", name)
			w.assertReadOnlyVolumes(&pod)
		}
	}
	assert.NotZero(w.t, copies, "there was a pod that copied")
}

// secretsOf are the names of the Secrets that a pod mounts.
func secretsOf(pod *corev1.Pod) []string {
	var names []string
	for _, volume := range pod.Spec.Volumes {
		if volume.Secret != nil {
			names = append(names, volume.Secret.SecretName)
		}
		if volume.Projected == nil {
			continue
		}
		for _, source := range volume.Projected.Sources {
			if source.Secret != nil {
				names = append(names, source.Secret.Name)
			}
		}
	}
	return names
}

// assertReadOnlyVolumes: a pod can write to none of its PVCs.
func (w *tenant) assertReadOnlyVolumes(pod *corev1.Pod) {
	w.t.Helper()
	for _, volume := range pod.Spec.Volumes {
		for _, mount := range pod.Spec.Containers[0].VolumeMounts {
			if volume.PersistentVolumeClaim != nil && mount.Name == volume.Name {
				assert.True(w.t, mount.ReadOnly || volume.PersistentVolumeClaim.ReadOnly, "pod %s only reads %s", pod.Name, volume.PersistentVolumeClaim.ClaimName)
			}
		}
	}
}

// TestOffsite: each run is copied, encrypted as it is, to a bucket whose
// authority nobody knows but a Secret, and the next copy sends what has changed.
func TestOffsite(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	b := w.newBucket()
	pods := w.watchPods()
	identity := mustIdentity(t)
	run := func(trigger string, before ...string) *unstructured.Unstructured {
		require.NoError(t, w.apply(claim(nightly, beside(fmt.Sprintf(`trigger: %s, encryption: {age: {recipients: [%s]}}, %s`,
			trigger, identity.Recipient(), b.offsite(`retention: {keepLast: 2}`))))))
		return w.untilCopied(nightly, before...)
	}
	copied := run("first")
	first := lastRun(copied)
	dir := w.volumeDir(nightlyVolume)
	b.assertLayout(dir)
	assert.ElementsMatch(t, []string{first}, b.runs())
	assert.Equal(t, status(copied, "lastRun", "manifestSHA256"), status(copied, "offsite", "manifestSHA256"))
	w.requireAbsent(b.Path(""), dataset.MarkerForms())
	w.eventually("an event that tells of it", w.hasEvent(v1alpha1.ReasonCopied, first))

	w.writeFile("new.txt", []byte("what somebody has uploaded since"))
	blobs, after := len(b.list("blobs/")), b.soFar()
	second := lastRun(run("second", first))
	b.assertLayout(dir)
	assert.ElementsMatch(t, []string{first, second}, b.runs())
	assert.Len(t, b.answered("PutObject", "blobs/", after), 1, "the new file is sent, and no other")
	assert.Len(t, b.list("blobs/"), blobs+1)
	assert.Empty(t, b.answered("GetObject", "blobs/", 0), "nothing is read back")

	removed := run("third", first, second)
	third := lastRun(removed)
	assert.ElementsMatch(t, []string{second, third}, b.runs(), "by the bucket's own retention")
	assert.Equal(t, []any{first}, status(removed, "offsite", "removed"))
	assert.Equal(t, []string{first, second, third}, w.verified(dir), "the volume has one of its own")
	b.assertLayout(dir)
	w.assertApart(pods)
	out, err := w.kubectl("describe", "threescalebackup", nightly)
	require.NoError(t, err)
	t.Logf("$ kubectl describe threescalebackup nightly\n%s", out)
}

// TestDeletedWhileItCopies: a claim goes although its bucket does not answer.
func TestDeletedWhileItCopies(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	b := w.newBucket()
	way := b.stuck()
	require.NoError(t, w.apply(claim(nightly, beside(b.offsite("{}")))))
	first := lastRun(w.untilCompleted(nightly))
	w.eventually("the copy to wait for the bucket", func(context.Context) error {
		select {
		case <-way.held:
			return nil
		default:
			return errNotYet
		}
	})
	w.assertCondition(w.untilReason(nightly, v1alpha1.ConditionOffsiteCopied, v1alpha1.ReasonCopyPending), v1alpha1.ConditionBackupCompleted, "True", "Completed")
	w.remove(nightly)
	w.untilOnly("persistentvolumeclaim/" + nightlyVolume + "\n")
	assert.Empty(t, b.list(""), "nothing has come to the bucket")
	assert.Equal(t, []string{first}, w.verified(w.volumeDir(nightlyVolume)))
}

// TestOffsiteDown: while the bucket does not answer, and then refuses the keys,
// backups go on, and the condition says why. Then all is copied.
func TestOffsiteDown(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	b := w.newBucket()
	b.endpoint = b.unreachable()
	nobody := know(cluster.Keys{Access: "AKIANOBODYKNOWSTHIS1", Secret: "a-key-that-nobody-knows-either"})
	w.changeSecret("bucket", secretOf(nobody))
	require.NoError(t, w.apply(claim(nightly, beside(`trigger: first, `+b.offsite("{}")))))
	first := lastRun(w.untilCompleted(nightly))
	down := w.untilReason(nightly, v1alpha1.ConditionOffsiteCopied, v1alpha1.ReasonBucketUnreachable)
	t.Log(message(down, v1alpha1.ConditionOffsiteCopied))
	w.assertStillGood(down, first)
	assert.NotNil(t, status(down, "offsite", "retryTime"))

	b.open(b.endpoint)
	denied := w.untilReason(nightly, v1alpha1.ConditionOffsiteCopied, v1alpha1.ReasonBucketDenied)
	t.Log(message(denied, v1alpha1.ConditionOffsiteCopied))
	w.assertStillGood(denied, first)
	w.eventually("an event that tells of it", w.hasEvent(v1alpha1.ReasonBucketDenied, ""))
	assert.Empty(t, b.list(""))

	w.changeSecret("bucket", secretOf(b.Keys))
	require.NoError(t, w.apply(claim(nightly, beside(`trigger: second, `+b.offsite("{}")))))
	copied := w.untilCopied(nightly, first)
	assert.ElementsMatch(t, []string{first, lastRun(copied)}, b.runs(), "what was missed is copied too")
	assert.Nil(t, status(copied, "offsite", "failures"))
	b.assertLayout(w.volumeDir(nightlyVolume))
}

// assertStillGood: what is wrong with a bucket is not wrong with the backup.
func (w *tenant) assertStillGood(u *unstructured.Unstructured, run string) {
	w.t.Helper()
	w.assertCondition(u, v1alpha1.ConditionBackupCompleted, "True", "Completed")
	w.assertCondition(u, v1alpha1.ConditionPreflightPassed, "True", "Passed")
	assert.Equal(w.t, "True", condition(u, "Ready")["status"])
	assert.Equal(w.t, true, status(u, "completed"))
	assert.Equal(w.t, run, lastRun(u))
}

// changeSecret replaces the data of a Secret.
func (w *tenant) changeSecret(name string, data map[string][]byte) {
	w.t.Helper()
	secret := w.secret(name)
	secret.Data = data
	require.NoError(w.t, w.c.Client().Update(w.t.Context(), secret))
}

// TestBucketVerification: a flipped bit in the bucket is found, and the message
// names the file; the runs on the volume are as good as before.
func TestBucketVerification(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	b := w.newBucket()
	w.writeFile("precious.txt", []byte("what somebody uploaded"))
	require.NoError(t, w.apply(claim(nightly, beside(b.offsite(everyMinute)))))
	run := lastRun(w.untilCopied(nightly))
	w.untilReason(nightly, v1alpha1.ConditionOffsiteVerified, v1alpha1.ReasonVerified)
	digest := sha256.Sum256([]byte("what somebody uploaded"))
	name := hex.EncodeToString(digest[:])
	w.damage(b.Path(b.prefix + "blobs/" + name[:2] + "/" + name))

	found := w.untilReason(nightly, v1alpha1.ConditionOffsiteVerified, v1alpha1.ReasonDamaged)
	w.assertCondition(found, v1alpha1.ConditionOffsiteVerified, "False", v1alpha1.ReasonDamaged, "precious.txt", run)
	assert.Equal(t, []any{run}, status(found, "offsite", "verification", "damagedRuns"))
	assert.Nil(t, condition(found, v1alpha1.ConditionVerified), "that is of the volume, and was not asked for")
	w.assertCondition(found, v1alpha1.ConditionBackupCompleted, "True", "Completed")
	w.eventually("an event that tells of it", w.hasEvent(v1alpha1.ReasonDamaged, "precious.txt"))
}

// TestLockedBucket: what the retention removes is hidden, and stays below that
// until its lock ends. What a user may not even hide stays, and a warning says so.
func TestLockedBucket(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	var rights []cluster.BucketRight
	b := w.newBucket(func(o *cluster.BucketOptions) {
		o.ObjectLock = true
		o.Rights = append(o.Rights, "s3:PutObjectRetention", "s3:GetObjectRetention", "s3:GetBucketObjectLockConfiguration")
		rights = o.Rights
	})
	run := func(trigger string, before ...string) *unstructured.Unstructured {
		require.NoError(t, w.apply(claim(nightly, beside(fmt.Sprintf(`trigger: %s, %s`, trigger,
			b.offsite(`{objectLock: {mode: Governance, days: 1}, retention: {keepLast: 1}}`))))))
		return w.untilCopied(nightly, before...)
	}
	first := lastRun(run("first"))
	second := lastRun(run("second", first))
	assert.ElementsMatch(t, []string{second}, b.runs())
	require.NoError(t, b.Allow(t.Context(), append(rights, "s3:ListBucketVersions", "s3:DeleteObjectVersion")...))
	user, err := b.Client()
	require.NoError(t, err)
	kept := 0
	for version := range user.ListObjects(t.Context(), b.Name, minio.ListObjectsOptions{Prefix: b.prefix + "runs/" + first, Recursive: true, WithVersions: true}) {
		require.NoError(t, version.Err)
		if version.IsDeleteMarker {
			continue
		}
		kept++
		require.Error(t, user.RemoveObject(t.Context(), b.Name, version.Key, minio.RemoveObjectOptions{VersionID: version.VersionID}), version.Key)
	}
	assert.Greater(t, kept, 2, "lists, objects and manifest of the run are there, and nobody without more rights can delete them")

	require.NoError(t, b.Allow(t.Context(), slices.DeleteFunc(slices.Clone(rights), func(right cluster.BucketRight) bool { return right == "s3:DeleteObject" })...))
	done := run("third", first, second)
	t.Log(message(done, v1alpha1.ConditionWarning))
	assert.ElementsMatch(t, []string{second, lastRun(done)}, b.runs())
	assert.Contains(t, fmt.Sprint(status(done, "offsite", "warnings")), second)
	w.untilWarned(nightly, second, true)
	b.assertLayout(w.volumeDir(nightlyVolume))
}
