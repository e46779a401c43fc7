//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// step of a run: something that can be seen when it is reached.
type step struct {
	name    string
	reached func(context.Context) error
}

// steps of a run that is not one of those before.
func (w *tenant) steps(before ...string) []step {
	ofRun := client.MatchingLabelsSelector{Selector: notOf(v1alpha1.LabelRun, before)}
	exists := func(list client.ObjectList, count func() int) func(context.Context) error {
		return func(ctx context.Context) error {
			if err := shared.Client().List(ctx, list, client.InNamespace(w.namespace), ofRun); err != nil {
				return err
			}
			if count() == 0 {
				return errNotYet
			}
			return nil
		}
	}
	var (
		secrets    corev1.SecretList
		configMaps corev1.ConfigMapList
		jobs       batchv1.JobList
		pods       corev1.PodList
	)
	return []step{
		{"the report exists", exists(&configMaps, func() int { return len(configMaps.Items) })},
		{"the first copy exists", exists(&secrets, func() int { return len(secrets.Items) })},
		{"the Job exists", exists(&jobs, func() int { return len(jobs.Items) })},
		{"the pod exists", exists(&pods, func() int { return len(pods.Items) })},
		{"the mover runs", func(context.Context) error {
			_, err := w.mover()
			return err
		}},
	}
}

// ended are the steps after the mover's end.
func (w *tenant) ended(before ...string) []step {
	return []step{
		{"the mover has ended", func(context.Context) error {
			if _, err := w.mover(); err == nil {
				return errors.New("it is at work")
			}
			return nil
		}},
		{"the run is recorded", func(ctx context.Context) error {
			u, err := w.get(ctx, nightly)
			if err != nil {
				return err
			}
			if id := lastRun(u); id == "" || strings.Contains(strings.Join(before, " "), id) {
				return fmt.Errorf("the newest run is %q", id)
			}
			return nil
		}},
	}
}

// throughRestarts goes through two runs and restarts something at each step.
// The gate keeps the mover at work while that happens.
func throughRestarts(t *testing.T, restart func(ctx context.Context) error) {
	w := newTenant(t)
	at := func(steps []step) {
		for _, s := range steps {
			w.eventually(s.name, s.reached)
			require.NoError(t, restart(t.Context()), "when %s", s.name)
		}
	}
	var ids []string
	for _, trigger := range []string{"first", "second"} {
		g := newGate(t, w.writeFile(trigger+".txt", []byte(trigger)))
		require.NoError(t, w.apply(withTrigger(nightly, trigger)))
		at(w.steps(ids...))
		g.reached()
		g.open()
		at(w.ended(ids...))
		ids = append(ids, lastRun(w.untilCompleted(nightly, ids...)))
	}
	assert.Equal(t, ids, w.verified(w.volumeDir(nightlyVolume)), "two runs, and nothing run twice")
}

// TestFunctionRestarts: a function that dies at any step of a run goes on where
// it was: it keeps nothing in memory.
func TestFunctionRestarts(t *testing.T) {
	throughRestarts(t, func(ctx context.Context) error {
		return errors.Join(shared.Function().Kill(), shared.RestartFunction(ctx))
	})
}

// TestCrossplaneRestarts: likewise Crossplane.
func TestCrossplaneRestarts(t *testing.T) {
	throughRestarts(t, func(ctx context.Context) error {
		return errors.Join(shared.Crossplane().Kill(), shared.RestartCrossplane(ctx))
	})
}
