package databases

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// nobody is the user of Debian that owns nothing: neither server runs as root.
const nobody = 65534

// server is a database server that runs as long as its test.
type server struct {
	kind   string   // as domain.sh calls it
	client []string // the client's command line, to which a database is added
}

// startMariaDB stands in for MySQL.
func startMariaDB(t *testing.T) *server {
	t.Helper()
	need(t, "mariadbd", "mariadb-install-db", "mariadb")
	dir := serverDir(t)
	data, socket := "--datadir="+filepath.Join(dir, "data"), "--socket="+filepath.Join(dir, "socket")
	runAsNobody(t, "mariadb-install-db", "--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	startServer(t, "ready for connections", syscall.SIGKILL, "mariadbd", "--no-defaults", data, socket, "--skip-networking",
		"--pid-file="+filepath.Join(dir, "pid"), "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0",
		"--character-set-server=utf8mb3", "--collation-server=utf8mb3_bin")
	return &server{kind: "mysql", client: []string{
		"mariadb", "--no-defaults", "--user=root", socket, "--default-character-set=utf8mb4", "--batch", "--raw", "--skip-column-names",
	}}
}

func startPostgreSQL(t *testing.T) *server {
	t.Helper()
	need(t, "psql")
	versions, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	require.NoError(t, err)
	if len(versions) == 0 {
		skip(t, "needs PostgreSQL's server: apt-get install postgresql")
	}
	bin := versions[len(versions)-1]
	dir := serverDir(t)
	data := filepath.Join(dir, "data")
	runAsNobody(t, filepath.Join(bin, "initdb"), "--pgdata="+data, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
	startServer(t, "ready to accept connections", syscall.SIGQUIT, filepath.Join(bin, "postgres"), "-D", data, "-k", dir,
		"-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=16MB")
	return &server{kind: "postgresql", client: []string{
		"psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--pset=null=NULL", "--host=" + dir, "--username=postgres", "--variable=ON_ERROR_STOP=1",
	}}
}

// need skips a test on a machine without the programs.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			skip(t, err.Error()+" (apt-get install mariadb-server postgresql)")
		}
	}
}

// skip leaves a test out on a machine that cannot run it; where all of them have
// to run, as in CI, that is a failure.
func skip(t *testing.T, why string) {
	t.Helper()
	require.Empty(t, os.Getenv("THREESCALE_BACKUP_SKIP_NOTHING"), why)
	t.Skip(why)
}

// serverDir makes a directory that the server's user owns. Its path is short, as
// that of a socket must be, and that user can reach it, unlike t.TempDir.
func serverDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "databases-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	if os.Getuid() == 0 {
		require.NoError(t, os.Chown(dir, nobody, nobody))
	}
	return dir
}

// asNobody makes a command that does not run as root, and ends with the test.
func asNobody(end syscall.Signal, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: end}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return cmd
}

func runAsNobody(t *testing.T, name string, args ...string) {
	t.Helper()
	runtime.LockOSThread() // The kernel ends the child with the thread that started it.
	defer runtime.UnlockOSThread()
	out, err := asNobody(syscall.SIGKILL, name, args...).CombinedOutput()
	require.NoError(t, err, "%s %q: %s", name, args, out)
}

// startServer starts a server, returns when it has printed that it is ready, and
// ends it after the test.
func startServer(t *testing.T, ready string, end syscall.Signal, name string, args ...string) {
	t.Helper()
	runtime.LockOSThread() // For good: the thread lives as long as the test.
	log := &serverLog{marker: ready, ready: make(chan struct{})}
	cmd := asNobody(end, name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(end) // It may have ended.
		<-ended
	})
	select {
	case <-log.ready:
	case err := <-ended:
		ended <- err
		require.FailNow(t, "the server ended", "%s: %v: %s", name, err, log)
	case <-time.After(2 * time.Minute):
		require.FailNow(t, "the server is not ready", "%s: %s", name, log)
	}
}

// serverLog keeps what a server prints, and tells when a text has come.
type serverLog struct {
	marker string
	ready  chan struct{}
	mu     sync.Mutex
	text   bytes.Buffer
	told   bool
}

// Write implements io.Writer.
func (l *serverLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	if !l.told && bytes.Contains(l.text.Bytes(), []byte(l.marker)) {
		l.told = true
		close(l.ready)
	}
	return len(p), nil
}

// String is what the server has printed.
func (l *serverLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// run feeds the client's standard input with statements, and returns what it prints.
func (s *server) run(database, statements string) (string, error) {
	return s.runWith(s.client, database, statements)
}

func (s *server) runWith(client []string, database, statements string) (string, error) {
	cmd := exec.Command(client[0], append(client[1:len(client):len(client)], database)...)
	cmd.Stdin = strings.NewReader(statements)
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, &errors)
	}
	return out.String(), nil
}

// must is run for statements that succeed.
func (s *server) must(t *testing.T, database, statements string) string {
	t.Helper()
	out, err := s.run(database, statements)
	require.NoError(t, err)
	return out
}

// database makes a database of porta's, named after the test, with the rows of testdata.
func (s *server) database(t *testing.T) string {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "_", "-", "_").Replace(t.Name()))
	admin, connect := "mysql", "USE "+name+";\n"
	if s.kind == "postgresql" {
		admin, connect = "postgres", `\connect `+name+"\n"
	}
	s.must(t, admin, "CREATE DATABASE "+name+";\n"+connect+read(t, "testdata/ddl-"+s.kind+".sql")+read(t, "testdata/rows.sql"))
	return name
}

// tables are those of porta that the statements read or write.
var tables = []string{
	"accounts", "api_docs_services", "authentication_providers", "backend_apis", "billing_strategies", "cinstances", "email_configurations",
	"payment_gateway_settings", "proxies", "proxy_configs", "services", "settings", "users", "web_hooks",
}

// dump returns each value of the tables.
func (s *server) dump(t *testing.T, database string, tables []string) string {
	t.Helper()
	var statements strings.Builder
	for _, table := range tables {
		fmt.Fprintf(&statements, "SELECT '%s:'; SELECT * FROM %s ORDER BY id;\n", table, table) //nolint:unqueryvet // Each column is compared.
	}
	return s.must(t, database, statements.String())
}

// value is one value of a database, by a query or as at writes it.
type value struct {
	reason string
	query  string
	want   string
}

// at is the query for a column, table.column, of the row with an ID.
func at(column string, id int) string {
	table, name, _ := strings.Cut(column, ".")
	return fmt.Sprintf("SELECT %s FROM %s WHERE id = %d", name, table, id)
}

// assertValues compares all values, asked for in one call of the client.
func (s *server) assertValues(t *testing.T, database string, values []value) {
	t.Helper()
	var statements strings.Builder
	for _, v := range values {
		statements.WriteString(v.query + ";\n")
	}
	lines := strings.Split(strings.TrimSuffix(s.must(t, database, statements.String()), "\n"), "\n")
	require.Len(t, lines, len(values), "each query returns one line: %q", lines)
	for i, v := range values {
		if lines[i] != v.want {
			t.Errorf("%s: %s\nwant %s\ngot  %s", v.reason, v.query, v.want, lines[i])
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}
