//go:build e2e

package e2e

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// coreMetric adds up a metric of Crossplane's over all of its labels that match
// the filter.
func coreMetric(t *testing.T, name, filter string) float64 {
	t.Helper()
	return metric(t, "127.0.0.1:"+coreMetricsPort(t), name, filter)
}

// metric adds up one of the metrics that are served at an address.
func metric(t *testing.T, address, name, filter string) float64 {
	t.Helper()
	response, err := http.Get("http://" + address + "/metrics")
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	line := regexp.MustCompile(`(?m)^` + name + `(\{.*\})? (\S+)$`)
	total := 0.0
	for _, match := range line.FindAllStringSubmatch(string(body), -1) {
		if !strings.Contains(match[1], filter) {
			continue
		}
		value, err := strconv.ParseFloat(match[2], 64)
		require.NoError(t, err)
		total += value
	}
	return total
}

func coreMetricsPort(t *testing.T) string {
	t.Helper()
	environment, err := os.ReadFile("/proc/" + strconv.Itoa(shared.Crossplane().PID()) + "/environ")
	require.NoError(t, err)
	for variable := range strings.SplitSeq(string(environment), "\x00") {
		if port, ok := strings.CutPrefix(variable, "METRICS_PORT="); ok {
			return port
		}
	}
	require.Fail(t, "Crossplane runs without METRICS_PORT")
	return ""
}

// logCore logs what a test cost Crossplane.
func logCore(t *testing.T) {
	t.Helper()
	t.Logf("function calls %.0f, watch events %.0f of 100 that core takes at once, circuit breaker opened %.0f times",
		coreMetric(t, "function_run_function_request_total", ""),
		coreMetric(t, "circuit_breaker_events_total", ""),
		coreMetric(t, "circuit_breaker_opens_total", ""))
}
