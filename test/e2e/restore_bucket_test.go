//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"threescale.dev/backup/fn/threescale"
)

// TestExampleOffsite: the namespace is gone with all its volumes. Git, the
// bucket, whose keys may only read, and the age keys bring the installation
// back; a dry run before reads no file.
func TestExampleOffsite(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := newTenant(t)
	b := w.newBucket()
	identity := mustIdentity(t)
	require.NoError(t, w.apply(claim(nightly, beside(fmt.Sprintf(`encryption: {age: {recipients: [%s]}}, %s`, identity.Recipient(), b.offsite("{}"))))))
	run := lastRun(w.untilCopied(nightly))
	kept := w.remember()
	w.loseAll()
	require.NoError(t, b.Allow(t.Context(), readRights()...))

	other := newTenant(t, second)
	other.lose()
	other.admin("delete", "pvc", threescale.FileStoragePVCName)
	other.database = w.database // The backup's Secrets lead to it.
	other.database.SetDomain("3scale.example.net")
	other.operate()
	b.tell(other)
	other.makeSecret("backup-age", map[string][]byte{"backup.agekey": []byte(identity.String() + "\n")})
	e := other.newExample("offsite", other.besideFlux())
	e.apply(allButRestore)
	before := b.soFar()
	e.restore(append(b.ofExample(), "spec:\n", "spec:\n  dryRun: true\n")...)
	planned := e.untilRestore("dr", "Ready", "True", "Planned")
	t.Log(message(planned, "Ready"))
	assert.Equal(t, run, status(planned, "plan", "run"))
	assert.NotEmpty(t, b.answered("GetObject", "trees/", before), "the lists are read")
	assert.Empty(t, b.answered("GetObject", "blobs/", before), "no file is read")

	e.restore(b.ofExample()...)
	done := e.untilRestore("dr", "Ready", "True", "Restored")
	other.files = other.volumeDir(threescale.FileStoragePVCName)
	e.assertRestored(kept, e.onlyCommit(t, branch), e.rewritten(done, kept)...)
	assert.NotEmpty(t, b.answered("GetObject", "blobs/", before))
	assert.NotContains(t, other.admin("get", "pvc", "-o", "name"), "dr-source", "no volume of backups is needed")
}

// ofExample are the texts of the example to replace, each before what it becomes.
func (b *bucket) ofExample() []string {
	return []string{
		"endpoint: s3.example.com", `endpoint: "` + b.endpoint + `"`,
		"bucketName: backups", "bucketName: " + b.Name,
		"prefix: 3scale/nightly", "prefix: " + b.prefix[:len(b.prefix)-1],
		"region: eu-central-1", "region: us-east-1",
	}
}

// loseAll deletes the namespace, and waits until the volume of its backups has
// gone with it, and removes that of its files.
func (w *tenant) loseAll() {
	w.t.Helper()
	backups, files := w.persistentVolume(nightlyVolume), w.persistentVolume(threescale.FileStoragePVCName)
	_, err := w.c.Kubectl(w.t.Context(), "", "delete", "namespace", w.namespace, "--timeout", patience.String())
	require.NoError(w.t, err)
	_, err = w.c.Kubectl(w.t.Context(), "", "delete", "pv", files)
	require.NoError(w.t, err)
	w.eventually("the volume of the backups to be gone", func(ctx context.Context) error {
		err := shared.Client().Get(ctx, types.NamespacedName{Name: backups}, &corev1.PersistentVolume{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there: %w", err)
	})
}
