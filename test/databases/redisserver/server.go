// Package redisserver starts Redis and its sentinels for a test: Debian's, as children of the test, on ports of the
// loopback interface. A machine without them skips the test.
package redisserver

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/cluster/ports"
)

// nobody is the user of Debian that owns nothing: no server runs as root.
const nobody = 65534

// Server is a running Redis, or a sentinel. It ends with the test.
type Server struct {
	Port int
	Dir  string // what the server may write to

	process *os.Process
	ended   chan struct{}
	log     *serverLog
}

// Start starts a Redis with nothing in it. Lines are added to its configuration. Without a port among them, it listens
// to plain connections.
func Start(tb testing.TB, lines ...string) *Server {
	tb.Helper()
	return start(tb, "Ready to accept connections", nil, append([]string{`save ""`, "appendonly no", "repl-diskless-sync-delay 0"}, lines...))
}

// StartSentinel starts a sentinel of masters, by their names.
func StartSentinel(tb testing.TB, masters map[string]*Server, lines ...string) *Server {
	tb.Helper()
	for name, master := range masters {
		lines = append(lines, fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 1", name, master.Port),
			fmt.Sprintf("sentinel down-after-milliseconds %s 200", name), fmt.Sprintf("sentinel failover-timeout %s 2000", name))
	}
	return start(tb, "Sentinel ID is", []string{"--sentinel"}, lines)
}

// start starts a server again with another port if another program was faster.
func start(tb testing.TB, ready string, args, lines []string) *Server {
	tb.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		skip(tb, err.Error()+" (apt-get install redis-server)")
	}
	const attempts = 3
	for range attempts {
		if s := attempt(tb, binary, ready, args, lines); s != nil {
			return s
		}
	}
	require.FailNow(tb, "no port is free for redis-server")
	return nil
}

// skip leaves a test out on a machine that cannot run it; where all of them have to run, as in CI, that is a failure.
func skip(tb testing.TB, why string) {
	tb.Helper()
	require.Empty(tb, os.Getenv("THREESCALE_BACKUP_SKIP_NOTHING"), why)
	tb.Skip(why)
}

func attempt(tb testing.TB, binary, ready string, args, lines []string) *Server {
	tb.Helper()
	port, err := ports.Free(tb.Context())
	require.NoError(tb, err)
	dir, err := os.MkdirTemp("", "redis-") //nolint:usetesting // Only root can reach that of a test.
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, os.RemoveAll(dir)) })
	s := &Server{Port: port, Dir: dir, ended: make(chan struct{}), log: &serverLog{marker: ready, ready: make(chan struct{})}}
	s.run(tb, binary, args, lines)
	select {
	case <-s.log.ready:
		return s
	case <-s.ended:
		require.Contains(tb, s.log.String(), "Address already in use", "the server ended")
		return nil
	case <-time.After(time.Minute):
		require.FailNow(tb, "the server is not ready", s.log.String())
		return nil
	}
}

func (s *Server) run(tb testing.TB, binary string, args, lines []string) {
	tb.Helper()
	config := filepath.Join(s.Dir, "redis.conf")
	port := strconv.Itoa(s.Port)
	text := strings.ReplaceAll(strings.Join(append([]string{"port " + port, "bind 127.0.0.1", "dir " + s.Dir}, lines...), "\n"), "$PORT", port)
	require.NoError(tb, os.WriteFile(config, []byte(text+"\n"), 0o600))
	// For good: the kernel ends the child with the thread that started it.
	runtime.LockOSThread()
	cmd := exec.Command(binary, append([]string{config}, args...)...) //nolint:noctx // It ends in a cleanup, when the context of its test has ended.
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", s.log, s.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		require.NoError(tb, os.Chown(s.Dir, nobody, nobody))
		require.NoError(tb, os.Chown(config, nobody, nobody))
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	require.NoError(tb, cmd.Start())
	s.process = cmd.Process
	go func() {
		_ = cmd.Wait()
		close(s.ended)
	}()
	tb.Cleanup(s.Kill)
}

// Kill ends the server at once, as a machine that fails does.
func (s *Server) Kill() {
	_ = s.process.Kill() // It may have ended.
	<-s.ended
}

// Signal sends a signal to the server.
func (s *Server) Signal(tb testing.TB, signal os.Signal) {
	tb.Helper()
	require.NoError(tb, s.process.Signal(signal))
}

// PID is the server's process.
func (s *Server) PID() int { return s.process.Pid }

// Address is host and port.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// Client returns a client of an index, for a server that asks for no login and speaks no TLS.
func (s *Server) Client(tb testing.TB, index int) *redis.Client {
	tb.Helper()
	return client(tb, &redis.Options{Addr: s.Address(), DB: index})
}

// ClientAs is Client with a login.
func (s *Server) ClientAs(tb testing.TB, index int, username, password string) *redis.Client {
	tb.Helper()
	return client(tb, &redis.Options{Addr: s.Address(), DB: index, Username: username, Password: password})
}

func client(tb testing.TB, o *redis.Options) *redis.Client {
	tb.Helper()
	o.Protocol, o.DisableIdentity, o.ContextTimeoutEnabled = 2, true, true
	o.ReadTimeout = time.Minute // a digest of much data takes long on a busy machine
	c := redis.NewClient(o)
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// serverLog keeps what a server prints, and tells when a text has come.
type serverLog struct {
	marker string
	ready  chan struct{}
	mu     sync.Mutex
	text   bytes.Buffer
	told   bool
}

// Write implements io.Writer.
func (l *serverLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	if !l.told && bytes.Contains(l.text.Bytes(), []byte(l.marker)) {
		l.told = true
		close(l.ready)
	}
	return len(p), nil
}

// String is what the server has printed.
func (l *serverLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
