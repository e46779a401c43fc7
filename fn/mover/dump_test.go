package mover_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
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
	o := job.DumpOptions{Run: "20261122t120000z-1a2b3c4d", Database: "backend-redis", Connections: t.TempDir(), Private: t.TempDir()}
	o.Scratch = filepath.Join(t.TempDir(), o.Database)
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

	o.Databases = filepath.Dir(dump.Scratch)
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

// TestDumpThatFailsIsHandedOn: the container with a user's image sees its own dump alone, so what others have dumped before
// is removed by the last one, which fails as this one has.
func TestDumpThatFailsIsHandedOn(t *testing.T) {
	o, _ := dumped(t)
	dump := dumpOptions(t, "redis://user:hunter2@127.0.0.1:1/0")
	dump.Database, dump.Scratch, dump.Failures = "system-redis", filepath.Join(o.Databases, "system-redis"), filepath.Join(o.Databases, job.FailuresFolder)
	write(t, dump.Connections, "system-redis/URL", "redis://user:hunter2@127.0.0.1:1/0")
	reporter := &recorder{}
	env := mover.Env{Reporter: reporter, Now: now}
	failed, err := mover.Dump(t.Context(), dump, env)
	require.NoError(t, err, "or the pod would end here")
	assert.Nil(t, failed.Dump)
	assert.Contains(t, failed.Failure, "cannot dump database system-redis")
	assert.Empty(t, reporter.results)

	next := dump
	next.Database, next.Scratch = "zync-database", filepath.Join(o.Databases, "zync-database")
	skipped, err := mover.Dump(t.Context(), next, env)
	require.NoError(t, err)
	assert.Equal(t, failed.Failure, skipped.Failure, "nobody waits for dumps that nobody will store")

	result, err := mover.Backup(t.Context(), o, env)
	require.Error(t, err)
	assert.Equal(t, v1alpha1.ReasonDatabaseUnreachable, result.Reason)
	assert.Equal(t, job.ExitIO, mover.ExitCode(err))
	assert.Equal(t, failed.Failure, result.Message)
	assert.NotContains(t, result.Message, "hunter2")
	assert.NoDirExists(t, o.Databases, "what is there is not encrypted")

	stopped, stop := context.WithCancel(t.Context())
	stop()
	require.NoError(t, os.MkdirAll(dump.Failures, 0o755))
	_, err = mover.Dump(stopped, dump, env)
	assert.Equal(t, job.ExitTemporary, mover.ExitCode(err), "no other container would run")
}

// TestFailuresOfAStranger: whatever an image of a user's writes there, the run fails.
func TestFailuresOfAStranger(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, filepath.Dir(secret), "secret", `{"message":"hunter2"}`)
	for name, plant := range map[string]func(t *testing.T, path string){
		"NoJSON":    func(t *testing.T, path string) { write(t, filepath.Dir(path), filepath.Base(path), "{") },
		"NoReason":  func(t *testing.T, path string) { write(t, filepath.Dir(path), filepath.Base(path), "{}") },
		"Directory": func(t *testing.T, path string) { require.NoError(t, os.Mkdir(path, 0o755)) },
		"Symlink":   func(t *testing.T, path string) { require.NoError(t, os.Symlink(secret, path)) },
		"Pipe":      func(t *testing.T, path string) { require.NoError(t, syscall.Mkfifo(path, 0o644)) },
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := dumped(t)
			plant(t, filepath.Join(o.Databases, job.FailuresFolder, "system-database.json"))
			result, err := mover.Backup(t.Context(), o, mover.Env{Now: now})
			require.Error(t, err)
			assert.NotContains(t, result.Message, "hunter2")
			assert.Equal(t, job.ExitIO, mover.ExitCode(err))
			assert.NoDirExists(t, o.Databases)
		})
	}
}

// TestLoadedOfAStranger: what an image of a user's says is loaded is read from no link, and no pipe is waited for.
func TestLoadedOfAStranger(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, filepath.Dir(secret), "secret", `{"name":"system-redis"}`)
	for name, plant := range map[string]func(path string) error{
		"Symlink": func(path string) error { return os.Symlink(secret, path) },
		"Pipe":    func(path string) error { return syscall.Mkfifo(path, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			o := job.LoadOptions{Run: runID, Scratch: t.TempDir()}
			require.NoError(t, plant(filepath.Join(o.Scratch, "system-redis.loaded.json")))
			result, err := mover.Load(t.Context(), o, mover.Env{Reporter: &recorder{}, Now: now})
			require.ErrorContains(t, err, "cannot read what is loaded: system-redis: it is no file")
			assert.Empty(t, result.Databases)
		})
	}
}
