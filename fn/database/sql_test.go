package database_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/database"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/databases/redisserver"
	"threescale.dev/backup/test/databases/sqlserver"
)

// TestSQL runs each test with one PostgreSQL, and with one MariaDB in the place of MySQL. Each has a database of its own.
func TestSQL(t *testing.T) {
	authority := redisserver.NewAuthority(t)
	certificate, key := authority.Issue(t, time.Hour, "localhost")
	o := sqlserver.Options{Certificate: certificate, Key: key, CA: authority.CA}
	for name, start := range map[string]func(testing.TB, sqlserver.Options) *sqlserver.Server{"PostgreSQL": sqlserver.PostgreSQL, "MariaDB": sqlserver.MariaDB} {
		t.Run(name, func(t *testing.T) {
			s := start(t, o)
			for name, test := range map[string]func(*testing.T, *sqlserver.Server){
				"DumpAndLoad": testDumpAndLoad,
				"Replace":     testReplace,
				"Passwords":   testPasswords,
				"TLS":         func(t *testing.T, s *sqlserver.Server) { testTLS(t, s, authority) },
				"Problems":    testProblems,
				"Stranger":    testStranger,
				"Clients":     testClients,
				"Denied":      testDenied,
				"GoesAway":    testGoesAway,
				"Canceled":    testCanceled,
				"Full":        testFull,
				"WrongSchema": testWrongSchema,
				"LoadKilled":  testLoadKilled,
				"OtherUser":   testOtherUser,
				"LockedOut":   testLockedOut,
				"LocalFile":   testLocalFile,
				"TwoLoads":    testTwoLoads,
				"Unconfirmed": testUnconfirmed,
				"Committed":   testCommitted,
				"Orphan":      testOrphan,
				"MarkTable":   testMarkTable,
				"OwnSchema":   testOwnSchema,
				"NoPublic":    testNoPublic,
				"SessionEnds": testSessionEnds,
			} {
				t.Run(name, func(t *testing.T) { test(t, s) })
			}
		})
	}
}

// hostile is every printable character of ASCII, and one beyond.
func hostile() string {
	var b strings.Builder
	for r := ' '; r < 0x7f; r++ {
		b.WriteRune(r)
	}
	return b.String() + "ü "
}

// porta fills a database with tables of porta's: bytes, characters of four bytes, a procedure and a trigger. It is owned by user.
func porta(t testing.TB, s *sqlserver.Server, c threescale.Connection) {
	t.Helper()
	if s.Kind == recorded.PostgreSQL {
		s.Run(t, c.Database, `SET ROLE "`+strings.ReplaceAll(c.Username, `"`, `""`)+"\";\n"+file(t, "../../test/databases/testdata/ddl-postgresql.sql")+file(t, "../../test/databases/testdata/rows.sql")+`
CREATE TABLE blobs (id bigint PRIMARY KEY, data bytea, name text);
INSERT INTO blobs SELECT n, decode(md5(n::text), 'hex'), E'a\nb\\''"\t' || n || chr(128512) FROM generate_series(0, 2000) n;
CREATE SEQUENCE counter START 77;
CREATE VIEW names AS SELECT name FROM blobs;
SELECT lo_from_bytea(4711, '\x000102fffe');
`)
		return
	}
	as := *s // The user made them, and may see how.
	as.Admin = []string{"mariadb", "--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--port=" + strconv.Itoa(s.Address.Port), "--user=" + c.Username, "--password=" + c.Password, "--default-character-set=utf8mb4"}
	as.Run(t, c.Database, file(t, "../../test/databases/testdata/ddl-mysql.sql")+file(t, "../../test/databases/testdata/rows.sql")+`
CREATE TABLE blobs (id bigint PRIMARY KEY, data varbinary(99), name varchar(99)) CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
INSERT INTO blobs SELECT seq, UNHEX(MD5(seq)), CONCAT('a', CHAR(10, 13, 92, 39, 34, 9, 0 USING utf8mb4), seq, '😀') FROM seq_0_to_2000;
CREATE VIEW names AS SELECT name FROM blobs;
DELIMITER //
CREATE PROCEDURE sp_invoices_friendly_id(invoice_id BIGINT) BEGIN SELECT invoice_id; END //
DELIMITER ;
`)
}

func file(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

var definer = regexp.MustCompile(`DEFINER=\S+ `)

// contents returns all that a database holds, by the administrator's dump.
func contents(t *testing.T, s *sqlserver.Server, name string) string {
	t.Helper()
	if s.Kind == recorded.PostgreSQL {
		tables := s.Run(t, name, `SELECT CASE relkind WHEN 'S' THEN format('SELECT ''%I'', last_value, is_called FROM %I.%I;', relname, nspname, relname)
ELSE format('SELECT ''%I'', md5(string_agg(t::text, chr(10) ORDER BY t::text)), count(*) FROM %I.%I t;', relname, nspname, relname) END
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'v', 'S') AND nspname = 'public' ORDER BY relname;`)
		return s.Run(t, name, tables+`SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1;
SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1; SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1;
SELECT loid, md5(data) FROM pg_largeobject ORDER BY 1;`)
	}
	tables := strings.Fields(s.Run(t, name, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1"))
	out := s.Run(t, name, "CHECKSUM TABLE "+strings.Join(tables, ", "))
	out = strings.ReplaceAll(out, name+".", "")
	for _, table := range tables {
		out += definer.ReplaceAllString(s.Run(t, name, "SHOW CREATE TABLE "+table), "") // of a view
	}
	return out + s.Run(t, name, `SELECT trigger_name, action_statement FROM information_schema.triggers WHERE trigger_schema = DATABASE() ORDER BY 1;
SELECT routine_name, routine_definition FROM information_schema.routines WHERE routine_schema = DATABASE() ORDER BY 1;`)
}

// systemDump returns options to dump the System database.
func systemDump(t testing.TB, c threescale.Connection) database.DumpOptions {
	t.Helper()
	return database.DumpOptions{Database: threescale.SystemDatabase, Connection: c, Into: filepath.Join(t.TempDir(), "system-database"), Private: t.TempDir()}
}

// loadOf returns options to load a dump.
func loadOf(t testing.TB, o database.DumpOptions, dump recorded.Dump, into threescale.Connection) database.LoadOptions {
	t.Helper()
	return database.LoadOptions{Database: o.Database, Connection: into, Run: "run-1", Dump: dump, From: o.Into, Private: t.TempDir(), Policy: database.IfEmpty}
}

// loadAndConfirm is what the mover does.
func loadAndConfirm(t *testing.T, o database.LoadOptions) (database.Loaded, error) {
	t.Helper()
	loaded, err := database.Load(t.Context(), o)
	if err == nil {
		err = database.Confirm(t.Context(), o)
	}
	return loaded, err
}

// problem asserts that an error is one of databases, and returns its text.
func problem(t *testing.T, want database.Problem, err error) string {
	t.Helper()
	var own *database.Error
	require.ErrorAs(t, err, &own)
	assert.Equal(t, want, own.Problem, "%s", err)
	assert.Equal(t, threescale.SystemDatabase, own.Database)
	return err.Error()
}

func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		out[path] = file(t, filepath.Join(dir, path))
		return nil
	}))
	return out
}

func testDumpAndLoad(t *testing.T, s *sqlserver.Server) {
	from := s.Database(t, "system", "app", "secret")
	porta(t, s, from)
	looked, err := database.Look(t.Context(), threescale.SystemDatabase, from)
	require.NoError(t, err)
	assert.False(t, looked.Empty)
	assert.Positive(t, looked.Bytes)
	assert.Regexp(t, `^\d+\.\d+(\.\d+-MariaDB)?$`, looked.Version)

	var told int64
	o := systemDump(t, from)
	o.Progress = func(bytes int64) { told = bytes }
	o.Now = time.Now
	dump, err := database.Dump(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, told, dump.Bytes)
	assert.Equal(t, recorded.Dump{
		Name: "system-database", Kind: s.Kind, ServerVersion: looked.Version, Tool: dump.Tool, StartTime: dump.StartTime, CompletionTime: dump.CompletionTime, Bytes: dump.Bytes,
	}, dump)
	assert.Regexp(t, `^(pg_dump \d+\.\d+|mariadb-dump \d+\.\d+\.\d+-MariaDB)$`, dump.Tool)
	assert.Equal(t, time.UTC, dump.StartTime.Location())
	left, err := os.ReadDir(o.Private)
	require.NoError(t, err)
	assert.Empty(t, left, "no login stays")

	again := systemDump(t, from)
	require.NoError(t, os.MkdirAll(filepath.Join(again.Into, "left"), 0o700), "by an earlier try")
	_, err = database.Dump(t.Context(), again)
	require.NoError(t, err)
	first, second := filesOf(t, o.Into), filesOf(t, again.Into)
	delete(first, "toc.dat") // It has the time.
	delete(second, "toc.dat")
	assert.Equal(t, first, second, "what is unchanged is the same bytes")
	assert.NotEmpty(t, first)

	to := s.Database(t, "target", "other", "secret")
	looked, err = database.Look(t.Context(), threescale.SystemDatabase, to)
	require.NoError(t, err)
	assert.True(t, looked.Empty)
	load := loadOf(t, o, dump, to)
	load.Progress = func(bytes int64) { told = bytes }
	told = 0
	loaded, err := loadAndConfirm(t, load)
	require.NoError(t, err)
	assert.Empty(t, loaded.Warnings)
	assert.Equal(t, dump.Bytes, told)
	assert.False(t, loaded.Server.Empty)
	assert.Empty(t, loaded.Server.Loading)
	assert.Equal(t, contents(t, s, "system"), contents(t, s, "target"))

	_, err = loadAndConfirm(t, load)
	assert.Contains(t, problem(t, database.NotEmpty, err), "it has tables")
}

func testReplace(t *testing.T, s *sqlserver.Server) {
	from := s.Database(t, "replaced", "app", "secret")
	porta(t, s, from)
	o := systemDump(t, from)
	dump, err := database.Dump(t.Context(), o)
	require.NoError(t, err)
	before := contents(t, s, "replaced")
	owner := ""
	if s.Kind == recorded.PostgreSQL {
		owner = "SET ROLE app;\n"
	}
	s.Run(t, "replaced", owner+"DELETE FROM accounts; DROP TABLE blobs"+map[bool]string{true: " CASCADE"}[s.Kind == recorded.PostgreSQL]+"; ALTER TABLE users ADD COLUMN more int; CREATE TABLE more (id int); INSERT INTO more VALUES (1);")
	load := loadOf(t, o, dump, from)
	load.Policy = database.Replace
	loaded, err := loadAndConfirm(t, load)
	require.NoError(t, err)
	require.Len(t, loaded.Warnings, 1)
	assert.Regexp(t, `^the dump does not have table "(public\.)?more", which is as it was$`, loaded.Warnings[0])
	assert.Equal(t, "1\n", s.Run(t, "replaced", "SELECT count(*) FROM more;"))
	s.Run(t, "replaced", "DROP TABLE more;")
	assert.Equal(t, before, contents(t, s, "replaced"))
}

func testPasswords(t *testing.T, s *sqlserver.Server) {
	user, name := hostile()[:20]+"#ü", "-da ta\"base'#;$"
	c := s.Database(t, name, user, hostile())
	porta(t, s, c)
	o := systemDump(t, c)
	dump, err := database.Dump(t.Context(), o)
	require.NoError(t, err)
	to := s.Database(t, "target-2", user, hostile())
	_, err = loadAndConfirm(t, loadOf(t, o, dump, to))
	require.NoError(t, err)
	c.Password = hostile() + "!"
	_, err = database.Dump(t.Context(), systemDump(t, c))
	assert.NotContains(t, problem(t, database.Denied, err), hostile())
}

// testTLS proves each mode of TLS with the driver and with the clients.
func testTLS(t *testing.T, s *sqlserver.Server, authority *redisserver.Authority) {
	plain := s.Database(t, "tls", "tls", "secret")
	porta(t, s, plain)
	s.RequireTLS(t, "tls")
	plain.Address.Host = "localhost" // as its certificate says
	stranger := redisserver.NewAuthority(t)
	expired := [2][]byte{}
	expired[0], expired[1] = authority.Issue(t, -time.Minute, "localhost")
	elsewhere := [2][]byte{}
	elsewhere[0], elsewhere[1] = authority.Issue(t, time.Hour, "db.example.com")
	cert, key := authority.Issue(t, time.Hour, "client")
	valid := [2][]byte{}
	valid[0], valid[1] = authority.Issue(t, time.Hour, "localhost")
	const preferred, required, ca, full = threescale.TLSPreferred, threescale.TLSRequired, threescale.TLSVerifyCA, threescale.TLSVerify
	cases := []struct {
		name, reason string
		server       [2][]byte
		tls          *threescale.TLS
		want         string // "": it works
	}{
		{"None", "the server asks for it", valid, nil, "set the mode of TLS"},
		{"Preferred", "nothing is proven", expired, &threescale.TLS{Mode: preferred, CA: stranger.CA}, ""},
		{"Required", "nothing is proven", expired, &threescale.TLS{Mode: required, CA: stranger.CA}, ""},
		{"CA", "all is well", valid, &threescale.TLS{Mode: ca, CA: authority.CA}, ""},
		{"CAOtherName", "the name does not count", elsewhere, &threescale.TLS{Mode: ca, CA: authority.CA}, ""},
		{"CAUnknown", "not of that CA", valid, &threescale.TLS{Mode: ca, CA: stranger.CA}, "set the CA of the server in the Secret"},
		{"CASystem", "not of the system's", valid, &threescale.TLS{Mode: ca}, "set the CA of the server in the Secret"},
		{"CAExpired", "an hour ago", expired, &threescale.TLS{Mode: ca, CA: authority.CA}, "expired"},
		{"Verify", "all is well", valid, &threescale.TLS{Mode: full, CA: authority.CA}, ""},
		{"VerifyClient", "with a certificate of ours", valid, &threescale.TLS{Mode: full, CA: authority.CA, Cert: cert, Key: key}, ""},
		{"VerifyOtherName", "the name counts", elsewhere, &threescale.TLS{Mode: full, CA: authority.CA}, "use a host of the certificate in the URL"},
		{"VerifyUnknown", "not of that CA", valid, &threescale.TLS{Mode: full, CA: stranger.CA}, "unknown authority"},
		{"VerifyExpired", "an hour ago", expired, &threescale.TLS{Mode: full, CA: authority.CA}, "renew the certificate of the server"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s.Certify(t, tc.server[0], tc.server[1])
			c := plain
			c.TLS = tc.tls
			_, err := database.Dump(t.Context(), systemDump(t, c))
			if tc.name == "CAOtherName" && s.Kind == recorded.MySQL { // MariaDB's client has no such mode.
				assert.Contains(t, problem(t, database.Untrusted, err), "check the CA and the certificates")
				return
			}
			if tc.want == "" {
				require.NoError(t, err, tc.reason)
				return
			}
			want := database.Untrusted
			if tc.tls == nil && s.Kind == recorded.MySQL { // MariaDB does not tell it from a wrong password.
				want = database.Denied
			}
			assert.Contains(t, problem(t, want, err), tc.want, tc.reason)
		})
	}
	s.Certify(t, valid[0], valid[1])
	t.Run("NotOffered", func(t *testing.T) {
		c, other := plain, s
		if s.Kind == recorded.PostgreSQL {
			s.DropTLS(t, true)
			defer s.DropTLS(t, false)
		} else {
			other = sqlserver.MariaDB(t, sqlserver.Options{})
			c = other.Database(t, "tls", "tls", "secret")
			porta(t, other, c)
		}
		c.TLS = &threescale.TLS{Mode: threescale.TLSRequired}
		_, err := database.Dump(t.Context(), systemDump(t, c))
		assert.Contains(t, problem(t, database.Untrusted, err), "the server does not offer TLS")
		if other != s { // The rules of the other let nobody in without.
			c.TLS.Mode = threescale.TLSPreferred
			_, err = database.Dump(t.Context(), systemDump(t, c))
			assert.NoError(t, err)
		}
	})
}

// testProblems asks for what cannot be had.
func testProblems(t *testing.T, s *sqlserver.Server) {
	good := s.Database(t, "problems", "problems", "secret")
	_, err := database.Dump(t.Context(), systemDump(t, good))
	assert.Contains(t, problem(t, database.Unsupported, err), "it has no table: check the name of the database in the URL")
	s.Run(t, "problems", "CREATE TABLE others (id int);")
	cases := []struct {
		name, reason string
		change       func(c *threescale.Connection)
		problem      database.Problem
		want         string
	}{
		{"Schema", "another database of the same server", func(*threescale.Connection) {}, database.Unsupported, `it has no table "accounts", as that of System has`},
		{"Password", "a wrong one", func(c *threescale.Connection) { c.Password = "hunter2" }, database.Denied, "correct the login in the Secret"},
		{"User", "an unknown one", func(c *threescale.Connection) { c.Username = "nobody" }, database.Denied, "correct the login in the Secret"},
		{"Host", "an unknown one", func(c *threescale.Connection) { c.Address.Host = "db.invalid" }, database.Unreachable, "check the URL"},
		{"Port", "nobody listens", func(c *threescale.Connection) { c.Address.Port = 1 }, database.Unreachable, "nothing listens there: check host and port in the URL"},
		{"Name", "there is none", func(c *threescale.Connection) { c.Database = "nowhere" }, "", "nowhere"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c := good
			tc.change(&c)
			_, err := database.Dump(t.Context(), systemDump(t, c))
			want := tc.problem
			if want == "" { // MySQL does not tell who may not see it.
				want = map[recorded.DatabaseKind]database.Problem{recorded.PostgreSQL: database.Unsupported, recorded.MySQL: database.Denied}[s.Kind]
			}
			text := problem(t, want, err)
			assert.Contains(t, text, tc.want, tc.reason)
			assert.Contains(t, text, "system-database: "+c.Address.Host, "where")
			assert.NotContains(t, text, "hunter2")
		})
	}
}
