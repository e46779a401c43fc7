//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rotate gives a Secret a new user and password, which belong together, again
// and again until ctx ends.
func (w *tenant) rotate(ctx context.Context, name string) error {
	secret := w.secret(name)
	for i := 0; ctx.Err() == nil; i++ {
		secret.Data["DB_USER"] = fmt.Appendf(nil, "user-%d", i)
		secret.Data["DB_PASSWORD"] = fmt.Appendf(nil, "password-%d", i)
		if err := shared.Client().Update(ctx, secret); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// TestSecretRotatedWhileCopied: whatever moment the snapshot is of, each Secret
// in it is one version, and the claim tells when the sources never kept still.
func TestSecretRotatedWhileCopied(t *testing.T) {
	parallel(t)
	w := newTenant(t)
	ctx, stop := context.WithCancel(t.Context())
	var rotating errgroup.Group
	rotating.Go(func() error { return w.rotate(ctx, "system-database") })
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	done := w.untilCompleted(nightly)
	stop()
	require.NoError(t, rotating.Wait())
	assert.Contains(t, message(done, "Warning"), "Sources changed in each of 5 attempts")

	dir := w.volumeDir(nightlyVolume)
	assert.Equal(t, []string{lastRun(done)}, w.verified(dir))
	stored := w.storedSecret(dir, "system-database")
	var user, password int
	_, err := fmt.Sscanf(string(stored.Data["DB_USER"]), "user-%d", &user)
	require.NoError(t, err)
	_, err = fmt.Sscanf(string(stored.Data["DB_PASSWORD"]), "password-%d", &password)
	require.NoError(t, err)
	assert.Equal(t, user, password, "user and password of one version")

	var copies corev1.SecretList
	require.NoError(t, shared.Client().List(t.Context(), &copies, client.InNamespace(w.namespace), client.MatchingLabels{"backup.threescale.dev/source": "system-database"}))
	assert.Len(t, copies.Items, 1, "copies of earlier attempts are gone")
}
