//go:build linux

package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// graceful is how long a process may take to end by itself.
const graceful = 5 * time.Second

// ProcessOptions describe a child process of the harness.
type ProcessOptions struct {
	// Name of the process and of its log file.
	Name string
	// Path of the program.
	Path string
	// Args of the program, without its name.
	Args []string
	// Env is added to the harness's own environment.
	Env []string
	// namespaces are CLONE_NEW* flags.
	namespaces uintptr
}

// A Process is a child of the harness that runs until it is stopped. It ends
// with the harness in any case: the kernel kills it when its parent dies.
type Process struct {
	name   string
	log    string
	cmd    *exec.Cmd
	done   chan struct{}
	err    error       // Why it ended; read after done is closed.
	ending atomic.Bool // It was told to end.
}

// StartProcess starts a child process whose output goes to a log file. It is
// stopped by Stop, if not before.
func (c *Cluster) StartProcess(o ProcessOptions) (*Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lock == nil {
		return nil, fmt.Errorf("cannot start process %q: the cluster is stopped", o.Name)
	}
	p := &Process{name: o.Name, log: filepath.Join(c.logDir(), o.Name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open log of process %q: %w", o.Name, err)
	}
	defer func() { _ = log.Close() }()      // The child has its own copy.
	p.cmd = exec.Command(o.Path, o.Args...) //nolint:noctx // It outlives the context that it is started in.
	p.cmd.Env = append(os.Environ(), o.Env...)
	p.cmd.Dir = c.dir
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: o.namespaces}
	if err := c.spawner.start(p.cmd); err != nil {
		return nil, fmt.Errorf("cannot start process %q: %w", o.Name, err)
	}
	if err := c.state.AddProcess(o.Name, p.cmd.Process.Pid); err != nil {
		_ = p.cmd.Process.Kill() // The error that matters is the state's.
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		if !p.ending.Load() {
			c.options.Logf("process %s ended by itself: %v", p.name, p.err)
		}
		close(p.done)
	}()
	c.processes = append(c.processes, p)
	return p, nil
}

// PID is the process's ID, for a test that kills it.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Log is the path of the file with the process's output.
func (p *Process) Log() string { return p.log }

// Stop asks the process to end, and kills it and its process group if it does
// not within seconds. Stopping an ended process does nothing.
func (p *Process) Stop() error {
	select {
	case <-p.done:
		return nil
	default:
	}
	p.ending.Store(true)
	// ESRCH only says that it ended meanwhile.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(graceful):
	}
	return p.Kill()
}

// Kill ends the process and its process group with SIGKILL. An ended process is
// left alone: its ID may be somebody else's by now.
func (p *Process) Kill() error {
	select {
	case <-p.done:
		return nil
	default:
	}
	p.ending.Store(true)
	if err := syscall.Kill(-p.PID(), syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		return fmt.Errorf("cannot kill process %q: %w", p.name, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(2 * graceful):
		return fmt.Errorf("cannot end process %q: it is still there %s after SIGKILL", p.name, 2*graceful)
	}
}

// await waits for the condition, and fails at once when the process ends
// before: its last words say more than a timeout does.
func (p *Process) await(ctx context.Context, what string, condition func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-p.done:
			cancel(fmt.Errorf("process %q ended (%w), its log %s ends with:\n%s", p.name, p.err, p.log, tail(p.log, 10)))
		case <-ctx.Done():
		}
	}()
	return Eventually(ctx, readyTimeout, what, condition)
}

// run runs a program to its end and returns what it printed. It is for short
// steps; StartProcess is for what stays.
func run(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("cannot run %s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// tail returns the last lines of a file, or why it cannot be read.
func tail(path string, n int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// A spawner starts processes from one thread that lives as long as it does.
// The parent death signal is sent when the parent's thread dies, not its
// process, and the Go runtime may end any thread that is not locked.
type spawner struct {
	requests chan spawnRequest
}

type spawnRequest struct {
	cmd *exec.Cmd
	err chan error
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan spawnRequest)}
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for r := range s.requests {
			r.err <- r.cmd.Start()
		}
	}()
	return s
}

func (s *spawner) start(cmd *exec.Cmd) error {
	r := spawnRequest{cmd: cmd, err: make(chan error, 1)}
	s.requests <- r
	return <-r.err
}

// close lets the thread go, once every child has ended.
func (s *spawner) close() { close(s.requests) }
