package memory_test

import (
	"bytes"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/cmd/internal/memory"
)

// printing has this program print its limit, as the process that a test started.
const printing = "THREESCALE_BACKUP_PRINT_LIMIT"

func TestMain(m *testing.M) {
	if os.Getenv(printing) != "" {
		_, _ = os.Stdout.WriteString(strconv.FormatInt(memory.Limit(), 10))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// limitOf returns the limit of a process that was started by a shell line; $0 is the process.
func limitOf(t *testing.T, line string, env ...string) int64 {
	t.Helper()
	cmd := exec.Command("sh", "-c", line, os.Args[0])
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), printing + "=1"}, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	assert.Empty(t, stderr.String(), "what reads a mover's output expects none of this")
	limit, err := strconv.ParseInt(string(out), 10, 64)
	require.NoError(t, err)
	return limit
}

func TestLimit(t *testing.T) {
	cases := map[string]struct {
		reason string
		env    []string
		want   int64
	}{
		"None":        {"what a machine has is for others too", nil, math.MaxInt64},
		"Environment": {"who sets it knows", []string{"GOMEMLIMIT=123MiB"}, 123 << 20},
		"Off":         {"likewise", []string{"GOMEMLIMIT=off"}, math.MaxInt64},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tc.want, limitOf(t, `exec "$0"`, tc.env...), tc.reason) })
	}
}

// TestLimitOfAContainer has the process in a cgroup of its own, as a container is.
func TestLimitOfAContainer(t *testing.T) {
	group, limitFile, join := container(t)
	const limit = 200 << 20
	require.NoError(t, os.WriteFile(filepath.Join(group, limitFile), []byte(strconv.Itoa(limit)), 0o600))
	line := `echo $$ > "` + filepath.Join(group, join) + `" && exec "$0"`
	assert.InDelta(t, limit*9/10, limitOf(t, line), 4096)
	assert.EqualValues(t, 64<<20, limitOf(t, line, "GOMEMLIMIT=64MiB"), "who sets it knows better")
}

// container makes a cgroup, of the version that there is.
func container(t *testing.T) (group, limit, join string) {
	t.Helper()
	root, limit := "/sys/fs/cgroup", "memory.max"
	if _, err := os.Stat("/sys/fs/cgroup/memory"); err == nil {
		root, limit = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	}
	group = filepath.Join(root, "threescale-backup-"+strconv.Itoa(os.Getpid()))
	err := os.Mkdir(group, 0o755)
	if err == nil {
		t.Cleanup(func() { assert.NoError(t, os.Remove(group)) })
		_, err = os.Stat(filepath.Join(group, limit))
	}
	if err != nil {
		require.Empty(t, os.Getenv("THREESCALE_BACKUP_SKIP_NOTHING"), "making a cgroup needs root, and the controller of memory: %v", err)
		t.Skip("making a cgroup needs root, and the controller of memory: " + strings.TrimSpace(err.Error()))
	}
	return group, limit, "cgroup.procs"
}

// TestSave: a process that holds much leaves less garbage lying, and has its usual share once it holds little.
func TestSave(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	percent := func() uint64 {
		runtime.GC()
		sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	memory.Save()
	list := make([]byte, 64<<20)
	require.Eventually(t, func() bool { return percent() < 20 }, time.Minute, time.Millisecond)
	runtime.KeepAlive(list)
	require.Eventually(t, func() bool { return percent() == 100 }, time.Minute, time.Millisecond)
}
