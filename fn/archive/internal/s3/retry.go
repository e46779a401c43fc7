package s3

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/minio/minio-go/v7"
)

// firstContact is how long an object store is tried that never answered: its name is more likely wrong than it restarts.
const firstContact = 15 * time.Second

func (b Backoff) orUsual() Backoff {
	usual := Backoff{First: 250 * time.Millisecond, Longest: 15 * time.Second, Patience: 3 * time.Minute, Idle: time.Minute}
	for _, v := range []struct{ value, usual *time.Duration }{
		{&b.First, &usual.First}, {&b.Longest, &usual.Longest}, {&b.Patience, &usual.Patience}, {&b.Idle, &usual.Idle},
	} {
		if *v.value <= 0 {
			*v.value = *v.usual
		}
	}
	return b
}

// wait is that after a number of failures: exponential, and anything between half of it and all, so that workers that
// failed together do not come back together.
func (b Backoff) wait(failures int) time.Duration {
	w := b.Longest
	if failures < 30 {
		w = min(w, b.First<<failures)
	}
	return w/2 + rand.N(w/2+1) //nolint:gosec // no secret
}

// do makes a request until it succeeds, or fails for good. Patience begins with the first failure, since a request may
// take its time. The attempt counts from 0.
func (c *Client) do(ctx context.Context, what, key string, request func(ctx context.Context, core *minio.Core, attempt int) error) error {
	var failed time.Time
	for attempt := 0; ; attempt++ {
		err := c.once(ctx, attempt, request)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("cannot %s %q: %w", what, key, context.Cause(ctx))
		}
		if attempt == 0 {
			failed = time.Now()
		}
		again, err := c.judge(err)
		wait := c.opts.Backoff.wait(attempt)
		if !again || time.Since(failed)+wait > c.patience(err) {
			return fmt.Errorf("cannot %s %q: %w", what, key, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

type guardKey struct{}

// Guarded returns a context with which each attempt of a request is made only if a check right before it succeeds.
func Guarded(ctx context.Context, check func() error) context.Context {
	return context.WithValue(ctx, guardKey{}, check)
}

func (c *Client) once(ctx context.Context, attempt int, request func(context.Context, *minio.Core, int) error) error {
	if check, ok := ctx.Value(guardKey{}).(func() error); ok {
		if err := check(); err != nil {
			return &localError{err}
		}
	}
	core, err := c.connected(ctx)
	if err == nil {
		err = request(ctx, core, attempt)
	}
	if err == nil {
		c.served.Store(true)
	}
	if err == nil || minio.ToErrorResponse(err).StatusCode != 0 {
		c.reached.Store(true)
	}
	return err
}

func (c *Client) patience(err error) time.Duration {
	if !c.reached.Load() && isDial(err) {
		return min(firstContact, c.opts.Backoff.Patience)
	}
	return c.opts.Backoff.Patience
}
