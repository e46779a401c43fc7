// Package poll waits until a condition holds; see [Until].
package poll

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const interval = 100 * time.Millisecond

// Until calls the condition until it returns nil, and returns its last error if
// it does not within the timeout or before the context ends. "what" completes
// the sentence "cannot wait for ...".
func Until(ctx context.Context, timeout time.Duration, what string, condition func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not within %s", timeout))
	defer cancel()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var last error
	for {
		err := condition(ctx)
		if err == nil {
			return nil
		}
		// A call that was cut off by the deadline tells less than the one before.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot wait for %s: %w", what, errors.Join(context.Cause(ctx), last))
		case <-ticker.C:
		}
	}
}
