package database

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/cluster/ports"
	"threescale.dev/backup/test/databases/redisserver"
)

// printable is each character that a URL, a command line or a file of options treats specially, and all others.
var printable = func() string {
	var b strings.Builder
	for c := byte(' '); c <= '~'; c++ {
		b.WriteByte(c)
	}
	return b.String()
}()

func assertProblem(t *testing.T, want Problem, err error, texts ...string) {
	t.Helper()
	var e *Error
	if !assert.ErrorAs(t, err, &e) {
		return
	}
	assert.Equal(t, want, e.Problem, "%v", err)
	assert.Equal(t, threescale.BackendRedis, e.Database)
	for _, text := range texts {
		assert.ErrorContains(t, err, text)
	}
	assert.NotContains(t, err.Error(), "hunter2")
	assert.NotContains(t, err.Error(), printable)
}

func look(t *testing.T, c threescale.Connection) error {
	t.Helper()
	_, err := lookRedis(t.Context(), threescale.BackendRedis, c)
	return err
}

func dumpError(t *testing.T, c threescale.Connection) error {
	t.Helper()
	into := filepath.Join(t.TempDir(), "dump")
	_, err := dumpRedis(t.Context(), DumpOptions{Database: threescale.BackendRedis, Connection: c, Into: into})
	require.Error(t, err)
	assert.NoDirExists(t, into, "a half dump is not left behind")
	return err
}

func TestRedisCannotBeReached(t *testing.T) {
	c := connectionTo(&redisserver.Server{Port: 1}, 0)
	assertProblem(t, Unreachable, look(t, c), "refused")
	c.Address.Host = "redis.invalid"
	assertProblem(t, Unreachable, look(t, c), "redis.invalid", "not known")
	s := redisserver.Start(t)
	c = connectionTo(s, 99)
	assertProblem(t, Unsupported, look(t, c), "index")
	c.Database = "name"
	assertProblem(t, Unsupported, look(t, c), "index")
}

func TestRedisLogin(t *testing.T) {
	s := redisserver.Start(t, `requirepass "`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(printable)+`"`)
	c := connectionTo(s, 0)
	assertProblem(t, Denied, look(t, c), "wants a login")
	c.Password = "hunter2"
	assertProblem(t, Denied, look(t, c), "WRONGPASS", "Secret")
	c.Password = printable
	require.NoError(t, look(t, c))
	c.Username = "nobody"
	assertProblem(t, Denied, look(t, c), "WRONGPASS")
	c.Username = "default"
	require.NoError(t, look(t, c))
	c = connectionTo(redisserver.Start(t), 0)
	c.Password = "hunter2"
	assertProblem(t, Denied, look(t, c), "AUTH", "Secret")
}

func TestPageListsRights(t *testing.T) {
	page, err := os.ReadFile("../../examples/README.md")
	require.NoError(t, err)
	for _, rights := range []string{dumpRights, loadRights} {
		assert.Contains(t, string(page), "ACL SETUSER threescale '~*' "+rights+" ")
	}
}

// TestRedisRights grants what the message says, which then is enough.
func TestRedisRights(t *testing.T) {
	s := redisserver.Start(t, compare)
	admin := s.Client(t, 1)
	fill(t, admin)
	acl := func(rules ...any) {
		t.Helper()
		require.NoError(t, admin.Do(t.Context(), append([]any{"ACL", "SETUSER", "three", "reset", "on", ">hunter2", "~*"}, rules...)...).Err())
	}
	c := connectionTo(s, 1)
	c.Username, c.Password = "three", "hunter2"
	granted := func(rights string) (rules []any) {
		for rule := range strings.FieldsSeq(rights) {
			rules = append(rules, rule)
		}
		return rules
	}
	acl("+scan", "+get", "+set", "+select") // as Apisonator's own documentation has it
	assertProblem(t, Denied, dumpError(t, c), "cannot run INFO", "ACL SETUSER three ~* "+dumpRights)
	for _, command := range []string{"info", "scan", "multi", "dump", "pttl", "time", "exec"} {
		acl(append(granted(dumpRights), "-"+command)...)
		assertProblem(t, Denied, dumpError(t, c), "cannot run "+strings.ToUpper(command), "ACL SETUSER three")
	}
	acl(granted(dumpRights)...)
	before := valuesOf(t, admin)
	from, dump := dumped(t, c) // by PTTL, as on Redis before 7.0
	assert.Equal(t, int64(len(before)), dump.Keys)

	target := c
	target.Database = "2"
	for _, command := range []string{"dbsize", "get", "set", "watch", "multi", "exec", "restore", "del"} {
		acl(append(granted(loadRights), "-"+command)...)
		o := loadOf(from, dump, target)
		_, err := loadAndConfirm(t, o)
		assertProblem(t, Denied, err, "cannot run "+strings.ToUpper(command), "ACL SETUSER three ~* "+loadRights)
		written, ok := errors.AsType[*Error](err)
		require.True(t, ok)
		assert.False(t, written.Written, "%s: or all was", command)
		require.NoError(t, s.Client(t, 2).Del(t.Context(), lockKey).Err()) // It would expire.
		assert.Equal(t, map[bool]int64{true: dump.Keys + 1}[command == "del"], s.Client(t, 2).DBSize(t.Context()).Val(), command)
	}
	acl(append(granted(loadRights), "-flushdb")...)
	o := loadOf(from, dump, target)
	o.Policy = Replace
	_, err := loadAndConfirm(t, o)
	assertProblem(t, Denied, err, "cannot run FLUSHDB")
	written, ok := errors.AsType[*Error](err)
	require.True(t, ok)
	assert.True(t, written.Written, "the marker is there")
	acl(granted(loadRights)...)
	_, err = loadAndConfirm(t, loadOf(from, dump, target))
	require.NoError(t, err)
	after := valuesOf(t, s.Client(t, 2))
	for key, v := range before { // TIME and PTTL are two moments, and each is rounded.
		got := after[key]
		assert.LessOrEqual(t, got.expires, v.expires+1)
		assert.Greater(t, got.expires, v.expires-1000)
		v.expires, got.expires = 0, 0
		assert.Equal(t, v, got)
	}
	acl("+@all", "resetkeys", "~other")
	assertProblem(t, Denied, dumpError(t, c), "NOPERM", "~*")
}

func TestRedisTLS(t *testing.T) {
	t.Parallel()
	ours, other := redisserver.NewAuthority(t), redisserver.NewAuthority(t)
	crt, key := ours.Issue(t, time.Hour)
	s := redisserver.Start(t, ours.TLS(t, crt, key, "no")...)
	connection := func(s *redisserver.Server, mode threescale.TLSMode, a *redisserver.Authority) threescale.Connection {
		c := connectionTo(s, 0)
		c.TLS = &threescale.TLS{Mode: mode, CA: a.CA}
		return c
	}
	for _, mode := range []threescale.TLSMode{threescale.TLSPreferred, threescale.TLSRequired, threescale.TLSVerifyCA, threescale.TLSVerify} {
		require.NoError(t, look(t, connection(s, mode, ours)), mode)
	}
	require.NoError(t, look(t, connection(s, threescale.TLSRequired, other)), "nothing is proven")
	for _, mode := range []threescale.TLSMode{threescale.TLSVerifyCA, threescale.TLSVerify} {
		assertProblem(t, Untrusted, look(t, connection(s, mode, other)), "unknown authority")
		assertProblem(t, Untrusted, look(t, connection(s, mode, &redisserver.Authority{})), "unknown authority") // the system's
		assertProblem(t, Untrusted, look(t, connection(s, mode, &redisserver.Authority{CA: []byte("hunter2")})), "CA")
	}
	old, oldKey := ours.Issue(t, -time.Hour)
	expired := redisserver.Start(t, ours.TLS(t, old, oldKey, "no")...)
	elsewhere, elsewhereKey := ours.Issue(t, time.Hour, "redis.example.com")
	named := redisserver.Start(t, ours.TLS(t, elsewhere, elsewhereKey, "no")...)
	assertProblem(t, Untrusted, look(t, connection(expired, threescale.TLSVerify, ours)), "expired")
	assertProblem(t, Untrusted, look(t, connection(expired, threescale.TLSVerifyCA, ours)), "expired")
	assertProblem(t, Untrusted, look(t, connection(named, threescale.TLSVerify, ours)), "127.0.0.1")
	require.NoError(t, look(t, connection(named, threescale.TLSVerifyCA, ours)), "any name")

	mutual := redisserver.Start(t, ours.TLS(t, crt, key, "yes")...)
	c := connection(mutual, threescale.TLSVerify, ours)
	assertProblem(t, Untrusted, look(t, c), "certificate")
	c.TLS.Cert, c.TLS.Key = ours.Issue(t, time.Hour)
	require.NoError(t, look(t, c))
	c.TLS.Key = []byte("hunter2")
	assertProblem(t, Untrusted, look(t, c), "no pair")

	assertProblem(t, Unreachable, look(t, connectionTo(s, 0)), "expects TLS")
	plain := redisserver.Start(t)
	require.NoError(t, look(t, connection(plain, threescale.TLSPreferred, ours)), "not encrypted then")
}

func TestRedisWithTLSIsDumpedAndLoaded(t *testing.T) {
	a := redisserver.NewAuthority(t)
	crt, key := a.Issue(t, time.Hour)
	lines := append(a.TLS(t, crt, key, "no"), "requirepass hunter2")
	source := redisserver.Start(t)
	fill(t, source.Client(t, 0))
	from, dump := dumped(t, connectionTo(source, 0))
	c := connectionTo(redisserver.Start(t, lines...), 0)
	c.Password, c.TLS = "hunter2", &threescale.TLS{Mode: threescale.TLSVerify, CA: a.CA}
	_, err := loadAndConfirm(t, loadOf(from, dump, c))
	require.NoError(t, err)
	_, again := dumped(t, c)
	assert.Equal(t, dump.Keys, again.Keys)
}

// proxy passes on what a client and a server say, and calls at when the server has said so many bytes, or the client.
func proxy(t *testing.T, to *redisserver.Server, said, sent int64, at func()) threescale.Connection {
	t.Helper()
	port, err := ports.Free(t.Context())
	require.NoError(t, err)
	l, err := net.Listen("tcp", ports.Local(port))
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	var called atomic.Bool
	pass := func(dst, src net.Conn, limit int64) {
		defer func() { _ = dst.Close() }()
		if limit > 0 {
			_, _ = io.CopyN(dst, src, limit)
			if called.CompareAndSwap(false, true) {
				at()
			}
		}
		_, _ = io.Copy(dst, src)
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to.Address())
			if err != nil {
				_ = client.Close()
				return
			}
			go pass(server, client, sent)
			go pass(client, server, said)
		}
	}()
	c := connectionTo(to, 0)
	c.Address.Port = port
	return c
}

func TestRedisDiesWhileItIsDumped(t *testing.T) {
	s := redisserver.Start(t)
	fill(t, s.Client(t, 0))
	c := proxy(t, s, 200_000, 0, s.Kill)
	assertProblem(t, Unreachable, dumpError(t, c), "ended")
}

func TestRedisDumpIsCancelled(t *testing.T) {
	s := redisserver.Start(t)
	fill(t, s.Client(t, 0))
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	c := proxy(t, s, 200_000, 0, func() { cancel(why) })
	_, err := dumpRedis(ctx, DumpOptions{Database: threescale.BackendRedis, Connection: c, Into: filepath.Join(t.TempDir(), "dump")})
	assert.Equal(t, why, err)
}

// TestRedisDumpIsCancelledWhileTheServerIsSilent needs no answer to end.
func TestRedisDumpIsCancelledWhileTheServerIsSilent(t *testing.T) {
	s := redisserver.Start(t)
	fill(t, s.Client(t, 0))
	ctx, cancel := context.WithCancel(t.Context())
	c := proxy(t, s, 200_000, 0, func() {
		s.Signal(t, syscall.SIGSTOP)
		time.AfterFunc(50*time.Millisecond, cancel) // The answers that are on their way have been read by then, or not.
	})
	_, err := dumpRedis(ctx, DumpOptions{Database: threescale.BackendRedis, Connection: c, Into: filepath.Join(t.TempDir(), "dump")})
	assert.ErrorIs(t, err, context.Canceled)
}

func TestRedisIsLoadingItsData(t *testing.T) {
	s := redisserver.Start(t, compare, "loading-process-events-interval-bytes 1024", "key-load-delay 10000")
	c := s.Client(t, 0)
	fill(t, c)
	go c.Do(context.WithoutCancel(t.Context()), "DEBUG", "RELOAD") // It ends with the server.
	var err error
	require.Eventually(t, func() bool { err = look(t, connectionTo(s, 0)); return err != nil }, time.Minute, time.Millisecond)
	assertProblem(t, Unreachable, err, "LOADING", "try again")
}

func TestRedisClusterIsRefused(t *testing.T) {
	s := redisserver.Start(t, "cluster-enabled yes")
	assertProblem(t, Unsupported, look(t, connectionTo(s, 0)), "Cluster")
	assertProblem(t, Unsupported, dumpError(t, connectionTo(s, 0)), "Cluster")
}

func TestRedisWithoutACommand(t *testing.T) {
	s := redisserver.Start(t, `rename-command DUMP ""`)
	require.NoError(t, s.Client(t, 0).Set(t.Context(), "hunter2", "hunter2", 0).Err())
	assertProblem(t, Unsupported, dumpError(t, connectionTo(s, 0)), "DUMP", "unknown command")
}

func TestDirectoryOfRedisDumpCannotBeMade(t *testing.T) {
	s := redisserver.Start(t)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := dumpRedis(t.Context(), DumpOptions{Database: threescale.BackendRedis, Connection: connectionTo(s, 0), Into: filepath.Join(file, "dump")})
	assertProblem(t, Failed, err)
}

func TestDiskOfRedisDumpIsFull(t *testing.T) {
	s := redisserver.Start(t)
	fill(t, s.Client(t, 0))
	disk, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer func() { _ = disk.Close() }()
	c := connectionTo(s, 0)
	conn, err := openRedis(t.Context(), c)
	require.NoError(t, err)
	defer conn.close()
	d := redisDumper{conn: conn, out: bufio.NewWriter(disk), batch: firstKeys}
	err = redisTask{threescale.BackendRedis, c, dumpRights}.failed(t.Context(), d.run())
	assertProblem(t, Full, err, "no space left")
}

// TestServerIsSilent gives a server that answers nothing less time than there is.
func TestServerIsSilent(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	stream := steadyConn{near, time.Millisecond}
	conn := &redisConn{conn: stream, r: bufio.NewReader(stream), w: bufio.NewWriter(stream)}
	task := redisTask{threescale.BackendRedis, threescale.Connection{}, lookRights}
	assertProblem(t, Unreachable, task.failed(t.Context(), conn.status("PING")), "timeout")
	conn.send("PING")
	assertProblem(t, Unreachable, task.failed(t.Context(), conn.flush()), "timeout")
}

// TestServerThatIsNotRedis has servers that answer with something else.
func TestServerThatIsNotRedis(t *testing.T) {
	for reason, answer := range map[string]string{
		"HTTP":                           "HTTP/1.1 400 Bad Request\r\n\r\n",
		"an alert of TLS":                "\x15\x03\x01\x00\x02\x02\x46\r\n",
		"no line":                        strings.Repeat("x", 1<<20),
		"another answer":                 ":1\r\n",
		"more than a string may be":      "$999999999999\r\n",
		"more than is held in memory":    "$400000000\r\n",
		"a string that does not end":     "$1\r\nabc",
		"an error that quotes arguments": "-ERR unknown command 'INFO', with args beginning with: 'hunter2' \r\n",
		"a long error":                   "-ERR " + strings.Repeat("x", 10_000) + "\r\n",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		go func() {
			client, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = client.Read(make([]byte, 100))
			_, _ = io.WriteString(client, answer)
			_, _ = io.Copy(io.Discard, client)
			_ = client.Close()
		}()
		c := connectionTo(&redisserver.Server{Port: l.Addr().(*net.TCPAddr).Port}, 0)
		err = look(t, c)
		var e *Error
		if assert.ErrorAs(t, err, &e, reason) {
			assert.Contains(t, []Problem{Untrusted, Unsupported, Failed}, e.Problem, "%s: %v", reason, err)
			assert.Less(t, len(err.Error()), 500)
			assert.NotContains(t, err.Error(), "hunter2")
		}
		_ = l.Close()
	}
}
