// Package process runs the database servers of a test: as children of the test that end with it, in directories of their
// own, and not as root. See [Start].
package process

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// nobody is the user of Debian that owns nothing.
const nobody = 65534

// startTime is how long a server may take until it is ready.
const startTime = 2 * time.Minute

// Skip leaves a test out on a machine that cannot run it; where all of them have to run, as in CI, that is a failure.
func Skip(tb testing.TB, why string) {
	tb.Helper()
	require.Empty(tb, os.Getenv("THREESCALE_BACKUP_SKIP_NOTHING"), why)
	tb.Skip(why)
}

// Dir makes a directory that servers may write to. Its path is short, as that of a socket must be.
func Dir(tb testing.TB, prefix string) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", prefix) //nolint:usetesting // Only root can reach that of a test.
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, os.RemoveAll(dir)) })
	own(tb, dir)
	return dir
}

// Write writes a file that only servers can read, and returns its path.
func Write(tb testing.TB, dir, name string, data []byte) string {
	tb.Helper()
	path := filepath.Join(dir, name)
	require.NoError(tb, os.WriteFile(path, data, 0o600))
	own(tb, path)
	return path
}

func own(tb testing.TB, path string) {
	tb.Helper()
	if os.Getuid() == 0 {
		require.NoError(tb, os.Chown(path, nobody, nobody))
	}
}

// Run runs a program to its end.
func Run(tb testing.TB, program string, args ...string) {
	tb.Helper()
	runtime.LockOSThread() // The kernel ends the child with the thread that started it.
	defer runtime.UnlockOSThread()
	out, err := command(syscall.SIGKILL, program, args).CombinedOutput()
	require.NoError(tb, err, "%s %q: %s", program, args, out)
}

// command makes a command that does not run as root, and that a signal ends with the test.
func command(end syscall.Signal, program string, args []string) *exec.Cmd {
	cmd := exec.Command(program, args...) //nolint:noctx // It ends in a cleanup, when the context of its test has ended.
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: end}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return cmd
}

// Server says how to run a server.
type Server struct {
	Program string
	Args    []string
	Ready   string         // what it prints when it takes connections
	End     syscall.Signal // ends it at once, with all that it has started
}

// Process is a server that runs as long as its test.
type Process struct {
	process *os.Process
	end     syscall.Signal
	ended   chan struct{}
}

// Start starts a server, and returns when it is ready. If it never is, the error has what it printed.
func Start(tb testing.TB, s Server) (*Process, error) {
	tb.Helper()
	said := &output{marker: s.Ready, ready: make(chan struct{})}
	cmd := command(s.End, s.Program, s.Args)
	cmd.Stdout, cmd.Stderr = said, said
	p := &Process{end: s.End, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // For good: the kernel ends the child with this thread.
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // A signal has ended it, or its output says what did.
			close(p.ended)
		}
	}()
	require.NoError(tb, <-started)
	p.process = cmd.Process
	tb.Cleanup(p.Kill)
	select {
	case <-said.ready:
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("%s ended: %s", s.Program, said)
	case <-time.After(startTime):
		return nil, fmt.Errorf("%s is not ready after %s: %s", s.Program, startTime, said)
	}
}

// Kill ends the server at once, as a machine that fails does.
func (p *Process) Kill() {
	_ = p.process.Signal(p.end) // It may have ended.
	<-p.ended
}

// Signal sends a signal to the server.
func (p *Process) Signal(tb testing.TB, signal os.Signal) {
	tb.Helper()
	require.NoError(tb, p.process.Signal(signal))
}

// PID is the process ID of the server.
func (p *Process) PID() int { return p.process.Pid }

// output keeps what a server prints, and tells when a text has come.
type output struct {
	marker string
	ready  chan struct{}
	mu     sync.Mutex
	text   bytes.Buffer
	told   bool
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	if !o.told && bytes.Contains(o.text.Bytes(), []byte(o.marker)) {
		o.told = true
		close(o.ready)
	}
	return len(p), nil
}

// String is what the server has printed.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
