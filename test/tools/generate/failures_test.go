package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadFailures(t *testing.T) {
	file := filepath.Join(t.TempDir(), "failures.json")
	_, err := readFailures(file)
	require.ErrorContains(t, err, "cannot read failures")
	for text, want := range map[string]string{"": "unexpected end", "[]": "there are none"} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := readFailures(file)
		assert.ErrorContains(t, err, want)
	}
}

func TestExitCodeTable(t *testing.T) {
	table, err := exitCodeTable([]failure{{"A", "OnRequest", 64}, {"B", "OnRequest", 64}, {"C", "Later", 64}, {"D", "AtOnce", 74}})
	require.NoError(t, err)
	assert.Equal(t, "| exit code | reason | another pod of the Job | a restore |\n|---|---|---|---|\n"+
		"| 64 | `A`, `B` | no | it waits until you ask again |\n"+
		"| 64 | `C` | no | it is tried again after `retryInterval` |\n"+
		"| 74 | `D` | yes, up to `spec.job.backoffLimit` times | it is tried again after `retryInterval` |\n", table)
	_, err = exitCodeTable([]failure{{"A", "Never", 64}})
	assert.ErrorContains(t, err, `reason "A"`)
}
