package database

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/databases/redisserver"
)

// TestTwoLoadsOfRedis: the lock of a load that goes on is renewed, and that of one that was killed expires. Neither is data.
func TestTwoLoadsOfRedis(t *testing.T) {
	before, from, dump := filled(t)
	target := redisserver.Start(t, compare)
	c := target.Client(t, 0)
	o := loadOf(from, dump, connectionTo(target, 0))
	lock, err := lockRedis(t.Context(), o)
	require.NoError(t, err)
	server, err := lookRedis(t.Context(), threescale.BackendRedis, o.Connection)
	require.NoError(t, err)
	assert.True(t, server.Empty, "nobody's data are there")
	_, whole := dumped(t, o.Connection)
	assert.Zero(t, whole.Keys, "nor would they be dumped")

	o.LockPatience = time.Nanosecond
	_, err = loadRedis(t.Context(), o)
	assertProblem(t, Locked, err, "another load into it goes on")
	o.Policy = Replace
	_, err = loadRedis(t.Context(), o)
	assertProblem(t, Locked, err)
	assert.Equal(t, []string{lockKey}, c.Keys(t.Context(), "*").Val(), "the loser has written nothing")

	require.NoError(t, c.PExpire(t.Context(), lockKey, lockTime/2).Err()) // It is renewed before that.
	require.Eventually(t, func() bool { return c.PTTL(t.Context(), lockKey).Val() > lockTime/2 }, time.Minute, 10*time.Millisecond)
	lock.release()
	assert.Zero(t, c.DBSize(t.Context()).Val())

	require.NoError(t, c.Set(t.Context(), lockKey, "of a pod that was killed", time.Second).Err())
	o.LockPatience, o.Policy = time.Minute, IfEmpty
	_, err = loadAndConfirm(t, o)
	require.NoError(t, err)
	assert.Equal(t, before, valuesOf(t, c), "neither lock nor mark is left")
}

// TestRedisLoadIsTakenOver: a load that was held up for so long that its lock has expired writes nothing more once another
// one has begun, whatever it has sent by then.
func TestRedisLoadIsTakenOver(t *testing.T) {
	_, from, dump := filled(t)
	target := redisserver.Start(t, compare)
	c := target.Client(t, 0)
	const other = "run-2 loading of-another"
	o := loadOf(from, dump, proxy(t, target, 0, 300_000, func() {
		assert.NoError(t, c.FlushDB(t.Context()).Err())
		assert.NoError(t, c.MSet(t.Context(), lockKey, "of another", loadingKey, other).Err())
	}))
	_, err := loadRedis(t.Context(), o)
	assertProblem(t, Locked, err, "another load has begun meanwhile")
	var own *Error
	require.ErrorAs(t, err, &own)
	assert.True(t, own.Written)
	keys := c.Keys(t.Context(), "*").Val()
	assert.ElementsMatch(t, []string{lockKey, loadingKey}, keys, "and it has removed nothing of the other")
	assert.Equal(t, other, c.Get(t.Context(), loadingKey).Val())
}

// TestRedisRefusesATransaction: of keys that the server did not take, no load is a success, whatever the mark says.
func TestRedisRefusesATransaction(t *testing.T) {
	_, from, dump := filled(t)
	target := redisserver.Start(t, compare)
	c := target.Client(t, 0)
	o := loadOf(from, dump, proxy(t, target, 0, 300_000, func() {
		mark, err := c.Get(t.Context(), loadingKey).Result()
		assert.NoError(t, err)
		assert.NoError(t, c.Set(t.Context(), loadingKey, mark, 0).Err())
	}))
	_, err := loadRedis(t.Context(), o)
	assertProblem(t, Locked, err, "another load has begun meanwhile, or somebody has emptied it")
	server, err := lookRedis(t.Context(), threescale.BackendRedis, o.Connection)
	require.NoError(t, err)
	assert.Equal(t, o.Run, server.Loading, "it is known as not whole")
}

// TestUnconfirmedLoadOfRedis ends a load before anybody knows of its end.
func TestUnconfirmedLoadOfRedis(t *testing.T) {
	before, from, dump := filled(t)
	target := redisserver.Start(t, compare)
	c := target.Client(t, 0)
	o := loadOf(from, dump, connectionTo(target, 0))
	o.Attempt = "3scale/dr/1"
	_, err := loadRedis(t.Context(), o)
	require.NoError(t, err)
	require.NoError(t, c.Set(t.Context(), "since", "x", 0).Err())
	for _, o.Policy = range []Policy{IfEmpty, Replace} {
		_, err = loadRedis(t.Context(), o)
		require.NoError(t, err)
		assert.EqualValues(t, 1, c.Exists(t.Context(), "since").Val(), "it is not loaded twice")
	}
	_, again := dumped(t, o.Connection)
	assert.Equal(t, dump.Keys+1, again.Keys, "the mark is not dumped")

	other := o
	other.Attempt, other.Policy = "3scale/dr/2", IfEmpty
	_, err = loadRedis(t.Context(), other)
	assertProblem(t, NotEmpty, err, `another restore has loaded run "run-1"`)
	require.NoError(t, confirmRedis(t.Context(), other))
	assert.EqualValues(t, 1, c.Exists(t.Context(), loadingKey).Val(), "what is not its own stays")
	other.Policy = Replace
	_, err = loadAndConfirm(t, other)
	require.NoError(t, err)
	assert.Equal(t, before, valuesOf(t, c))
}
