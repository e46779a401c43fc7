package mover_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/database"
	"threescale.dev/backup/fn/mover"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/databases/redisserver"
	"threescale.dev/backup/test/databases/sqlserver"
)

const (
	systemDatabase = string(threescale.SystemDatabase)
	backendRedis   = string(threescale.BackendRedis)
	password       = "pass word/@:?#%'\"\\"
)

// servers are a PostgreSQL and a Redis. They take long to start on a busy machine.
type servers struct {
	sql   *sqlserver.Server
	redis *redisserver.Server
}

// databases are those of a run, and others to load into.
type databases struct {
	*stage
	servers
	scratch     string
	connections string
}

const (
	lostIndex   = 0 // of Redis
	targetIndex = 5
)

// newDatabases writes a run with the dumps of two databases, whose Secrets lead to two empty ones.
func (s servers) newDatabases(t *testing.T, encrypted bool) *databases {
	t.Helper()
	d := &databases{servers: s}
	d.sql.Run(t, "postgres", "DROP DATABASE IF EXISTS lost;")
	d.sql.Run(t, "postgres", "DROP DATABASE IF EXISTS target;")
	require.NoError(t, d.redis.Client(t, lostIndex).FlushAll(t.Context()).Err())
	d.sql.Database(t, "lost", "porta", password)
	d.sql.Database(t, "target", "porta", password)
	d.sql.Run(t, "lost", "SET ROLE porta; CREATE TABLE accounts (id int PRIMARY KEY, name text); INSERT INTO accounts SELECT i, 'account ' || i FROM generate_series(1, 1000) i;")
	for i := range 100 {
		require.NoError(t, d.redis.Client(t, lostIndex).Set(t.Context(), fmt.Sprintf("stats/%d", i), i, 0).Err())
	}
	dumps := t.TempDir()
	var made []recorded.Dump
	for name, lost := range map[string]string{systemDatabase: d.url("lost"), backendRedis: d.redisURL(lostIndex)} {
		connections := t.TempDir()
		_, key := secretOf(name)
		write(t, filepath.Join(connections, name), key, lost)
		dumped, err := mover.Dump(t.Context(), job.DumpOptions{Run: runID, Database: name, Connections: connections, Scratch: dumps, Private: t.TempDir()}, mover.Env{Now: now})
		require.NoError(t, err)
		made = append(made, *dumped.Dump)
		require.NoError(t, os.Remove(filepath.Join(dumps, name+".json")))
	}
	objects := installation()
	for name, target := range map[string]string{systemDatabase: d.url("target"), backendRedis: d.redisURL(targetIndex)} {
		secret, key := secretOf(name)
		text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": secret}, "data": map[string][]byte{key: []byte(target), "other": []byte(marker)}})
		require.NoError(t, err)
		objects["secrets/"+secret+".json"] = string(text)
	}
	d.stage = newStageOf(t, encrypted, objects, func(o *archive.WriteOptions) { o.Databases, o.Dumps = dumps, made })
	d.scratch, d.connections = filepath.Join(t.TempDir(), "dumps"), t.TempDir()
	d.inspect.Databases = v1alpha1.DatabasesIfEmpty
	return d
}

// secretOf returns the Secret of a database, and its key with the URL.
func secretOf(name string) (secret, key string) {
	if name == backendRedis {
		return "backend-redis", "REDIS_STORAGE_URL"
	}
	return "system-database", "URL"
}

func (d *databases) url(database string) string {
	u := url.URL{Scheme: "postgresql", User: url.UserPassword("porta", password), Host: d.sql.Address.String(), Path: database}
	return u.String()
}

func (d *databases) redisURL(index int) string {
	return "redis://" + d.redis.Address() + "/" + strconv.Itoa(index)
}

func (d *databases) extract() (job.LoadResult, error) {
	return mover.Extract(d.t.Context(), job.ExtractOptions{
		Run: runID, Volume: d.inspect.Volume, Identities: d.inspect.Identities, Database: []string{backendRedis, systemDatabase},
		Scratch: d.scratch, Connections: d.connections,
	}, d.env())
}

// load does what one container does.
func (d *databases) load(policy v1alpha1.DatabasesPolicy, whole []string, names ...string) (job.LoadResult, error) {
	return mover.Load(d.t.Context(), job.LoadOptions{
		Run: runID, Database: names, Policy: policy, Whole: whole, Scratch: d.scratch, Connections: d.connections, Private: d.t.TempDir(),
	}, d.env())
}

func (d *databases) reported() *job.LoadResult {
	d.t.Helper()
	reported, err := job.ParseLoadResult(d.reports.data, runID)
	require.NoError(d.t, err)
	return reported
}

// assertLoaded compares what is in the two databases with what was dumped.
func (d *databases) assertLoaded() {
	d.t.Helper()
	const all = "SELECT md5(string_agg(accounts::text, ',' ORDER BY id)), count(*) FROM accounts;"
	assert.Equal(d.t, d.sql.Run(d.t, "lost", all), d.sql.Run(d.t, "target", all))
	got := d.redis.Client(d.t, targetIndex)
	size, err := got.DBSize(d.t.Context()).Result()
	require.NoError(d.t, err)
	assert.EqualValues(d.t, 100, size)
	value, err := got.Get(d.t.Context(), "stats/42").Result()
	require.NoError(d.t, err)
	assert.Equal(d.t, "42", value)
}

// TestLoad loads into servers that the tests share.
func TestLoad(t *testing.T) {
	s := servers{sqlserver.PostgreSQL(t, sqlserver.Options{}), redisserver.Start(t)}
	t.Run("Whole", s.loadsAll)
	t.Run("Nothing", s.loadsNothing)
	t.Run("Unseen", s.cannotBeSeen)
	t.Run("Unreported", s.cannotReport)
	t.Run("Fails", s.fails) // kills a server
}

func (s servers) loadsAll(t *testing.T) {
	for name, encrypted := range map[string]bool{"Plaintext": false, "Encrypted": true} {
		t.Run(name, func(t *testing.T) {
			d := s.newDatabases(t, encrypted)
			inspected, err := d.runInspect()
			require.NoError(t, err)
			require.Len(t, inspected.Databases, 2)
			for i, want := range []job.InspectedDatabase{
				{Name: backendRedis, Kind: recorded.Redis, Dumped: true, Seen: true, Empty: true},
				{Name: systemDatabase, Kind: recorded.PostgreSQL, Dumped: true, Seen: true, Empty: true},
			} {
				got := inspected.Databases[i]
				assert.NotEmpty(t, got.ServerVersion)
				assert.Equal(t, got.ServerVersion, got.DumpVersion)
				assert.Positive(t, got.DumpBytes)
				want.ServerVersion, want.DumpVersion, want.DumpBytes = got.ServerVersion, got.DumpVersion, got.DumpBytes
				assert.Equal(t, want, got)
			}

			_, err = d.extract()
			require.NoError(t, err)
			files, err := os.ReadDir(filepath.Join(d.connections, systemDatabase))
			require.NoError(t, err)
			require.Len(t, files, 1, "a container gets no more than the connection")

			first, err := d.load(v1alpha1.DatabasesIfEmpty, nil, systemDatabase)
			require.NoError(t, err)
			assert.False(t, first.Completed)
			assert.Len(t, d.reported().Databases, 1, "the next container may be killed")
			whole := []string{backendRedis, systemDatabase}
			last, err := d.load(v1alpha1.DatabasesIfEmpty, whole, backendRedis)
			require.NoError(t, err)
			assert.True(t, last.Completed)
			assert.Equal(t, &last, d.reported())
			assert.Len(t, last.Databases, 2)
			d.assertLoaded()
			left, err := os.ReadDir(d.scratch)
			require.NoError(t, err)
			assert.Empty(t, left, "they are not encrypted")

			again, err := d.runInspect()
			require.NoError(t, err)
			for _, got := range again.Databases {
				assert.Equal(t, v1alpha1.ReasonDatabaseNotEmpty, got.Reason, got.Name)
				assert.NotEmpty(t, got.Message)
				assert.True(t, got.Seen)
				assert.False(t, got.Empty)
			}
			d.inspect.Databases = v1alpha1.DatabasesReplace
			again, err = d.runInspect()
			require.NoError(t, err)
			for _, got := range again.Databases {
				assert.Empty(t, got.Reason, got.Name)
			}
			_, err = d.extract()
			require.NoError(t, err)
			_, err = d.load(v1alpha1.DatabasesReplace, whole, backendRedis, systemDatabase)
			require.NoError(t, err)
			d.assertLoaded()
			d.assertTells(t, nil, inspected, again)
		})
	}
}

// assertTells looks for where the databases are, and for their logins.
func (d *databases) assertTells(t *testing.T, err error, results ...any) {
	t.Helper()
	text, marshalErr := json.Marshal(results)
	require.NoError(t, marshalErr)
	said := string(text) + fmt.Sprint(err, d.reports.data)
	for _, secret := range []string{password, url.QueryEscape(password), "127.0.0.1", "porta", marker} {
		assert.NotContains(t, said, secret)
	}
}

// fails: it is said what a load has left, and what to do; what is loaded before it stays loaded.
func (s servers) fails(t *testing.T) {
	d := s.newDatabases(t, false)
	_, err := d.extract()
	require.NoError(t, err)
	d.sql.Run(t, "target", "CREATE TABLE somebodys (id int);")
	result, err := d.load(v1alpha1.DatabasesIfEmpty, []string{backendRedis, systemDatabase}, backendRedis, systemDatabase)
	require.Error(t, err)
	assert.Equal(t, v1alpha1.ReasonDatabaseNotEmpty, result.Reason)
	assert.Equal(t, job.ExitCannotCreate, mover.ExitCode(err))
	assert.Contains(t, result.Message, "this try has written nothing to it")
	require.Len(t, d.reported().Databases, 1)
	assert.Equal(t, backendRedis, d.reported().Databases[0].Name)

	_, err = d.extract()
	require.NoError(t, err)
	d.sql.Run(t, "target", "DROP TABLE somebodys;")
	result, err = d.load(v1alpha1.DatabasesIfEmpty, []string{systemDatabase}, systemDatabase)
	require.NoError(t, err)
	assert.True(t, result.Completed)
	d.assertLoaded()

	_, err = d.extract()
	require.NoError(t, err)
	d.redis.Kill()
	result, err = d.load(v1alpha1.DatabasesReplace, []string{backendRedis}, backendRedis)
	require.Error(t, err)
	assert.Equal(t, v1alpha1.ReasonDatabaseUnreachable, result.Reason, result.Message)
	assert.Contains(t, result.Message, "this try has written nothing to it")
	left, readErr := os.ReadDir(d.scratch)
	require.NoError(t, readErr)
	assert.Empty(t, left, "they are not encrypted")
	d.assertTells(t, err, result)
}

// loadUnreported loads a database as a pod does that ends before it reports that.
func (d *databases) loadUnreported(attempt, name, url string) {
	d.t.Helper()
	_, err := d.extract()
	require.NoError(d.t, err)
	text, err := os.ReadFile(filepath.Join(d.scratch, name+".json"))
	require.NoError(d.t, err)
	dump := recorded.Dump{}
	require.NoError(d.t, json.Unmarshal(text, &dump))
	_, key := secretOf(name)
	connection, err := threescale.ReadConnection(threescale.Database(name), map[string][]byte{key: []byte(url)}, false)
	require.NoError(d.t, err)
	_, err = database.Load(d.t.Context(), database.LoadOptions{
		Database: threescale.Database(name), Connection: connection, Run: runID, Attempt: attempt, Dump: dump,
		From: filepath.Join(d.scratch, name), Private: d.t.TempDir(), Policy: database.IfEmpty,
	})
	require.NoError(d.t, err)
}

// cannotReport: the pod ends when a database is loaded, and before anybody knows of that.
func (s servers) cannotReport(t *testing.T) {
	d := s.newDatabases(t, false)
	whole := []string{backendRedis, systemDatabase}
	o := job.LoadOptions{
		Run: runID, Database: whole, Policy: v1alpha1.DatabasesIfEmpty, Attempt: "3scale/dr/1", Whole: whole,
		Scratch: d.scratch, Connections: d.connections, Private: t.TempDir(),
	}
	load := func() (job.LoadResult, error) {
		_, err := d.extract()
		require.NoError(t, err)
		return mover.Load(t.Context(), o, d.env())
	}
	d.loadUnreported(o.Attempt, systemDatabase, d.url("target"))
	d.loadUnreported(o.Attempt, backendRedis, d.redisURL(targetIndex))
	d.sql.Run(t, "target", "DELETE FROM accounts WHERE id = 7;")
	require.NoError(t, d.redis.Client(t, targetIndex).Del(t.Context(), "stats/7").Err())
	assertOnce := func() {
		t.Helper()
		assert.Equal(t, "999\n", d.sql.Run(t, "target", "SELECT count(*) FROM accounts;"), "neither is loaded twice")
		assert.EqualValues(t, 99, d.redis.Client(t, targetIndex).DBSize(t.Context()).Val())
		assert.Equal(t, "1\n", d.sql.Run(t, "target", "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace;"), "no mark is left")
	}

	d.inspect.Attempt = o.Attempt
	inspected, err := d.runInspect()
	require.NoError(t, err)
	for _, found := range inspected.Databases {
		assert.True(t, found.Interrupted, found.Name)
		assert.Empty(t, found.Reason, "it is in nobody's way")
	}
	d.inspect.Attempt = "3scale/dr/2"
	inspected, err = d.runInspect()
	require.NoError(t, err)
	for _, found := range inspected.Databases {
		assert.Equal(t, v1alpha1.ReasonDatabaseNotEmpty, found.Reason, "whose data they are, another attempt does not know")
	}

	result, err := load()
	require.NoError(t, err)
	assert.True(t, result.Completed)
	assert.Len(t, d.reported().Databases, 2)
	assertOnce()

	_, err = load()
	require.Error(t, err, "they are full")
	o.Loaded = whole
	result, err = load()
	require.NoError(t, err, "an earlier report has told")
	assert.True(t, result.Completed)
	assertOnce()
}

// loadsNothing: a container that was to load what another one did not is no success.
func (s servers) loadsNothing(t *testing.T) {
	d := s.newDatabases(t, false)
	_, err := d.extract()
	require.NoError(t, err)
	result, err := d.load(v1alpha1.DatabasesIfEmpty, []string{systemDatabase})
	require.Error(t, err)
	assert.False(t, result.Completed)
	const systemRedis = string(threescale.SystemRedis)
	write(t, filepath.Join(d.connections, systemRedis), "URL", d.redisURL(targetIndex))
	before := d.redis.Client(t, targetIndex).DBSize(t.Context()).Val()
	_, err = d.extract()
	require.NoError(t, err)
	result, err = d.load(v1alpha1.DatabasesReplace, nil, backendRedis, systemRedis)
	require.Error(t, err)
	assert.Equal(t, v1alpha1.ReasonDatabaseUnsupported, result.Reason)
	assert.Contains(t, result.Message, "leads to the same database as that of backend-redis")
	assert.Empty(t, result.Databases)
	assert.Equal(t, before, d.redis.Client(t, targetIndex).DBSize(t.Context()).Val())
	d.assertTells(t, err, result)
	result, err = d.load(v1alpha1.DatabasesIfEmpty, []string{"queues"}, "queues")
	require.Error(t, err)
	assert.Equal(t, v1alpha1.ReasonUsage, result.Reason)
}

// cannotBeSeen: such databases stop a restore that is to load them, before the whole run is read, and no other.
func (s servers) cannotBeSeen(t *testing.T) {
	d := s.newDatabases(t, false)
	for name, tc := range map[string]struct {
		reason  string
		urls    map[string]string
		want    string
		planned bool // the plan tells it
	}{
		"Password": {"it was changed since", map[string]string{systemDatabase: "postgresql://porta:wrong@" + d.sql.Address.String() + "/target"}, v1alpha1.ReasonDatabaseDenied, false},
		"Down":     {"nobody listens there", map[string]string{systemDatabase: "postgresql://porta:wrong@127.0.0.1:1/target"}, v1alpha1.ReasonDatabaseUnreachable, false},
		"Oracle":   {"it is none that can be loaded", map[string]string{systemDatabase: "oracle-enhanced://porta:wrong@127.0.0.1/target"}, v1alpha1.ReasonDatabaseUnsupported, true},
		"NoSecret": {"nobody has made it yet", nil, v1alpha1.ReasonDatabaseUnsupported, true},
		"OtherKind": {"the Secret leads elsewhere", map[string]string{systemDatabase: "mysql2://porta:wrong@" + d.sql.Address.String() + "/target"},
			v1alpha1.ReasonDatabaseUnreachable, false},
	} {
		t.Run(name, func(t *testing.T) {
			d.t = t
			d.inspect.Connections, d.inspect.Databases = t.TempDir(), v1alpha1.DatabasesIfEmpty
			write(t, filepath.Join(d.inspect.Connections, backendRedis), "REDIS_STORAGE_URL", d.redisURL(targetIndex))
			for database, connection := range tc.urls {
				_, key := secretOf(database)
				write(t, filepath.Join(d.inspect.Connections, database), key, connection)
			}
			result, err := d.runInspect()
			said := []any{result}
			if tc.planned {
				require.NoError(t, err, tc.reason)
				got := result.Databases[1]
				assert.Equal(t, tc.want, got.Reason, got.Message)
				assert.NotEmpty(t, got.Message)
				assert.False(t, got.Seen)
			} else {
				require.Error(t, err, tc.reason)
				assert.Equal(t, tc.want, result.Reason, result.Message)
				assert.False(t, result.Verified, "it does not take long to say so")
			}
			d.inspect.Databases = v1alpha1.DatabasesSkip
			result, err = d.runInspect()
			require.NoError(t, err, "a restore that loads none does not need it")
			got := result.Databases[1]
			assert.False(t, got.Seen)
			assert.NotEmpty(t, got.Message)
			assert.True(t, result.Databases[0].Seen)
			d.assertTells(t, err, append(said, result)...)
		})
	}
}
