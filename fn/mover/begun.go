package mover

import (
	"context"
	"fmt"
	"time"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
)

// witness notes in a run's report that the run has begun: only the run's pod and
// who composed it may write there, and the report outlives the pod.
type witness struct {
	run      string
	reporter Reporter
	notes    Notes
	now      func() time.Time
}

// witnessOf returns nil where there is no report, as on a command line: then what
// the volume holds of the run is taken for ours.
func witnessOf(run string, env Env) archive.Witness {
	notes, ok := env.Reporter.(Notes)
	if !ok {
		return nil
	}
	return &witness{run: run, reporter: env.Reporter, notes: notes, now: env.Now}
}

// Begun implements archive.Witness. A report that cannot be read is an error: to
// take a run of ours for somebody else's would write it twice.
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
