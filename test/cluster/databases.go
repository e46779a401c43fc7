//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"threescale.dev/backup/test/cluster/ports"
)

// databaseUser owns what a database server stores: none of them runs as root.
const databaseUser = objectStoreUser

// A DatabaseServer is one of Debian's database servers, on this machine.
type DatabaseServer struct {
	// Address is its host and port, for this machine and for pods.
	Address string

	process *Process
	dir     string
	// client is the command line of its own client, as who may do everything.
	client []string
	// input goes before what the client reads.
	input string
}

// DatabaseLogin is that of the user that an installation has.
type DatabaseLogin struct {
	Database, User, Password string
}

// StartPostgreSQL starts PostgreSQL with an empty database that the user owns. What it
// stores is in the folder, which it makes.
func (c *Cluster) StartPostgreSQL(ctx context.Context, dir string, login DatabaseLogin) (*DatabaseServer, error) {
	versions, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(versions) == 0 {
		return nil, errors.Join(errors.New("cannot find PostgreSQL's server"), err)
	}
	bin := versions[len(versions)-1]
	s, err := newDatabaseServer(ctx, dir)
	if err != nil {
		return nil, err
	}
	data, host, port := s.path("data"), s.host(), s.port()
	if err := s.asUser(ctx, filepath.Join(bin, "initdb"), "--pgdata="+data, "--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"); err != nil {
		return nil, err
	}
	// Who connects to another address than 127.0.0.1 gives a password too.
	hba := "local all all trust\nhost all all all scram-sha-256\n" //nolint:dupword // a rule for each database, user and address
	if err := os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(hba), 0o644); err != nil {
		return nil, fmt.Errorf("cannot write rules of PostgreSQL: %w", err)
	}
	s.client = []string{"psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--host=" + s.dir, "--port=" + port, "--username=postgres", "--set=ON_ERROR_STOP=1"}
	err = s.start(ctx, c, "postgresql", filepath.Join(bin, "postgres"), "-D", data, "-k", s.dir, "-h", host, "-p", port, "-c", "fsync=off", "-c", "shared_buffers=16MB")
	if err != nil {
		return nil, err
	}
	_, err = s.Run(ctx, "postgres", fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s';\nCREATE DATABASE %s OWNER %[1]s;", login.User, login.Password, login.Database))
	return s, err
}

// StartMariaDB is StartPostgreSQL with MariaDB, which stands in for MySQL.
func (c *Cluster) StartMariaDB(ctx context.Context, dir string, login DatabaseLogin) (*DatabaseServer, error) {
	s, err := newDatabaseServer(ctx, dir)
	if err != nil {
		return nil, err
	}
	data, socket := "--datadir="+s.path("data"), "--socket="+s.path("socket")
	if err := s.asUser(ctx, "mariadb-install-db", "--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"); err != nil {
		return nil, err
	}
	s.client = []string{"mariadb", "--no-defaults", "--user=root", socket, "--default-character-set=utf8mb4", "--batch", "--raw", "--skip-column-names"}
	err = s.start(ctx, c, "mariadb", "mariadbd", "--no-defaults", data, socket, "--bind-address="+s.host(), "--port="+s.port(), "--skip-name-resolve",
		"--pid-file="+s.path("pid"), "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0", "--character-set-server=utf8mb3", "--collation-server=utf8mb3_bin")
	if err != nil {
		return nil, err
	}
	_, err = s.Run(ctx, "mysql", fmt.Sprintf("CREATE DATABASE %s;\nCREATE USER '%s'@'%%' IDENTIFIED BY '%s';\nGRANT ALL ON %[1]s.* TO '%[2]s'@'%%';", login.Database, login.User, login.Password))
	return s, err
}

// StartRedis starts an empty Redis, for a user who has its password.
func (c *Cluster) StartRedis(ctx context.Context, dir, password string) (*DatabaseServer, error) {
	s, err := newDatabaseServer(ctx, dir)
	if err != nil {
		return nil, err
	}
	// In a file, since everybody may read a command line.
	config := fmt.Sprintf("bind %s\nport %s\ndir %s\nsave \"\"\nappendonly no\nrequirepass %s\n", s.host(), s.port(), s.dir, password)
	if err := os.WriteFile(s.path("redis.conf"), []byte(config), 0o600); err != nil {
		return nil, fmt.Errorf("cannot write configuration of Redis: %w", err)
	}
	if err := s.own(ctx); err != nil {
		return nil, err
	}
	s.client, s.input = []string{"redis-cli", "-h", s.host(), "-p", s.port(), "-n"}, "AUTH "+password+"\n"
	return s, s.start(ctx, c, "redis", "redis-server", s.path("redis.conf"))
}

func newDatabaseServer(ctx context.Context, dir string) (*DatabaseServer, error) {
	port, err := ports.Free(ctx)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create folder of database: %w", err)
	}
	s := &DatabaseServer{Address: net.JoinHostPort(apiAddress, strconv.Itoa(port)), dir: dir}
	return s, s.own(ctx)
}

func (s *DatabaseServer) own(ctx context.Context) error {
	_, err := run(ctx, "chown", "-R", strconv.Itoa(databaseUser)+":"+strconv.Itoa(databaseUser), s.dir)
	return err
}

func (s *DatabaseServer) path(name string) string { return filepath.Join(s.dir, name) }

func (s *DatabaseServer) host() string { return apiAddress }

func (s *DatabaseServer) port() string { return s.Address[strings.LastIndexByte(s.Address, ':')+1:] }

func setpriv(name string, args ...string) []string {
	id := strconv.Itoa(databaseUser)
	return append([]string{"--reuid=" + id, "--regid=" + id, "--clear-groups", "--no-new-privs", "--pdeathsig=KILL", name}, args...)
}

// asUser runs a program in the server's folder, as its user.
func (s *DatabaseServer) asUser(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, "setpriv", setpriv(name, args...)...)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), "HOME="+s.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot run %s: %w: %s", filepath.Base(name), err, out)
	}
	return nil
}

// start starts the server, and returns when it answers its client.
func (s *DatabaseServer) start(ctx context.Context, c *Cluster, kind, name string, args ...string) error {
	var err error
	if s.process, err = c.StartProcess(ProcessOptions{Name: kind + "-" + s.port(), Path: "setpriv", Args: setpriv(name, args...)}); err != nil {
		return err
	}
	first, hello := "mysql", "SELECT 1;"
	switch kind {
	case "postgresql":
		first = "postgres"
	case "redis":
		first, hello = "0", "PING"
	}
	return s.process.Await(ctx, kind, func(ctx context.Context) error {
		_, err := s.Run(ctx, first, hello)
		return err
	})
}

// Process is the server's process, for a test that stops it.
func (s *DatabaseServer) Process() *Process { return s.process }

// Run has the server's own client run statements in a database, or commands in one of the
// indexes of Redis, and returns what it prints.
func (s *DatabaseServer) Run(ctx context.Context, database, statements string) (string, error) {
	cmd := exec.CommandContext(ctx, s.client[0], append(s.client[1:len(s.client):len(s.client)], database)...)
	cmd.Dir, cmd.Stdin = s.dir, strings.NewReader(s.input+statements+"\n")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("cannot run statements: %w: %s", err, &stderr)
	}
	text := string(out)
	if s.input != "" {
		text = strings.TrimPrefix(text, "OK\n")
	}
	return text, nil
}

// Local are the options by which the server's own clients on this machine connect, as who
// may do everything.
func (s *DatabaseServer) Local() []string {
	if s.client[0] == "psql" {
		return []string{"--host=" + s.dir, "--port=" + s.port(), "--username=postgres"}
	}
	return []string{"--no-defaults", "--user=root", "--socket=" + s.path("socket")}
}
