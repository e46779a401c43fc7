//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/cluster"
)

// What the tests of load have in common.

const (
	// maxFunctionKiB is what the function may take of memory at most.
	maxFunctionKiB = 64 << 10
	// loadPatience bounds each wait for hundreds of things.
	loadPatience = 20 * time.Minute
	// lookInterval is how often they are looked at, which is work for the API server.
	lookInterval = 2 * time.Second
)

// load returns how much of something a test is to make: a sample, or the whole,
// as `make prove` does.
func load(sample, whole int) int {
	if proving() {
		return whole
	}
	return sample
}

func proving() bool { return os.Getenv("THREESCALE_BACKUP_PROVE") != "" }

// underLoad waits until check returns nil. It looks now and then, and longer than
// eventually does.
func (w *tenant) underLoad(what string, check func(context.Context) error) {
	w.t.Helper()
	var looked time.Time
	var last error
	require.NoError(w.t, cluster.Eventually(w.t.Context(), loadPatience, what, func(ctx context.Context) error {
		if time.Since(looked) >= lookInterval {
			last = check(ctx)
			looked = time.Now()
		}
		return last
	}))
}

func functionCalls(t *testing.T) float64 {
	t.Helper()
	return coreMetric(t, "function_run_function_request_total", "")
}

// untilQuiet waits until the function has not been called for some time, and
// returns when that began.
func (w *tenant) untilQuiet(quiet time.Duration) time.Time {
	w.t.Helper()
	return w.untilStill("calls of the function", quiet, func() float64 { return functionCalls(w.t) })
}

// untilStill waits until a count has not changed for some time, and returns when
// that began.
func (w *tenant) untilStill(what string, quiet time.Duration, count func() float64) time.Time {
	w.t.Helper()
	seen, since := -1.0, time.Now()
	require.NoError(w.t, cluster.Eventually(w.t.Context(), loadPatience, fmt.Sprintf("no %s for %s", what, quiet), func(context.Context) error {
		if now := count(); now != seen {
			seen, since = now, time.Now()
		}
		if time.Since(since) < quiet {
			return fmt.Errorf("%.0f, the last one seen %s ago", seen, time.Since(since).Round(time.Second))
		}
		return nil
	}))
	return since
}

// rest waits until some time has passed, in which nothing is done.
func (w *tenant) rest(length time.Duration) {
	w.t.Helper()
	begin := time.Now()
	require.NoError(w.t, cluster.Eventually(w.t.Context(), loadPatience, length.String()+" of rest", func(context.Context) error {
		if left := length - time.Since(begin); left > 0 {
			return fmt.Errorf("%s are left", left)
		}
		return nil
	}))
}

// peakMemoryKiB is the resident memory that a process has had at most.
func peakMemoryKiB(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	require.NoError(t, err)
	match := regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`).FindSubmatch(text)
	require.NotNil(t, match)
	peak, err := strconv.Atoi(string(match[1]))
	require.NoError(t, err)
	return peak
}
