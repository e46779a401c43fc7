package database

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/databases/redisserver"
)

// compare is what a server of these tests needs for valuesOf.
const compare = "enable-debug-command local"

func connectionTo(s *redisserver.Server, index int) threescale.Connection {
	return threescale.Connection{
		Kind: recorded.Redis, Address: threescale.Address{Host: "127.0.0.1", Port: s.Port}, Database: strconv.Itoa(index),
	}
}

// dumped dumps with success.
func dumped(t *testing.T, c threescale.Connection) (string, recorded.Dump) {
	t.Helper()
	o := DumpOptions{Database: threescale.BackendRedis, Connection: c, Into: t.TempDir(), Now: time.Now}
	dump, err := dumpRedis(t.Context(), o)
	require.NoError(t, err)
	info, err := os.Stat(filepath.Join(o.Into, keysFile))
	require.NoError(t, err)
	assert.Equal(t, info.Size(), dump.Bytes)
	return o.Into, dump
}

func loadOf(from string, dump recorded.Dump, c threescale.Connection) LoadOptions {
	return LoadOptions{Database: threescale.BackendRedis, Connection: c, Run: "run-1", Dump: dump, From: from, Policy: IfEmpty}
}

// one is what a key holds.
type one struct {
	kind    string
	expires int64 // milliseconds since 1970, -1: never
	digest  string
	stream  string // its groups, which the digest leaves out
}

// valuesOf returns each key of an index, asked for by another client than ours.
func valuesOf(t *testing.T, c *redis.Client) map[string]one {
	t.Helper()
	keys, err := c.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	values := map[string]one{}
	for part := range slices.Chunk(keys, 1000) {
		asked := c.Pipeline()
		for _, key := range part {
			asked.Type(t.Context(), key)
			asked.Do(t.Context(), "PEXPIRETIME", key)
			asked.Do(t.Context(), "DEBUG", "DIGEST-VALUE", key)
		}
		answers, err := asked.Exec(t.Context())
		require.NoError(t, err)
		for i, key := range part {
			v := one{kind: answers[3*i].(*redis.StatusCmd).Val()}
			v.expires, err = answers[3*i+1].(*redis.Cmd).Int64()
			require.NoError(t, err)
			v.digest = fmt.Sprint(answers[3*i+2].(*redis.Cmd).Val())
			if v.kind == "stream" {
				v.stream = fmt.Sprint(c.Do(t.Context(), "XINFO", "STREAM", key, "FULL", "COUNT", "0").Val())
			}
			values[key] = v
		}
	}
	return values
}

func random(n int) string {
	data := make([]byte, n)
	source := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})
	_, _ = source.Read(data)
	return string(data)
}

// fill writes a key of each type, in each way in which Redis keeps one in memory.
func fill(t *testing.T, c *redis.Client) {
	t.Helper()
	all := c.Pipeline()
	do := func(words ...any) { all.Do(t.Context(), words...) }
	many := func(words []any, each func(i int) []any) {
		for i := range 1000 {
			words = append(words, each(i)...)
		}
		do(words...)
	}
	do("SET", "string", "value")
	do("SET", "number", "12345")
	do("SET", "large number", "123456789012345678901234567890")
	do("SET", "", "the empty name")
	do("SET", "empty", "")
	do("SET", "binary\x00\r\n$5\xff", random(300))
	do("SET", "looks like the end", "*2\r\n$4\r\nECHO\r\n$6\r\n0 keys\r\n")
	do("SET", random(2000), random(100_000))
	do("SETBIT", "bits", "1000", "1")
	do("PFADD", "log", "a", "b", "c")
	do("RPUSH", "short list", "a", "1", "\x00")
	many([]any{"RPUSH", "list"}, func(i int) []any { return []any{random(i)} })
	do("SADD", "numbers", "1", "2", "70000", "5000000000")
	do("SADD", "short set", "a", "b")
	many([]any{"SADD", "set"}, func(i int) []any { return []any{random(100) + strconv.Itoa(i)} })
	do("ZADD", "short sorted set", "1", "a", "-inf", "b", "2.5", "c")
	many([]any{"ZADD", "sorted set"}, func(i int) []any { return []any{float64(i) / 3, "member" + strconv.Itoa(i)} })
	do("HSET", "short hash", "field", "value", "\xff", "\r\n")
	many([]any{"HSET", "hash"}, func(i int) []any { return []any{strconv.Itoa(i), random(i % 100)} })
	for i := range 300 {
		do("XADD", "stream", fmt.Sprintf("%d-1", i+1), "field", strconv.Itoa(i), "\x00", "\r\n")
	}
	do("XDEL", "stream", "7-1")
	do("XGROUP", "CREATE", "stream", "group", "0")
	do("XREADGROUP", "GROUP", "group", "consumer", "COUNT", "10", "STREAMS", "stream", ">")
	do("XACK", "stream", "group", "3-1")
	do("PEXPIREAT", "short hash", strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli()/1000*1000+123, 10))
	do("SET", "expires", "value", "PXAT", "4102444800001")
	do("SET", "soon", "value", "PX", "600001")
	for i := range 3000 {
		do("SET", "stats/{service:1}/cinstance:"+strconv.Itoa(i), strconv.Itoa(i), "EX", strconv.Itoa(10_000+i))
	}
	_, err := all.Exec(t.Context())
	require.NoError(t, err)
}

func TestRedisIsRestoredKeyByKey(t *testing.T) {
	source, target := redisserver.Start(t, compare), redisserver.Start(t, compare)
	fill(t, source.Client(t, 3))
	require.NoError(t, source.Client(t, 0).Set(t.Context(), "other index", "x", 0).Err())
	require.NoError(t, target.Client(t, 5).Set(t.Context(), "other index", "y", 0).Err())
	before := valuesOf(t, source.Client(t, 3))

	dir, dump := dumped(t, connectionTo(source, 3))
	assert.Equal(t, "backend-redis", dump.Name)
	assert.Equal(t, recorded.Redis, dump.Kind)
	assert.Contains(t, dump.ServerVersion, "7.0")
	assert.Equal(t, int64(len(before)), dump.Keys)
	assert.False(t, dump.CompletionTime.Before(dump.StartTime))
	assert.Equal(t, time.UTC, dump.StartTime.Location())

	loaded, err := loadAndConfirm(t, loadOf(dir, dump, connectionTo(target, 1)))
	require.NoError(t, err)
	assert.Equal(t, before, valuesOf(t, target.Client(t, 1)), "each value, and each time in milliseconds")
	assert.Equal(t, int64(len(before)), target.Client(t, 1).DBSize(t.Context()).Val(), "and nothing else, such as the marker")
	assert.Empty(t, loaded.Warnings)
	assert.False(t, loaded.Server.Empty)
	assert.Equal(t, int64(1), target.Client(t, 5).DBSize(t.Context()).Val(), "other indexes are left alone")
	assert.Zero(t, target.Client(t, 0).DBSize(t.Context()).Val(), "only the index of the connection is dumped and loaded")
}

// TestRedisIsRestoredWithoutThisSoftware loads a dump with nothing but redis-cli.
func TestRedisIsRestoredWithoutThisSoftware(t *testing.T) {
	source, target := redisserver.Start(t, compare), redisserver.Start(t, compare)
	fill(t, source.Client(t, 3))
	before := valuesOf(t, source.Client(t, 3))
	dir, dump := dumped(t, connectionTo(source, 3))

	file, err := os.Open(filepath.Join(dir, keysFile))
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	cli := exec.CommandContext(t.Context(), "redis-cli", "-h", "127.0.0.1", "-p", strconv.Itoa(target.Port), "-n", "7", "--pipe")
	cli.Stdin = file
	out, err := cli.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), fmt.Sprintf("errors: 0, replies: %d", dump.Keys+1))
	assert.Equal(t, before, valuesOf(t, target.Client(t, 7)))
}

func TestEmptyRedis(t *testing.T) {
	source, target := redisserver.Start(t), redisserver.Start(t)
	server, err := lookRedis(t.Context(), threescale.SystemRedis, connectionTo(source, 0))
	require.NoError(t, err)
	assert.True(t, server.Empty)
	dir, dump := dumped(t, connectionTo(source, 0))
	assert.Zero(t, dump.Keys)
	text, err := os.ReadFile(filepath.Join(dir, keysFile))
	require.NoError(t, err)
	assert.Equal(t, "*2\r\n$4\r\nECHO\r\n$6\r\n0 keys\r\n", string(text))
	_, err = loadAndConfirm(t, loadOf(dir, dump, connectionTo(target, 0)))
	require.NoError(t, err)
	assert.Zero(t, target.Client(t, 0).DBSize(t.Context()).Val())
}

func TestLookAtRedis(t *testing.T) {
	s := redisserver.Start(t)
	c := s.Client(t, 2)
	require.NoError(t, c.Set(t.Context(), "key", random(1<<20), 0).Err())
	server, err := lookRedis(t.Context(), threescale.BackendRedis, connectionTo(s, 2))
	require.NoError(t, err)
	assert.Equal(t, recorded.Redis, server.Kind)
	assert.Regexp(t, `^7\.\d+\.\d+$`, server.Version)
	assert.False(t, server.Empty)
	assert.Greater(t, server.Bytes, int64(1<<20))
	assert.Empty(t, server.Loading)
	require.NoError(t, c.Set(t.Context(), loadingKey, "run-7", 0).Err())
	server, err = lookRedis(t.Context(), threescale.BackendRedis, connectionTo(s, 2))
	require.NoError(t, err)
	assert.Equal(t, "run-7", server.Loading)
}

// TestStringPayload compares with what the server itself makes.
func TestStringPayload(t *testing.T) {
	c := redisserver.Start(t).Client(t, 0)
	for _, size := range []int{0, 1, 20, 63, 64, 200, 16383} {
		value := random(size)
		require.NoError(t, c.Set(t.Context(), "key", value, 0).Err())
		payload := c.Dump(t.Context(), "key").Val()
		assert.Equal(t, payload, stringPayload(value, formatOf(payload)), "%d bytes", size)
	}
}

// formatOf is the version of a payload's format.
func formatOf(payload string) uint16 {
	footer := payload[len(payload)-payloadFooterSize:]
	return uint16(footer[0]) | uint16(footer[1])<<8
}
