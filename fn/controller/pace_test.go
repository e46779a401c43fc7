package controller

import (
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"threescale.dev/backup/fn/api/v1alpha1"
)

func TestBackoff(t *testing.T) {
	for name, tc := range map[string]struct {
		reason          string
		retry, interval time.Duration
		want            []time.Duration
	}{
		"Doubles":   {"Up to the interval", time.Minute, 10 * time.Minute, []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 10 * time.Minute, 10 * time.Minute}},
		"Impatient": {"A try may log in to Git: a thousand a second would be an attack", time.Millisecond, time.Millisecond, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, time.Minute, time.Minute}},
		"Patient":   {"Longer than the interval", time.Hour, time.Minute, []time.Duration{time.Hour, time.Hour}},
		"None":      {"The interval by default", 0, 10 * time.Minute, []time.Duration{10 * time.Minute, 10 * time.Minute}},
		"Longest":   {"Twice the longest is no duration", 1<<63 - 1, 1<<63 - 1, []time.Duration{1<<63 - 1, 1<<63 - 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := someRestore()
			r.Spec.Interval.Duration = tc.interval
			if tc.retry > 0 {
				r.Spec.RetryInterval = &metav1.Duration{Duration: tc.retry}
			}
			pace := NewPace()
			for n, want := range tc.want {
				assert.Equal(t, want, pace.failed(r, 0, noon), "failure %d: %s", n+1, tc.reason)
			}
		})
	}
}

// TestPace: whatever wakes a restore that failed, it is not tried again at once.
func TestPace(t *testing.T) {
	r := someRestore()
	pace := NewPace()
	assert.Zero(t, pace.wait(r, noon), "it has not failed")
	pace.failed(r, 0, noon)
	assert.Equal(t, time.Second, pace.wait(r, noon))
	assert.Equal(t, time.Millisecond, pace.wait(r, noon.Add(999*time.Millisecond)))
	assert.Zero(t, pace.wait(r, noon.Add(time.Second)))
	other := someRestore()
	other.Name = "other"
	assert.Zero(t, pace.wait(other, noon), "another's failures are another's")

	r.Spec.RetryInterval = &metav1.Duration{Duration: time.Minute}
	assert.Equal(t, 2*time.Minute, pace.failed(r, 0, noon))
	assert.Equal(t, 5*time.Second, pace.failed(r, 5*time.Second, noon), "what is waited for may come sooner")
	assert.Equal(t, time.Second, pace.failed(r, time.Nanosecond, noon), "and yet not at once")
	for name, change := range map[string]func(*v1alpha1.ThreeScaleRestore){
		"Spec": func(r *v1alpha1.ThreeScaleRestore) { r.Generation++ },
		"Request": func(r *v1alpha1.ThreeScaleRestore) {
			r.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
		},
	} {
		change(r)
		assert.Equal(t, time.Minute, pace.failed(r, 0, noon), "%s: it may be mended", name)
		assert.Equal(t, 2*time.Minute, pace.failed(r, 0, noon), name)
	}
	pace.forget(types.NamespacedName{Namespace: r.Namespace, Name: r.Name})
	assert.Zero(t, pace.wait(r, noon))
	assert.Empty(t, pace.of)
}

// TestMayLook: a namespace whose restores are woken all the time leaves the API
// server to the others.
func TestMayLook(t *testing.T) {
	pace := NewPace()
	looks := 0
	for n := range 10_000 { // for ten seconds
		if pace.mayLook("hostile", noon.Add(time.Duration(n)*time.Millisecond)) {
			looks++
		}
	}
	assert.InDelta(t, looksAtOnce+10*looksPerSecond, looks, 1)
	for n := range looksAtOnce {
		assert.True(t, pace.mayLook("friendly", noon.Add(10*time.Second)), n)
	}
	pace.mayLook("new", noon.Add(time.Hour))
	assert.Len(t, pace.looks, 1, "nothing is remembered of namespaces at rest")
}
