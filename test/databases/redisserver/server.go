// Package redisserver starts Redis and its sentinels for a test: Debian's, as children of the test, on ports of the
// loopback interface. A machine without them skips the test.
package redisserver

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/cluster/ports"
	"threescale.dev/backup/test/databases/internal/process"
)

// Server is a running Redis, or a sentinel. It ends with the test.
type Server struct {
	*process.Process

	Port int
	Dir  string // what the server may write to
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
		process.Skip(tb, err.Error()+" (apt-get install redis-server)")
	}
	s := &Server{Dir: process.Dir(tb, "redis-")}
	const attempts = 3
	for range attempts {
		s.Port, err = ports.Free(tb.Context())
		require.NoError(tb, err)
		text := fmt.Sprintf("port $PORT\nbind 127.0.0.1\ndir %s\n%s\n", s.Dir, strings.Join(lines, "\n"))
		config := process.Write(tb, s.Dir, "redis.conf", []byte(strings.ReplaceAll(text, "$PORT", strconv.Itoa(s.Port))))
		s.Process, err = process.Start(tb, process.Server{Program: binary, Args: append([]string{config}, args...), Ready: ready, End: syscall.SIGKILL})
		if err == nil {
			return s
		}
		require.ErrorContains(tb, err, "Address already in use")
	}
	require.FailNow(tb, "no port is free for redis-server")
	return nil
}

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
