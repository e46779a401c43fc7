package database

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/databases/redisserver"
)

// by is a connection by sentinels.
func by(name string, sentinels ...*redisserver.Server) threescale.Connection {
	c := threescale.Connection{Address: threescale.Address{Host: name}, Database: "0", Sentinel: &threescale.Sentinel{}}
	for _, s := range sentinels {
		c.Sentinel.Addresses = append(c.Sentinel.Addresses, threescale.Address{Host: "127.0.0.1", Port: s.Port})
	}
	return c
}

func TestRedisBySentinels(t *testing.T) {
	master := redisserver.Start(t)
	fill(t, master.Client(t, 0))
	of := map[string]*redisserver.Server{"mymaster": master}
	a, b := redisserver.StartSentinel(t, of), redisserver.StartSentinel(t, of)
	_, dump := dumped(t, by("mymaster", a, b))
	assert.Equal(t, master.Client(t, 0).DBSize(t.Context()).Val(), dump.Keys)

	down := &redisserver.Server{Port: 1}
	_, dump = dumped(t, by("mymaster", down, b))
	assert.Positive(t, dump.Keys, "one that is down is passed over")
	assertProblem(t, Unreachable, look(t, by("mymaster", down, down)), "sentinel 127.0.0.1:1", "refused")
	assertProblem(t, Unsupported, look(t, by("other", a, b)), `knows no master "other"`)
	assertProblem(t, Unsupported, look(t, by("mymaster")), "empty")

	nowhere := redisserver.StartSentinel(t, map[string]*redisserver.Server{"mymaster": down})
	assertProblem(t, Unreachable, look(t, by("mymaster", nowhere)), "refused", "sentinels name")
}

func TestSentinelWithLoginAndTLS(t *testing.T) {
	t.Parallel()
	a := redisserver.NewAuthority(t)
	crt, key := a.Issue(t, time.Hour)
	master := redisserver.Start(t, "requirepass hunter2")
	lines := append(a.TLS(t, crt, key, "no"), "requirepass hunter2sentinel", "sentinel auth-pass mymaster hunter2", "tls-replication no")
	lines = slices.DeleteFunc(lines, func(line string) bool { return line == "tls-replication yes" })
	s := redisserver.StartSentinel(t, map[string]*redisserver.Server{"mymaster": master}, lines...)
	c := by("mymaster", s)
	c.Password, c.Sentinel.Password, c.Sentinel.TLS = "hunter2", "hunter2sentinel", true
	assertProblem(t, Untrusted, look(t, c), "sentinel", "unknown authority") // the system's, without TLS of the master
	c.Sentinel.TLS = false
	assertProblem(t, Unreachable, look(t, c), "sentinel", "expects TLS")
	c.Sentinel.TLS, c.TLS = true, &threescale.TLS{Mode: threescale.TLSVerify, CA: a.CA}
	assertProblem(t, Untrusted, look(t, c), "sentinels name") // The master speaks none.
	c.TLS.Mode = threescale.TLSPreferred
	require.NoError(t, look(t, c))
	c.Sentinel.Password = "hunter2"
	assertProblem(t, Denied, look(t, c), "sentinel", "WRONGPASS")
	c.Sentinel.Password = ""
	assertProblem(t, Denied, look(t, c), "sentinel", "NOAUTH")
}

// TestRedisFailsOverWhileItIsDumped has no dump that is made of two servers; the next one is of the new master.
func TestRedisFailsOverWhileItIsDumped(t *testing.T) {
	master := redisserver.Start(t)
	replica := redisserver.Start(t, "replicaof 127.0.0.1 "+strconv.Itoa(master.Port))
	fill(t, master.Client(t, 0))
	keys := master.Client(t, 0).DBSize(t.Context()).Val()
	require.Eventually(t, func() bool { return replica.Client(t, 0).DBSize(t.Context()).Val() == keys }, time.Minute, 10*time.Millisecond)
	s := redisserver.StartSentinel(t, map[string]*redisserver.Server{"mymaster": master})
	sentinel := s.Client(t, 0)
	require.Eventually(t, func() bool {
		found, err := sentinel.Do(t.Context(), "SENTINEL", "REPLICAS", "mymaster").Slice()
		return err == nil && len(found) == 1
	}, time.Minute, 10*time.Millisecond)

	assertProblem(t, Unreachable, dumpError(t, proxy(t, master, 200_000, 0, master.Kill)))
	require.Eventually(t, func() bool {
		found, err := sentinel.Do(t.Context(), "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster").StringSlice()
		return err == nil && found[1] == strconv.Itoa(replica.Port)
	}, time.Minute, 10*time.Millisecond)
	_, dump := dumped(t, by("mymaster", s))
	assert.Equal(t, keys, dump.Keys)
}
