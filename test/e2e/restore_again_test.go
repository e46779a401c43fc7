//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const requestedAt, forceAt = "reconcile.fluxcd.io/requestedAt", "reconcile.fluxcd.io/forceAt"

// untilAnswered asks a restore to reconcile, and waits until it has.
func (d *delivery) untilAnswered(name, token string) *unstructured.Unstructured {
	d.t.Helper()
	_, err := d.kubectl("annotate", "--overwrite", "threescalerestore", name, requestedAt+"="+token)
	require.NoError(d.t, err)
	var got *unstructured.Unstructured
	d.eventually("the request to be answered", func(ctx context.Context) (err error) {
		if got, err = d.restoreOf(ctx, name); err == nil && status(got, "lastHandledReconcileAt") != token {
			err = errNotYet
		}
		return err
	})
	return got
}

// quiet is what must not change: all objects of the namespace that a restore
// could write, and its events, by their resource versions, and the branches of the repository.
func (d *delivery) quiet() string {
	d.t.Helper()
	head, err := d.repository.Head(d.t.Context(), branch)
	require.NoError(d.t, err)
	const versions = `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{"\n"}{end}`
	// An event that is told once more has a higher count, which is a write.
	return head + "\n" + d.admin("get", "jobs,pods,secrets,configmaps,roles,rolebindings,serviceaccounts,persistentvolumeclaims,gitrepositories", "-o", versions) +
		d.admin("get", "events", "--field-selector", "involvedObject.kind=ThreeScaleRestore", "-o", versions)
}

// TestFinishedRestoreRests: asked ten times, after a restart of the controller,
// applied again, and deleted and applied again, a finished restore makes no
// commit, no Job and no write but the answer; asked by force, it restores again.
func TestFinishedRestoreRests(t *testing.T) {
	withFlux(t)
	w := backedUp(t)
	w.lose()
	stop := w.operate()
	d := w.deliver()
	d.ask(dr("dr", withKustomization))
	done := w.untilRestore("dr", "Ready", "True", "Restored")
	stop()
	before := d.quiet()

	asked := done
	for i := range 10 {
		asked = d.untilAnswered("dr", fmt.Sprint(i))
	}
	same := func(after *unstructured.Unstructured) {
		t.Helper()
		assert.Equal(t, condition(done, "Ready")["lastTransitionTime"], condition(after, "Ready")["lastTransitionTime"])
		assert.Equal(t, message(done, "Ready"), message(after, "Ready"))
		for _, field := range []string{"history", "inventory", "plan", "lastPushCommit", "completionTime", "startTime", "attempt"} {
			assert.Equal(t, status(done, field), status(after, field), field)
		}
	}
	same(asked)
	assert.Equal(t, before, d.quiet(), "ten requests")

	require.NoError(t, flux.controller.Stop())
	require.NoError(t, startController(t.Context()))
	d.ask(dr("dr", withKustomization))
	restarted := d.untilAnswered("dr", "restarted")
	same(restarted)
	assert.Equal(t, before, d.quiet(), "a restart, and applied again")
	d.ask(dr("dr", `{kustomizationRef: {name: apps}, interval: 11m}`))
	same(d.untilAnswered("dr", "interval"))
	assert.Equal(t, before, d.quiet(), "what is not about what to restore has changed")

	// Others go on committing, and Flux goes on applying.
	later := d.push(map[string][]byte{"README.md": []byte("Written since.\n")})
	w.admin("annotate", "--overwrite", "gitrepository", "apps", requestedAt+"=later")
	w.eventually("Flux to apply the later commit", func(context.Context) error {
		if got := w.admin("get", "kustomization", "apps", "-o", "jsonpath={.status.lastAttemptedRevision}"); !strings.HasSuffix(got, later) {
			return fmt.Errorf("it is at %s", got)
		}
		return nil
	})
	_, err := w.kubectl("delete", "threescalerestore", "dr")
	require.NoError(t, err)
	d.ask(dr("dr", withKustomization))
	w.operate()
	again := w.untilRestore("dr", "Ready", "True", "Restored")
	commits, err := d.repository.Commits(t.Context(), branch)
	require.NoError(t, err)
	assert.Len(t, commits, 3, "deleted and applied again, it finds its commit")
	assert.Equal(t, status(done, "lastPushCommit"), status(again, "lastPushCommit"))
	assert.Equal(t, status(done, "restoredRun"), status(again, "restoredRun"))

	_, err = w.kubectl("annotate", "--overwrite", "threescalerestore", "dr", requestedAt+"=now", forceAt+"=now")
	require.NoError(t, err)
	var forced *unstructured.Unstructured
	w.eventually("the restore to be done again", func(ctx context.Context) (err error) {
		if forced, err = w.restoreOf(ctx, "dr"); err == nil && (status(forced, "attempt") == status(again, "attempt") || status(forced, "completed") != true) {
			err = fmt.Errorf("status is %v", forced.Object["status"])
		}
		return err
	})
	commits, err = d.repository.Commits(t.Context(), branch)
	require.NoError(t, err)
	assert.Len(t, commits, 4, "asked by force, it commits again")
	d.assertCommit(forced, commits[0])

	_, err = w.kubectl("delete", "threescalerestore", "dr")
	require.NoError(t, err)
	d.ask(dr("dr", withKustomization))
	found := w.untilRestore("dr", "Ready", "True", "Restored")
	assert.Equal(t, status(forced, "lastPushCommit"), status(found, "lastPushCommit"), "applied again without the request, it finds what the request led to")
	commits, err = d.repository.Commits(t.Context(), branch)
	require.NoError(t, err)
	assert.Len(t, commits, 4)
}

// TestSuspendedRestoreRests: nothing of it is begun, also when it is asked to,
// until it is resumed. A dry run that was applied after it tells that there was time.
func TestSuspendedRestoreRests(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := backedUp(t)
	d := w.deliver()
	d.ask(dr("held", `{suspend: true}`))
	w.admin("annotate", "threescalerestore", "held", requestedAt+"=now")
	d.ask(dr("dr", `{dryRun: true}`))
	w.untilRestore("dr", "Ready", "True", "Planned")
	held, err := w.restoreOf(t.Context(), "held")
	require.NoError(t, err)
	assert.Nil(t, status(held, "attempt"))
	assert.Empty(t, status(held, "conditions"))

	w.admin("patch", "threescalerestore", "held", "--type=merge", "-p", `{"spec":{"suspend":false}}`)
	w.untilRestore("held", "Ready", "True", "Restored")
	d.onlyCommit(t, branch)
}
