//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/examples"
)

// The examples of restores, each applied as it is shipped.

// TestExampleOtherNamespace: beside the first installation, from a copy of its
// volume, with its own domain and databases, by a repository of the platform's
// team and a ServiceAccount of the tenant's.
func TestExampleOtherNamespace(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := backedUp(t)
	kept := w.remember()
	other := newTenant(t, second, func(o *options) {
		o.files = cluster.VolumeOptions{AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}} // and nobody mounts it: any node will do
	})
	other.lose()
	// The databases were copied, and the tenants in the copy moved to the domain.
	other.database.SetDomain("3scale-dr.example.com")
	other.operate()
	other.volumeFrom("nightly-backup", w.volumeDir(nightlyVolume), func(string) {})
	e := other.newExample("other-namespace", map[string]string{examples.OtherNamespace: other.namespace, examples.FluxNamespace: w.namespace + "-flux"}, overSSH)
	databases := map[string]map[string][]byte{
		"system-database": {"URL": []byte("mysql2://root:copy@mysql.dr.svc/system"), "DB_USER": []byte("copy"), "DB_PASSWORD": []byte("copy")},
		"system-redis":    {"URL": []byte(other.database.URL())},
		"backend-redis":   {"REDIS_STORAGE_URL": []byte("redis://redis.dr.svc:6379/0"), "REDIS_QUEUES_URL": []byte("redis://redis.dr.svc:6379/1")},
		"zync":            {"DATABASE_URL": []byte("postgresql://zync:copy@postgresql.dr.svc/zync_production"), "ZYNC_DATABASE_PASSWORD": []byte("copy")},
	}
	for name, data := range databases {
		other.makeSecret(name, data)
	}
	e.begin()
	done := e.untilRestore("dr", "Ready", "True", "Restored")

	domain, _, err := unstructured.NestedString(other.apiManager().Object, "spec", "wildcardDomain")
	require.NoError(t, err)
	assert.Equal(t, "3scale-dr.example.com", domain)
	for name, data := range databases {
		for key, value := range data { // the operator adds those of zync that it draws
			assert.Equal(t, value, other.secret(name).Data[key], "Secret %s stays as it was made", name)
		}
		delete(kept.secrets, name)
	}
	mail := kept.secrets[threescale.MailSecret]
	delete(kept.secrets, mail.Name)
	for key := range mail.Data {
		assert.Empty(t, other.secret(mail.Name).Data[key], "the copy is quiet: %s", key)
	}
	plan := fmt.Sprint(status(done, "plan", "rewritten"))
	assert.Contains(t, plan, "wildcardDomain")
	e.assertRestored(kept, e.onlyCommit(t, branch), e.rewritten(done, kept)...)
	assert.NotContains(t, e.admin("get", "apimanager", "example", "-o", "yaml"), "apps.example.com", "nothing of the former domain")
	w.assertSecrets(kept)

	other.admin("patch", "threescalerestore", "dr", "--type=merge", "-p", `{"spec":{"target":{"quiet":false},"fileStorage":{"existing":"Skip"}}}`)
	other.eventually("the mail account to be restored", func(context.Context) error {
		live := other.secret(mail.Name)
		for key, value := range mail.Data { // the operator adds others
			if !bytes.Equal(value, live.Data[key]) {
				return errNotYet
			}
		}
		return nil
	})
	e.untilRestore("dr", "Ready", "True", "Restored")
}

// rewritten are the Secrets in which the plan says that the domain is replaced.
func (e *example) rewritten(done *unstructured.Unstructured, kept *installation) []string {
	e.t.Helper()
	var names []string
	list, _ := status(done, "plan", "rewritten").([]any)
	for name := range kept.secrets {
		for _, place := range list {
			if strings.HasPrefix(fmt.Sprint(place), "Secret "+name+" ") {
				names = append(names, name)
				break
			}
		}
	}
	return names
}

// TestExampleOtherCluster: all that is left is a Released volume. It is freed,
// and the restore makes PVC and file storage itself, the latter of another class.
func TestExampleOtherCluster(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := newTenant(t)
	require.NoError(t, w.apply(claim(nightly, `{backupDestination: {persistentVolumeClaim: {storageClass: retain, resources: {requests: 10Gi}}}}`)))
	w.untilCompleted(nightly)
	kept := w.remember()
	volume := w.persistentVolume(nightlyVolume)
	w.untilReleased(volume)

	other := newTenant(t, second)
	other.lose()
	other.admin("delete", "pvc", threescale.FileStoragePVCName)
	other.database = w.database // The backup's Secrets lead to it.
	other.database.SetDomain("3scale.example.net")
	other.operate()
	e := other.newExample("other-cluster", other.besideFlux(), overHTTPS)
	e.begin("volumeName: nightly-backup", "volumeName: "+volume)
	refused := e.untilRestore("dr", "Ready", "False", "SourceUnusable")
	t.Log(message(refused, "Ready"))
	other.shell(other.commandOf(refused, "Ready"))
	done := e.untilRestore("dr", "Ready", "True", "Restored")

	other.files = other.volumeDir(threescale.FileStoragePVCName)
	assert.Equal(t, "standard", other.admin("get", "pvc", threescale.FileStoragePVCName, "-o", "jsonpath={.spec.storageClassName}"))
	e.assertRestored(kept, e.onlyCommit(t, branch), e.rewritten(done, kept)...)
	assert.Equal(t, "Bound", other.admin("get", "pvc", "dr-source", "-o", "jsonpath={.status.phase}"))
}

// TestExampleOperatorVolume: APIManagerBackup wrote the volume, and the operator
// had made the file storage its own, which goes with the APIManager.
func TestExampleOperatorVolume(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := newTenant(t)
	kept := w.remember()
	w.operate()
	w.create(`{apiVersion: apps.3scale.net/v1alpha1, kind: APIManagerBackup, metadata: {name: example-apimanagerbackup-pvc},
		spec: {backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}}}}}`)
	w.untilOperatorCompleted("APIManagerBackup", "example-apimanagerbackup-pvc")
	referenced := threescale.ReferencedSecrets(w.apiManager())
	w.lose()
	for _, object := range referenced { // the operator does not back them up
		secret := kept.secrets[object.Name].DeepCopy()
		secret.ResourceVersion, secret.UID = "", ""
		require.NoError(t, w.c.Client().Create(t.Context(), secret))
	}
	e := w.newExample("operator-volume", w.inPlace())
	e.begin()
	done := e.untilRestore("dr", "Ready", "True", "Restored")
	assert.Contains(t, fmt.Sprint(status(done, "plan", "warnings")), "APIManagerBackup")
	w.files = w.volumeDir(threescale.FileStoragePVCName)
	kept.config = w.systemConfig() // the operator does not back it up, and makes its own
	e.assertRestored(kept, e.onlyCommit(t, branch))
}

// TestExampleEncrypted: the backup is encrypted for one key, Git for another.
func TestExampleEncrypted(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := newTenant(t)
	identity := mustIdentity(t)
	require.NoError(t, w.apply(claim(nightly, fmt.Sprintf(`{encryption: {age: {recipients: [%s]}}, backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}}}}`, identity.Recipient()))))
	w.untilCompleted(nightly)
	kept := w.disaster()
	e := w.newExample("encrypted", w.inPlace())
	w.makeSecret("backup-age", map[string][]byte{"backup.agekey": []byte(mustIdentity(t).String() + "\n")})
	e.begin()
	t.Log(message(e.untilRestore("dr", "Ready", "False", "DecryptionFailed"), "Ready"))
	w.admin("delete", "secret", "backup-age")
	w.makeSecret("backup-age", map[string][]byte{"backup.agekey": []byte(identity.String() + "\n")})
	_, err := w.kubectl("annotate", "--overwrite", "threescalerestore", "dr", requestedAt+"=now")
	require.NoError(t, err)
	e.untilRestore("dr", "Ready", "True", "Restored")
	e.assertRestored(kept, e.onlyCommit(t, branch))
}

// TestExampleDryRun: beside an installation that runs, a plan and nothing else;
// once it is a dry run no more, it restores what was planned.
func TestExampleDryRun(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := backedUp(t)
	kept := w.remember()
	e := w.newExample("dry-run", w.inPlace())
	e.begin()
	planned := e.untilRestore("dr", "Ready", "True", "Planned")
	t.Log(message(planned, "Ready"))
	objects, _ := status(planned, "plan", "objects").([]any)
	for _, entry := range objects {
		object, _ := entry.(map[string]any)
		assert.Equal(t, "Unchanged", object["verdict"], "%v", object)
	}
	assert.Len(t, objects, len(kept.secrets)+3+1+1, "all Secrets, ConfigMaps, the APIManager and the claim of the files")
	assert.Nil(t, status(planned, "completed"))
	e.untilNothingStays()
	commits, err := e.repository.Commits(t.Context(), branch)
	require.NoError(t, err)
	assert.Len(t, commits, 1)

	w.lose()
	w.operate()
	w.admin("patch", "threescalerestore", "dr", "--type=merge", "-p", `{"spec":{"dryRun":false}}`)
	done := e.untilRestore("dr", "Ready", "True", "Restored")
	assert.Contains(t, fmt.Sprint(status(done, "plan", "objects")), "Create", "the plan is made anew: the installation was lost since")
	e.assertRestored(kept, e.onlyCommit(t, branch))
}

// TestExampleProtectedBranch: main takes no push. Without a branch of its own
// the restore says so, in the server's words; with one it waits for the merge.
func TestExampleProtectedBranch(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := backedUp(t)
	kept := w.disaster()
	e := w.newExample("protected-branch", w.besideFlux(), overSSH)
	require.NoError(t, e.repository.Protect(branch))
	const shipped = "threescale-restore/3scale/dr"
	own := "threescale-restore/" + w.namespace + "/dr"
	e.begin("branch: "+shipped, "branch: main")
	rejected := e.untilRestore("dr", "Ready", "False", "PushRejected")
	t.Log(message(rejected, "Ready"))
	assert.Contains(t, message(rejected, "Ready"), "GH013: Repository rule violations found for refs/heads/main")
	assert.Equal(t, "True", condition(rejected, "Stalled")["status"])

	e.restore("branch: "+shipped, "branch: "+own)
	e.eventually("the branch to be pushed", func(ctx context.Context) error {
		branches, err := e.repository.Branches(ctx)
		if err == nil && len(branches) != 2 {
			err = fmt.Errorf("there are %v", branches)
		}
		return err
	})
	e.eventually("the restore to wait for the merge", func(ctx context.Context) error {
		got, err := e.restoreOf(ctx, "dr")
		if err == nil && (status(got, "lastPushCommit") == nil || condition(got, "Ready")["status"] != "Unknown") {
			err = fmt.Errorf("status is %v", got.Object["status"])
		}
		return err
	})
	made := e.onlyCommit(t, own)
	_, err := e.repository.Merge(t.Context(), own, branch)
	require.NoError(t, err)
	e.admin("-n", e.namespaces[examples.FluxNamespace], "annotate", "gitrepository", "apps", requestedAt+"=now", "--overwrite") // as a webhook does
	e.untilRestore("dr", "Ready", "True", "Restored")
	e.assertRestored(kept, made)
}
