package database

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"threescale.dev/backup/fn/threescale"
)

// userRelations lists what a user made: a table, a sequence, a view. What belongs to an extension comes with it.
// The size is that of the whole database: to be told that of a table, one waits for who locks it. Of a mark it has the
// name with which statements can name it.
const userRelations = `SELECT c.oid, n.nspname || '.' || c.relname, c.relkind, pg_catalog.pg_database_size(pg_catalog.current_database()),
CASE WHEN c.relkind = 'r' AND c.relname = '` + loadingTable + `' THEN pg_catalog.quote_ident(n.nspname) || '.' || c.relname END
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 2`

// connectTime is how long a server may take to answer a connection.
const connectTime = 30 * time.Second

// lookPostgreSQL connects to a server and finds out what it is.
func lookPostgreSQL(ctx context.Context, c threescale.Connection) (sqlServer, error) {
	conn, err := connectPostgreSQL(ctx, c)
	if err != nil {
		return sqlServer{}, err
	}
	defer closePostgreSQL(ctx, conn)
	v := parseVersion(conn.ParameterStatus("server_version"))
	s := sqlServer{version: v, Server: Server{Kind: c.Kind, Version: v.String(), Empty: true}}
	result := conn.ExecParams(ctx, userRelations, nil, nil, nil, nil).Read()
	if result.Err != nil {
		return sqlServer{}, result.Err
	}
	for _, row := range result.Rows {
		if mark := row[4]; mark != nil {
			s.marks = append(s.marks, string(mark))
			continue
		}
		s.Empty = false
		s.Bytes, _ = strconv.ParseInt(string(row[3]), 10, 64) // 0 is not known.
		if kind := string(row[2]); kind == "r" || kind == "p" {
			s.tables = append(s.tables, table{string(row[1]), string(row[0])})
		}
	}
	for _, mark := range s.marks {
		result = conn.ExecParams(ctx, "SELECT run FROM "+mark+" LIMIT 1", nil, nil, nil, nil).Read()
		if result.Err != nil {
			return sqlServer{}, result.Err
		}
		for _, row := range result.Rows {
			parseMark(string(row[0])).tell(&s.Server)
		}
	}
	return s, nil
}

// closePostgreSQL takes leave of a server, which need not hear it.
func closePostgreSQL(ctx context.Context, conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

func connectPostgreSQL(ctx context.Context, c threescale.Connection) (*pgconn.PgConn, error) {
	parameters := map[string]string{"sslmode": "disable", "client_encoding": "UTF8"} // TLS is set below.
	for _, name := range []string{"application_name", "connect_timeout", "options", "target_session_attrs"} {
		if value, ok := c.Parameters[name]; ok {
			parameters[name] = value
		}
	}
	config, err := pgconn.ParseConfig(conninfo(c, parameters))
	if err != nil { // err may show what it parsed.
		return nil, &judgedError{Unsupported, errors.New("the query of the URL cannot be used: correct its parameters")}
	}
	config.Password, config.Fallbacks = c.Password, nil
	if _, ok := parameters["connect_timeout"]; !ok {
		config.ConnectTimeout = connectTime
	}
	if c.TLS != nil {
		if config.TLSConfig, err = tlsConfig(c.Address.Host, *c.TLS); err != nil {
			return nil, err
		}
		if c.TLS.Mode == threescale.TLSPreferred {
			config.Fallbacks = []*pgconn.FallbackConfig{{Host: config.Host, Port: config.Port}}
		}
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil && c.TLS != nil && c.TLS.Mode != threescale.TLSPreferred && strings.Contains(err.Error(), "server refused TLS connection") {
		return nil, errNoTLS
	}
	return conn, err
}

// postgreSQLTLS are libpq's names of the modes.
var postgreSQLTLS = map[threescale.TLSMode]string{
	threescale.TLSPreferred: "prefer", threescale.TLSRequired: "require", threescale.TLSVerifyCA: "verify-ca", threescale.TLSVerify: "verify-full",
}

// postgreSQLLogin writes the files that a client of PostgreSQL logs in with, and returns the parameters that name them.
func postgreSQLLogin(c threescale.Connection, dir string) (map[string]string, error) {
	parameters := map[string]string{"sslmode": "disable"}
	maps.Copy(parameters, c.Parameters)
	escape := strings.NewReplacer(`\`, `\\`, `:`, `\:`)
	parameters["passfile"] = filepath.Join(dir, "password")
	if err := os.WriteFile(parameters["passfile"], []byte("*:*:*:*:"+escape.Replace(c.Password)+"\n"), 0o600); err != nil {
		return nil, err
	}
	if c.TLS == nil {
		return parameters, nil
	}
	parameters["sslmode"] = postgreSQLTLS[c.TLS.Mode]
	files, err := writeTLS(*c.TLS, dir)
	if err != nil {
		return nil, err
	}
	for name, path := range map[string]string{"sslrootcert": files.ca, "sslcert": files.cert, "sslkey": files.key} {
		if path != "" {
			parameters[name] = path
		}
	}
	return parameters, nil
}

// conninfo returns a connection string of libpq, without a password.
func conninfo(c threescale.Connection, parameters map[string]string) string {
	all := map[string]string{"host": c.Address.Host, "port": strconv.Itoa(c.Address.Port), "user": c.Username, "dbname": c.Database}
	maps.Copy(all, parameters)
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	words := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		words = append(words, name+"='"+quote.Replace(all[name])+"'")
	}
	return strings.Join(words, " ")
}

// dumpPostgreSQL runs pg_dump. The format of directories has a file a table, so that what is unchanged is stored once.
func dumpPostgreSQL(ctx context.Context, o DumpOptions, s sqlServer) (tool string, err error) {
	client, err := findClient(ctx, o.Client, s, "pg_dump")
	if err != nil {
		return "", err
	}
	err = withPrivate(o.Private, func(dir string) error {
		parameters, err := postgreSQLLogin(o.Connection, dir)
		if err != nil {
			return err
		}
		return client.run(ctx, nil, "--format=directory", "--compress=0", "--no-owner", "--no-privileges", "--no-password",
			"--exclude-table=*."+loadingTable, "--file="+o.Into, "--dbname="+conninfo(o.Connection, parameters))
	})
	if err != nil {
		return "", err
	}
	return client.tool(), proveDirectory(ctx, o)
}

// proveDirectory proves that the contents of a dump can be read, which pg_dump writes last.
func proveDirectory(ctx context.Context, o DumpOptions) error {
	file, err := os.Open(filepath.Join(o.Into, "toc.dat"))
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it was only read
	magic := make([]byte, 5)
	if n, _ := file.Read(magic); string(magic[:n]) != "PGDMP" {
		return errors.New("pg_dump ended without an error, and its toc.dat is none")
	}
	path, err := lookPath(o.Client)("pg_restore")
	if err != nil { // Not each image has it.
		return nil
	}
	return sqlClient{name: "pg_restore", path: path}.run(ctx, nil, "--list", "--file="+os.DevNull, o.Into)
}
