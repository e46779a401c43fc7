//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestWaitsEnd: a Kustomization that never applies, an APIManager that never
// becomes available each end in a condition that says so, and the restore goes on
// as soon as they come round.
func TestWaitsEnd(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := backedUp(t)
	kept := w.remember()
	w.lose()
	d := w.deliver()
	w.admin("patch", "kustomization", "apps", "--type=merge", "-p", `{"spec":{"suspend":true}}`)
	d.ask(dr("dr", `{kustomizationRef: {name: apps}, timeout: 2s}`))
	suspended := w.untilRestore("dr", "Ready", "False", "KustomizationUnusable")
	t.Log(message(suspended, "Ready"))
	assert.Contains(t, message(suspended, "Ready"), "flux resume")

	// It applies, but what it applies is never there: the key is another one.
	w.admin("delete", "secret", "sops-age")
	w.makeSecret("sops-age", map[string][]byte{"it.agekey": []byte(mustIdentity(t).String() + "\n")})
	w.admin("patch", "kustomization", "apps", "--type=merge", "-p", `{"spec":{"suspend":false}}`)
	stuck := w.untilRestore("dr", "Ready", "False", "NotApplied")
	t.Log(message(stuck, "Ready"))
	assert.Equal(t, "True", condition(stuck, "Stalled")["status"])
	w.untilRestoreSays("dr", "decrypt") // what Flux says is quoted

	w.admin("delete", "secret", "sops-age")
	w.makeSecret("sops-age", map[string][]byte{"it.agekey": []byte(d.identity.String() + "\n")})
	w.admin("annotate", "--overwrite", "kustomization", "apps", requestedAt+"=now")
	down := w.untilRestore("dr", "Ready", "False", "ResyncFailed")
	t.Log(message(down, "Ready"))

	w.operate()
	d.askUntil("dr", "the routes to be made again", func(u *unstructured.Unstructured) bool { return status(u, "completed") == true })
	w.untilRestore("dr", "Ready", "True", "Restored")
	commits, err := d.repository.Commits(t.Context(), branch)
	require.NoError(t, err)
	assert.Len(t, commits, 2)
	w.assertSecrets(kept)
	w.assertFiles(kept)
	w.assertNothingStays()
}

// askUntil asks a restore to look again, until a check passes: nothing wakes it
// that it does not watch.
func (d *delivery) askUntil(name, what string, check func(*unstructured.Unstructured) bool) {
	d.t.Helper()
	d.eventually(what, func(ctx context.Context) error {
		u, err := d.restoreOf(ctx, name)
		if err != nil || check(u) {
			return err
		}
		if condition(u, "Stalled")["status"] == "True" {
			d.admin("annotate", "--overwrite", "threescalerestore", name, fmt.Sprintf("%s=%d", requestedAt, time.Now().UnixNano()))
		}
		return fmt.Errorf("status is %v", u.Object["status"])
	})
}

// TestTenRestoresOfOneBranch: they push at once, and each gets its commit.
func TestTenRestoresOfOneBranch(t *testing.T) {
	withFlux(t)
	parallel(t)
	w := backedUp(t)
	d := w.deliver()
	names := make([]string, 10)
	for i := range names {
		names[i] = fmt.Sprintf("dr%d", i)
		d.ask(dr(names[i], `{}`))
	}
	pushed := map[any]string{}
	for _, name := range names {
		pushed[status(w.untilRestore(name, "Ready", "True", "Restored"), "lastPushCommit")] = name
	}
	commits, err := d.repository.Commits(t.Context(), branch)
	require.NoError(t, err)
	require.Len(t, commits, len(names)+1)
	for _, commit := range commits[:len(names)] {
		require.Contains(t, pushed, commit.Hash)
		got, err := d.restoreOf(t.Context(), pushed[commit.Hash])
		require.NoError(t, err)
		d.assertCommit(got, commit)
	}
}
