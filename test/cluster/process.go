//go:build linux

package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
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

// A Process is a child of the harness that runs until it is stopped, and again
// after Resume. It ends with the harness in any case: the kernel kills it when
// its parent dies.
type Process struct {
	cluster *Cluster
	options ProcessOptions
	log     string

	mu   sync.Mutex
	life *life
	// awaited are the conditions on which it was ready.
	awaited []awaited
}

// life is that of a process, from its start to its end.
type life struct {
	cmd    *exec.Cmd
	done   chan struct{}
	err    error       // Why it ended; read after done is closed.
	ending atomic.Bool // It was told to end.
}

type awaited struct {
	what      string
	condition func(context.Context) error
}

// StartProcess starts a child process whose output goes to a log file. It is
// stopped by Stop, if not before.
func (c *Cluster) StartProcess(o ProcessOptions) (*Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &Process{cluster: c, options: o, log: filepath.Join(c.logDir(), o.Name+".log")}
	if err := p.start(); err != nil {
		return nil, err
	}
	c.processes = append(c.processes, p)
	return p, nil
}

// start begins a life; the cluster is locked.
func (p *Process) start() error {
	c, o := p.cluster, p.options
	if c.lock == nil {
		return fmt.Errorf("cannot start process %q: the cluster is stopped", o.Name)
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open log of process %q: %w", o.Name, err)
	}
	defer func() { _ = log.Close() }()     // The child has its own copy.
	cmd := exec.Command(o.Path, o.Args...) //nolint:noctx // It outlives the context that it is started in.
	cmd.Env = append(os.Environ(), o.Env...)
	cmd.Dir = c.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: o.namespaces}
	if err := c.spawner.start(cmd); err != nil {
		return fmt.Errorf("cannot start process %q: %w", o.Name, err)
	}
	if err := c.state.AddProcess(o.Name, cmd.Process.Pid); err != nil {
		_ = cmd.Process.Kill() // The error that matters is the state's.
		return err
	}
	l := &life{cmd: cmd, done: make(chan struct{})}
	go func() {
		l.err = l.cmd.Wait()
		if !l.ending.Load() {
			c.options.Logf("process %s ended by itself: %v", o.Name, l.err)
		}
		close(l.done)
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life = l
	return nil
}

// Resume starts a process that has ended once more, with the same command, and
// returns when it is as ready as it was at first. One that runs is only waited for.
func (p *Process) Resume(ctx context.Context) error {
	if err := p.startAgain(); err != nil {
		return err
	}
	p.mu.Lock()
	all := slices.Clone(p.awaited)
	p.mu.Unlock()
	for _, a := range all {
		if err := p.untilReady(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

func (p *Process) startAgain() error {
	p.cluster.mu.Lock()
	defer p.cluster.mu.Unlock()
	select {
	case <-p.Done():
		return p.start()
	default:
		return nil
	}
}

// Process is the one of this name that was started last, such as etcd,
// kube-apiserver or node; nil if none was.
func (c *Cluster) Process(name string) *Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range slices.Backward(c.processes) {
		if p.options.Name == name {
			return p
		}
	}
	return nil
}

// Ended are the processes that have ended although nobody had told them to. Where
// the kubelet or systemd runs them, it starts them again.
func (c *Cluster) Ended() []*Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ended []*Process
	for _, p := range c.processes {
		l := p.current()
		select {
		case <-l.done:
			if !l.ending.Load() {
				ended = append(ended, p)
			}
		default:
		}
	}
	return ended
}

func (p *Process) current() *life {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.life
}

// Name is that of the process and of its log file.
func (p *Process) Name() string { return p.options.Name }

// PID is the process's ID, for a test that kills it.
func (p *Process) PID() int { return p.current().cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.current().done }

// Log is the path of the file with the process's output.
func (p *Process) Log() string { return p.log }

// Stop asks the process to end, and kills it and its process group if it does
// not within seconds. Stopping an ended process does nothing.
func (p *Process) Stop() error {
	l := p.current()
	select {
	case <-l.done:
		return nil
	default:
	}
	l.ending.Store(true)
	// ESRCH only says that it ended meanwhile.
	_ = l.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-l.done:
	case <-time.After(graceful):
	}
	return p.Kill()
}

// Kill ends the process and its process group with SIGKILL. An ended process is
// left alone: its ID may be somebody else's by now.
func (p *Process) Kill() error {
	l := p.current()
	select {
	case <-l.done:
		return nil
	default:
	}
	l.ending.Store(true)
	if err := syscall.Kill(-l.cmd.Process.Pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		return fmt.Errorf("cannot kill process %q: %w", p.options.Name, err)
	}
	select {
	case <-l.done:
		return nil
	case <-time.After(2 * graceful):
		return fmt.Errorf("cannot end process %q: it is still there %s after SIGKILL", p.options.Name, 2*graceful)
	}
}

// Hang has the process and its process group do nothing more, and go on when the
// returned function is called: they keep their connections, and answer nobody.
func (p *Process) Hang() (goOn func() error, err error) {
	group := -p.PID()
	signal := func(s syscall.Signal) error {
		if err := syscall.Kill(group, s); err != nil {
			return fmt.Errorf("cannot send %s to process %q: %w", s, p.options.Name, err)
		}
		return nil
	}
	return func() error { return signal(syscall.SIGCONT) }, signal(syscall.SIGSTOP)
}

// Await waits for the condition, and fails at once when the process ends
// before: its last words say more than a timeout does. Resume waits for it, too.
func (p *Process) Await(ctx context.Context, what string, condition func(context.Context) error) error {
	a := awaited{what: what, condition: condition}
	p.mu.Lock()
	p.awaited = append(p.awaited, a)
	p.mu.Unlock()
	return p.untilReady(ctx, a)
}

func (p *Process) untilReady(ctx context.Context, a awaited) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l := p.current()
	go func() {
		select {
		case <-l.done:
			cancel(fmt.Errorf("process %q ended (%w), its log %s ends with:\n%s", p.options.Name, l.err, p.log, tail(p.log, 10)))
		case <-ctx.Done():
		}
	}()
	return Eventually(ctx, readyTimeout, a.what, a.condition)
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
