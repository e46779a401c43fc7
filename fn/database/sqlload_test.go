package database_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/database"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/test/databases/sqlserver"
)

// loadable returns options to load a dump of database name into another one.
func loadable(t *testing.T, s *sqlserver.Server, name string) database.LoadOptions {
	t.Helper()
	from := s.Database(t, name, name, "secret")
	porta(t, s, from)
	o := systemDump(t, from)
	dump, err := database.Dump(t.Context(), o)
	require.NoError(t, err)
	load := loadOf(t, o, dump, s.Database(t, name+"_2", name, "secret"))
	load.Attempt = "3scale/dr/1"
	return load
}

// wrapped is a client in place of the one that loads, with a script around it: $client "$@" is the client.
func wrapped(t *testing.T, s *sqlserver.Server, script string) func(string) (string, error) {
	t.Helper()
	name := map[recorded.DatabaseKind]string{recorded.PostgreSQL: "pg_restore", recorded.MySQL: "mariadb"}[s.Kind]
	client, err := exec.LookPath(name)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, "#!/bin/sh\nclient=%s\n[ \"$1\" = --version ] && exec $client --version\n%s\n", client, script), 0o755))
	return func(wanted string) (string, error) {
		if wanted == name {
			return path, nil
		}
		return "", errors.New("none")
	}
}

// testTwoLoads has a load begin while another one goes on, of the same run and the same attempt, as by a pod of an earlier
// try that has not ended yet.
func testTwoLoads(t *testing.T, s *sqlserver.Server) {
	load := loadable(t, s, "twice")
	goOn, ended := held(t, s, load)

	impatient := load
	impatient.LockPatience = time.Nanosecond
	for name, policy := range map[string]database.Policy{"IfEmpty": database.IfEmpty, "Replace": database.Replace} {
		impatient.Policy = policy
		_, err := database.Load(t.Context(), impatient)
		assert.Contains(t, problem(t, database.Locked, err), "another load into it goes on", name)
		assertWritten(t, false, err)
	}
	looked, err := database.Look(t.Context(), load.Database, load.Connection)
	require.NoError(t, err)
	assert.True(t, looked.Empty, "the loser has written nothing")

	waiting := load
	waiting.LockPatience = time.Minute
	waited := make(chan error, 1)
	go func() { _, err := database.Load(t.Context(), waiting); waited <- err }()
	goOn()
	require.NoError(t, <-ended)
	require.NoError(t, <-waited, "it finds that its attempt has loaded it")
	require.NoError(t, database.Confirm(t.Context(), load))
	assert.Equal(t, contents(t, s, "twice"), contents(t, s, "twice_2"))
}

// testUnconfirmed ends a load before anybody knows of its end, as a pod that is killed after the client has ended.
func testUnconfirmed(t *testing.T, s *sqlserver.Server) {
	load := loadable(t, s, "unknown")
	_, err := database.Load(t.Context(), load)
	require.NoError(t, err)
	s.Run(t, "unknown_2", "DELETE FROM blobs WHERE id = 7;")
	count := func() string { return s.Run(t, "unknown_2", "SELECT count(*) FROM blobs;") }

	looked, err := database.Look(t.Context(), load.Database, load.Connection)
	require.NoError(t, err)
	assert.Empty(t, looked.Loading)
	assert.True(t, load.GoesOn(looked))
	load.Client = func(string) (string, error) { return "", errors.New("none") }
	loaded, err := database.Load(t.Context(), load)
	require.NoError(t, err, "the same attempt needs no client to find out")
	assert.Empty(t, loaded.Warnings)
	assert.Equal(t, "2000\n", count(), "it is not loaded twice")
	load.Policy = database.Replace
	loaded, err = database.Load(t.Context(), load)
	require.NoError(t, err)
	assert.Len(t, loaded.Warnings, 1)
	assert.Equal(t, "2000\n", count(), "nor is it replaced twice")
	_, err = database.Dump(t.Context(), systemDump(t, load.Connection))
	require.NoError(t, err, "it is whole")

	other := load
	other.Client, other.Attempt, other.Policy = nil, "3scale/dr/2", database.IfEmpty
	_, err = database.Load(t.Context(), other)
	assert.Contains(t, problem(t, database.NotEmpty, err), `another restore has loaded run "run-1" into it`)
	assertWritten(t, false, err)
	require.NoError(t, database.Confirm(t.Context(), other), "what is not its own stays")
	looked, err = database.Look(t.Context(), load.Database, load.Connection)
	require.NoError(t, err)
	assert.True(t, load.GoesOn(looked))

	other.Policy = database.Replace
	loaded, err = database.Load(t.Context(), other)
	require.NoError(t, err)
	assert.Empty(t, loaded.Warnings)
	assert.Equal(t, "2001\n", count())
	require.NoError(t, database.Confirm(t.Context(), load), "it is the other's now")
	looked, err = database.Look(t.Context(), load.Database, load.Connection)
	require.NoError(t, err)
	assert.True(t, other.GoesOn(looked))
	for range 2 {
		require.NoError(t, database.Confirm(t.Context(), other))
	}
	assert.Equal(t, contents(t, s, "unknown"), contents(t, s, "unknown_2"), "no mark is left")
}

// testCommitted has the client fail when all is loaded.
func testCommitted(t *testing.T, s *sqlserver.Server) {
	load := loadable(t, s, "failing")
	load.Client = wrapped(t, s, `$client "$@"; kill -9 $$`)
	_, err := database.Load(t.Context(), load)
	if s.Kind == recorded.PostgreSQL {
		require.NoError(t, err, "its transaction is there")
	} else {
		assertWritten(t, true, err)
	}
	load.Client = nil
	_, err = loadAndConfirm(t, load)
	require.NoError(t, err)
	assert.Equal(t, contents(t, s, "failing"), contents(t, s, "failing_2"))

	load.Client = wrapped(t, s, "exit 0")
	load.Policy = database.Replace
	_, err = database.Load(t.Context(), load)
	if s.Kind == recorded.PostgreSQL {
		assert.Contains(t, problem(t, database.Failed, err), "did not commit")
		assert.Equal(t, contents(t, s, "failing"), contents(t, s, "failing_2"), "it is as it was")
	}
}

// testOrphan: a client of a load that was killed may go on for a while, and nobody else writes meanwhile.
func testOrphan(t *testing.T, s *sqlserver.Server) {
	if s.Kind == recorded.PostgreSQL {
		return // Its client has no session but that of the load.
	}
	load := loadable(t, s, "orphan")
	script := filepath.Join(t.TempDir(), "script")
	load.Client = wrapped(t, s, "head -n 1 >"+script+"; exit 1")
	_, err := database.Load(t.Context(), load)
	assertWritten(t, true, err)
	release := hold(t, s, "orphan_2", file(t, script)) // as the client does
	load.Client, load.LockPatience = nil, time.Nanosecond
	_, err = database.Load(t.Context(), load)
	problem(t, database.Locked, err)
	release()

	late := load
	late.LockPatience = 0
	goOn, ended := held(t, s, late)
	release = hold(t, s, "orphan_2", file(t, script)) // before its client comes to it
	goOn()
	assert.Contains(t, problem(t, database.Locked, <-ended), "another load into it goes on")
	looked, err := database.Look(t.Context(), load.Database, load.Connection)
	require.NoError(t, err)
	assert.True(t, looked.Empty, "two clients do not write at once")
	release()
	load.LockPatience = 0
	_, err = loadAndConfirm(t, load)
	require.NoError(t, err)
	assert.Equal(t, contents(t, s, "orphan"), contents(t, s, "orphan_2"))
}

// testMarkTable: servers that write to no table without a primary key take the mark, and the table of an older version does.
func testMarkTable(t *testing.T, s *sqlserver.Server) {
	if s.Kind == recorded.PostgreSQL {
		return // It wants none.
	}
	load := loadable(t, s, "keyed")
	s.Run(t, "keyed_2", "CREATE TABLE threescale_backup_load (run VARCHAR(255) NOT NULL) ENGINE=InnoDB; INSERT INTO threescale_backup_load VALUES ('run-1 loading x');")
	_, err := loadAndConfirm(t, load)
	require.NoError(t, err)
	assert.Equal(t, contents(t, s, "keyed"), contents(t, s, "keyed_2"))
	load.Policy = database.Replace
	_, err = database.Load(t.Context(), load)
	require.NoError(t, err)
	assert.Equal(t, "PRIMARY\n", s.Run(t, "keyed_2", "SELECT index_name FROM information_schema.statistics WHERE table_schema = 'keyed_2' AND table_name = 'threescale_backup_load';"))
}

// held begins a load whose client waits until goOn is called, and returns how it ends.
func held(t *testing.T, s *sqlserver.Server, load database.LoadOptions) (goOn func(), ended chan error) {
	t.Helper()
	begun, allowed := filepath.Join(t.TempDir(), "begun"), filepath.Join(t.TempDir(), "go")
	load.Client = wrapped(t, s, fmt.Sprintf(`: >%s; while [ ! -e %s ]; do sleep 0.02; done; exec $client "$@"`, begun, allowed))
	ended = make(chan error, 1)
	go func() { _, err := database.Load(t.Context(), load); ended <- err }()
	require.Eventually(t, func() bool { _, err := os.Stat(begun); return err == nil }, time.Minute, 10*time.Millisecond)
	return func() { require.NoError(t, os.WriteFile(allowed, nil, 0o600)) }, ended
}

// advised is what the message of a load that is locked out says to run.
var advised = regexp.MustCompile(`SELECT (?:COALESCE\(IS_USED_LOCK.*\)|pg_terminate_backend.*\))`)

// endSession ends the session of a load that goes on, as the message says.
func endSession(t *testing.T, s *sqlserver.Server, load database.LoadOptions) {
	t.Helper()
	load.LockPatience = time.Nanosecond
	_, err := database.Load(t.Context(), load)
	statement := advised.FindString(problem(t, database.Locked, err))
	require.NotEmpty(t, statement, "%v", err)
	said := strings.TrimSpace(s.Run(t, load.Connection.Database, statement+";"))
	if s.Kind == recorded.PostgreSQL {
		assert.Equal(t, "t", said)
		return
	}
	s.Run(t, load.Connection.Database, "KILL "+said+";")
}

// testSessionEnds: a proxy, the server or an administrator ends the session that holds the lock, while the client runs.
func testSessionEnds(t *testing.T, s *sqlserver.Server) {
	load := loadable(t, s, "silent")
	goOn, ended := held(t, s, load)
	endSession(t, s, load)
	goOn()
	if s.Kind == recorded.PostgreSQL { // The client's statements go through it.
		require.Error(t, <-ended)
		_, err := loadAndConfirm(t, load)
		require.NoError(t, err)
	} else {
		require.NoError(t, <-ended, "nobody else has written")
		require.NoError(t, database.Confirm(t.Context(), load))
	}
	assert.Equal(t, contents(t, s, "silent"), contents(t, s, "silent_2"))
	if s.Kind == recorded.PostgreSQL {
		return
	}

	load.Policy = database.Replace
	goOn, ended = held(t, s, load)
	endSession(t, s, load)
	const other = "run-2 loading y"
	s.Run(t, "silent_2", "UPDATE threescale_backup_load SET run = '"+other+"';")
	goOn()
	err := <-ended
	assert.Contains(t, problem(t, database.Locked, err), "another load has begun meanwhile")
	assertWritten(t, true, err)
	assert.Equal(t, other+"\n", s.Run(t, "silent_2", "SELECT run FROM threescale_backup_load;"), "its mark stays")
}

// hardened are ways to keep users from making anything in schema public.
func hardened() map[string]string {
	return map[string]string{
		"owned": "ALTER SCHEMA public OWNER TO postgres; REVOKE CREATE ON SCHEMA public FROM PUBLIC;",
		"shut":  "ALTER SCHEMA public OWNER TO postgres; REVOKE ALL ON SCHEMA public FROM PUBLIC;",
		"gone":  "DROP SCHEMA public CASCADE;",
	}
}

// testOwnSchema loads tables that are in a schema of their user's, in a database that has no other one for the mark.
func testOwnSchema(t *testing.T, s *sqlserver.Server) {
	if s.Kind != recorded.PostgreSQL {
		return // It has no schemas.
	}
	from := s.Database(t, "place", "place", "secret")
	const own = `"my ""own"`
	s.Run(t, "place", "SET ROLE place; CREATE SCHEMA "+own+"; CREATE TABLE "+own+".accounts (id int PRIMARY KEY); INSERT INTO "+own+".accounts SELECT generate_series(1, 7);")
	o := systemDump(t, from)
	dump, err := database.Dump(t.Context(), o)
	require.NoError(t, err)
	for name, harden := range hardened() {
		t.Run(name, func(t *testing.T) {
			load := loadOf(t, o, dump, s.Database(t, "place_"+name, "place", "secret"))
			s.Run(t, load.Connection.Database, harden)
			for _, policy := range []database.Policy{database.IfEmpty, database.Replace} {
				load.Policy, load.Attempt = policy, string(policy)
				_, err := database.Load(t.Context(), load)
				require.NoError(t, err)
				looked, err := database.Look(t.Context(), load.Database, load.Connection)
				require.NoError(t, err)
				assert.True(t, load.GoesOn(looked), "it is marked")
				_, err = database.Load(t.Context(), load)
				require.NoError(t, err, "the same attempt does not load it twice")
			}
			require.NoError(t, database.Confirm(t.Context(), load))
			assert.Equal(t, "accounts\n", s.Run(t, load.Connection.Database, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname !~ '^(pg|sql)_';"), "no mark is left")
			assert.Equal(t, "7\n", s.Run(t, load.Connection.Database, "SELECT count(*) FROM "+own+".accounts;"))
		})
	}
}

// testNoPublic loads tables of schema public where the user can make none there: nothing is written, and the error says why.
func testNoPublic(t *testing.T, s *sqlserver.Server) {
	if s.Kind != recorded.PostgreSQL {
		return // It has no schemas.
	}
	load := loadable(t, s, "nopublic")
	want := map[string]string{
		"owned": "permission denied for schema public: grant the user USAGE on the schema, and to load into it CREATE",
		"shut":  "permission denied for schema public: grant the user USAGE on the schema, and to load into it CREATE",
		"gone":  `schema "public" does not exist: make it in the database that is loaded`,
	}
	for name, harden := range hardened() {
		t.Run(name, func(t *testing.T) {
			load := load
			load.Connection = s.Database(t, "nopublic_"+name, "nopublic", "secret")
			s.Run(t, load.Connection.Database, harden)
			_, err := database.Load(t.Context(), load)
			assert.ErrorContains(t, err, want[name])
			looked, err := database.Look(t.Context(), load.Database, load.Connection)
			require.NoError(t, err)
			assert.True(t, looked.Empty, "nothing is there")
			s.Run(t, load.Connection.Database, "CREATE SCHEMA IF NOT EXISTS public; GRANT USAGE, CREATE ON SCHEMA public TO nopublic;")
			_, err = loadAndConfirm(t, load)
			require.NoError(t, err, "what the error says is enough")
		})
	}
}
