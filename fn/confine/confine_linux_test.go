package confine_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/confine"
)

// The first arguments of this test's program when it is a child, and when it is a parent.
const (
	child  = "child-of-a-test"
	parent = "parent-of-a-child"
)

// request says what a child shall do.
type request struct{ Do, With string }

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == child {
		os.Exit(confine.Serve(os.Args[2:], os.Stdin, os.Stdout, do))
	}
	if len(os.Args) > 1 && os.Args[1] == parent {
		limits := confine.Limits{Memory: 512 << 20, Time: time.Minute}
		_ = confine.Program{os.Args[0], child}.Run(context.Background(), limits, request{"tell and sleep", os.Args[2]}, new(string))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// kept is what a child never lets go of.
var kept [][]byte

func do(ctx context.Context, r request) string {
	switch r.Do {
	case "echo":
		return r.With
	case "environment":
		return strings.Join(os.Environ(), "\n") + strings.Join(os.Args, "\n")
	case "score":
		score, _ := os.ReadFile("/proc/self/oom_score_adj")
		return strings.TrimSpace(string(score))
	case "memory":
		for {
			kept = append(kept, make([]byte, 1<<20))
		}
	case "at once":
		size, err := strconv.Atoi(r.With)
		if err != nil {
			return err.Error()
		}
		kept = append(kept, bytes.Repeat([]byte("x"), size))
		return "it was let"
	case "stack":
		return fmt.Sprint(deep(1))
	case "spin":
		for len(kept) == 0 {
			runtime.Gosched()
		}
	case "ask":
		<-ctx.Done()
		return ctx.Err().Error()
	case "panic":
		panic(r.With)
	case "talk":
		return strings.Repeat("x", 65<<20)
	case "list":
		size, _ := strconv.Atoi(r.With)
		fmt.Print("[" + strings.TrimSuffix(strings.Repeat("{},", size), ",") + "]")
		os.Exit(0)
	case "file":
		file, err := os.Create(r.With)
		if err != nil {
			return err.Error()
		}
		_, err = io.CopyN(file, zeros{}, 2<<30)
		panic(err)
	case "leave":
		_ = os.WriteFile(filepath.Join(os.TempDir(), "clone"), nil, 0o600)
		select {}
	case "tell and sleep":
		_ = os.WriteFile(r.With+".new", []byte(strconv.Itoa(os.Getpid())), 0o600)
		_ = os.Rename(r.With+".new", r.With)
		select {}
	}
	return ""
}

func deep(n int) int {
	if n < 0 {
		return 0
	}
	return deep(n+1) + 1
}

// zeros holds nothing else, and leaves no data on the disk.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// run has a child do something.
func run(ctx context.Context, t *testing.T, limits confine.Limits, r request) (string, error) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	var answer string
	err = confine.Program{self, child}.Run(ctx, limits, r, &answer)
	return answer, err
}

// roomy is enough for this test's program, also with the race detector.
var roomy = confine.Limits{Memory: 512 << 20, Time: time.Minute}

func TestAnswers(t *testing.T) {
	answer, err := run(t.Context(), t, roomy, request{"echo", "\x00 a request is a value"})
	require.NoError(t, err)
	assert.Equal(t, "\x00 a request is a value", answer)
}

// TestSeesNoSecrets: what a child is told goes by its standard input alone, and what its parent has in its environment stays there.
func TestSeesNoSecrets(t *testing.T) {
	t.Setenv("CANARY", "canary-of-the-parent")
	t.Setenv("HTTPS_PROXY", "http://proxy.example")
	answer, err := run(t.Context(), t, roomy, request{"environment", "canary-of-the-request"})
	require.NoError(t, err)
	assert.NotContains(t, answer, "canary")
	assert.Contains(t, answer, "HTTPS_PROXY=http://proxy.example", "it goes the same way out of the cluster")
}

// TestGoesFirst: the kernel takes the child before the parent.
func TestGoesFirst(t *testing.T) {
	answer, err := run(t.Context(), t, roomy, request{Do: "score"})
	require.NoError(t, err)
	assert.Equal(t, "1000", answer)
}

// TestDies: whatever a child does, it dies alone, and it is known of what; no word of it is repeated.
func TestDies(t *testing.T) {
	short := confine.Limits{Memory: roomy.Memory, Time: 2 * time.Second}
	for name, tc := range map[string]struct {
		reason string
		limits confine.Limits
		do     request
		want   confine.End
	}{
		"Memory":  {"piece by piece", roomy, request{Do: "memory"}, confine.OutOfMemory},
		"AtOnce":  {"a size that somebody announced", roomy, request{"at once", strconv.Itoa(2 << 30)}, confine.OutOfMemory},
		"Larger":  {"not much more than the limit: RLIMIT_DATA alone lets it pass", roomy, request{"at once", strconv.Itoa(900 << 20)}, confine.OutOfMemory},
		"Stack":   {"recursion without end", roomy, request{Do: "stack"}, confine.OutOfMemory},
		"Spin":    {"it looks at no context", short, request{Do: "spin"}, confine.OutOfTime},
		"Sleep":   {"it waits for ever", short, request{"tell and sleep", filepath.Join(t.TempDir(), "pid")}, confine.OutOfTime},
		"Panic":   {"a fault of ours", roomy, request{"panic", "canary"}, confine.Crashed},
		"Talk":    {"an answer without end", roomy, request{Do: "talk"}, confine.OutOfSpace},
		"File":    {"what is fetched goes to disk", roomy, request{"file", filepath.Join(t.TempDir(), "file")}, confine.OutOfSpace},
		"Request": {"what is asked is bounded too", roomy, request{"echo", strings.Repeat("x", 65<<20)}, confine.OutOfSpace},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := run(t.Context(), t, tc.limits, tc.do)
			var died *confine.DiedError
			require.ErrorAs(t, err, &died, tc.reason)
			if !raced {
				assert.Equal(t, tc.want, died.End)
			}
			assert.NotContains(t, err.Error(), "canary")
		})
	}
}

// TestAnswerOfManyValues: whoever has taken a child over says what he likes, in few bytes what takes many when it is decoded.
func TestAnswerOfManyValues(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		values int
		want   confine.End
	}{
		"Few":  {1000, ""},
		"Many": {1 << 20, confine.OutOfMemory},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var answer []map[string]any
			err := confine.Program{self, child}.Run(t.Context(), confine.Limits{Memory: roomy.Memory, Time: time.Minute}, request{"list", strconv.Itoa(tc.values)}, &answer)
			runtime.ReadMemStats(&after)
			if tc.want == "" {
				require.NoError(t, err)
				assert.Len(t, answer, tc.values)
				return
			}
			var died *confine.DiedError
			require.ErrorAs(t, err, &died)
			assert.Equal(t, tc.want, died.End)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(24<<20), "it takes its text, and no more")
		})
	}
}

// TestLeavesNothing: what a child has written goes with it, also when it is killed, and what is left of a parent that was killed goes
// when the next one starts.
func TestLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	left := func() (names []string) {
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		return names
	}
	_, err := run(t.Context(), t, confine.Limits{Memory: roomy.Memory, Time: 2 * time.Second}, request{Do: "leave"})
	require.Error(t, err)
	assert.Empty(t, left())

	gone := exec.Command("true")
	require.NoError(t, gone.Run())
	mine := fmt.Sprintf("threescale-child-%d-1", os.Getppid())
	for _, name := range []string{fmt.Sprintf("threescale-child-%d-1", gone.Process.Pid), fmt.Sprintf("threescale-child-%d-1", os.Getpid()), mine, "other"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name, "clone"), 0o700))
	}
	require.NoError(t, confine.Sweep())
	assert.ElementsMatch(t, []string{mine, "other"}, left(), "those of a living parent, and of others, stay")
}

// TestSaysSoInTime: what listens to its context can answer before it is killed.
func TestSaysSoInTime(t *testing.T) {
	answer, err := run(t.Context(), t, confine.Limits{Memory: roomy.Memory, Time: 8 * time.Second}, request{Do: "ask"})
	require.NoError(t, err)
	assert.Equal(t, context.DeadlineExceeded.Error(), answer)
}

// TestEndsWithItsContext: who stops the controller waits for no child.
func TestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	file := filepath.Join(t.TempDir(), "pid")
	ended := make(chan error, 1)
	self, err := os.Executable()
	require.NoError(t, err)
	go func() {
		ended <- confine.Program{self, child}.Run(ctx, roomy, request{"tell and sleep", file}, new(string))
	}()
	pid := waitFor(t, file)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	requireGone(t, pid)
}

// TestEndsWithItsParent: a parent that is killed leaves no child.
func TestEndsWithItsParent(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "pid")
	command := exec.Command(self, parent, file)
	require.NoError(t, command.Start())
	pid := waitFor(t, file)
	require.NoError(t, command.Process.Kill())
	require.Error(t, command.Wait())
	requireGone(t, pid)
}

// waitFor waits for the process ID that a child writes.
func waitFor(t *testing.T, file string) (pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		data, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(string(data))
		return err == nil
	}, time.Minute, 10*time.Millisecond)
	return pid
}

func requireGone(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool { return syscall.Kill(pid, 0) != nil || isZombie(pid) }, time.Minute, 10*time.Millisecond)
}

// isZombie reports whether a process has ended and nobody has asked how.
func isZombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}
