package controller

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/api/v1alpha1"
)

const (
	// leastRetry passes between a failure and the next try, whatever wakes the restore: a try may log
	// in to a Git server.
	leastRetry = v1alpha1.LeastRetryInterval
	// leastInterval passes at least before a restore looks again by itself.
	leastInterval = 10 * time.Second
	// leastCeiling is the least upper bound of the time between two tries.
	leastCeiling = time.Minute
)

// How often the restores of a namespace are looked at: per second, and at once. A look takes some
// ten requests to the API server, of which all restores together have fifty a second. A restore
// needs some twenty looks.
const (
	looksPerSecond = 2
	looksAtOnce    = 120
)

// Pace delays restores that fail: each failure doubles the time to the next try, from
// spec.retryInterval to spec.interval. It also limits namespaces whose restores are woken all the
// time. It remembers only what happened since the controller started. It is safe for concurrent use.
type Pace struct {
	mu    sync.Mutex
	of    map[types.NamespacedName]failures
	looks map[string]*rate.Limiter // by namespace
}

// failures are those of one restore with one generation and one request.
type failures struct {
	of    string
	count int
	last  time.Time
}

// NewPace returns a Pace without failures.
func NewPace() *Pace {
	return &Pace{of: map[types.NamespacedName]failures{}, looks: map[string]*rate.Limiter{}}
}

// mayLook reports whether a namespace has a look left now.
func (p *Pace) mayLook(namespace string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	limiter := p.looks[namespace]
	if limiter == nil {
		maps.DeleteFunc(p.looks, func(_ string, other *rate.Limiter) bool { return other.TokensAt(now) >= looksAtOnce }) // they are as new
		limiter = rate.NewLimiter(looksPerSecond, looksAtOnce)
		p.looks[namespace] = limiter
	}
	return limiter.AllowN(now, 1)
}

// wait returns how long a restore that was woken still has to wait; zero if it need not.
func (p *Pace) wait(obj *v1alpha1.ThreeScaleRestore, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, p.of[client.ObjectKeyFromObject(obj)].last.Add(leastRetry).Sub(now))
}

// failed notes a failure and returns the time to the next try, which is at most retry if that is not
// zero.
func (p *Pace) failed(obj *v1alpha1.ThreeScaleRestore, retry time.Duration, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := client.ObjectKeyFromObject(obj)
	token, _ := meta.ReconcileAnnotationValue(obj.Annotations)
	of := fmt.Sprint(obj.Generation, shortened(token))
	known := p.of[key]
	if known.of != of {
		known = failures{of: of}
	}
	known.count++
	known.last = now
	p.of[key] = known
	return max(until(retry, backoff(obj, known.count)), leastRetry)
}

// forget removes what is known of a restore.
func (p *Pace) forget(key types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.of, key)
}

// backoff returns the time from the nth failure to the next try.
func backoff(obj *v1alpha1.ThreeScaleRestore, n int) time.Duration {
	after := obj.GetRetryInterval()
	ceiling := max(after, obj.GetRequeueAfter(), leastCeiling)
	for ; n > 1 && after < ceiling; n-- {
		after = min(2*after, ceiling)
	}
	return after
}

// until returns the shorter time; a retry of zero means never.
func until(retry, otherwise time.Duration) time.Duration {
	if retry > 0 {
		return min(retry, otherwise)
	}
	return otherwise
}
