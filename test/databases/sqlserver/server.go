// Package sqlserver starts Debian's PostgreSQL and MariaDB on 127.0.0.1, for as long as a test runs.
package sqlserver

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/cluster/ports"
	"threescale.dev/backup/test/databases/internal/process"
)

// Options of a server.
type Options struct {
	Certificate, Key, CA []byte   // PEM; with them it offers TLS, and takes certificates of clients
	Args                 []string // more of its command line
}

// Server is a server that runs as long as its test.
type Server struct {
	Kind    recorded.DatabaseKind
	Address threescale.Address
	Admin   []string // the command line of a client that may do everything, to which a database is added

	dir string
}

// PostgreSQL starts the newest PostgreSQL that is installed.
func PostgreSQL(tb testing.TB, o Options) *Server {
	tb.Helper()
	versions, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	require.NoError(tb, err)
	if len(versions) == 0 {
		process.Skip(tb, "needs PostgreSQL's server: apt-get install postgresql")
	}
	bin := versions[len(versions)-1]
	dir := process.Dir(tb, "sql-")
	data := filepath.Join(dir, "data")
	process.Run(tb, filepath.Join(bin, "initdb"), "--pgdata="+data, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
	hba := "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n" //nolint:dupword // a rule for each database and user
	process.Write(tb, data, "pg_hba.conf", []byte(hba))
	port := freePort(tb)
	args := append([]string{
		"-D", data, "-k", dir, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "autovacuum=off",
	}, o.Args...)
	if o.Certificate != nil {
		args = append(args, "-c", "ssl_cert_file="+process.Write(tb, dir, "cert.pem", o.Certificate), "-c", "ssl_key_file="+process.Write(tb, dir, "key.pem", o.Key), "-c", "ssl_ca_file="+process.Write(tb, dir, "ca.pem", o.CA))
		process.Write(tb, data, "postgresql.auto.conf", []byte("ssl = on\n"))
	}
	s := &Server{dir: dir, Kind: recorded.PostgreSQL, Address: threescale.Address{Host: "127.0.0.1", Port: port}, Admin: []string{
		"psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--pset=null=NULL", "--host=" + dir, "--port=" + strconv.Itoa(port), "--username=postgres", "--variable=ON_ERROR_STOP=1",
	}}
	start(tb, process.Server{Program: filepath.Join(bin, "postgres"), Args: args, Ready: "ready to accept connections", End: syscall.SIGQUIT})
	return s
}

// MariaDB starts MariaDB, which stands in for MySQL.
func MariaDB(tb testing.TB, o Options) *Server {
	tb.Helper()
	for _, program := range []string{"mariadbd", "mariadb-install-db", "mariadb"} {
		if _, err := exec.LookPath(program); err != nil {
			process.Skip(tb, err.Error()+": apt-get install mariadb-server")
		}
	}
	dir := process.Dir(tb, "sql-")
	data, socket := "--datadir="+filepath.Join(dir, "data"), "--socket="+filepath.Join(dir, "socket")
	process.Run(tb, "mariadb-install-db", "--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	port := freePort(tb)
	args := append([]string{
		"--no-defaults", data, socket, "--bind-address=127.0.0.1", "--port=" + strconv.Itoa(port), "--pid-file=" + filepath.Join(dir, "pid"), "--skip-name-resolve",
		"--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0", "--character-set-server=utf8mb3", "--collation-server=utf8mb3_bin",
	}, o.Args...)
	if o.Certificate != nil {
		args = append(args, "--ssl-cert="+process.Write(tb, dir, "cert.pem", o.Certificate), "--ssl-key="+process.Write(tb, dir, "key.pem", o.Key), "--ssl-ca="+process.Write(tb, dir, "ca.pem", o.CA))
	}
	s := &Server{dir: dir, Kind: recorded.MySQL, Address: threescale.Address{Host: "127.0.0.1", Port: port}, Admin: []string{
		"mariadb", "--no-defaults", "--user=root", socket, "--default-character-set=utf8mb4", "--batch", "--raw", "--skip-column-names",
	}}
	start(tb, process.Server{Program: "mariadbd", Args: args, Ready: "ready for connections", End: syscall.SIGKILL})
	return s
}

// Certify replaces the certificate of a server that has one.
func (s *Server) Certify(tb testing.TB, certificate, key []byte) {
	tb.Helper()
	process.Write(tb, s.dir, "cert.pem", certificate)
	process.Write(tb, s.dir, "key.pem", key)
	if s.Kind == recorded.PostgreSQL {
		s.reload(tb)
		return
	}
	s.Run(tb, "mysql", "FLUSH SSL;")
}

// RequireTLS has a user connect with TLS only.
func (s *Server) RequireTLS(tb testing.TB, user string) {
	tb.Helper()
	if s.Kind != recorded.PostgreSQL {
		s.Run(tb, "mysql", fmt.Sprintf("ALTER USER '%s'@'%%' REQUIRE SSL;", user))
		return
	}
	path := filepath.Join(s.dir, "data", "pg_hba.conf")
	rules, err := os.ReadFile(path)
	require.NoError(tb, err)
	process.Write(tb, filepath.Dir(path), "pg_hba.conf", append([]byte("hostnossl all "+user+" all reject\n"), rules...))
	s.reload(tb)
}

// DropTLS has a server offer no TLS any more; only PostgreSQL can.
func (s *Server) DropTLS(tb testing.TB, drop bool) {
	tb.Helper()
	s.Run(tb, "postgres", fmt.Sprintf("ALTER SYSTEM SET ssl = %t;", !drop))
	s.reload(tb)
}

// reload has PostgreSQL read its files again, and returns when new connections go by them.
func (s *Server) reload(tb testing.TB) {
	tb.Helper()
	const loaded = "SELECT pg_conf_load_time();"
	before := s.Run(tb, "postgres", loaded)
	s.Run(tb, "postgres", "SELECT pg_reload_conf();")
	require.Eventually(tb, func() bool { return s.Run(tb, "postgres", loaded) != before }, time.Minute, 10*time.Millisecond)
}

// Run feeds the administrator's client with statements, and returns what it prints.
func (s *Server) Run(tb testing.TB, database, statements string) string {
	tb.Helper()
	out, err := s.Try(database, statements)
	require.NoError(tb, err)
	return out
}

// Try is Run for what may fail.
func (s *Server) Try(database, statements string) (string, error) {
	cmd := exec.Command(s.Admin[0], append(s.Admin[1:len(s.Admin):len(s.Admin)], "--", database)...) //nolint:noctx // It ends with the server.
	cmd.Stdin = strings.NewReader(statements)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, &said)
	}
	return out.String(), nil
}

// Database makes an empty database, and a user who may do everything in it. Both may be there.
func (s *Server) Database(tb testing.TB, name, user, password string) threescale.Connection {
	tb.Helper()
	if s.Kind == recorded.PostgreSQL {
		quote, literal := strings.NewReplacer(`"`, `""`).Replace, strings.NewReplacer(`'`, `''`).Replace
		s.Run(tb, "postgres", fmt.Sprintf(`SELECT 'CREATE ROLE "%s" LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '%s') \gexec
ALTER ROLE "%[5]s" PASSWORD '%[3]s';
CREATE DATABASE "%[4]s" OWNER "%[5]s";
`, literal(quote(user)), literal(user), literal(password), quote(name), quote(user)))
	} else {
		literal := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace
		s.Run(tb, "mysql", fmt.Sprintf("CREATE DATABASE `%s`;\nCREATE USER IF NOT EXISTS '%s'@'%%';\nALTER USER '%[2]s'@'%%' IDENTIFIED BY '%[3]s';\nGRANT ALL ON `%[4]s`.* TO '%[2]s'@'%%';\n",
			strings.ReplaceAll(name, "`", "``"), literal(user), literal(password), strings.NewReplacer("`", "``", "_", `\_`, "%", `\%`).Replace(name)))
	}
	return threescale.Connection{Kind: s.Kind, Address: s.Address, Database: name, Username: user, Password: password}
}

func freePort(tb testing.TB) int {
	tb.Helper()
	port, err := ports.Free(tb.Context())
	require.NoError(tb, err)
	return port
}

// start starts the server, and ends it after the test.
func start(tb testing.TB, s process.Server) {
	tb.Helper()
	_, err := process.Start(tb, s)
	require.NoError(tb, err)
}
