package simulate_test

import (
	"encoding/base64"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/mover"
	"threescale.dev/backup/test/databases/redisserver"
)

// TestNodeDumpsDatabases: the containers of a Job run one after the other, each with the volumes that it mounts, and the
// first that fails is the last.
func TestNodeDumpsDatabases(t *testing.T) {
	server := redisserver.Start(t)
	require.NoError(t, server.Client(t, 0).Set(t.Context(), "key", "value", 0).Err())
	installed := func() *installation {
		i := newInstallation(t, ", databases: {backendRedis: {}}")
		secret := i.Get("Secret", "3scale", "backend-redis").DeepCopy()
		url := base64.StdEncoding.EncodeToString([]byte("redis://" + server.Address() + "/0"))
		require.NoError(t, unstructured.SetNestedField(secret.Object, url, "data", "REDIS_STORAGE_URL"))
		i.Put(secret)
		i.untilJob()
		return i
	}

	i := installed()
	result, ran, err := i.RunJob(t.Context(), i.World)
	require.NoError(t, err)
	require.True(t, ran)
	require.Len(t, result.Databases, 1)
	assert.EqualValues(t, 1, result.Databases[0].Keys)
	assert.NoDirExists(t, filepath.Join(i.volume, job.RunScratch(result.Run)))
	assert.FileExists(t, filepath.Join(i.volume, "runs", result.Run, "databases", "backend-redis", "keys.resp"))
	i.reconcile()
	assert.Equal(t, true, i.status("completed"))
	assert.Len(t, i.status("lastRun", "databases"), 1)

	i = installed()
	server.Kill()
	_, ran, err = i.RunJob(t.Context(), i.World)
	require.True(t, ran)
	require.ErrorContains(t, err, "cannot dump database backend-redis")
	assert.Equal(t, job.ExitIO, mover.ExitCode(err))
	assert.NoDirExists(t, filepath.Join(i.volume, "runs"))
	i.reconcile()
	assert.Equal(t, false, i.status("completed"))
}
