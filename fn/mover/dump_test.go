package mover_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/mover"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/test/databases/redisserver"
)

// dumpOptions are those of a container that dumps Backend's Redis, of which an earlier try has left a part.
func dumpOptions(t *testing.T, url string) job.DumpOptions {
	t.Helper()
	o := job.DumpOptions{Run: "20261122t120000z-1a2b3c4d", Database: "backend-redis", Connections: t.TempDir(), Scratch: t.TempDir(), Private: t.TempDir()}
	write(t, o.Connections, "backend-redis/REDIS_STORAGE_URL", url)
	write(t, o.Scratch, "backend-redis/keys.resp", "half")
	write(t, o.Scratch, "backend-redis/of-an-earlier-version", "")
	write(t, o.Scratch, "backend-redis.json", `{"name":"backend-redis","kind":"Redis","bytes":4}`)
	return o
}

// TestDump: what Dump leaves is what Backup stores, and the run has not ended by it.
func TestDump(t *testing.T) {
	server := redisserver.Start(t)
	require.NoError(t, server.Client(t, 0).MSet(t.Context(), "one", "1", "two", "2").Err())
	o := options(t)
	dump := dumpOptions(t, "redis://"+server.Address()+"/0")
	reporter := &recorder{}
	var phases []string
	env := mover.Env{Reporter: reporter, Now: now, Progress: func(p v1alpha1.Progress) { phases = append(phases, p.Phase) }}
	for range 2 { // a pod that is tried again dumps again
		dumped, err := mover.Dump(t.Context(), dump, env)
		require.NoError(t, err)
		require.NotNil(t, dumped.Dump)
		assert.Equal(t, recorded.Redis, dumped.Dump.Kind)
		assert.EqualValues(t, 2, dumped.Dump.Keys)
		files, err := os.ReadDir(filepath.Join(dump.Scratch, "backend-redis"))
		require.NoError(t, err)
		require.Len(t, files, 1, "nothing of the earlier try")
	}
	assert.Empty(t, reporter.results)
	assert.Contains(t, phases, "Dumping backend-redis")

	o.Databases = dump.Scratch
	result, err := mover.Backup(t.Context(), o, mover.Env{Now: now})
	require.NoError(t, err)
	require.Len(t, result.Databases, 1)
	assert.EqualValues(t, 2, result.Databases[0].Keys)
}

// TestDumpFailures: the run has failed, and nothing that is not encrypted stays.
func TestDumpFailures(t *testing.T) {
	cases := map[string]struct {
		reason   string
		url      string
		change   func(*job.DumpOptions)
		stopped  bool
		want     string
		exitCode int
	}{
		"UnknownDatabase": {
			reason: "it would name a directory", url: "redis://127.0.0.1:1/0",
			change: func(o *job.DumpOptions) { o.Database = "../runs" },
			want:   v1alpha1.ReasonUsage, exitCode: job.ExitUsage,
		},
		"NoURL": {
			reason: "the Secret has no connection", url: "",
			want: v1alpha1.ReasonDatabaseUnsupported, exitCode: job.ExitUsage,
		},
		"Unreachable": {
			reason: "nothing listens there", url: "redis://user:hunter2@127.0.0.1:1/0",
			want: v1alpha1.ReasonDatabaseUnreachable, exitCode: job.ExitIO,
		},
		"Stopped": {
			reason: "a node that shuts down", url: "redis://127.0.0.1:1/0", stopped: true,
			want: v1alpha1.ReasonInterrupted, exitCode: job.ExitTemporary,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := dumpOptions(t, tc.url)
			write(t, o.Scratch, "system-redis/keys.resp", "of the container before")
			if tc.change != nil {
				tc.change(&o)
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			if tc.stopped {
				stop()
			}
			reporter := &recorder{}
			dumped, err := mover.Dump(ctx, o, mover.Env{Reporter: reporter, Now: now})
			require.Error(t, err, tc.reason)
			assert.Nil(t, dumped.Dump)
			assert.Equal(t, tc.exitCode, mover.ExitCode(err), "%s: %v", tc.reason, err)
			require.Len(t, reporter.results, 1)
			assert.Equal(t, tc.want, reporter.results[0].Reason, tc.reason)
			assert.Contains(t, reporter.results[0].Message, "cannot dump database "+o.Database)
			assert.NotContains(t, reporter.results[0].Message, "hunter2")
			left, err := os.ReadDir(o.Scratch)
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}
