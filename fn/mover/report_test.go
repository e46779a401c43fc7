package mover

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
)

var errRestarts = errors.New("the API server restarts")

// outage is an API server that is away until a moment after it was first asked. It is every one of the services that
// the mover calls there.
type outage struct {
	away   time.Duration
	silent bool // it takes a call and answers nothing
	first  time.Time
	calls  []time.Duration // when, after the first
}

func (o *outage) call(ctx context.Context) error {
	if o.first.IsZero() {
		o.first = time.Now()
	}
	o.calls = append(o.calls, time.Since(o.first))
	if time.Since(o.first) >= o.away {
		return nil
	}
	if o.silent {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout) // as Client does
		defer cancel()
		<-ctx.Done()
		return ctx.Err()
	}
	return errRestarts
}

func (o *outage) Report(ctx context.Context, _ string, _ any) error         { return o.call(ctx) }
func (o *outage) Readers(ctx context.Context) (string, error)               { return "", o.call(ctx) }
func (o *outage) Begun(ctx context.Context, _ string) (bool, error)         { return true, o.call(ctx) }
func (o *outage) Parts() int                                                { return 1 }
func (o *outage) Put(ctx context.Context, _ int, _ map[string][]byte) error { return o.call(ctx) }

// TestOutages has the API server away for a while, on a clock that only waits move: every call that must get through
// is made for the two minutes that are promised.
func TestOutages(t *testing.T) {
	calls := map[string]func(context.Context, *outage) error{
		"Report": func(ctx context.Context, o *outage) error {
			return report(ctx, o, "r1", job.KeyResult, job.Result{}, nil)
		},
		"HandOver": func(ctx context.Context, o *outage) error { return handOver(ctx, o, []map[string][]byte{{}}) },
		"Begun": func(ctx context.Context, o *outage) error {
			_, err := witnessOf("r1", Env{Reporter: o}).Begun(ctx)
			return err
		},
		"Begin": func(ctx context.Context, o *outage) error {
			return witnessOf("r1", Env{Reporter: o, Now: time.Now}).Begin(ctx)
		},
		"Readers": func(ctx context.Context, o *outage) error { return (&pruner{env: Env{Reporter: o}}).unread(ctx) },
	}
	const never = 365 * 24 * time.Hour
	cases := map[string]struct {
		reason  string
		away    time.Duration
		silent  bool
		stopped time.Duration // when the pod is told to stop; 0: not
		ends    time.Duration // at the earliest
		within  time.Duration // and how much later at most
		fails   bool
	}{
		"There":            {"no wait at all", 0, false, 0, 0, 0, false},
		"Blink":            {"soon again", time.Second, false, 0, time.Second, time.Second, false},
		"Restart":          {"an API server on a single node takes a minute", time.Minute, false, 0, time.Minute, 12 * time.Second, false},
		"Just":             {"to the end of what is promised", 109 * time.Second, false, 0, 109 * time.Second, 11 * time.Second, false},
		"Outage":           {"the Job's next try may have more luck", never, false, 0, 2 * time.Minute, 0, true},
		"Silent":           {"each call has a time limit of its own", never, true, 0, 2 * time.Minute, 0, true},
		"SilentFor":        {"and is made again", 40 * time.Second, true, 0, 40 * time.Second, 2 * requestTimeout, false},
		"StoppedMeanwhile": {"the kubelet waits 30 s before it kills the pod, and its exit code with it", never, false, 30 * time.Second, 35 * time.Second, 0, true},
		"StoppedLate":      {"as long as ever", never, false, 119 * time.Second, 124 * time.Second, 0, true},
		"StoppedInACall":   {"also while one is waited for", never, true, 7 * time.Second, 12 * time.Second, 0, true},
		"StoppedAtTheEnd":  {"it had its time", never, false, 121 * time.Second, 2 * time.Minute, 0, true},
		"StoppedAndThere":  {"what comes in time is taken", 32 * time.Second, false, 30 * time.Second, 32 * time.Second, 2 * time.Second, false},
	}
	for what, call := range calls {
		for name, tc := range cases {
			t.Run(what+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, stop := context.WithCancel(t.Context())
					defer stop()
					if tc.stopped > 0 {
						defer time.AfterFunc(tc.stopped, stop).Stop()
					}
					o, begin := &outage{away: tc.away, silent: tc.silent}, time.Now()
					err := call(ctx, o)
					took := time.Since(begin)
					require.Equal(t, tc.fails, err != nil, "%s: %v", tc.reason, err)
					assert.GreaterOrEqual(t, took, tc.ends, tc.reason)
					assert.LessOrEqual(t, took, tc.ends+tc.within, tc.reason)
					for i, at := range o.calls[1:] {
						gap := at - o.calls[i]
						if tc.stopped == 0 { // else it is made once more at once
							assert.GreaterOrEqual(t, gap, 200*time.Millisecond, "an API server that restarts is not hammered")
						}
						assert.LessOrEqual(t, gap, 11*time.Second+requestTimeout, "nor kept waiting")
					}
				})
			})
		}
	}
}

// TestOutageOfAStoppedPod: who is told to stop still tries to tell of it.
func TestOutageOfAStoppedPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		stop()
		begin := time.Now()
		require.ErrorIs(t, report(ctx, &outage{away: time.Hour}, "r1", job.KeyResult, job.Result{}, nil), errRestarts)
		assert.Equal(t, resultPatienceStopping, time.Since(begin))
		require.NoError(t, report(ctx, &outage{away: 3 * time.Second}, "r1", job.KeyResult, job.Result{}, nil))
	})
}
