//go:build e2e

package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/v1alpha1"
)

const everyMinute = `verify: {schedule: "* * * * *"}`

// damage changes one bit of a stored file, and nothing that can be seen from outside.
func (w *tenant) damage(path string) {
	w.t.Helper()
	info, err := os.Stat(path)
	require.NoError(w.t, err)
	data, err := os.ReadFile(path)
	require.NoError(w.t, err)
	data[len(data)/2] ^= 1
	require.NoError(w.t, os.WriteFile(path, data, info.Mode()))
	require.NoError(w.t, os.Chtimes(path, time.Time{}, info.ModTime()))
}

// TestVerificationFindsDamage: a flipped bit is found and named, the next run
// stores the file afresh, and the verification after it is content.
func TestVerificationFindsDamage(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	w.writeFile("precious.txt", []byte("what somebody uploaded"))
	require.NoError(t, w.apply(claim(nightly, beside(everyMinute))))
	first := lastRun(w.untilCompleted(nightly))
	w.untilReason(nightly, v1alpha1.ConditionVerified, v1alpha1.ReasonVerified)
	dir := w.volumeDir(nightlyVolume)
	w.damage(filepath.Join(dir, "runs", first, "system-filestorage-pvc", "precious.txt"))

	found := w.untilReason(nightly, v1alpha1.ConditionVerified, v1alpha1.ReasonDamaged)
	w.assertCondition(found, v1alpha1.ConditionVerified, "False", v1alpha1.ReasonDamaged, "precious.txt", first)
	assert.Equal(t, []any{first}, status(found, "verification", "damagedRuns"))
	assert.Equal(t, true, status(found, "completed"))
	w.eventually("an event that tells of it", w.hasEvent(v1alpha1.ReasonDamaged, "precious.txt"))

	require.NoError(t, w.apply(claim(nightly, beside(everyMinute+`, trigger: afresh`))))
	second := lastRun(w.untilCompleted(nightly, first))
	w.verifyRun(dir, second)
	w.assertSameFiles(dir, second)
	w.untilReason(nightly, v1alpha1.ConditionVerified, v1alpha1.ReasonVerified)
	assert.Equal(t, []string{first, second}, w.verified(dir), "the run that shares the tree is mended")
}

// TestRecipientsChange: no file is linked to one that others can read, and what
// is encrypted is verified without a key.
func TestRecipientsChange(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	one, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	two, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	run := func(trigger string, before []string, recipients ...*age.X25519Identity) *unstructured.Unstructured {
		names := make([]string, 0, len(recipients))
		for _, r := range recipients {
			names = append(names, r.Recipient().String())
		}
		require.NoError(t, w.apply(claim(nightly, beside(fmt.Sprintf(`trigger: %q, %s, encryption: {age: {recipients: [%s]}}`, trigger, everyMinute, strings.Join(names, ", "))))))
		return w.untilCompleted(nightly, before...)
	}
	first := lastRun(run("first", nil, one))
	same := run("same", []string{first}, one)
	assert.EqualValues(t, 120, status(same, "lastRun", "linkedFiles"), "the same recipients share what is stored")
	changed := run("changed", []string{first, lastRun(same)}, one, two)
	assert.EqualValues(t, 0, status(changed, "lastRun", "linkedFiles"), "others' files are not theirs")
	assert.Equal(t, true, status(changed, "lastRun", "encrypted"))
	dir := w.volumeDir(nightlyVolume)
	assert.Equal(t, []string{first, lastRun(same), lastRun(changed)}, w.verified(dir))
	verified := w.until(nightly, "a verification of all three runs", func(u *unstructured.Unstructured) bool {
		return condition(u, v1alpha1.ConditionVerified)["status"] == "True" && fmt.Sprint(status(u, "verification", "runs")) == "3"
	})
	assert.Nil(t, status(verified, "verification", "damagedRuns"))

	require.NoError(t, w.apply(claim(nightly, beside(everyMinute))))
	w.untilWarned(nightly, "is encrypted, and the next will be stored readable", true)
	requireEncrypted(t, filepath.Join(dir, "trees"))
}

// requireEncrypted looks at every stored file of the file storage.
func requireEncrypted(t *testing.T, trees string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(trees, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || !strings.Contains(path, "/files/") {
			return err
		}
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(data), "age-encryption.org/"), path)
		return nil
	}))
}
