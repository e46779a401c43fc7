//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

// untilOnly waits until nothing of ours is left in the namespace but the given
// objects: the garbage collector takes its time.
func (w *tenant) untilOnly(names string) {
	w.t.Helper()
	w.eventually("everything else to go", func(context.Context) error {
		if left := w.leftovers(); left != names {
			return fmt.Errorf("left are: %s", left)
		}
		return nil
	})
}

func (w *tenant) pvc(ctx context.Context, name string) (*corev1.PersistentVolumeClaim, error) {
	pvc := &corev1.PersistentVolumeClaim{}
	return pvc, w.user.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: name}, pvc)
}

// TestDeletedClaimKeepsItsVolume: deleting a claim takes everything with it but
// the volume, and a claim of the same name goes on where the first one ended.
func TestDeletedClaimKeepsItsVolume(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	first := lastRun(w.untilCompleted(nightly))
	before, err := w.pvc(t.Context(), nightlyVolume)
	require.NoError(t, err)
	for _, kind := range []string{"secret/", "configmap/", "serviceaccount/", "role.rbac", "rolebinding.rbac"} {
		assert.Contains(t, w.leftovers(), kind, "there is something to go")
	}

	w.remove(nightly)
	w.untilOnly("persistentvolumeclaim/" + nightlyVolume + "\n")
	kept, err := w.pvc(t.Context(), nightlyVolume)
	require.NoError(t, err)
	assert.Equal(t, before.UID, kept.UID)
	assert.Equal(t, corev1.ClaimBound, kept.Status.Phase)
	w.eventually("the garbage collector to leave the Namespace as the only owner", func(ctx context.Context) error {
		if kept, err = w.pvc(ctx, nightlyVolume); err != nil {
			return err
		}
		if len(kept.OwnerReferences) != 1 || kept.OwnerReferences[0].Kind != "Namespace" {
			return fmt.Errorf("owners are %v", kept.OwnerReferences)
		}
		return nil
	})
	assert.Equal(t, []string{first}, w.verified(w.volumeDir(nightlyVolume)))

	require.NoError(t, w.apply(claim(nightly, tenGi)))
	second := w.untilCompleted(nightly, first)
	adopted, err := w.pvc(t.Context(), nightlyVolume)
	require.NoError(t, err)
	assert.Equal(t, before.UID, adopted.UID)
	assert.Equal(t, []string{first, lastRun(second)}, w.verified(w.volumeDir(nightlyVolume)))
}

// TestDeletionPolicyDelete: whoever asks for it loses the volume with the claim.
func TestDeletionPolicyDelete(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	require.NoError(t, w.apply(claim(nightly, `{deletionPolicy: Delete, backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}}}}`)))
	w.untilCompleted(nightly)
	volume := w.persistentVolume(nightlyVolume)

	w.remove(nightly)
	w.untilOnly("")
	w.eventually("the volume to be deleted", func(ctx context.Context) error {
		err := shared.Client().Get(ctx, types.NamespacedName{Name: volume}, &corev1.PersistentVolume{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errNotYet, err)
	})
}

// TestDeletionPolicyOfAdoptedVolume: a volume that was to stay stays, and a
// later claim that would delete it says so.
func TestDeletionPolicyOfAdoptedVolume(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	first := lastRun(w.untilCompleted(nightly))
	w.remove(nightly)
	w.untilOnly("persistentvolumeclaim/" + nightlyVolume + "\n")

	require.NoError(t, w.apply(claim(nightly, `{deletionPolicy: Delete, backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}}}}`)))
	second := w.untilCompleted(nightly, first)
	assert.Contains(t, message(second, "Warning"), "stays when this backup is deleted, in spite of deletionPolicy Delete")
	w.remove(nightly)
	w.untilOnly("persistentvolumeclaim/" + nightlyVolume + "\n")
	assert.Equal(t, []string{first, lastRun(second)}, w.verified(w.volumeDir(nightlyVolume)))
}
