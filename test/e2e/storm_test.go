//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/specs"
)

const (
	// gust is the time between two changes of a storm.
	gust = 20 * time.Millisecond
	// Keys of a Secret in a storm, which always have the same value.
	stormUser, stormPassword = "storm-user", "storm-password"
	// asked is a backup with triggers.
	asked = "asked"
	// maxStormLate is how late a run may start in a storm: Crossplane then listens every
	// 30 seconds.
	maxStormLate = 45 * time.Second
	// changing warns of a run whose Secrets are of different moments.
	changing = "Sources changed in each of 5 attempts"
)

// storm changes all Secrets of an installation, one after the other, again and again.
type storm struct {
	*tenant
	// versions of each Secret, the first of which is the one before the storm.
	versions map[string][]version
	changes  int
	began    time.Time
	// calm ends it.
	calm func()
}

// version of a Secret: it was not there before from, and is not there after to; zero
// for ever.
type version struct{ from, to time.Time }

func (w *tenant) storm() *storm {
	w.t.Helper()
	s := &storm{tenant: w, began: time.Now(), versions: map[string][]version{}}
	var secrets []*corev1.Secret
	for _, member := range w.allSecrets() {
		secrets = append(secrets, w.secret(member.Name))
		s.versions[member.Name] = []version{{}}
	}
	s.calm = w.background(gust, func(ctx context.Context) error {
		s.changes++
		return s.change(ctx, secrets[s.changes%len(secrets)])
	})
	return s
}

// background does something again and again, until stop is called.
func (w *tenant) background(pause time.Duration, do func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var group errgroup.Group
	group.Go(func() error {
		ticker := time.NewTicker(pause)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
			}
			if err := do(context.WithoutCancel(ctx)); err != nil { // what was begun is known to be done
				return err
			}
		}
	})
	return w.stopping(func() error {
		cancel()
		return group.Wait()
	})
}

// change gives a Secret its next version.
func (s *storm) change(ctx context.Context, secret *corev1.Secret) error {
	versions := s.versions[secret.Name]
	value := []byte(strconv.Itoa(len(versions)))
	secret.Data[stormUser], secret.Data[stormPassword] = value, value
	next := version{from: time.Now()}
	if err := shared.Client().Update(ctx, secret); err != nil {
		return err
	}
	versions[len(versions)-1].to = time.Now()
	s.versions[secret.Name] = append(versions, next)
	return nil
}

// stored is the version of each Secret that a run holds.
func (s *storm) stored(dir, run string) map[string]version {
	s.t.Helper()
	out := map[string]version{}
	for name, versions := range s.versions {
		secret := s.storedSecretOf(dir, filepath.Join("runs", run), name)
		assert.Equal(s.t, secret.Data[stormUser], secret.Data[stormPassword], "run %s has one version of Secret %s", run, name)
		n := 0
		if value, there := secret.Data[stormUser]; there {
			var err error
			n, err = strconv.Atoi(string(value))
			require.NoError(s.t, err)
		}
		require.Less(s.t, n, len(versions))
		out[name] = versions[n]
	}
	return out
}

// ofOneMoment reports whether there was a moment at which all of them were there.
func ofOneMoment(versions map[string]version) bool {
	var from, to time.Time
	for _, v := range versions {
		if v.from.After(from) {
			from = v.from
		}
		if to.IsZero() || !v.to.IsZero() && v.to.Before(to) {
			to = v.to
		}
	}
	return to.IsZero() || !from.After(to)
}

// assertMoments looks into each run of a volume: it holds one version of each Secret,
// and all of them are of one moment unless it is told otherwise. It returns how many
// are told so.
func (s *storm) assertMoments(backup string, ids []string, told map[string]bool) (different int) {
	s.t.Helper()
	dir := s.volumeDir(specs.PVCName(backup))
	assert.Equal(s.t, ids, s.verified(dir), "runs of backup %s", backup)
	for _, id := range ids {
		require.Contains(s.t, told, id)
		if told[id] {
			different++
		}
		assert.True(s.t, ofOneMoment(s.stored(dir, id)) || told[id], "run %s is of one moment", id)
	}
	return different
}

// note notes of the last run of each backup whether it is told that its Secrets are of
// different moments.
func (w *tenant) note(ctx context.Context, told map[string]bool) error {
	for _, name := range []string{nightly, asked} {
		u, err := w.get(ctx, name)
		if err != nil {
			return err
		}
		warnings, _ := status(u, "lastRun", "warnings").([]any)
		told[lastRun(u)] = strings.Contains(fmt.Sprint(warnings), changing)
	}
	return nil
}

// timedBackups makes a backup after the other, and returns the middle of the times that
// they took. Each is another ThreeScaleBackup: Crossplane drops the events of one that
// has many runs within a minute.
func (w *tenant) timedBackups(name string, times int) time.Duration {
	w.t.Helper()
	var took []time.Duration
	for n := range times {
		name := fmt.Sprintf("%s-%d", name, n)
		start := time.Now()
		require.NoError(w.t, w.apply(claim(name, tenGi)))
		w.untilCompleted(name)
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took[len(took)/2].Round(10 * time.Millisecond)
}

// untilCopying waits until a run that is none of those before copies Secrets.
func (w *tenant) untilCopying(backup string, before ...string) {
	w.t.Helper()
	w.eventually("Secrets to be copied", func(ctx context.Context) error {
		var copies corev1.SecretList
		others := notOf(v1alpha1.LabelRun, before)
		if err := shared.Client().List(ctx, &copies, client.InNamespace(w.namespace), client.MatchingLabels{v1alpha1.LabelBackup: backup}, client.MatchingLabelsSelector{Selector: others}); err != nil {
			return err
		}
		if len(copies.Items) == 0 {
			return errNotYet
		}
		return nil
	})
}

// TestSecretStorm: all Secrets of an installation change, fifty a second, while it is
// backed up on a schedule and on request. There are as many runs as were due; each tells
// when its Secrets are of different moments, and is of one moment else. The backups and
// restores of another namespace take about their usual time. Nothing runs beside it.
func TestSecretStorm(t *testing.T) {
	withFlux(t)
	other := backedUp(t)
	d := other.newDelivery()
	d.gitRepository("apps", `{}`)
	w := newTenant(t, second)
	require.NoError(t, shared.RestartFunction(t.Context()))
	require.NoError(t, w.apply(claim(nightly, beside(`schedule: "* * * * *"`))))
	require.NoError(t, w.apply(withTrigger(asked, "before")))
	told := map[string]bool{}
	ids := []string{lastRun(w.untilCompleted(asked))}
	noted := w.background(time.Second, func(ctx context.Context) error { return w.note(ctx, told) })
	times := load(1, 3)
	usual := [2]time.Duration{other.timedBackups("usual", times), other.timed(d, "usual", times)}

	calls, memory := functionCalls(t), w.watchMemory(flux.controller.PID())
	s := w.storm()
	var stormy [2]time.Duration
	for round := 0; round == 0 || time.Since(s.began) < time.Duration(load(0, 60))*time.Second; round++ {
		name := fmt.Sprintf("storm-%d", round)
		require.NoError(t, w.apply(withTrigger(asked, name)))
		stormy = [2]time.Duration{max(stormy[0], other.timedBackups(name, times)), max(stormy[1], other.timed(d, name, times))}
		ids = append(ids, lastRun(w.untilCompleted(asked, ids...)))
	}
	require.NoError(t, w.apply(withTrigger(asked, "as it ends")))
	w.untilCopying(asked, ids...)
	s.calm()
	lasted := time.Since(s.began).Round(time.Second)
	calls, peak := functionCalls(t)-calls, memory()
	ids = append(ids, lastRun(w.untilCompleted(asked, ids...)))
	require.NoError(t, w.apply(withTrigger(asked, "after")))
	after := w.untilCompleted(asked, ids...)
	ids = append(ids, lastRun(after))
	slots := w.suspended()
	noted()
	require.NoError(t, w.note(t.Context(), told))

	different := s.assertMoments(asked, ids, told) + s.assertMoments(nightly, slots, told)
	w.assertSlots()
	assert.False(t, told[lastRun(after)], "what is copied in calm weather is of one moment")
	t.Logf("%d changes of %d Secrets in %s; %d runs on request and %d on a schedule, of which %d are told to be of different moments; %.0f calls of the function",
		s.changes, len(s.versions), lasted, len(ids), len(slots), different, calls)
	t.Logf("another namespace: a backup took %s before and %s in the storm, a restore %s and %s; the function took %d KiB of memory at most, the controller %d MiB",
		usual[0], stormy[0], usual[1], stormy[1], peakMemoryKiB(t, shared.Function().PID()), peak>>20)
	logCore(t)
	assert.LessOrEqual(t, stormy[0], 3*usual[0])
	assert.LessOrEqual(t, stormy[1], 3*usual[1])
	assert.LessOrEqual(t, peakMemoryKiB(t, shared.Function().PID()), maxFunctionKiB)
	assert.LessOrEqual(t, peak, int64(mostMemory))
	w.assertCalm()
}

// suspended suspends the schedule of nightly, and returns its runs, oldest first.
func (w *tenant) suspended() []string {
	w.t.Helper()
	require.NoError(w.t, w.apply(claim(nightly, beside(`schedule: "* * * * *", suspend: true`))))
	w.untilWarned(nightly, "spec.suspend", true)
	ids := runIDs(w.untilCompleted(nightly))
	slices.Reverse(ids)
	return ids
}

// assertSlots: each run of nightly is of another slot, and no slot is left out but while
// a run is at work.
func (w *tenant) assertSlots() {
	w.t.Helper()
	u, err := w.get(w.t.Context(), nightly)
	require.NoError(w.t, err)
	list, _ := status(u, "runs").([]any)
	at := func(layout string, value any) time.Time {
		parsed, err := time.Parse(layout, fmt.Sprint(value))
		require.NoError(w.t, err)
		return parsed
	}
	var before, done time.Time
	for _, entry := range slices.Backward(list) {
		record := entry.(map[string]any)
		id, _, _ := strings.Cut(fmt.Sprint(record["id"]), "-")
		slot, started := at("20060102t150405z", id), at(time.RFC3339, record["startTime"])
		assert.Zero(w.t, slot.Second(), "run %s is of a slot", id)
		assert.False(w.t, started.Before(slot), "run %s", id)
		if !before.IsZero() {
			free := slot
			if done.After(slot) {
				free = done
			}
			assert.True(w.t, slot.After(before), "run %s is of another slot", id)
			assert.False(w.t, started.After(free.Add(maxStormLate)), "run %s started %s after it could", id, started.Sub(free))
			left := slot.Add(-time.Minute)
			assert.False(w.t, left.After(before) && left.After(done.Add(maxStormLate)), "slot %s was left out", left)
		}
		before, done = slot, at(time.RFC3339, record["completionTime"])
	}
}

// assertCalm: once the storm is over, nothing goes on by itself. The function is called
// twice a minute for each backup whose events Crossplane drops, as it asks for then.
func (w *tenant) assertCalm() {
	w.t.Helper()
	const each = 3
	length := time.Duration(load(20, 60)) * time.Second
	w.untilQuiet(5 * time.Second)
	calls := functionCalls(w.t)
	w.rest(length)
	calls = functionCalls(w.t) - calls
	deaf := strings.Count(w.admin("get", "xthreescalebackups", "-o", `jsonpath={.items[*].status.conditions[?(@.type=="Responsive")].status}`), "False")
	w.t.Logf("%.0f calls of the function in %s after the storm, for %d backups whose events Crossplane drops", calls, length, deaf)
	assert.LessOrEqual(w.t, calls, float64(each*deaf))
}
