//go:build linux

// Package node is process 1 of the test cluster's node: containerd, its shims
// and all pods run below it, in a PID and a mount namespace of their own. Its
// entry point is [Run].
//
// This is what makes cleaning up certain. When the harness dies, however it
// dies, the kernel kills this process (parent death signal), then everything
// in its PID namespace, and with the last process the mount namespace goes,
// and with it each mount and each network namespace that a pod had.
//
// The command nodeinit is its program; the harness starts that with CLONE_NEWPID
// and CLONE_NEWNS.
package node

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Config is what the harness tells the node, as JSON in the file that is the
// first argument.
type Config struct {
	// Private folders are empty on the node, whatever the machine has there.
	Private []string `json:"private"`
	// Commands run until the node ends; each one starts when the one before
	// it is ready.
	Commands []Command `json:"commands"`
}

// Command is one long-running program of the node.
type Command struct {
	Args []string `json:"args"`
	Log  string   `json:"log"`
	// Socket is there when the command is ready. Empty: it is ready at once.
	Socket string `json:"socket,omitempty"`
	// Restart has a command that was killed started again, as systemd does. One
	// that ends in another way ends the node.
	Restart bool `json:"restart,omitempty"`
}

// Run is process 1. It returns when one of the node's commands has ended that is
// not to be started again, which is always an error; returning ends the node.
func Run(ctx context.Context, args []string) error {
	if len(args) != 1 || os.Getpid() != 1 {
		return fmt.Errorf("cannot run: want one argument and process ID 1, have %d arguments and %d", len(args), os.Getpid())
	}
	data, err := os.ReadFile(args[0])
	if err != nil {
		return fmt.Errorf("cannot read config %q: %w", args[0], err)
	}
	var config Config
	if err := json.Unmarshal(data, &config); err != nil {
		return fmt.Errorf("cannot parse config %q: %w", args[0], err)
	}
	if err := mountAll(config.Private); err != nil {
		return err
	}
	commands := map[int]Command{}
	for _, c := range config.Commands {
		cmd, err := start(ctx, c)
		if err != nil {
			return err
		}
		commands[cmd.Process.Pid] = c
		if err := waitForSocket(ctx, c.Socket); err != nil {
			return err
		}
	}
	return reap(ctx, commands)
}

// mountAll makes the machine's later mounts appear here, but none of ours
// there; and gives the node its own /proc and empty private folders.
func mountAll(private []string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("cannot make mounts private: %w", err)
	}
	// Shared among the namespaces below this one, as systemd makes it: the
	// kubelet expects that.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("cannot share mounts with pods: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("cannot mount %q: %w", "/proc", err)
	}
	for _, dir := range private {
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
			return fmt.Errorf("cannot mount %q: %w", dir, err)
		}
	}
	return nil
}

func start(ctx context.Context, c Command) (*exec.Cmd, error) {
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open log of %q: %w", c.Args[0], err)
	}
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %q: %w", c.Args[0], err)
	}
	return cmd, nil
}

// waitForSocket returns when something listens on the socket. Orphans that end
// meanwhile stay zombies until reap.
func waitForSocket(ctx context.Context, path string) error {
	var dialer net.Dialer
	if path == "" {
		return nil
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if conn, err := dialer.DialContext(ctx, "unix", path); err == nil {
			return conn.Close()
		}
	}
	return fmt.Errorf("cannot reach socket %q within 30s", path)
}

// reap collects every process that ends, as process 1 has to, until one of the
// node's own commands ends that is not to be started again.
func reap(ctx context.Context, commands map[int]Command) error {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot wait for processes: %w", err)
		}
		c, ok := commands[pid]
		if !ok {
			continue
		}
		if !c.Restart || status.Signal() != syscall.SIGKILL {
			return fmt.Errorf("%s ended: exit status %d, signal %d", c.Args[0], status.ExitStatus(), status.Signal())
		}
		delete(commands, pid)
		again, failed := start(ctx, c)
		if failed != nil {
			return failed
		}
		commands[again.Process.Pid] = c
	}
}
