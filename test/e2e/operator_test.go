//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// untilOperatorCompleted waits for an APIManagerBackup or APIManagerRestore, which
// tell nothing but that they are complete.
func (w *tenant) untilOperatorCompleted(kind, name string) {
	w.t.Helper()
	start := time.Now()
	w.eventually(kind+" to complete", func(ctx context.Context) error {
		u := &unstructured.Unstructured{}
		u.SetAPIVersion("apps.3scale.net/v1alpha1")
		u.SetKind(kind)
		if err := w.c.Client().Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: name}, u); err != nil {
			return err
		}
		if status(u, "completed") != true {
			return fmt.Errorf("status is %v", u.Object["status"])
		}
		return nil
	})
	w.t.Logf("%s completed after %s", kind, time.Since(start).Round(100*time.Millisecond))
}

// untilAvailable waits until the operator says so.
func (w *tenant) untilAvailable() {
	w.t.Helper()
	w.eventually("the APIManager to be available", func(context.Context) error {
		if available := condition(w.apiManager(), "Available"); available["status"] != "True" {
			return fmt.Errorf("it is %v", available)
		}
		return nil
	})
}

// TestOperatorRestoresFromOurVolume: APIManagerRestore restores an installation
// from a volume that we wrote, into another namespace, to the end.
func TestOperatorRestoresFromOurVolume(t *testing.T) {
	parallel(t)
	w := backedUp(t)
	backup := w.volumeDir(nightlyVolume)
	// All thirteen are there, also those that APIManagerRestore leaves to the user.
	for _, name := range []string{"system-database", "backend-redis", "system-redis", "system-memcache"} {
		data, err := os.ReadFile(filepath.Join(backup, "secrets", name+".json"))
		require.NoError(t, err)
		assert.True(t, json.Valid(data), "%s.json", name)
	}
	kept := w.remember()

	other := newTenant(t, second)
	other.lose()
	other.database = w.database
	other.volumeFrom("source", backup, func(string) {})
	// The user brings what it does not: Secrets of databases, and those that the
	// APIManager refers to.
	restored := []string{
		"system-smtp", "system-seed", "backend-internal-api", "backend-listener", "system-events-hook",
		"system-app", "system-recaptcha", "zync", "system-master-apicast",
	}
	for name, secret := range kept.secrets {
		if slices.Contains(restored, name) {
			continue
		}
		made := &corev1.Secret{Type: secret.Type, Data: secret.Data}
		made.Name, made.Namespace, made.Labels = name, other.namespace, secret.Labels
		require.NoError(t, w.c.Client().Create(t.Context(), made))
	}
	other.operate()
	other.create(`{apiVersion: apps.3scale.net/v1alpha1, kind: APIManagerRestore, metadata: {name: restore},
		spec: {restoreSource: {persistentVolumeClaim: {claimSource: {claimName: source, readOnly: true}}}}}`)
	other.untilOperatorCompleted("APIManagerRestore", "restore")
	other.untilAvailable()
	for _, name := range restored {
		assert.True(t, sameSecret(kept.secrets[name], other.secret(name)), "Secret %s is another", name)
	}
	// It copies neither modes nor times.
	out, err := exec.Command("diff", "-r", kept.files, other.files).CombinedOutput()
	require.NoError(t, err, string(out))
}
