package databases

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"threescale.dev/backup/test/databases/sqlserver"
)

// server is a database server that runs as long as its test.
type server struct {
	*sqlserver.Server

	kind string // as domain.sh calls it
}

func startMariaDB(t *testing.T) *server {
	t.Helper()
	return &server{sqlserver.MariaDB(t, sqlserver.Options{}), "mysql"}
}

func startPostgreSQL(t *testing.T) *server {
	t.Helper()
	return &server{sqlserver.PostgreSQL(t, sqlserver.Options{}), "postgresql"}
}

// database makes a database of porta's, named after the test, with the rows of testdata.
func (s *server) database(t *testing.T) string {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "_", "-", "_").Replace(t.Name()))
	admin, connect := "mysql", "USE "+name+";\n"
	if s.kind == "postgresql" {
		admin, connect = "postgres", `\connect `+name+"\n"
	}
	s.Run(t, admin, "CREATE DATABASE "+name+";\n"+connect+read(t, "testdata/ddl-"+s.kind+".sql")+read(t, "testdata/rows.sql"))
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
	return s.Run(t, database, statements.String())
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
	lines := strings.Split(strings.TrimSuffix(s.Run(t, database, statements.String()), "\n"), "\n")
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
