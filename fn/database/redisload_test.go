package database

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/databases/redisserver"
)

// filled is a server with all kinds of keys, and its dump.
func filled(t *testing.T) (map[string]one, string, recorded.Dump) {
	t.Helper()
	source := redisserver.Start(t, compare)
	fill(t, source.Client(t, 0))
	from, dump := dumped(t, connectionTo(source, 0))
	return valuesOf(t, source.Client(t, 0)), from, dump
}

// loadAndConfirm is what the mover does.
func loadAndConfirm(t *testing.T, o LoadOptions) (Loaded, error) {
	t.Helper()
	loaded, err := loadRedis(t.Context(), o)
	if err == nil {
		err = confirmRedis(t.Context(), o)
	}
	return loaded, err
}

func TestRedisThatIsNotEmpty(t *testing.T) {
	before, from, dump := filled(t)
	target := redisserver.Start(t, compare)
	c := target.Client(t, 0)
	require.NoError(t, c.Set(t.Context(), "string", "another value", 0).Err())
	require.NoError(t, c.Set(t.Context(), "not in the dump", "x", 0).Err())
	require.NoError(t, target.Client(t, 1).Set(t.Context(), "other index", "x", 0).Err())
	there := valuesOf(t, c)

	o := loadOf(from, dump, connectionTo(target, 0))
	_, err := loadAndConfirm(t, o)
	assertProblem(t, NotEmpty, err)
	assert.Equal(t, there, valuesOf(t, c), "nothing was touched")

	require.NoError(t, c.Set(t.Context(), loadingKey, "another run", 0).Err())
	_, err = loadAndConfirm(t, o)
	assertProblem(t, NotEmpty, err, "another run")

	o.Policy = Replace
	_, err = loadAndConfirm(t, o)
	require.NoError(t, err)
	assert.Equal(t, before, valuesOf(t, c), "no key that the dump does not have")
	assert.Equal(t, int64(1), target.Client(t, 1).DBSize(t.Context()).Val(), "another index is left alone")
}

// TestRedisLoadIsKilledAndMadeAgain ends it in all ways, and makes the same load again.
func TestRedisLoadIsKilledAndMadeAgain(t *testing.T) {
	before, from, dump := filled(t)
	for reason, policy := range map[string]Policy{"the client is killed": IfEmpty, "with keys of before": Replace} {
		target := redisserver.Start(t, compare)
		c := target.Client(t, 0)
		if policy == Replace {
			require.NoError(t, c.Set(t.Context(), "not in the dump", "x", 0).Err())
		}
		ctx, cancel := context.WithCancel(t.Context())
		o := loadOf(from, dump, proxy(t, target, 0, 300_000, cancel))
		o.Policy = policy
		_, err := loadRedis(ctx, o)
		require.ErrorIs(t, err, context.Canceled, reason)
		server, err := lookRedis(t.Context(), threescale.BackendRedis, connectionTo(target, 0))
		require.NoError(t, err)
		assert.Equal(t, o.Run, server.Loading, "whoever looks sees that it is not whole")
		assert.NoError(t, checkRedis(server, LoadOptions{Dump: dump, Policy: IfEmpty, Run: o.Run}))
		assertJudged(t, NotEmpty, checkRedis(server, LoadOptions{Dump: dump, Policy: IfEmpty, Run: "run-2"}), reason)
		assert.Less(t, c.DBSize(t.Context()).Val(), dump.Keys, "it was in the middle")
		require.Error(t, dumpErrorOf(t, connectionTo(target, 0)), "half a database is not dumped")

		o.Connection, o.Policy = connectionTo(target, 0), IfEmpty
		_, err = loadAndConfirm(t, o)
		require.NoError(t, err, reason)
		assert.Equal(t, before, valuesOf(t, c), reason)
	}
}

func dumpErrorOf(t *testing.T, c threescale.Connection) error {
	t.Helper()
	err := dumpError(t, c)
	assertProblem(t, Failed, err, loadingKey)
	return err
}

func assertJudged(t *testing.T, want Problem, err error, reason string) {
	t.Helper()
	var judged *judgedError
	if assert.ErrorAs(t, err, &judged, reason) {
		assert.Equal(t, want, judged.problem, reason)
	}
}

func TestRedisDiesWhileItIsLoaded(t *testing.T) {
	_, from, dump := filled(t)
	target := redisserver.Start(t)
	_, err := loadAndConfirm(t, loadOf(from, dump, proxy(t, target, 0, 300_000, target.Kill)))
	assertProblem(t, Unreachable, err)
}

func TestExpiredKeysAreNotLoaded(t *testing.T) {
	source, target := redisserver.Start(t, compare), redisserver.Start(t, compare)
	c := source.Client(t, 0)
	require.NoError(t, c.Set(t.Context(), "stays", "x", 0).Err())
	require.NoError(t, c.Set(t.Context(), "expires", "x", 300*time.Millisecond).Err())
	from, dump := dumped(t, connectionTo(source, 0))
	require.Equal(t, int64(2), dump.Keys)
	require.Eventually(t, func() bool { return c.Exists(t.Context(), "expires").Val() == 0 }, time.Minute, time.Millisecond)
	loaded, err := loadAndConfirm(t, loadOf(from, dump, connectionTo(target, 0)))
	require.NoError(t, err)
	assert.Empty(t, loaded.Warnings)
	assert.Equal(t, []string{"stays"}, target.Client(t, 0).Keys(t.Context(), "*").Val())
}

// write writes a dump of one key.
func write(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, keysFile), []byte(text), 0o600))
	return dir
}

// TestDumpOfANewerRedisIsRefused has a target with keys, which stay as they are.
func TestDumpOfANewerRedisIsRefused(t *testing.T) {
	target := redisserver.Start(t, compare)
	c := target.Client(t, 0)
	require.NoError(t, c.Set(t.Context(), "there", "x", 0).Err())
	payload := c.Dump(t.Context(), "there").Val()
	newer := []byte(payload[:len(payload)-payloadFooterSize])
	newer = binary.LittleEndian.AppendUint16(newer, formatOf(payload)+1)
	newer = binary.LittleEndian.AppendUint64(newer, redisCRC(newer))
	text := strings.ReplaceAll(aDump("key"), stringPayload("value", 10), string(newer))
	text = strings.Replace(text, "$"+strconv.Itoa(len(stringPayload("value", 10)))+"\r\n", "$"+strconv.Itoa(len(newer))+"\r\n", 1)
	there := valuesOf(t, c)

	o := loadOf(write(t, text), recorded.Dump{ServerVersion: "7.0.99"}, connectionTo(target, 0))
	o.Policy = Replace
	_, err := loadAndConfirm(t, o)
	assertProblem(t, Unsupported, err, "7.0.99", "format "+strconv.Itoa(int(formatOf(payload)+1)), "7.0.", "nothing was changed")
	assert.Equal(t, there, valuesOf(t, c))

	o.Dump.ServerVersion = "7.2.1" // known without a try
	_, err = loadAndConfirm(t, o)
	assertProblem(t, Unsupported, err, "7.2.1", "older")
	assert.Equal(t, there, valuesOf(t, c))
}

func TestRedisReleases(t *testing.T) {
	ascending := []string{"", "4.0.14", "6.0.16", "6.2.5", "7.0.15", "7.2.4", "7.10", "8.0.0", "10.0"}
	for i := range len(ascending) - 1 {
		assert.Less(t, redisRelease(ascending[i]), redisRelease(ascending[i+1]), ascending[i+1])
	}
	assert.Equal(t, redisRelease("7.0.1"), redisRelease("7.0.15"), "a patch changes no format")
}

func TestDamagedDumpChangesNothing(t *testing.T) {
	target := redisserver.Start(t, compare)
	c := target.Client(t, 0)
	require.NoError(t, c.Set(t.Context(), "there", "x", 0).Err())
	there := valuesOf(t, c)
	whole := aDump("a", "b")
	o := loadOf(write(t, whole[:len(whole)-3]), recorded.Dump{}, connectionTo(target, 0))
	o.Policy = Replace
	_, err := loadAndConfirm(t, o)
	assertProblem(t, Failed, err, "damaged")
	assert.Equal(t, there, valuesOf(t, c))
	o.From = t.TempDir()
	_, err = loadAndConfirm(t, o)
	assertProblem(t, Failed, err, "no such file")
	o.From = write(t, strings.Replace(whole, "value", "other", 1)) // Its digest is not that of the manifest, either.
	_, err = loadAndConfirm(t, o)
	assertProblem(t, Unsupported, err, "checksum")
}

func TestRedisHasNoSpaceForADump(t *testing.T) {
	source := redisserver.Start(t)
	c := source.Client(t, 0)
	for i := range 300 {
		require.NoError(t, c.Set(t.Context(), strconv.Itoa(i), random(20_000), 0).Err())
	}
	from, dump := dumped(t, connectionTo(source, 0))
	small := redisserver.Start(t, "maxmemory 4mb")
	_, err := loadAndConfirm(t, loadOf(from, dump, connectionTo(small, 0)))
	assertProblem(t, Full, err, "OOM")
	cache := redisserver.Start(t, "maxmemory 4mb", "maxmemory-policy allkeys-lru")
	_, err = loadAndConfirm(t, loadOf(from, dump, connectionTo(cache, 0)))
	assertProblem(t, Full, err, "allkeys-lru")
}

func TestReplicaIsNotLoaded(t *testing.T) {
	master := redisserver.Start(t)
	replica := redisserver.Start(t, "replicaof 127.0.0.1 "+strconv.Itoa(master.Port))
	require.Eventually(t, func() bool {
		return strings.Contains(replica.Client(t, 0).Info(t.Context(), "replication").Val(), "master_link_status:up")
	}, time.Minute, 10*time.Millisecond)
	_, err := loadAndConfirm(t, loadOf(write(t, aDump("a")), recorded.Dump{}, connectionTo(replica, 0)))
	assertProblem(t, Unsupported, err, "replica", "master")
	fill(t, master.Client(t, 0))
	require.Eventually(t, func() bool {
		return replica.Client(t, 0).DBSize(t.Context()).Val() == master.Client(t, 0).DBSize(t.Context()).Val()
	}, time.Minute, 10*time.Millisecond)
	_, dump := dumped(t, connectionTo(replica, 0)) // It can be dumped.
	assert.Equal(t, master.Client(t, 0).DBSize(t.Context()).Val(), dump.Keys)
}
