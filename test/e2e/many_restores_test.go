//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
)

const (
	// maxRequests is how many requests to the API server a restore may cost the
	// controller.
	maxRequests = 320
	// maxRequestsAtStart is likewise for a restore that has ended, when the
	// controller starts.
	maxRequestsAtStart = 20
)

// end is what a restore has to come to.
type end struct{ spec, status, reason string }

// ends are the kinds of restores, by the beginnings of their names.
func ends() map[string]end {
	return map[string]end{
		"commit":  {`{}`, "True", v1alpha1.ReasonRestored},
		"plan":    {`{dryRun: true}`, "True", v1alpha1.ReasonPlanned},
		"refused": {fmt.Sprintf(`{restoreSource: {persistentVolumeClaim: {claimSource: {claimName: %s}}}}`, threescale.FileStoragePVCName), "False", v1alpha1.ReasonSourceUnusable},
	}
}

func endOf(name string) end {
	kind, _, _ := strings.Cut(name, "-")
	return ends()[kind]
}

// crowd is a namespace with restores that are asked for together.
type crowd struct {
	*delivery
	// kept is what was lost of the file storage; nil if nothing was.
	kept *installation
	// names of the restores, and how many of each kind there are.
	names  []string
	counts map[string]int
	// ended is when each restore had come to its end.
	ended map[string]time.Time
}

// newCrowd makes a namespace with a first run on its way.
func newCrowd(t *testing.T, suffix string, counts map[string]int) *crowd {
	t.Helper()
	w := newTenant(t, func(o *options) { o.suffix = suffix })
	c := &crowd{delivery: w.newDelivery(), counts: counts, ended: map[string]time.Time{}}
	c.gitRepository("apps", `{}`)
	require.NoError(t, c.apply(claim(nightly, tenGi)))
	for kind, n := range counts {
		for i := range n {
			c.names = append(c.names, fmt.Sprintf("%s-%d", kind, i))
		}
	}
	slices.Sort(c.names)
	return c
}

// newCrowds makes a namespace that asks for many restores, which is the first, and
// some that ask for a few: where the file storage is empty, one that fills it and
// dry runs, else some that find it as it was.
func newCrowds(t *testing.T) []*crowd {
	t.Helper()
	crowds := []*crowd{newCrowd(t, "-greedy", map[string]int{"commit": load(8, 40)})}
	for i := range load(1, 4) {
		crowds = append(crowds, newCrowd(t, fmt.Sprintf("-lost-%d", i), map[string]int{"commit": 1, "plan": 3, "refused": 1}))
	}
	lost := crowds[1:]
	for i := range load(1, 4) {
		crowds = append(crowds, newCrowd(t, fmt.Sprintf("-kept-%d", i), map[string]int{"commit": load(4, 7), "plan": load(1, 3)}))
	}
	for _, c := range crowds {
		c.untilCompleted(nightly)
	}
	for _, c := range lost {
		c.kept = c.remember()
		c.emptyFiles()
	}
	return crowds
}

// askAll applies all restores of the namespace at once.
func (c *crowd) askAll() {
	c.t.Helper()
	var stream strings.Builder
	for _, name := range c.names {
		stream.WriteString("---\n" + inNamespace(c.t, dr(name, merge(endOf(name).spec, `{timeout: 1h}`)), c.namespace))
	}
	require.NoError(c.t, c.apply(stream.String()))
}

// look notes which restores have come to their ends. It returns an error for those that
// have not.
func (c *crowd) look(ctx context.Context) error {
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.KindRestore + "List"))
	if err := c.c.Client().List(ctx, &list, client.InNamespace(c.namespace)); err != nil {
		return err
	}
	var waiting []string
	for i := range list.Items {
		name, ready := list.Items[i].GetName(), condition(&list.Items[i], "Ready")
		if want := endOf(name); ready["status"] == want.status && ready["reason"] == want.reason {
			c.ended[name] = c.at(ready["lastTransitionTime"])
			continue
		}
		waiting = append(waiting, fmt.Sprintf("%s: %v: %v", name, ready["reason"], ready["message"]))
	}
	if len(waiting) > 0 {
		return fmt.Errorf("namespace %s: %d, the first of which is %s", c.namespace, len(waiting), waiting[0])
	}
	return nil
}

// last is when the last restore of the namespace had come to its end.
func (c *crowd) last() (last time.Time) {
	for _, ended := range c.ended {
		if ended.After(last) {
			last = ended
		}
	}
	return last
}

// assertEnds: each restore that commits has made one commit, the files are there
// again, and nothing else is left.
func (c *crowd) assertEnds() {
	c.t.Helper()
	assert.Len(c.t, c.ended, len(c.names))
	commits, err := c.repository.Commits(c.t.Context(), branch)
	require.NoError(c.t, err)
	var of []string
	for _, commit := range commits[:len(commits)-1] { // the first is the maintainer's
		for _, trailer := range commit.Trailers["Threescale-Restore"] {
			of = append(of, strings.TrimPrefix(strings.Fields(trailer)[0], c.namespace+"/"))
		}
	}
	slices.Sort(of)
	want := slices.DeleteFunc(slices.Clone(c.names), func(name string) bool { return !strings.HasPrefix(name, "commit") })
	assert.Equal(c.t, want, of, "one commit each in namespace %s", c.namespace)
	if c.kept != nil {
		c.assertFiles(c.kept)
	}
	c.untilNothingStays()
}

// TestManyRestores: a hundred restores at once. Each comes to its end, none twice; the
// namespace that asks for most of them, and first, keeps no other one waiting. Nothing
// runs beside it.
func TestManyRestores(t *testing.T) {
	withFlux(t)
	crowds := newCrowds(t)
	greedy := crowds[0]
	address := greedy.measureController()
	requests := func() float64 { return metric(t, address, "rest_client_requests_total", "") }
	greedy.untilStill("requests to the API server", 5*time.Second, requests)
	looks := func() float64 { return metric(t, address, "controller_runtime_reconcile_total", "") }
	memory, before, looked, begin := greedy.watchMemory(flux.controller.PID()), requests(), looks(), time.Now()
	for _, c := range crowds {
		c.askAll()
	}
	greedy.underLoad("all restores to end", func(ctx context.Context) error {
		var errs []error
		for _, c := range crowds {
			errs = append(errs, c.look(ctx))
		}
		return errors.Join(errs...)
	})
	peak, made, looked := memory(), requests()-before, looks()-looked
	var ended []time.Time
	counts := map[string]int{}
	for _, c := range crowds {
		for name, at := range c.ended {
			ended = append(ended, at)
			kind, _, _ := strings.Cut(name, "-")
			counts[kind]++
		}
	}
	slices.SortFunc(ended, time.Time.Compare)
	after := func(at time.Time) time.Duration { return at.Sub(begin).Round(time.Second) }
	t.Logf("%d restores in %d namespaces (%v): ended after %s the first, %s the middle, %s the last; the controller looked %.0f times, made %.0f requests (%.0f each), and took %d MiB at most",
		len(ended), len(crowds), counts, after(ended[0]), after(ended[len(ended)/2]), after(ended[len(ended)-1]), looked, made, made/float64(len(ended)), peak>>20)
	for _, c := range crowds {
		t.Logf("namespace %s: the last of %d after %s", c.namespace, len(c.names), after(c.last()))
	}
	assert.LessOrEqual(t, made, float64(maxRequests*len(ended)))
	assert.LessOrEqual(t, peak, int64(mostMemory))
	for _, c := range crowds[1:] {
		assert.False(t, c.last().After(greedy.last()), "namespace %s waited for all of the greedy one", c.namespace)
	}
	for _, c := range crowds {
		c.assertEnds()
	}
	assertRest(greedy, requests)
	assertStart(greedy, len(ended))
}

// assertRest: the restores that have ended cost nothing. Flux' objects change, and
// watches are renewed.
func assertRest(c *crowd, requests func() float64) {
	c.t.Helper()
	const watches = 5
	c.untilStill("requests to the API server", 5*time.Second, requests)
	before, length := requests(), time.Duration(load(20, 60))*time.Second
	c.rest(length)
	made := requests() - before
	c.t.Logf("%.0f requests in %s of rest", made, length)
	assert.LessOrEqual(c.t, made, float64(watches))
}

// assertStart: a controller that starts looks at each restore once, and writes nothing.
func assertStart(c *crowd, restores int) {
	c.t.Helper()
	quiet := c.quiet()
	address := c.measureController()
	requests := func() float64 { return metric(c.t, address, "rest_client_requests_total", "") }
	begin := time.Now()
	still := c.untilStill("requests to the API server", 10*time.Second, requests)
	c.t.Logf("a start beside %d restores that have ended: %.0f requests in %s", restores, requests(), still.Sub(begin).Round(time.Second))
	assert.LessOrEqual(c.t, requests(), float64(maxRequestsAtStart*restores))
	assert.Equal(c.t, quiet, c.quiet())
}
