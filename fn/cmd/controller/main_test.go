package main

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/commit"
	"threescale.dev/backup/fn/confine"
)

// TestMain has the test's program be a child, as the controller's own is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childName {
		main()
	}
	os.Exit(m.Run())
}

// TestRun runs what ends before a cluster is asked.
func TestRun(t *testing.T) {
	const image = "--mover-image=registry.example.com/function:v1"
	for name, tc := range map[string]struct {
		reason         string
		args           []string
		code           int
		stdout, stderr string
	}{
		"Version":  {"a build that is no release says so", []string{"--version"}, job.ExitOK, "dev\n", ""},
		"Help":     {"the flags are told", []string{"--help"}, job.ExitOK, "", "--mover-image"},
		"NoImage":  {"Jobs would have none", nil, job.ExitUsage, "", "error: --mover-image is needed"},
		"Unknown":  {"a flag of another version", []string{"--colour"}, job.ExitUsage, "", "unknown flag: --colour"},
		"Argument": {"a Deployment from when the controller was a command", []string{"controller", image}, job.ExitUsage, "", `no argument "controller"`},
		"Children": {"none could work", []string{image, "--children=0"}, job.ExitUsage, "", "--children must be at least 1"},
		"Login":    {"a namespace without a URL", []string{image, "--provider-login=flux-system"}, job.ExitUsage, "", "cannot use the identity"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("MOVER_IMAGE", "")
			var stdout, stderr bytes.Buffer
			assert.Equal(t, tc.code, run(t.Context(), tc.args, &stdout, &stderr), tc.reason)
			assert.Equal(t, tc.stdout, stdout.String())
			assert.Contains(t, stderr.String(), tc.stderr)
		})
	}
}

// TestChild: the program that the controller starts for what tenants control is this one.
func TestChild(t *testing.T) {
	o, err := parse([]string{"--child-memory=512"}, &bytes.Buffer{})
	require.NoError(t, err)
	children, err := o.newChildren()
	require.NoError(t, err)
	assert.Equal(t, confine.Limits{Memory: 512 << 20, Time: 5 * time.Minute}, children.Limits)
	var answer commit.Answer
	require.NoError(t, children.Program.Run(t.Context(), children.Limits, commit.Request{}, &answer))
	require.NotNil(t, answer.Failure)
	assert.Equal(t, "nothing is asked for", answer.Failure.Message)
}
