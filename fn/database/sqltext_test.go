package database

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
)

func TestParseVersion(t *testing.T) {
	cases := []struct {
		reason, text string
		kind         recorded.DatabaseKind
		want, name   string
	}{
		{"Debian's", "15.18 (Debian 15.18-0+deb12u1)", recorded.PostgreSQL, "15.18", "PostgreSQL 15"},
		{"before a release", "16beta1", recorded.PostgreSQL, "16", "PostgreSQL 16"},
		{"two numbers were the major version", "9.6.24", recorded.PostgreSQL, "9.6.24", "PostgreSQL 9.6"},
		{"with a log", "8.0.36-log", recorded.MySQL, "8.0.36", "MySQL 8.0"},
		{"a service's", "8.4.3-azure", recorded.MySQL, "8.4.3", "MySQL 8.4"},
		{"Debian's", "10.11.19-MariaDB-0+deb12u1-log", recorded.MySQL, "10.11.19-MariaDB", "MariaDB 10.11"},
		{"for old replicas", "5.5.5-10.4.34-MariaDB", recorded.MySQL, "10.4.34-MariaDB", "MariaDB 10.4"},
		{"as it is recorded", "10.11.19-MariaDB", recorded.MySQL, "10.11.19-MariaDB", "MariaDB 10.11"},
		{"nothing", "", recorded.PostgreSQL, "", "PostgreSQL 0.0"},
	}
	for _, tc := range cases {
		v := parseVersion(tc.text)
		assert.Equal(t, tc.want, v.String(), "%s: %s", tc.reason, tc.text)
		assert.Equal(t, tc.name, v.name(tc.kind), "%s: %s", tc.reason, tc.text)
	}
}

func TestParseClientVersion(t *testing.T) {
	cases := []struct{ reason, text, want string }{
		{"Debian's", "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", "15.18"},
		{"Red Hat's", "pg_restore (PostgreSQL) 13.14\n", "13.14"},
		{"to come", "pg_dump (PostgreSQL) 18beta1\n", "18"},
		{"of MySQL 8", "mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)\n", "8.0.36"},
		{"of MySQL 5.7", "mysqldump  Ver 10.13 Distrib 5.7.44, for linux-glibc2.12 (x86_64)\n", "5.7.44"},
		{"of the client", "mysql  Ver 14.14 Distrib 5.7.44, for Linux (x86_64) using  EditLine wrapper\n", "5.7.44"},
		{"of MariaDB", "mariadb-dump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)\n", "10.11.19-MariaDB"},
		{"of newer ones", "mariadb-dump from 11.4.2-MariaDB, client 10.19 for debian-linux-gnu (x86_64)\n", "11.4.2-MariaDB"},
		{"none", "hello\n", ""},
		{"nothing", "", ""},
	}
	for _, tc := range cases {
		v, known := parseClientVersion(tc.text)
		assert.Equal(t, tc.want, v.String(), tc.reason)
		assert.Equal(t, tc.want != "", known, tc.reason)
	}
}

func FuzzParseClientVersion(f *testing.F) {
	for _, seed := range []string{"pg_dump (PostgreSQL) 15.18", "mysqldump  Ver 10.13 Distrib 5.7.44, for", "mariadb-dump from 11.4.2-MariaDB", "Ver 99999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, known := parseClientVersion(text)
		assert.Equal(t, known, v.text != "")
		assert.Regexp(t, `^[0-9.]*$`, v.text)
		assert.False(t, v.olderThan(v, recorded.MySQL))
	})
}

func FuzzParseVersion(f *testing.F) {
	for _, seed := range []string{"15.18 (Debian 15.18-0+deb12u1)", "8.0.36-log", "16beta1", "5.5.5-10.11.19-MariaDB-0+deb12u1", "99999999999999999999", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v := parseVersion(text)
		assert.Regexp(t, `^([0-9]+(\.[0-9]+)*)?$`, v.text)
		assert.Contains(t, text, v.text, "nothing is made up")
		assert.Equal(t, v, parseVersion(v.String()), "what a manifest holds of it is the same version")
	})
}

func TestCheck(t *testing.T) {
	dump := func(kind recorded.DatabaseKind, version string) recorded.Dump {
		return recorded.Dump{Kind: kind, ServerVersion: version}
	}
	server := func(kind recorded.DatabaseKind, version string) Server {
		return Server{Kind: kind, Version: version, Empty: true}
	}
	full := func(loading string) Server {
		return Server{Kind: recorded.MySQL, Version: "8.0.36", Loading: loading}
	}
	loaded := func(o LoadOptions) Server {
		return Server{Kind: recorded.MySQL, Version: "8.0.36", Loaded: o.loaded().String()}
	}
	const p, m, r = recorded.PostgreSQL, recorded.MySQL, recorded.Redis
	cases := []struct {
		name, reason string
		dump         recorded.Dump
		server       Server
		policy       Policy
		problem      Problem
		want         string
	}{
		{"Same", "it may be loaded", dump(p, "15.18"), server(p, "15.2"), IfEmpty, "", ""},
		{"Newer", "it may be loaded", dump(p, "13.1"), server(p, "16.0"), IfEmpty, "", ""},
		{"Older", "it may not know what is in the dump", dump(p, "15.18"), server(p, "13.14"), Replace, Unsupported, "the dump is of version 15.18, and the server of the older version 13.14"},
		{"OlderMySQL", "its second number counts", dump(m, "8.4.1"), server(m, "8.0.36"), IfEmpty, Unsupported, "the older version 8.0.36"},
		{"OlderPatch", "its third does not", dump(m, "8.0.36"), server(m, "8.0.30"), IfEmpty, "", ""},
		{"MariaDB", "their statements differ", dump(m, "10.11.19-MariaDB"), server(m, "8.0.36"), IfEmpty, Unsupported, "the dump is of MariaDB 10.11, and the server is MySQL 8.0"},
		{"Kind", "another database", dump(m, "8.0.36"), server(p, "15.18"), Replace, Unsupported, "the dump is of MySQL, and the server is PostgreSQL"},
		{"Redis", "all of it is judged elsewhere", dump(r, "7.0.15"), Server{Kind: r, Version: "7.0.15"}, IfEmpty, NotEmpty, "it has keys"},
		{"RedisOlder", "likewise", dump(r, "7.2.0"), Server{Kind: r, Version: "7.0.15", Empty: true}, IfEmpty, Unsupported, "the older 7.0.15"},
		{"Full", "somebody's", dump(m, "8.0.36"), full(""), IfEmpty, NotEmpty, "it has tables"},
		{"FullReplace", "that is what was asked for", dump(m, "8.0.36"), full(""), Replace, "", ""},
		{"Interrupted", "its own", dump(m, "8.0.36"), full("run-1"), IfEmpty, "", ""},
		{"InterruptedOther", "of another run", dump(m, "8.0.36"), full("run-2"), IfEmpty, NotEmpty, `the load of run "run-2" into it has not ended`},
		{"Loaded", "by a pod that could not say so", dump(m, "8.0.36"), loaded(LoadOptions{Run: "run-1", Attempt: "3scale/dr/1"}), IfEmpty, "", ""},
		{"LoadedByOther", "its data may be in use", dump(m, "8.0.36"), loaded(LoadOptions{Run: "run-1", Attempt: "3scale/dr/2"}), IfEmpty, NotEmpty, `another restore has loaded run "run-1" into it`},
		{"LoadedOther", "of another run", dump(m, "8.0.36"), loaded(LoadOptions{Run: "run-2", Attempt: "3scale/dr/1"}), IfEmpty, NotEmpty, `another restore has loaded run "run-2" into it`},
		{"InterruptedReplace", "whatever it is", dump(m, "8.0.36"), full("run-2"), Replace, "", ""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			err := Check(tc.server, LoadOptions{Database: threescale.SystemDatabase, Dump: tc.dump, Policy: tc.policy, Run: "run-1", Attempt: "3scale/dr/1"})
			if tc.problem == "" {
				require.NoError(t, err, tc.reason)
				return
			}
			var own *Error
			require.ErrorAs(t, err, &own)
			assert.Equal(t, tc.problem, own.Problem, tc.reason)
			assert.Contains(t, err.Error(), tc.want, tc.reason)
		})
	}
}

func TestOracleIsUnsupported(t *testing.T) {
	c := threescale.Connection{Kind: recorded.Oracle}
	_, looked := Look(t.Context(), threescale.SystemDatabase, c)
	_, dumped := Dump(t.Context(), DumpOptions{Database: threescale.SystemDatabase, Connection: c})
	_, loaded := Load(t.Context(), LoadOptions{Database: threescale.SystemDatabase, Connection: c})
	for _, err := range []error{looked, dumped, loaded} {
		var own *Error
		require.ErrorAs(t, err, &own)
		assert.Equal(t, Unsupported, own.Problem)
		assert.EqualError(t, err, "system-database: it is a database of Oracle: back it up with the tools of its vendor, and leave it out here")
	}
}

func TestJudgeClient(t *testing.T) {
	cases := []struct {
		reason, said string
		problem      Problem
		want         string
	}{
		{"a row is not shown", "pg_restore: error: COPY failed for table \"users\": ERROR:  duplicate key value violates unique constraint \"x\"\nDETAIL:  Key (email)=(hunter2) already exists.\nCONTEXT:  COPY users, line 1\n",
			Failed, "pg: pg_restore: error: COPY failed for table …"},
		{"nor a value", "ERROR 1062 (23000) at line 40: Duplicate entry 'it's hunter2' for key 'users.email'\n", Failed, "pg: ERROR 1062 (23000) at line 40: Duplicate entry …"},
		{"nor a statement", "ERROR 1064 (42000) at line 7: You have an error in your SQL syntax near 'INSERT INTO users VALUES (1,'hunter2')' at line 1\n", Failed, "pg: ERROR 1064 (42000) at line 7: You have an error in your SQL syntax near … at line 1"},
		{"as MariaDB says it", "ERROR 1064 (42000) at line 7: You have an error in your SQL syntax; check the manual that corresponds to your MariaDB server version for the right syntax to use near '(1,'hunter2-token','secret')' at line 1\n",
			Failed, "your MariaDB server version for the right syntax to use near … at line 1"},
		{"nor a statement of several lines", "ERROR 1064 (42000) at line 7: You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version for the right syntax to use near 'hunter2\nERROR hunter2' at line 2\n",
			Failed, "for the right syntax to use near …"},
		{"a value with a word that names", "ERROR 1062 (23000) at line 40: Duplicate entry 'my-certificate-hunter2' for key 'x'\n", Failed, "Duplicate entry …"},
		{"and one with a sentence that names", "ERROR 1062 (23000) at line 40: Duplicate entry 'table 'x' already exists hunter2' for key 'x'\n", Failed, "Duplicate entry …"},
		{"a document", "pg_restore: error: could not execute query: ERROR:  invalid input syntax for type json: \"certificate hunter2\"\n", Failed, "invalid input syntax for type json: …"},
		{"another value", "ERROR 1366 (22007) at line 40: Incorrect integer value: 'hunter2' for column `a`.`b`.`c` at row 1\n", Failed, "Incorrect integer value: …"},
		{"a value that quotes", "pg_restore: error: could not execute query: ERROR:  malformed array literal: \"a\" is not a \"hunter2\n", Failed, "malformed array literal: …"},
		{"a row with line breaks", "pg_restore: error: COPY failed for table \"users\": ERROR:  value too long for type character varying(3)\nCONTEXT:  COPY users, line 1, column bio: \"an\nerror: hunter2\nHINT: hunter2\"\n",
			Failed, "pg: pg_restore: error: COPY failed for table …"},
		{"names are shown", "pg_restore: error: could not execute query: ERROR:  relation \"accounts\" already exists\n", Failed, "relation \"accounts\" already exists: the database holds something"},
		{"a name alone is shown", "pg_restore: error: could not execute query: ERROR:  \"accounts\" is not a table\nHINT:  Use DROP VIEW to remove a view.\n", Failed, "\"accounts\" is not a table: the database holds something"},
		{"nor is what cannot be altered", "pg_restore: error: could not execute query: ERROR:  ALTER action DROP CONSTRAINT cannot be performed on relation \"accounts\"\n", Failed, "on relation \"accounts\": the database holds something"},
		{"a user is shown", "mysqldump: Got error: 1045: \"Access denied for user 'porta'@'localhost' (using password: YES)\" when trying to connect\n", Denied, "for user 'porta'@'localhost'"},
		{"why no connection was made", "mariadb-dump: Got error: 2026: \"TLS/SSL error: certificate verify failed\" when trying to connect\n", Untrusted, "certificate verify failed"},
		{"it may be tried again", "mysqldump: Error 1412: Table definition has changed, please retry transaction when dumping table `users` at row: 0\n", Failed, "it changed while it was dumped"},
		{"nor the query", "pg_dump: error: query failed: ERROR:  permission denied for table treasure\npg_dump: detail: Query was: LOCK TABLE hunter2\n", Denied, "pg: pg_dump: error: query failed: ERROR:  permission denied for table treasure: grant the user SELECT"},
		{"the server went away", "mysqldump: Error 2013: Lost connection to server during query when dumping table `users` at row: 7\n", Unreachable, "see the log of the server"},
		{"the scratch directory is full", "pg_dump: error: could not write to file: No space left on device\n", Full, "give the volume, or the server, more space"},
		{"of the wrong image", "pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \"transaction_timeout\"\n", ClientMissing, "use an image with the client of the server's own version"},
		{"a terminal's command", "pg_dump: error: \x1b[31mred\x07\n", Failed, "pg: pg_dump: error:  [31mred"},
		{"a trigger", "ERROR 1419 (HY000) at line 3: You do not have the SUPER privilege and binary logging is enabled (you *might* want to use the less safe log_bin_trust_function_creators variable)\n", Denied, "set log_bin_trust_function_creators"},
		{"nothing", "", Failed, "pg: exit status 1"},
	}
	for _, tc := range cases {
		problem, text := judgeSQL(&clientError{"pg", tc.said, errors.New("exit status 1")})
		assert.Equal(t, tc.problem, problem, tc.reason)
		assert.Contains(t, text, tc.want, tc.reason)
		assert.NotContains(t, text, "hunter2", tc.reason)
	}
}

func TestErrorsShowNoOtherAddress(t *testing.T) {
	named := threescale.Connection{Address: threescale.Address{Host: "db.example.com", Port: 5432}, Database: "system"}
	by := threescale.Connection{Address: threescale.Address{Host: "mymaster"}, Database: "0", Sentinel: &threescale.Sentinel{Addresses: []threescale.Address{{Host: "10.9.9.9", Port: 26379}}}}
	dial := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.ParseIP("10.2.3.4"), Port: 6379}, Err: errors.New("no route to host")}
	ctx := t.Context()
	cases := []struct {
		reason string
		err    error
		want   string
	}{
		{"of libpq", sqlTask{threescale.SystemDatabase, named}.failed(ctx, &clientError{"pg_dump", "pg_dump: error: connection to server at \"db.example.com\" (10.2.3.4), port 5432 failed: Connection refused\n", nil}), `at "db.example.com" (…), port 5432 failed`},
		{"of IPv6", sqlTask{threescale.SystemDatabase, named}.failed(ctx, &clientError{"pg_dump", "pg_dump: error: connection to server at \"db.example.com\" (fd00::10:2:3:4), port 5432 failed: timeout\n", nil}), `(…), port 5432 failed`},
		{"of the client", sqlTask{threescale.SystemDatabase, named}.failed(ctx, &pgconn.PgError{Code: "28000", Message: `no pg_hba.conf entry for host "10.2.3.4", user "porta"`}), `host "…", user "porta"`},
		{"of Redis", redisTask{threescale.BackendRedis, named, lookRights}.failed(ctx, dial), "dial tcp …:6379: no route to host"},
		{"of a sentinel, which the connection shows", redisTask{threescale.BackendRedis, by, lookRights}.failed(ctx, fmt.Errorf("cannot ask sentinel 10.9.9.9:26379: %w", dial)), "cannot ask sentinel 10.9.9.9:26379: dial tcp …:6379"},
	}
	for _, tc := range cases {
		require.ErrorContains(t, tc.err, tc.want, tc.reason)
		assert.NotContains(t, tc.err.Error(), "2.3.4", tc.reason)
		assert.NotContains(t, tc.err.Error(), "2:3:4", tc.reason)
	}
	for _, text := range []string{"MariaDB 10.11.19", "'x'::date", "at 12:30:01: ERROR: none"} {
		assert.Equal(t, text, withoutAddresses(text, named))
	}
}

func FuzzShown(f *testing.F) {
	f.Add("pg_dump: error: \"a\" 'b'\nDETAIL: c\x00\xff")
	f.Add("ERROR 1062 (23000) at line 4: Duplicate entry 'a' for key 'b' at line 3")
	f.Fuzz(func(t *testing.T, said string) {
		whole := "ERROR 1062 (23000) at line 4: Duplicate entry 'hunter2" + said + "hunter2' for key 'b'"
		assert.NotContains(t, shown(whole), "hunter2")
		for _, r := range shown(said) {
			assert.True(t, r >= ' ' && r != 0x7f, "%q", r)
		}
	})
}

func TestTail(t *testing.T) {
	said := &tail{}
	for i := range 10000 {
		fmt.Fprintf(said, "line %d\n", i)
	}
	assert.Len(t, said.String(), 2<<10)
	assert.True(t, strings.HasSuffix(said.String(), "line 9999\n"))
}

// libpq's own rules are those of pgconn.
func TestConninfo(t *testing.T) {
	c := threescale.Connection{Address: threescale.Address{Host: "::1", Port: 5432}, Database: `a'b\c =`, Username: ` it's\ `, Password: "hunter2"}
	text := conninfo(c, map[string]string{"options": `-c x='y z'`, "sslmode": "disable"})
	assert.NotContains(t, text, "hunter2")
	config, err := pgconn.ParseConfig(text)
	require.NoError(t, err)
	assert.Equal(t, []any{c.Address.Host, uint16(5432), c.Database, c.Username, `-c x='y z'`},
		[]any{config.Host, config.Port, config.Database, config.User, config.RuntimeParams["options"]})
}

func TestScript(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	in := "CREATE TABLE `a``b` (\nINSERT INTO `a` VALUES ('" + long + "');\n" +
		"/*!50003 CREATE*/ /*!50017 DEFINER=`ro``ot`@`local@host`*/ /*!50003 TRIGGER x BEFORE INSERT ON y FOR EACH ROW BEGIN\n" +
		"CREATE DEFINER=`root`@`%` PROCEDURE `p`()\n/*!50013 DEFINER=`root`@`%` SQL SECURITY DEFINER */\nINSERT INTO `a` VALUES ('CREATE DEFINER=`root`@`%` PROCEDURE');\n-- end"
	want := "CREATE TABLE `a``b` (\nINSERT INTO `a` VALUES ('" + long + "');\n" +
		"/*!50003 CREATE*/ /*!50017 */ /*!50003 TRIGGER x BEFORE INSERT ON y FOR EACH ROW BEGIN\n" +
		"CREATE PROCEDURE `p`()\n/*!50013 SQL SECURITY DEFINER */\nINSERT INTO `a` VALUES ('CREATE DEFINER=`root`@`%` PROCEDURE');\n-- end"
	s := newScript(strings.NewReader(in))
	got, err := io.ReadAll(s)
	require.NoError(t, err)
	assert.Equal(t, want, string(got))
	assert.Equal(t, []string{"a`b"}, s.tables)
	assert.Equal(t, int64(len(in)), s.read.Load())
}

func FuzzScript(f *testing.F) {
	f.Add("CREATE DEFINER=`a`@`b` PROCEDURE x\nINSERT INTO\n")
	f.Add("INSERT")
	f.Fuzz(func(t *testing.T, in string) {
		got, err := io.ReadAll(newScript(strings.NewReader(in)))
		require.NoError(t, err)
		if !strings.Contains(in, "DEFINER=") {
			assert.Equal(t, in, string(got))
		}
	})
}

// FuzzMark: no other text than this attempt's own says that it has loaded the run, and only one that begins with the run
// says that its load goes on.
func FuzzMark(f *testing.F) {
	own := LoadOptions{Run: "20261122t020000z-1a2b3c4d", Attempt: "uid-1"}
	f.Add(own.loaded().String(), own.Run, own.Attempt)
	f.Add(own.loading().String(), own.Run, own.Attempt)
	f.Add(own.Run, own.Run, "")
	f.Add("r loaded  ", "r", "a")
	f.Add(" loaded x", "", "a")
	f.Fuzz(func(t *testing.T, text, run, attempt string) {
		if strings.Contains(run, " ") {
			t.Skip("no run has such an ID")
		}
		var s Server
		m := parseMark(text)
		m.tell(&s)
		assert.True(t, s.Loaded == "" || s.Loading == "")
		o := LoadOptions{Run: run, Attempt: attempt}
		assert.Equal(t, text == o.loaded().String(), o.owns(s))
		if s.Loading != "" && s.Loading == run {
			assert.True(t, text == run || strings.HasPrefix(text, run+" "))
		}
		for _, made := range []mark{o.loading(), o.loaded()} {
			assert.Equal(t, made, parseMark(made.String()))
		}
	})
}

// FuzzRedisRelease: releases are ordered as their numbers are, whatever somebody writes into a manifest.
func FuzzRedisRelease(f *testing.F) {
	f.Add("6.2.14", "7.0.1")
	f.Add("7.0.15", "7.2.0-v9")
	f.Add("6.1000.0", "7.0.0")
	f.Add("9223372036854775807.0", "7.0")
	f.Fuzz(func(t *testing.T, one, other string) {
		a, b := redisRelease(one), redisRelease(other)
		x, y := redisParts(one), redisParts(other)
		if x != nil && y != nil {
			assert.Equal(t, slices.Compare(x, y), cmp.Compare(a, b), "%q and %q", one, other)
		}
	})
}

// redisParts returns the first two numbers of a version, if both are such as a version has.
func redisParts(version string) []uint64 {
	match := regexp.MustCompile(`^([0-9]{1,4})\.([0-9]{1,4})(\.|$)`).FindStringSubmatch(version)
	if match == nil {
		return nil
	}
	x, _ := strconv.ParseUint(match[1], 10, 64)
	y, _ := strconv.ParseUint(match[2], 10, 64)
	return []uint64{x, y}
}
