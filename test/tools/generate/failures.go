package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// failure is one of the ways in which the mover fails, as test/tools/failures
// prints it.
type failure struct {
	Reason, Retry string
	ExitCode      int
}

// readFailures reads them, sorted by exit code and reason.
func readFailures(file string) ([]failure, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read failures %q: %w", file, err)
	}
	var out []failure
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("cannot read failures %q: %w", file, err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("cannot read failures %q: there are none", file)
	}
	return out, nil
}

// exitCodeTable has a line for those that share exit code and retries.
func exitCodeTable(failures []failure) (string, error) {
	retries := map[string]string{
		"AtOnce":    "yes, up to `spec.job.backoffLimit` times | it is tried again after `retryInterval`",
		"Later":     "no | it is tried again after `retryInterval`",
		"OnRequest": "no | it waits until you ask again",
	}
	type line struct {
		code  int
		retry string
	}
	var lines []line
	reasons := map[line][]string{}
	for _, f := range failures {
		if retries[f.Retry] == "" {
			return "", fmt.Errorf("reason %q is tried again %q, for which there are no words", f.Reason, f.Retry)
		}
		l := line{f.ExitCode, f.Retry}
		if reasons[l] == nil {
			lines = append(lines, l)
		}
		reasons[l] = append(reasons[l], "`"+f.Reason+"`")
	}
	var out strings.Builder
	out.WriteString("| exit code | reason | another pod of the Job | a restore |\n|---|---|---|---|\n")
	for _, l := range lines {
		fmt.Fprintf(&out, "| %d | %s | %s |\n", l.code, strings.Join(reasons[l], ", "), retries[l.retry])
	}
	return out.String(), nil
}
