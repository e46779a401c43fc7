//go:build e2e && linux

package cluster_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/cluster/machine"
)

// harnessVariable makes this test binary a harness that is to be killed; its
// value says when it reports to be ready for that.
const harnessVariable = "THREESCALE_BACKUP_TEST_HARNESS"

const (
	whileStarting = "starting"
	whileRunning  = "running"
	ready         = "ready to be killed"
)

func TestMain(m *testing.M) {
	if when := os.Getenv(harnessVariable); when != "" {
		err := runHarness(context.Background(), when)
		fmt.Fprintln(os.Stderr, "harness:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestInterrupted kills a harness in the middle. Whatever the signal, the
// machine should be as before soon, with nobody's help.
func TestInterrupted(t *testing.T) {
	cases := map[string]struct {
		when   string
		signal syscall.Signal
	}{
		"KilledWhileStarting": {when: whileStarting, signal: syscall.SIGKILL},
		"KilledWhileRunning":  {when: whileRunning, signal: syscall.SIGKILL},
		"Interrupted":         {when: whileRunning, signal: syscall.SIGINT},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			before := takeInventory(t)
			harness := startHarness(t, tc.when)
			end(t, harness, tc.signal)
			requireInventory(t, before)
		})
	}
}

// TestLock shows that a second cluster would wait for the first, and say so.
func TestLock(t *testing.T) {
	release := holdLock(t)
	var told []string
	logf := func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := machine.Lock(ctx, logf)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Len(t, told, 1, "once is enough")
	require.Contains(t, told[0], "waiting for it to end")
	release()
	holdLock(t)()
}

// TestNextCleansUp kills a harness and its janitor. The processes should end
// all the same, and the next cluster should remove the rest and work.
func TestNextCleansUp(t *testing.T) {
	before := takeInventory(t)
	harness := startHarness(t, whileRunning)
	require.NoError(t, syscall.Kill(janitorOf(t, harness.Process.Pid), syscall.SIGKILL))
	end(t, harness, syscall.SIGKILL)
	requireRecord(t, before)

	c, err := cluster.Start(t.Context(), cluster.Options{Logf: t.Logf})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Stop()) }()
	loadProbe(t, c)
	testRestrictedJob(t, c)
	require.NoError(t, c.Stop())
	requireInventory(t, before)
}

// requireRecord shows that the kernel ended the killed harness's processes, and
// that the rest is still there and on record.
func requireRecord(t *testing.T, before inventory) {
	t.Helper()
	defer holdLock(t)()
	if _, err := machine.Load(); errors.Is(err, fs.ErrNotExist) {
		require.Empty(t, os.Getenv("THREESCALE_BACKUP_SKIP_NOTHING"), "the cluster of somebody else came first, and cleaned up")
		t.Skip("the cluster of somebody else came first, and cleaned up")
	}
	err := cluster.Eventually(t.Context(), wait, "the killed harness's processes to end", func(context.Context) error {
		for _, process := range processes(t) {
			if !slices.Contains(before["processes"], process) {
				return fmt.Errorf("still there: %s", process)
			}
		}
		return nil
	})
	require.NoError(t, err)
	require.NotEqual(t, before["links"], listMachine(t)["links"], "the address should be left, or this test shows nothing")
}

// startHarness starts this test binary as a harness and returns when it says
// that it can be killed.
func startHarness(t *testing.T, when string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), harnessVariable+"="+when)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		t.Log("harness:", scanner.Text())
		if scanner.Text() == ready {
			return cmd
		}
	}
	require.Fail(t, "the harness ended by itself", "%v", cmd.Wait())
	return nil
}

func end(t *testing.T, cmd *exec.Cmd, signal syscall.Signal) {
	t.Helper()
	require.NoError(t, cmd.Process.Signal(signal))
	require.Error(t, cmd.Wait(), "a signal should have ended it")
}

// janitorOf finds the janitor among the children of a harness.
func janitorOf(t *testing.T, parent int) int {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	for _, path := range paths {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // It has just ended.
		}
		var pid, ppid int
		var name, state string
		if _, err := fmt.Sscan(string(stat), &pid, &name, &state, &ppid); err == nil && name == "(janitor)" && ppid == parent {
			return pid
		}
	}
	require.Fail(t, "no janitor")
	return 0
}

// runHarness starts a cluster with pods and volumes, and never ends by itself.
func runHarness(ctx context.Context, when string) error {
	logf := func(format string, args ...any) {
		line := fmt.Sprintf(format, args...)
		fmt.Println(line)
		if when == whileStarting && strings.HasPrefix(line, "API server is ready") {
			fmt.Println(ready)
		}
	}
	c, err := cluster.Start(ctx, cluster.Options{Logf: logf})
	if err != nil {
		return err
	}
	for _, filesystem := range []cluster.Filesystem{cluster.Ext4, cluster.Tmpfs, cluster.Linkless} {
		if _, err := c.Volume(ctx, cluster.VolumeOptions{Name: strings.ToLower(string(filesystem)), Filesystem: filesystem}); err != nil {
			return err
		}
	}
	// As if it were killed between attaching a device and mounting it.
	image := filepath.Join(c.Dir(), "image")
	if err := os.WriteFile(image, make([]byte, 1<<20), 0o600); err != nil {
		return err
	}
	if out, err := exec.Command("losetup", "--find", image).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot attach loop device: %w: %s", err, out)
	}
	if err := runPod(ctx, c); err != nil {
		return errors.Join(err, c.Dump(ctx, filepath.Join(os.TempDir(), "threescale-backup-dump")))
	}
	fmt.Println(ready)
	<-ctx.Done()
	return ctx.Err()
}

// runPod runs a pod that waits, on the ext4 volume.
func runPod(ctx context.Context, c *cluster.Cluster) error {
	binary := filepath.Join(c.Dir(), "probe")
	if err := buildProbe(ctx, c, binary); err != nil {
		return err
	}
	if err := c.Client().Create(ctx, pvc("default", "data", "", "ext4")); err != nil {
		return err
	}
	if err := c.Client().Create(ctx, job("default", "probe", "data", "wait")); err != nil {
		return err
	}
	return cluster.Eventually(ctx, wait, "the pod", func(ctx context.Context) error {
		_, err := c.Kubectl(ctx, "", "exec", "job/probe", "--", "/probe", "stat", "/data")
		return err
	})
}
