//go:build e2e

package e2e

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/cluster"
)

// executioner kills the controller at the first write behind those that it may
// do, before the API server sees it.
type executioner struct {
	sync.Mutex
	victim  *cluster.Process
	allowed int
	// met are the writes at which it struck.
	met []string
}

// spare lets a controller do some writes. The kind of write that has to come
// twice in one life, such as the one that asks Flux, does not keep a restore
// from going on: lives differ.
func (e *executioner) spare(victim *cluster.Process, writes int) {
	e.Lock()
	defer e.Unlock()
	e.victim, e.allowed = victim, writes
}

func (e *executioner) before(r *http.Request) bool {
	e.Lock()
	defer e.Unlock()
	if e.victim == nil || e.allowed > 0 || isQuestion(r) {
		return true
	}
	e.met = append(e.met, r.Method+" "+r.URL.Path)
	go func(victim *cluster.Process) { _ = victim.Kill() }(e.victim)
	return false
}

func (e *executioner) after(r *http.Request) {
	e.Lock()
	defer e.Unlock()
	if !isQuestion(r) {
		e.allowed--
	}
}

// isQuestion reports whether a request only asks for a right, and writes nothing.
func isQuestion(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/apis/authorization.k8s.io/")
}

// TestControllerKilledAtEveryWrite: whatever the controller was about to write
// when it died, the next one goes on from there: one commit, one restore,
// nothing left over.
func TestControllerKilledAtEveryWrite(t *testing.T) {
	withFlux(t)
	w := backedUp(t)
	kept := w.disaster()
	d := w.deliver()
	p := throughProxy(t)
	e := &executioner{}
	p.atWrite(e.before)
	p.afterWrite(e.after)
	kubeconfig := p.kubeconfig(t.Context(), t, controllerNamespace, controllerAccount)
	e.spare(flux.controller, 1)
	d.ask(dr("dr", withKustomization))

	const most = 200
	lives := 1
	for ; lives < most; lives++ {
		if d.untilDeadOrDone() {
			break
		}
		require.NoError(t, startControllerWith(kubeconfig))
		e.spare(flux.controller, 1+lives%2)
	}
	e.spare(nil, 0)
	w.untilRestore("dr", "Ready", "True", "Restored")
	t.Logf("%d lives of the controller, killed at: %s", lives, strings.Join(e.met, ", "))
	assert.Greater(t, lives, 10)
	d.assertRestored(kept, d.onlyCommit(t, branch))
}

// untilDeadOrDone waits until the controller was killed, or has nothing more to
// do: then it returns true.
func (d *delivery) untilDeadOrDone() (done bool) {
	d.t.Helper()
	d.eventually("the controller to die or to be done", func(ctx context.Context) error {
		select {
		case <-flux.controller.Done():
			return nil
		default:
		}
		u, err := d.restoreOf(ctx, "dr")
		if err != nil {
			return err
		}
		if done = condition(u, "Ready")["status"] == "True"; !done {
			return errNotYet
		}
		return nil
	})
	return done
}

// A step of a restore, told by the write with which it begins.
type begun struct {
	step, method, path string
	// nth of these writes.
	nth int
	// commits are how many there are when the restore is deleted at that write.
	commits int
}

// TestRestoreDeletedAtEachStep: a restore that is deleted takes with it all that
// was only for itself, leaves no half of a commit, and the next one of its name
// goes on.
func TestRestoreDeletedAtEachStep(t *testing.T) {
	withFlux(t)
	w := backedUp(t)
	kept := w.disaster()
	d := w.deliver()
	p := throughProxy(t)
	for _, at := range []begun{
		{"Begin", http.MethodPatch, "/threescalerestores/dr/status", 1, 1},
		{"Inspect", http.MethodPost, "/serviceaccounts", 1, 1},
		{"InspectJob", http.MethodPost, "/jobs", 1, 1},
		{"RefillJob", http.MethodPost, "/jobs", 2, 1},
		{"Publish", http.MethodPatch, "/gitrepositories/apps", 1, 2},
		{"CleanUp", http.MethodDelete, "/jobs/", 1, 2},
	} {
		t.Run(at.step, func(t *testing.T) {
			reached := make(chan struct{})
			var seen atomic.Int32
			p.atWrite(func(r *http.Request) bool {
				if r.Method == at.method && strings.Contains(r.URL.Path, at.path) && int(seen.Add(1)) == at.nth {
					assert.NotZero(t, metric(t, p.metrics, activeWorkers, ""))
					_, err := w.kubectl("delete", "threescalerestore", "dr")
					assert.NoError(t, err)
					close(reached)
				}
				return true
			})
			d.ask(dr("dr", `{kustomizationRef: {name: apps}, fileStorage: {existing: Mirror}}`))
			select {
			case <-reached:
			case <-time.After(patience):
				require.Fail(t, "the step was not reached")
			}
			p.untilForgotten(w)
			w.untilNothingStays()
			commits, err := d.repository.Commits(t.Context(), branch)
			require.NoError(t, err)
			assert.Len(t, commits, at.commits)
		})
	}
	p.atWrite(nil)
	d.ask(dr("dr", `{kustomizationRef: {name: apps}, fileStorage: {existing: Mirror}}`))
	w.untilRestore("dr", "Ready", "True", "Restored")
	d.assertRestored(kept, d.onlyCommit(t, branch))
}
