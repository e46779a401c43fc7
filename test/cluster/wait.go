//go:build linux

package cluster

import (
	"context"
	"time"

	"threescale.dev/backup/test/cluster/poll"
)

// readyTimeout is how long a component may take to be ready. A cold machine
// with two cores needs a tenth of it.
const readyTimeout = 90 * time.Second

// Eventually calls the condition until it returns nil, and returns its last
// error if it does not within the timeout or before the context ends. "what"
// completes the sentence "cannot wait for ...".
func Eventually(ctx context.Context, timeout time.Duration, what string, condition func(context.Context) error) error {
	return poll.Until(ctx, timeout, what, condition)
}
