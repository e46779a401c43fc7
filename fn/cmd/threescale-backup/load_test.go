package main

import (
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/test/databases/redisserver"
	"threescale.dev/backup/test/databases/sqlserver"
	"threescale.dev/backup/test/dataset"
)

// password has characters that URLs treat specially.
const password = `p@ss:w/o?r#d%41 "x`

// servers are two databases of an installation, and its manifests.
type servers struct {
	redis   *redisserver.Server
	sql     *sqlserver.Server
	objects string
}

func newServers(t *testing.T) *servers {
	t.Helper()
	s := &servers{redis: redisserver.Start(t), sql: sqlserver.PostgreSQL(t, sqlserver.Options{}), objects: filepath.Join(t.TempDir(), "objects")}
	s.sql.Database(t, "system", "threescale", password)
	s.describe(t, s.redis.Address(), password)
	return s
}

// describe writes the manifests of an installation that has these databases.
func (s *servers) describe(t *testing.T, redis, password string) {
	t.Helper()
	login := url.URL{Scheme: "postgresql", User: url.UserPassword("threescale", password), Host: s.sql.Address.String(), Path: "/system"}
	require.NoError(t, dataset.WriteManifests(s.objects, dataset.Installation(dataset.Options{
		Seed: 1, BackendStorageURL: "redis://" + redis + "/2", SystemDatabaseURL: login.String(),
	})))
}

// fill gives the databases something to hold.
func (s *servers) fill(t *testing.T) {
	t.Helper()
	keys := s.redis.Client(t, 2)
	require.NoError(t, keys.Set(t.Context(), "stats/{service:1}/day:20261122", "17", 0).Err())
	require.NoError(t, keys.HSet(t.Context(), "service:1", "id", "1", "state", "active").Err())
	require.NoError(t, keys.Set(t.Context(), "session", "x", time.Hour).Err())
	s.sql.Run(t, "system", `SET ROLE threescale; CREATE TABLE accounts (id int PRIMARY KEY, name text); INSERT INTO accounts VALUES (1, 'Provider'), (2, 'Ünïcode');`)
}

// assertFilled looks for all that fill wrote.
func (s *servers) assertFilled(t *testing.T) {
	t.Helper()
	keys := s.redis.Client(t, 2)
	size, err := keys.DBSize(t.Context()).Result()
	require.NoError(t, err)
	assert.EqualValues(t, 3, size)
	assert.Equal(t, "17", keys.Get(t.Context(), "stats/{service:1}/day:20261122").Val())
	assert.Equal(t, map[string]string{"id": "1", "state": "active"}, keys.HGetAll(t.Context(), "service:1").Val())
	assert.InDelta(t, time.Hour, keys.TTL(t.Context(), "session").Val(), float64(30*time.Minute))
	assert.Equal(t, "1|Provider\n2|Ünïcode\n", s.sql.Run(t, "system", "SELECT id, name FROM accounts ORDER BY id;"))
}

func (s *servers) assertEmpty(t *testing.T) {
	t.Helper()
	assert.Zero(t, s.redis.Client(t, 2).DBSize(t.Context()).Val())
	assert.Equal(t, "0\n", s.sql.Run(t, "system", "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public';"))
}

// command runs a command line, and proves that it tells no password.
func command(t *testing.T, args ...string) executed {
	t.Helper()
	done := execute(t, args...)
	for _, form := range []string{password, url.QueryEscape(password), url.PathEscape(password)} {
		require.NotContains(t, done.stdout+done.stderr, form)
	}
	return done
}

// TestDatabases takes two databases into an encrypted run and from there to two other servers, with the clients of this
// machine.
func TestDatabases(t *testing.T) {
	from, to := newServers(t), newServers(t)
	from.fill(t)
	i := newInstalled(t, true)
	volume := filepath.Join(t.TempDir(), "volume")
	t.Run("BackupFails", func(t *testing.T) { backupFails(t, from) })

	from.describe(t, from.redis.Address(), password)
	made := executeJSON[job.Result](t, "backup", "--volume", volume, "--objects", from.objects, "--skip-file-storage",
		"--recipient", i.recipient, "--databases", "system-database,backend-redis")
	require.Len(t, made.Databases, 2)
	assert.Equal(t, "backend-redis", made.Databases[0].Name, "in the order in which they were dumped")
	assert.EqualValues(t, 3, made.Databases[0].Keys)
	assert.NoDirExists(t, filepath.Join(volume, job.RunScratch(made.Run)))

	listed := command(t, "list", "--volume", volume)
	assert.Contains(t, listed.stdout, "DATABASES")
	assert.Contains(t, listed.stdout, "backend-redis,system-database")
	verified := command(t, "verify", "--volume", volume)
	require.Equal(t, 0, verified.code, verified.stderr)
	assert.Contains(t, verified.stdout, fmt.Sprintf("%d files", made.Files-22), "all but 22 objects")
	tree := executeJSON[exported](t, "export", filepath.Join(t.TempDir(), "tree"), "--volume", volume, "-n", "3scale-dr", "--identities", i.keys, "--recipient", i.recipient)
	assert.Equal(t, made.Databases, tree.Databases)
	assert.NotContains(t, tree.NotIncluded, "databases")

	if _, err := exec.LookPath("git"); err == nil {
		restored := command(t, newSite(t, i.rules()).restore(i, "--volume", volume, "--identities", i.keys)...)
		require.Equal(t, 0, restored.code, restored.stderr)
		assert.Contains(t, restored.stdout, "threescale-backup load --run "+made.Run+" --databases backend-redis,system-database --manifest-sha256 DIGEST")
	}

	unproven := command(t, "load", "--volume", volume, "--databases", "backend-redis", "--identities", i.keys, "--yes", "--policy", "Replace")
	assert.Equal(t, job.ExitUsage, unproven.code, "anybody may have written the Secrets of the run")
	assert.Contains(t, unproven.stderr, "by --manifest-sha256")
	proven := command(t, "load", "--volume", volume, "--databases", "backend-redis", "--identities", i.keys, "--manifest-sha256", made.ManifestSHA256)
	assert.Equal(t, job.ExitCannotCreate, proven.code, proven.stderr)
	assert.Contains(t, proven.stderr, "backend-redis", "by its own Secrets, it is where it came from, and is not empty")
	t.Run("LoadRefuses", func(t *testing.T) { loadRefuses(t, from, to, i, volume) })

	to.describe(t, to.redis.Address(), password)
	load := []string{"load", "--volume", volume, "--databases", "system-database,backend-redis", "--objects", to.objects, "--identities", i.keys}
	planned := command(t, load...)
	require.Equal(t, 0, planned.code, planned.stderr)
	assert.Contains(t, planned.stdout, "Nothing was loaded")
	assert.Equal(t, 2, strings.Count(planned.stdout, "nothing\n"), planned.stdout)
	to.assertEmpty(t)

	loaded := executeJSON[loadAnswer](t, append(load, "--yes")...)
	require.Len(t, loaded.Databases, 2)
	for _, d := range loaded.Databases {
		assert.True(t, d.Loaded, d.Name)
	}
	to.assertFilled(t)

	again := command(t, append(load, "--yes")...)
	assert.Equal(t, job.ExitCannotCreate, again.code, "it is not empty any more")
	assert.Contains(t, again.stderr, "--policy Replace")
	to.sql.Run(t, "system", "DELETE FROM accounts WHERE id = 1;")
	require.NoError(t, to.redis.Client(t, 2).Set(t.Context(), "service:1", "another type", 0).Err())
	replaced := command(t, append(load, "--yes", "--policy", "Replace")...)
	require.Equal(t, 0, replaced.code, replaced.stderr)
	to.assertFilled(t)
	from.assertFilled(t)
}

// loadRefuses: what cannot be loaded is told before anything is written, with what to do.
func loadRefuses(t *testing.T, from, to *servers, i *installed, with string) {
	t.Helper()
	cases := map[string]struct {
		reason string
		volume string
		args   []string
		change func(t *testing.T, s *servers)
		code   int
		says   []string
	}{
		"UnknownName": {
			reason: "a typo", volume: with, args: []string{"--databases", "system"},
			code: job.ExitUsage, says: []string{`no database "system"`, "system-database, ", "backend-redis"},
		},
		"NotInTheRun": {
			reason: "it was not dumped", volume: with, args: []string{"--databases", "zync-database"},
			code: job.ExitUsage, says: []string{"holds no database zync-database", "it holds backend-redis, system-database"},
		},
		"NoDumps": {
			reason: "a run of before", volume: i.volume,
			code: job.ExitUsage, says: []string{"it was made without --databases"},
		},
		"NoIdentity": {
			reason: "the connections are encrypted, too", volume: with, args: []string{"--identities", t.TempDir()},
			code: job.ExitNoPermission, says: []string{"none of the 0 age identities"},
		},
		"OtherRun": {
			reason: "somebody replaced it", volume: with, args: []string{"--manifest-sha256", strings.Repeat("0", 64)},
			code: job.ExitIntegrity, says: []string{"is not the one that is meant"},
		},
		"NotEmpty": {
			reason: "by the Secrets of the run, they are where they came from", volume: with, args: []string{"--objects", from.objects},
			code: job.ExitCannotCreate, says: []string{"backend-redis", "system-database", "--policy Replace"},
		},
		"WrongPassword": {
			reason: "of one database, and the other is not loaded either", volume: with,
			change: func(t *testing.T, s *servers) { s.describe(t, s.redis.Address(), "another") },
			code:   job.ExitNoPermission, says: []string{"system-database", "correct the login in its Secret"},
		},
		"Unreachable": {
			reason: "Secrets name addresses of the cluster's own network", volume: with,
			change: func(t *testing.T, s *servers) { s.describe(t, "127.0.0.1:1", password) },
			code:   job.ExitIO, says: []string{"backend-redis", "this machine reaches the address"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			to.describe(t, to.redis.Address(), password)
			if tc.change != nil {
				tc.change(t, to)
			}
			args := []string{"load", "--volume", tc.volume, "--yes"}
			for _, flag := range [][2]string{{"--databases", "backend-redis,system-database"}, {"--objects", to.objects}, {"--identities", i.keys}} {
				if len(tc.args) == 0 || tc.args[0] != flag[0] {
					args = append(args, flag[0], flag[1])
				}
			}
			done := command(t, append(args, tc.args...)...)
			assert.Equal(t, tc.code, done.code, "%s: %s", tc.reason, done.stderr)
			for _, text := range tc.says {
				assert.Contains(t, done.stderr, text, tc.reason)
			}
			to.assertEmpty(t)
		})
	}
}

// backupFails: there is no run without a database that it was to hold.
func backupFails(t *testing.T, from *servers) {
	t.Helper()
	cases := map[string]struct {
		reason          string
		redis, password string
		code            int
		says            []string
	}{
		"Unreachable":   {"a host of the cluster's own network", "127.0.0.1:1", password, job.ExitIO, []string{"cannot dump database backend-redis", "this machine reaches the address"}},
		"WrongPassword": {"a Secret that was rotated", from.redis.Address(), "another", job.ExitNoPermission, []string{"cannot dump database system-database", "correct the login in its Secret"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			from.describe(t, tc.redis, tc.password)
			volume := filepath.Join(t.TempDir(), "volume")
			done := command(t, "backup", "--volume", volume, "--objects", from.objects, "--skip-file-storage", "--databases", "backend-redis,system-database")
			assert.Equal(t, tc.code, done.code, "%s: %s", tc.reason, done.stderr)
			for _, text := range tc.says {
				assert.Contains(t, done.stderr, text, tc.reason)
			}
			listed := command(t, "list", "--volume", volume)
			assert.Contains(t, listed.stdout, "No runs")
			left, err := filepath.Glob(filepath.Join(volume, job.ScratchFolder, "*", "*"))
			require.NoError(t, err)
			assert.Empty(t, left, "what was dumped before is not encrypted")
		})
	}
}
