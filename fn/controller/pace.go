package controller

import (
	"fmt"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/api/v1alpha1"
)

const (
	// leastRetry is between a failure and the next try, whatever wakes the restore: a
	// try may log in to a Git server.
	leastRetry = v1alpha1.LeastRetryInterval
	// leastInterval is how often at most a restore looks again by itself.
	leastInterval = 10 * time.Second
	// leastCeiling is what the time between two tries may always grow to.
	leastCeiling = time.Minute
)

// Pace holds back restores that fail: each failure doubles the time to the next
// try, from spec.retryInterval to spec.interval. It remembers only what
// has failed since the controller started. It is safe for concurrent use.
type Pace struct {
	mu sync.Mutex
	of map[types.NamespacedName]failures
}

// failures are those of one restore, of one spec and one request.
type failures struct {
	of    string
	count int
	last  time.Time
}

// NewPace returns one that knows of no failure.
func NewPace() *Pace { return &Pace{of: map[types.NamespacedName]failures{}} }

// wait is how long a restore that was woken has to wait yet; zero for not at all.
func (p *Pace) wait(obj *v1alpha1.ThreeScaleRestore, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, p.of[client.ObjectKeyFromObject(obj)].last.Add(leastRetry).Sub(now))
}

// failed notes a failure and returns the time to the next try: at most retry, if
// that is not zero.
func (p *Pace) failed(obj *v1alpha1.ThreeScaleRestore, retry time.Duration, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := client.ObjectKeyFromObject(obj)
	token, _ := meta.ReconcileAnnotationValue(obj.Annotations)
	of := fmt.Sprint(obj.Generation, token)
	known := p.of[key]
	if known.of != of {
		known = failures{of: of}
	}
	known.count++
	known.last = now
	p.of[key] = known
	return max(until(retry, backoff(obj, known.count)), leastRetry)
}

// forget forgets a restore that is gone.
func (p *Pace) forget(key types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.of, key)
}

// backoff is the time from the nth failure to the next try.
func backoff(obj *v1alpha1.ThreeScaleRestore, n int) time.Duration {
	after := obj.GetRetryInterval()
	ceiling := max(after, obj.GetRequeueAfter(), leastCeiling)
	for ; n > 1 && after < ceiling; n-- {
		after = min(2*after, ceiling)
	}
	return after
}

// until is the sooner of two; zero for retry is never.
func until(retry, otherwise time.Duration) time.Duration {
	if retry > 0 {
		return min(retry, otherwise)
	}
	return otherwise
}
