package database_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/database"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/databases/sqlserver"
)

// strangersDump names a variable with the options of a dump, which a process of its own makes.
const strangersDump = "TEST_DATABASE_DUMP"

func TestMain(m *testing.M) {
	text := os.Getenv(strangersDump)
	if text == "" {
		os.Exit(m.Run())
	}
	var o database.DumpOptions
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		_, err = database.Dump(context.Background(), o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// testStranger dumps as OpenShift has it done: by a user without a name, a home, or a right of its own.
func testStranger(t *testing.T, s *sqlserver.Server) {
	if os.Getuid() != 0 {
		require.Empty(t, os.Getenv("THREESCALE_BACKUP_SKIP_NOTHING"))
		t.Skip("only root can run a process as another user")
	}
	c := s.Database(t, "stranger", "stranger", hostile())
	porta(t, s, c)
	dir, err := os.MkdirTemp("", "stranger-") // one that others can reach
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	const uid = 1000720000
	require.NoError(t, os.Chown(dir, uid, 0))
	program := filepath.Join(dir, "test")
	require.NoError(t, os.Link(os.Args[0], program))
	require.NoError(t, os.Chmod(program, 0o755))
	options, err := json.Marshal(map[string]any{"Database": threescale.SystemDatabase, "Connection": c, "Into": filepath.Join(dir, "into"), "Private": dir})
	require.NoError(t, err)
	cmd := exec.Command(program)
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + os.Getenv("PATH"), strangersDump + "=" + string(options), "PGHOST=wrong", "PGSSLMODE=verify-full", "MYSQL_HOST=wrong"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: 0, Groups: []uint32{uid}}}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.NotEmpty(t, filesOf(t, filepath.Join(dir, "into")))
}

// clients are stand-ins for programs that only tell their version.
func clients(t *testing.T, said map[string]string) func(string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range said {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho '"+text+"'\n"), 0o755))
	}
	return func(name string) (string, error) {
		path := filepath.Join(dir, name)
		_, err := os.Stat(path)
		return path, err
	}
}

func testClients(t *testing.T, s *sqlserver.Server) {
	c := s.Database(t, "clients", "clients", "secret")
	porta(t, s, c)
	cases := []struct {
		name, reason string
		kind         recorded.DatabaseKind // "": both
		said         map[string]string
		want         string
	}{
		{"None", "an image of something else", recorded.PostgreSQL, nil, "there is no program pg_dump: use an image with the client of PostgreSQL 1"},
		{"NoneMySQL", "an image of something else", recorded.MySQL, nil, "there is no program mariadb-dump or mysqldump: use an image with the client of MariaDB 10.11"},
		{"Older", "it would refuse", recorded.PostgreSQL, map[string]string{"pg_dump": "pg_dump (PostgreSQL) 9.6.24"}, "pg_dump is that of PostgreSQL 9.6, and the server is PostgreSQL 1"},
		{"OlderMySQL", "it may not know all that is there", recorded.MySQL, map[string]string{"mysqldump": "mysqldump  Ver 10.16 Distrib 10.1.48-MariaDB, for debian-linux-gnu (x86_64)"}, "mysqldump is that of MariaDB 10.1, and the server is MariaDB 10.11"},
		{"Other", "of MySQL itself", recorded.MySQL, map[string]string{"mysqldump": "mysqldump  Ver 8.4.3 for Linux on x86_64 (MySQL Community Server - GPL)"}, "mysqldump is that of MySQL 8.4, and the server is MariaDB 10.11"},
		{"Unknown", "something else of that name", "", map[string]string{"pg_dump": "hello", "mariadb-dump": "hello"}, "-dump does not tell its version"},
	}
	for _, tc := range cases {
		if tc.kind != "" && tc.kind != s.Kind {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			o := systemDump(t, c)
			o.Client = clients(t, tc.said)
			_, err := database.Dump(t.Context(), o)
			assert.Contains(t, strings.ReplaceAll(problem(t, database.ClientMissing, err), "pg_dump does", "pg-dump does"), tc.want, tc.reason)
			assert.NoDirExists(t, o.Into)
		})
	}
}

func testDenied(t *testing.T, s *sqlserver.Server) {
	c := s.Database(t, "denied", "denied", "secret")
	porta(t, s, c)
	o := systemDump(t, c)
	statement, want := "CREATE TABLE treasure (id int);", "permission denied for table treasure: grant the user SELECT on all tables"
	if s.Kind == recorded.MySQL {
		statement, want = "CREATE PROCEDURE treasure() SELECT 1;", "privileges to SHOW CREATE PROCEDURE `treasure`!: grant the user what is missing"
	}
	s.Run(t, "denied", statement)
	_, err := database.Dump(t.Context(), o)
	assert.Contains(t, problem(t, database.Denied, err), want)
	assert.NoDirExists(t, o.Into, "no half dump stays")
	left, err := os.ReadDir(o.Private)
	require.NoError(t, err)
	assert.Empty(t, left, "nor a login")
}

// hold runs statements in a session that stays until the test ends or release is called.
func hold(t *testing.T, s *sqlserver.Server, name, statements string) (release func()) {
	t.Helper()
	cmd := exec.Command(s.Admin[0], append(s.Admin[1:len(s.Admin):len(s.Admin)], "--", name)...)
	if s.Kind == recorded.MySQL {
		cmd.Args = append(cmd.Args[:len(cmd.Args)-2:len(cmd.Args)-2], "--unbuffered", "--", name)
	}
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	released := false
	release = func() {
		if !released {
			released = true
			_ = in.Close()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(release)
	_, err = in.Write([]byte(statements + " SELECT 'held';\n"))
	require.NoError(t, err)
	line := ""
	for line != "held\n" {
		line, err = bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
	}
	return release
}

// blocked waits until a user's session waits for a lock, and returns its ID.
func blocked(t *testing.T, s *sqlserver.Server, user string) string {
	t.Helper()
	query := "SELECT pid FROM pg_stat_activity WHERE usename = '" + user + "' AND wait_event_type = 'Lock';"
	if s.Kind == recorded.MySQL {
		query = "SELECT id FROM information_schema.processlist WHERE user = '" + user + "' AND state LIKE 'Waiting for table metadata lock%';"
	}
	id := ""
	require.Eventually(t, func() bool {
		id = strings.TrimSpace(s.Run(t, admin(s), query))
		return id != ""
	}, time.Minute, 20*time.Millisecond, "nobody waits")
	return id
}

func admin(s *sqlserver.Server) string {
	return map[recorded.DatabaseKind]string{recorded.PostgreSQL: "postgres", recorded.MySQL: "mysql"}[s.Kind]
}

// holdTable has whoever uses a table wait. MariaDB's client has dumped all others by then.
func holdTable(t *testing.T, s *sqlserver.Server, name string) (release func()) {
	t.Helper()
	if s.Kind == recorded.PostgreSQL {
		return hold(t, s, name, "BEGIN; LOCK TABLE web_hooks IN ACCESS EXCLUSIVE MODE;")
	}
	return hold(t, s, name, "LOCK TABLES web_hooks WRITE;")
}

func testGoesAway(t *testing.T, s *sqlserver.Server) {
	c := s.Database(t, "away", "away", "secret")
	porta(t, s, c)
	release := holdTable(t, s, "away")
	defer release()
	o := systemDump(t, c)
	ended := make(chan error, 1)
	go func() { _, err := database.Dump(t.Context(), o); ended <- err }()
	if id := blocked(t, s, "away"); s.Kind == recorded.PostgreSQL {
		s.Run(t, "postgres", "SELECT pg_terminate_backend("+id+");")
	} else {
		s.Run(t, "mysql", "KILL "+id+";")
	}
	assert.Contains(t, problem(t, database.Unreachable, <-ended), "the connection ended early: see the log of the server")
	assert.NoDirExists(t, o.Into)
}

func testCanceled(t *testing.T, s *sqlserver.Server) {
	c := s.Database(t, "canceled", "canceled", "secret")
	porta(t, s, c)
	release := holdTable(t, s, "canceled")
	o := systemDump(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { _, err := database.Dump(ctx, o); ended <- err }()
	blocked(t, s, "canceled")
	cancel()
	assert.ErrorIs(t, <-ended, context.Canceled)
	var own *database.Error
	assert.NotErrorAs(t, context.Cause(ctx), &own)
	assert.NoDirExists(t, o.Into)
	left, err := os.ReadDir(o.Private)
	require.NoError(t, err)
	assert.Empty(t, left)
	release()
	query := "SELECT count(*) FROM pg_stat_activity WHERE usename = 'canceled';"
	if s.Kind == recorded.MySQL {
		query = "SELECT count(*) FROM information_schema.processlist WHERE user = 'canceled';"
	}
	assert.Eventually(t, func() bool { return s.Run(t, admin(s), query) == "0\n" }, time.Minute, 20*time.Millisecond, "the client has ended")
}

func testFull(t *testing.T, s *sqlserver.Server) {
	if os.Getuid() != 0 {
		require.Empty(t, os.Getenv("THREESCALE_BACKUP_SKIP_NOTHING"))
		t.Skip("only root can mount a file system")
	}
	c := s.Database(t, "full", "full", "secret")
	porta(t, s, c)
	small := t.TempDir()
	require.NoError(t, syscall.Mount("tmpfs", small, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(small, 0)) })
	o := systemDump(t, c)
	o.Into = filepath.Join(small, "system-database")
	_, err := database.Dump(t.Context(), o)
	assert.Contains(t, problem(t, database.Full, err), "space")
	assert.NoDirExists(t, o.Into, "what was written is free again")
}

// testWrongSchema loads into a database that has something else under a name of the dump.
func testWrongSchema(t *testing.T, s *sqlserver.Server) {
	from := s.Database(t, "right", "wrong", "secret")
	porta(t, s, from)
	o := systemDump(t, from)
	dump, err := database.Dump(t.Context(), o)
	require.NoError(t, err)
	to := s.Database(t, "wrong", "wrong", "secret")
	owner := ""
	if s.Kind == recorded.PostgreSQL {
		owner = "SET ROLE wrong;\n"
	}
	s.Run(t, "wrong", owner+"CREATE VIEW accounts AS SELECT 1 AS id;")
	load := loadOf(t, o, dump, to)
	load.Policy = database.Replace
	_, err = loadAndConfirm(t, load)
	text := problem(t, database.Failed, err)
	assert.Contains(t, text, "accounts")
	assert.Contains(t, text, "replace it by hand, or load into an empty database")
}

// testLoadKilled kills a load in the middle, and makes it again.
func testLoadKilled(t *testing.T, s *sqlserver.Server) {
	from := s.Database(t, "whole", "killed", "secret")
	porta(t, s, from)
	o := systemDump(t, from)
	dump, err := database.Dump(t.Context(), o)
	require.NoError(t, err)
	to := s.Database(t, "killed", "killed", "secret")
	load := loadOf(t, o, dump, to)
	if s.Kind == recorded.PostgreSQL {
		testPostgreSQLKilled(t, s, load)
		return
	}
	client, err := exec.LookPath("mariadb")
	require.NoError(t, err)
	killed := filepath.Join(t.TempDir(), "mariadb")
	require.NoError(t, os.WriteFile(killed, fmt.Appendf(nil, "#!/bin/sh\n[ \"$1\" = --version ] && exec %s --version\nhead -c 12000 | %[1]s \"$@\"\nkill -9 $$\n", client), 0o755))
	load.Client = func(name string) (string, error) {
		if name == "mariadb" {
			return killed, nil
		}
		return "", errors.New("none")
	}
	_, err = loadAndConfirm(t, load)
	problem(t, database.Failed, err)
	assertWritten(t, true, err)
	looked, err := database.Look(t.Context(), threescale.SystemDatabase, to)
	require.NoError(t, err)
	assert.False(t, looked.Empty, "some of it is there")
	assert.Equal(t, "run-1", looked.Loading)

	_, err = database.Dump(t.Context(), systemDump(t, to))
	assert.Contains(t, problem(t, database.Unsupported, err), `the load of run "run-1" into it has not ended: finish that restore first; if the database is to stay as it is, DROP TABLE threescale_backup_load`)
	load.Client, load.Run = nil, "run-2"
	_, err = loadAndConfirm(t, load)
	assertWritten(t, false, err)
	assert.Contains(t, problem(t, database.NotEmpty, err), `the load of run "run-1" into it has not ended`)
	load.Run = "run-1"
	loaded, err := loadAndConfirm(t, load)
	require.NoError(t, err)
	assert.Empty(t, loaded.Warnings)
	assert.Empty(t, loaded.Server.Loading)
	assert.Equal(t, contents(t, s, "whole"), contents(t, s, "killed"))
}

func assertWritten(t *testing.T, want bool, err error) {
	t.Helper()
	var own *database.Error
	require.ErrorAs(t, err, &own)
	assert.Equal(t, want, own.Written, "%s", err)
}

// testPostgreSQLKilled kills a load that replaces: the database is as it was.
func testPostgreSQLKilled(t *testing.T, s *sqlserver.Server, load database.LoadOptions) {
	_, err := loadAndConfirm(t, load)
	require.NoError(t, err)
	s.Run(t, "killed", "DELETE FROM users; CREATE TABLE since (id int);")
	before := contents(t, s, "killed")
	load.Policy = database.Replace
	release := holdTable(t, s, "killed")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { _, err := database.Load(ctx, load); ended <- err }()
	blocked(t, s, "killed")
	cancel()
	assert.ErrorIs(t, <-ended, context.Canceled)
	release()
	assert.Equal(t, before, contents(t, s, "killed"))
	loaded, err := loadAndConfirm(t, load)
	require.NoError(t, err)
	assert.Equal(t, []string{`the dump does not have table "public.since", which is as it was`}, loaded.Warnings)
	s.Run(t, "killed", "DROP TABLE since;")
	assert.Equal(t, contents(t, s, "whole"), contents(t, s, "killed"))
}

// testOtherUser loads what another user made triggers, views and procedures of, as someone who is no administrator.
func testOtherUser(t *testing.T, s *sqlserver.Server) {
	from := s.Database(t, "theirs", "theirs", "secret")
	porta(t, s, from)
	o := systemDump(t, from)
	dump, err := database.Dump(t.Context(), o)
	require.NoError(t, err)
	if s.Kind == recorded.PostgreSQL {
		s.Run(t, "postgres", "DROP DATABASE theirs; DROP ROLE theirs;")
	} else {
		s.Run(t, "mysql", "DROP DATABASE theirs; DROP USER theirs;")
	}
	ours := s.Database(t, "ours", "ours", "secret")
	_, err = loadAndConfirm(t, loadOf(t, o, dump, ours))
	require.NoError(t, err)
	_, err = database.Dump(t.Context(), systemDump(t, ours))
	require.NoError(t, err, "it is theirs now")
}

// testLockedOut loads as a user who may not log in any more when all is loaded.
func testLockedOut(t *testing.T, s *sqlserver.Server) {
	from := s.Database(t, "open", "open", "secret")
	porta(t, s, from)
	o := systemDump(t, from)
	dump, err := database.Dump(t.Context(), o)
	require.NoError(t, err)
	to := s.Database(t, "locked", "locked", "secret")
	load := loadOf(t, o, dump, to)
	name, lock := "pg_restore", `ALTER ROLE "locked" NOLOGIN`
	if s.Kind == recorded.MySQL {
		name, lock = "mariadb", "ALTER USER locked ACCOUNT LOCK"
	}
	client, err := exec.LookPath(name)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "lock.sql"), []byte(lock+";\n"), 0o600))
	var admin strings.Builder
	for _, word := range append(slices.Clone(s.Admin), "--", map[bool]string{true: "mysql", false: "postgres"}[s.Kind == recorded.MySQL]) {
		admin.WriteString("'" + strings.ReplaceAll(word, "'", `'\''`) + "' ")
	}
	locking := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(locking, fmt.Appendf(nil, "#!/bin/sh\n%s \"$@\" || exit\n[ \"$1\" = --version ] || %s <%s/lock.sql >&2\n", client, &admin, dir), 0o755))
	load.Client = func(wanted string) (string, error) {
		if wanted == name {
			return locking, nil
		}
		return "", errors.New("none")
	}
	loaded, err := database.Load(t.Context(), load)
	require.NoError(t, err, "it is loaded")
	require.Len(t, loaded.Warnings, 1)
	assert.Contains(t, loaded.Warnings[0], "could not be looked at afterwards (Denied)")
	assert.False(t, loaded.Server.Empty)
	problem(t, database.Denied, database.Confirm(t.Context(), load))
	s.Run(t, "locked", "DROP TABLE threescale_backup_load")
	assert.Equal(t, contents(t, s, "open"), contents(t, s, "locked"))
}

// testLocalFile loads a dump that asks the client for a file of its own.
func testLocalFile(t *testing.T, s *sqlserver.Server) {
	if s.Kind != recorded.MySQL {
		return // A dump of PostgreSQL has nothing that its client would do.
	}
	from := s.Database(t, "asked", "asked", "secret")
	porta(t, s, from)
	o := systemDump(t, from)
	dump, err := database.Dump(t.Context(), o)
	require.NoError(t, err)
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("hunter2\n"), 0o600))
	script := filepath.Join(o.Into, "dump.sql")
	text := "CREATE TABLE stolen (line TEXT);\nLOAD DATA LOCAL INFILE '" + secret + "' INTO TABLE stolen;\n" + file(t, script)
	require.NoError(t, os.WriteFile(script, []byte(text), 0o600))
	to := s.Database(t, "asking", "asking", "secret")
	_, err = loadAndConfirm(t, loadOf(t, o, dump, to))
	var own *database.Error
	require.ErrorAs(t, err, &own)
	assert.True(t, own.Written, "the table is there")
	assert.Equal(t, "0\n", s.Run(t, "asking", "SELECT count(*) FROM stolen"))
}
