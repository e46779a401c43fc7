//go:build linux

package machine

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProcessState(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	require.NoError(t, cmd.Start())
	start, err := processStart(cmd.Process.Pid)
	require.NoError(t, err)

	other := processState{Name: "other", PID: cmd.Process.Pid, Start: start + "1"}
	require.False(t, other.alive(), "a process of that ID that started at another time should be another one")
	require.NoError(t, other.kill(), "and be left alone")

	same := processState{Name: "same", PID: cmd.Process.Pid, Start: start}
	require.True(t, same.alive(), "a process of that ID and start time should be the one, so the one above did not kill it")
	require.NoError(t, same.kill())
	require.True(t, isZombie(cmd.Process.Pid) || same.alive(), "its parent did not wait for it yet")
	require.ErrorContains(t, cmd.Wait(), "killed")
	require.False(t, same.alive())
	require.NoError(t, same.kill(), "a process that ended should be nothing to do")
}

func TestMountsBelow(t *testing.T) {
	all, err := MountsBelow("/dev")
	require.NoError(t, err)
	require.Equal(t, "/dev", all[len(all)-1], "what others are mounted upon should be unmounted last")
	none, err := MountsBelow(t.TempDir())
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestRemoveCgroup(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(dir+"/pods/one/two", 0o700))
	require.NoError(t, removeCgroup(dir+"/pods"))
	require.NoDirExists(t, dir+"/pods")
	require.NoError(t, removeCgroup(dir+"/pods"), "one that is gone should be nothing to do")
}
