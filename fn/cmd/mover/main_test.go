package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/test/syscalls"
)

// peakVariable has this program be the mover. It names the file that takes the most memory that the process held.
const peakVariable = "MOVER_TEST_PEAK"

func TestMain(m *testing.M) {
	syscalls.Enter()
	peak, ok := os.LookupEnv(peakVariable)
	if !ok {
		os.Exit(m.Run())
	}
	main()
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		err = os.WriteFile(peak, status, 0o600)
	}
	if err != nil {
		os.Exit(job.ExitIO)
	}
}

// command returns the mover as a process of its own, and the file that will tell its memory.
func command(t *testing.T, args []string) (cmd *exec.Cmd, peak string) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	peak = filepath.Join(t.TempDir(), "status")
	cmd = exec.CommandContext(t.Context(), self, args...)
	cmd.Env = []string{peakVariable + "=" + peak, "HOSTNAME=pod"}
	return cmd, peak
}

// maxPeak is the most memory that the mover may take, with a million files, and with 10,000 runs.
const maxPeak = 96 << 20

// moved is what a mover took that has done its work.
type moved struct {
	time time.Duration
	peak int64 // bytes of memory
}

// move runs the mover to its end, and decodes the result that it prints.
func move(t *testing.T, args []string, result any) moved {
	t.Helper()
	cmd, peak := command(t, args)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	began := time.Now()
	out, err := cmd.Output()
	took := moved{time: time.Since(began)}
	require.NoError(t, err, "%v: %s", args, complaint.String())
	require.NoError(t, json.Unmarshal(out, result), "%s", out)
	status, err := os.ReadFile(peak)
	require.NoError(t, err)
	_, after, _ := bytes.Cut(status, []byte("\nVmHWM:"))
	words := bytes.Fields(after)
	require.NotEmpty(t, words)
	kilobytes, err := strconv.ParseInt(string(words[0]), 10, 64)
	require.NoError(t, err)
	took.peak = kilobytes << 10
	return took
}

// proving reports whether `make prove-volume` runs the test; else it is a sample.
func proving() bool { return os.Getenv("THREESCALE_BACKUP_PROVE") != "" }

// writeSnapshot writes what the pod of a backup finds mounted.
func writeSnapshot(t *testing.T, dir string) {
	t.Helper()
	for path, text := range map[string]string{
		job.DescriptionFile:                             `{"source":{"namespace":"3scale","apiManager":"example"},"cause":{"kind":"Schedule","value":"* * * * *"}}`,
		job.APIManagerFile:                              "{}\n",
		job.ConfigMapFile("system-environment"):         "{}\n",
		job.SecretMetadataFile("system-seed"):           `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"system-seed"},"type":"Opaque"}`,
		job.SecretKeyFile("system-seed", "MASTER_USER"): "master",
	} {
		write(t, filepath.Join(dir, filepath.FromSlash(path)), text)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}
