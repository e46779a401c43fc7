package threescale_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/threescale"
)

func TestSameDatabase(t *testing.T) {
	read := func(database threescale.Database, keys ...string) threescale.Connection {
		data := map[string][]byte{}
		for i := 0; i < len(keys); i += 2 {
			data[keys[i]] = []byte(keys[i+1])
		}
		c, err := threescale.ReadConnection(database, data, false)
		require.NoError(t, err)
		return c
	}
	system := func(keys ...string) threescale.Connection { return read(threescale.SystemRedis, keys...) }
	backend := func(keys ...string) threescale.Connection { return read(threescale.BackendRedis, keys...) }
	cases := []struct {
		reason string
		a, b   threescale.Connection
		want   bool
	}{
		{"the port and the index are those that are there by themselves, and the login does not matter",
			system("URL", "redis://Redis.example.com:6379/0"), backend("REDIS_STORAGE_URL", "redis://:secret@redis.example.com"), true},
		{"another index", system("URL", "redis://redis/1"), backend("REDIS_STORAGE_URL", "redis://redis/0"), false},
		{"another port", system("URL", "redis://redis:6380/0"), backend("REDIS_STORAGE_URL", "redis://redis/0"), false},
		{"the same sentinels", system("URL", "redis://mymaster/0", "SENTINEL_HOSTS", "a,b"), backend("REDIS_STORAGE_URL", "redis://mymaster/0", "REDIS_STORAGE_SENTINEL_HOSTS", "b:26379,a"), true},
		{"other sentinels", system("URL", "redis://mymaster/0", "SENTINEL_HOSTS", "a"), backend("REDIS_STORAGE_URL", "redis://mymaster/0", "REDIS_STORAGE_SENTINEL_HOSTS", "b"), false},
		{"a server that is called as a group", system("URL", "redis://mymaster/0"), backend("REDIS_STORAGE_URL", "redis://mymaster/0", "REDIS_STORAGE_SENTINEL_HOSTS", "b"), false},
	}
	for _, tc := range cases {
		assert.Equal(t, tc.want, tc.a.SameDatabase(tc.b), tc.reason)
	}
}
