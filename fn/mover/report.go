package mover

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

const (
	// progressInterval is how often progress is reported at most.
	progressInterval = 10 * time.Second
	// resultPatience is how long the mover tries to report its result before
	// it leaves that to the Job's next attempt.
	resultPatience = 2 * time.Minute
	// resultPatienceStopping likewise, once it was told to stop.
	resultPatienceStopping = 5 * time.Second
)

// progressReporter passes on the newest progress now and then.
type progressReporter struct {
	env    Env
	mu     sync.Mutex
	latest *job.Progress
	done   chan struct{}
	ended  chan struct{}
}

func startProgress(ctx context.Context, env Env) *progressReporter {
	p := &progressReporter{env: env, done: make(chan struct{}), ended: make(chan struct{})}
	go p.loop(ctx)
	return p
}

func (p *progressReporter) set(progress job.Progress) {
	if p.env.Progress != nil {
		p.env.Progress(progress)
	}
	p.mu.Lock()
	p.latest = &progress
	p.mu.Unlock()
}

func (p *progressReporter) take() *job.Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.latest
	p.latest = nil
	return taken
}

func (p *progressReporter) loop(ctx context.Context) {
	defer close(p.ended)
	if p.env.Reporter == nil {
		return
	}
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if progress := p.take(); progress != nil {
			// Progress that does not arrive is no reason to fail: the next
			// one replaces it, and the result is what counts.
			_ = p.env.Reporter.Report(ctx, job.KeyProgress, *progress)
		}
	}
}

func (p *progressReporter) stop() {
	close(p.done)
	<-p.ended
}

// report stores the result of a run under a key of the report.
func report(ctx context.Context, r Reporter, run, key string, value any) error {
	if r == nil {
		return nil
	}
	err := persist(ctx, func(ctx context.Context) error { return r.Report(ctx, key, value) })
	if err != nil {
		return &failure{v1alpha1.ReasonReportMissing, fmt.Errorf("cannot report the result of run %q: %w", run, err)}
	}
	return nil
}

// retryDelays come between two tries of a call: 0.2 s, then twice as long each time, 10 s from then on. They have no
// end of their own; [wait.ExponentialBackoffWithContext] would end with the first that is cut to Cap.
func retryDelays() wait.DelayFunc {
	return wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: 1 << 10, Cap: 10 * time.Second}.DelayFunc()
}

// persist repeats a call until it succeeds, for resultPatience at most. When ctx
// ends, before or meanwhile, it goes on for resultPatienceStopping, since that is
// when a user wants to know.
func persist(ctx context.Context, call func(context.Context) error) error {
	err := ctx.Err()
	if err == nil {
		err = persistFor(ctx, resultPatience, call)
	}
	if err != nil && ctx.Err() != nil {
		err = persistFor(context.WithoutCancel(ctx), resultPatienceStopping, call)
	}
	return err
}

// persistFor repeats a call until it succeeds, ctx ends, or the time is up. It
// returns the call's last error.
func persistFor(ctx context.Context, patience time.Duration, call func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error
	err := retryDelays().Until(bounded, true, true, func(ctx context.Context) (bool, error) {
		err := call(ctx)
		if err != nil && (last == nil || ctx.Err() == nil) { // the error of a call that ctx cut off says less than the one before
			last = err
		}
		return err == nil, nil
	})
	if err != nil && last != nil {
		return last
	}
	return err
}
