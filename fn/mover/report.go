package mover

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"threescale.dev/backup/fn/api/job"
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

// report stores what became of run under a key of the report.
func report(ctx context.Context, r Reporter, run, key string, value any) error {
	if r == nil {
		return nil
	}
	err := persist(ctx, func(ctx context.Context) error { return r.Report(ctx, key, value) })
	if err != nil {
		return &failure{unreported, fmt.Errorf("cannot report the result of run %q: %w", run, err)}
	}
	return nil
}

// persist makes a call again and again for a while if need be. It does so also
// when ctx has ended, since that is when a user wants to know.
func persist(ctx context.Context, call func(context.Context) error) error {
	patience := resultPatience
	if ctx.Err() != nil {
		patience = resultPatienceStopping
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	backoff := wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: 1 << 10, Cap: 10 * time.Second}
	var last error
	err := wait.ExponentialBackoffWithContext(bounded, backoff, func(ctx context.Context) (bool, error) {
		last = call(ctx)
		return last == nil, nil
	})
	if err != nil && last == nil {
		return err
	}
	return last
}
