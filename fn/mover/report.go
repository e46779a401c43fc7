package mover

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
)

const (
	// progressInterval is how often progress is reported at most.
	progressInterval = 10 * time.Second
	// resultPatience is how long the mover tries to report its result before it leaves that to the Job's next attempt.
	resultPatience = 2 * time.Minute
	// resultPatienceStopping likewise, once it was told to stop.
	resultPatienceStopping = 5 * time.Second
)

// progressReporter passes on the newest progress now and then.
type progressReporter struct {
	env    Env
	latest atomic.Pointer[v1alpha1.Progress]
	done   chan struct{}
	ended  chan struct{}
}

func startProgress(ctx context.Context, env Env) *progressReporter {
	p := &progressReporter{env: env, done: make(chan struct{}), ended: make(chan struct{})}
	go p.loop(ctx)
	return p
}

func (p *progressReporter) set(progress v1alpha1.Progress) {
	if p.env.Progress != nil {
		p.env.Progress(progress)
	}
	p.latest.Store(&progress)
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
		if progress := p.latest.Swap(nil); progress != nil {
			// Progress that does not arrive is no reason to fail: the next one replaces it, and the result is what
			// counts.
			_ = p.env.Reporter.Report(ctx, job.KeyProgress, *progress)
		}
	}
}

func (p *progressReporter) stop() {
	close(p.done)
	<-p.ended
}

// report stores the result of a run under a key of the report. It returns the error of the work, if there is one.
func report(ctx context.Context, r Reporter, run, key string, value any, workErr error) error {
	if r == nil {
		return workErr
	}
	err := persist(ctx, func(ctx context.Context) error { return r.Report(ctx, key, value) })
	if err != nil {
		err = &failure{v1alpha1.ReasonReportMissing, fmt.Errorf("cannot report the result of run %q: %w", run, err)}
	}
	return cmp.Or(workErr, err)
}

// retryDelays come between two tries of a call: 0.2 s, then twice as long each time, 10 s from then on. They have no
// end of their own; [wait.ExponentialBackoffWithContext] would end with the first that is cut to Cap.
func retryDelays() wait.DelayFunc {
	return wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: 1 << 10, Cap: 10 * time.Second}.DelayFunc()
}

// persist repeats a call until it succeeds, for resultPatience at most. When ctx ends, before or meanwhile, it goes on
// for resultPatienceStopping, since that is when a user wants to know.
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

// persistFor repeats a call until it succeeds, ctx ends, or the time is up. It returns the call's last error.
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

// witness notes in a run's report that the run has begun: only the run's pod and who composed it may write there, and
// the report outlives the pod.
type witness struct {
	run      string
	reporter Reporter
	notes    Notes
	now      func() time.Time
}

// witnessOf returns nil where there is no report, as on a command line: then what the volume holds of the run is taken
// for ours.
func witnessOf(run string, env Env) archive.Witness {
	notes, ok := env.Reporter.(Notes)
	if !ok {
		return nil
	}
	return &witness{run: run, reporter: env.Reporter, notes: notes, now: env.Now}
}

// Begun implements archive.Witness. A report that cannot be read is an error: to take a run of ours for somebody else's
// would write it twice.
func (w *witness) Begun(ctx context.Context) (begun bool, err error) {
	err = persist(ctx, func(ctx context.Context) (err error) {
		begun, err = w.notes.Begun(ctx, w.run)
		return err
	})
	if err != nil {
		return false, &failure{v1alpha1.ReasonReportMissing, fmt.Errorf("cannot tell from the report whether run %q has begun: %w", w.run, err)}
	}
	return begun, nil
}

// Begin implements archive.Witness.
func (w *witness) Begin(ctx context.Context) error {
	note := job.Begun{Run: w.run, At: w.now().UTC()}
	err := persist(ctx, func(ctx context.Context) error { return w.reporter.Report(ctx, job.KeyBegun, note) })
	if err != nil {
		return &failure{v1alpha1.ReasonReportMissing, fmt.Errorf("cannot note in the report that run %q begins: %w", w.run, err)}
	}
	return nil
}
