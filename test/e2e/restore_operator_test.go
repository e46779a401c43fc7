//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"threescale.dev/backup/fn/threescale"
)

// fluxInterval is how often Flux applies what is restored in these tests: the
// least that its API takes is no less.
const fluxInterval = "10s"

// reconciliations is how often Flux has applied the Kustomization with success.
func (d *delivery) reconciliations(ctx context.Context) (int64, error) {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("kustomize.toolkit.fluxcd.io/v1")
	u.SetKind("Kustomization")
	if err := d.c.Client().Get(ctx, types.NamespacedName{Namespace: d.namespace, Name: "apps"}, u); err != nil {
		return 0, err
	}
	if ready := condition(u, "Ready"); ready["status"] != "True" {
		return 0, fmt.Errorf("kustomization is not ready: %v", ready["message"])
	}
	history, _ := status(u, "history").([]any)
	if len(history) == 0 {
		return 0, errNotYet
	}
	newest, _ := history[0].(map[string]any)
	count, _ := newest["totalReconciliations"].(int64)
	return count, nil
}

// afterReconciliations waits until Flux has applied everything some more times.
func (d *delivery) afterReconciliations(more int64) {
	d.t.Helper()
	var from int64
	d.eventually("Flux to be content", func(ctx context.Context) (err error) {
		from, err = d.reconciliations(ctx)
		return err
	})
	d.eventually(fmt.Sprintf("Flux to apply %d times more", more), func(ctx context.Context) error {
		count, err := d.reconciliations(ctx)
		if err == nil && count < from+more {
			err = fmt.Errorf("%d of %d", count-from, more)
		}
		return err
	})
}

// versionsOf are the resource versions of all that was restored: each write
// changes one. The operator writes the APIManager's status, so of that the
// generation counts.
func (d *delivery) versionsOf(done *unstructured.Unstructured) map[string]string {
	d.t.Helper()
	versions := map[string]string{}
	inventory, _ := status(done, "inventory").([]any)
	for _, entry := range inventory {
		object, _ := entry.(map[string]any)
		kind, name := fmt.Sprint(object["kind"]), fmt.Sprint(object["name"])
		field := "{.metadata.resourceVersion}"
		if kind == "APIManager" {
			field = "{.metadata.generation} {.metadata.annotations}"
		}
		versions[kind+"/"+name] = d.admin("get", kind, name, "-o", "jsonpath="+field)
	}
	return versions
}

// TestFluxAndTheOperatorAgree: with the operator writing what it writes into
// the restored objects, Flux applies them five times more, and neither changes
// what the other wrote.
func TestFluxAndTheOperatorAgree(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := backedUp(t)
	kept := w.disaster()
	d := w.newDelivery()
	d.follow(fluxInterval)
	d.ask(dr("dr", withKustomization))
	done := w.untilRestore("dr", "Ready", "True", "Restored")
	d.afterReconciliations(1)
	before := d.versionsOf(done)
	require.Len(t, before, len(status(done, "inventory").([]any)))

	d.afterReconciliations(5)
	assert.Equal(t, before, d.versionsOf(done), "nobody writes any more")
	w.assertSecrets(kept)
	w.assertFiles(kept)
}

// operated is a tenant with one backup of an installation that the operator made,
// and what stops the operator.
func operated(t *testing.T) (w *tenant, stop func()) {
	t.Helper()
	w = newTenant(t, toBeOperated)
	stop = w.operate()
	w.untilAvailable()
	require.NoError(t, w.apply(claim(nightly, tenGi)))
	w.untilCompleted(nightly)
	return w, stop
}

// TestRestoreOfWhatTheOperatorMade: the operator makes an installation of an
// APIManager and the Secrets of its databases. All of it is deleted beside the
// operator, and the garbage collector takes along what was its own; the restore
// has it available again, with the Routes that nobody makes by himself.
func TestRestoreOfWhatTheOperatorMade(t *testing.T) {
	withFlux(t)
	parallel(t)
	w, _ := operated(t)
	kept := w.remember()
	pushed := w.database.Pushed()

	w.lose()
	d := w.newDelivery()
	d.follow("1h")
	d.ask(dr("dr", withKustomization))
	w.untilRestore("dr", "Ready", "True", "Restored")
	w.untilAvailable()
	assert.Greater(t, w.database.Pushed(), pushed, "the Routes were asked for")
	w.files = w.volumeDir(threescale.FileStoragePVCName)
	d.assertRestored(kept, d.onlyCommit(t, branch))
}
