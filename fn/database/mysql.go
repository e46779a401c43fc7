package database

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/go-sql-driver/mysql"

	"threescale.dev/backup/fn/threescale"
)

const (
	// mysqlFile is the file of a dump of MySQL.
	mysqlFile = "dump.sql"
	// loadingTable has the mark of a load. Of PostgreSQL it is there only when the load has ended.
	loadingTable = "threescale_backup_load"
)

func openMySQL(c threescale.Connection) (*sql.DB, error) {
	config := mysql.NewConfig()
	config.User, config.Passwd, config.DBName = c.Username, c.Password, c.Database
	config.Net, config.Addr, config.Timeout = "tcp", c.Address.String(), connectTime
	config.Logger = &mysql.NopLogger{}
	if c.TLS != nil {
		var err error
		if config.TLS, err = tlsConfig(c.Address.Host, *c.TLS); err != nil {
			return nil, err
		}
		config.AllowFallbackToPlaintext = c.TLS.Mode == threescale.TLSPreferred
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// lookMySQL connects to a server and finds out what it is.
func lookMySQL(ctx context.Context, c threescale.Connection) (s sqlServer, err error) {
	db, err := openMySQL(c)
	if err != nil {
		return sqlServer{}, err
	}
	defer db.Close() //nolint:errcheck // each statement has said whether it failed
	text := ""
	if err := db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&text); err != nil {
		return sqlServer{}, err
	}
	s.version = parseVersion(text)
	s.Server = Server{Kind: c.Kind, Version: s.version.String()}
	rows, err := db.QueryContext(ctx, "SELECT table_name, table_type = 'BASE TABLE', COALESCE(data_length, 0) + COALESCE(index_length, 0) FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1")
	if err != nil {
		return sqlServer{}, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err has said what failed
	s.Empty = true
	marked := false
	for rows.Next() {
		name, isTable, size := "", false, int64(0)
		if err := rows.Scan(&name, &isTable, &size); err != nil {
			return sqlServer{}, err
		}
		if name == loadingTable {
			marked = true
			continue
		}
		s.Empty = false
		s.Bytes += size
		if isTable { // and no view
			s.tables = append(s.tables, table{name: name})
		}
	}
	if err := rows.Err(); err != nil {
		return sqlServer{}, err
	}
	if !marked {
		return s, nil
	}
	mark := sql.NullString{}
	if err := db.QueryRowContext(ctx, "SELECT MAX(run) FROM "+loadingTable).Scan(&mark); err != nil {
		return sqlServer{}, err
	}
	if mark.Valid { // Without a row, the load has changed nothing else.
		parseMark(mark.String).tell(&s.Server)
	}
	return s, nil
}

// mysqlTLS are MySQL's names of the modes.
var mysqlTLS = map[threescale.TLSMode]string{
	threescale.TLSPreferred: "PREFERRED", threescale.TLSRequired: "REQUIRED", threescale.TLSVerifyCA: "VERIFY_CA", threescale.TLSVerify: "VERIFY_IDENTITY",
}

// mysqlLogin writes the option file that a client of MySQL or MariaDB logs in with, and returns its path.
func mysqlLogin(c threescale.Connection, dir string, mariaDB bool) (string, error) {
	options := [][2]string{{"user", c.Username}, {"password", c.Password}, {"host", c.Address.Host}, {"port", strconv.Itoa(c.Address.Port)}, {"protocol", "tcp"}}
	files := tlsFiles{}
	if c.TLS != nil {
		var err error
		if files, err = writeTLS(*c.TLS, dir); err != nil {
			return "", err
		}
	}
	options = append(options, mysqlTLSOptions(c.TLS, mariaDB)...)
	for _, file := range [][2]string{{"ssl-ca", files.ca}, {"ssl-cert", files.cert}, {"ssl-key", files.key}} {
		if file[1] != "" {
			options = append(options, file)
		}
	}
	path := filepath.Join(dir, "options.cnf")
	return path, os.WriteFile(path, optionFile(options), 0o600)
}

// mysqlTLSOptions says how to encrypt: the two clients have no option in common for it.
func mysqlTLSOptions(t *threescale.TLS, mariaDB bool) [][2]string {
	switch {
	case mariaDB && t == nil:
		return [][2]string{{"ssl", "0"}}
	case mariaDB && (t.Mode == threescale.TLSVerify || t.Mode == threescale.TLSVerifyCA): // It proves the name with the CA, or nothing at all.
		return [][2]string{{"ssl", "1"}, {"ssl-verify-server-cert", "1"}}
	case mariaDB:
		return [][2]string{{"ssl", "1"}, {"ssl-verify-server-cert", "0"}}
	case t == nil: // Without TLS, a password of caching_sha2_password is sent with the server's key.
		return [][2]string{{"ssl-mode", "DISABLED"}, {"get-server-public-key", "1"}}
	}
	return [][2]string{{"ssl-mode", mysqlTLS[t.Mode]}}
}

// optionFile writes options for a client, as its my_default.c reads them.
func optionFile(options [][2]string) []byte {
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\t", `\t`, "\b", `\b`)
	var out bytes.Buffer
	out.WriteString("[client]\n")
	for _, option := range options {
		fmt.Fprintf(&out, "%s=\"%s\"\n", option[0], quote.Replace(option[1]))
	}
	return out.Bytes()
}

// mysqlClients returns the names under which the client of a server may be found.
func mysqlClients(s sqlServer, mysqlName, mariaDBName string) []string {
	if s.version.mariaDB {
		return []string{mariaDBName, mysqlName}
	}
	return []string{mysqlName}
}

// maxPacket is as much as a server can be told to take of one row.
const maxPacket = "--max-allowed-packet=1G"

// dumpMySQL runs mysqldump or mariadb-dump.
func dumpMySQL(ctx context.Context, o DumpOptions, s sqlServer) (tool string, err error) {
	client, err := findClient(ctx, o.Client, s, mysqlClients(s, "mysqldump", "mariadb-dump")...)
	if err != nil {
		return "", err
	}
	file := filepath.Join(o.Into, mysqlFile)
	err = withPrivate(o.Private, func(dir string) error {
		login, err := mysqlLogin(o.Connection, dir, s.version.mariaDB)
		if err != nil {
			return err
		}
		return client.run(ctx, nil, mysqlDumpArgs(s.version.mariaDB, login, o.Connection.Database, file)...)
	})
	if err != nil {
		return "", err
	}
	return client.tool(), proveScript(file)
}

// mysqlDumpArgs is the command line of the client that dumps.
func mysqlDumpArgs(mariaDB bool, login, database, file string) []string {
	args := []string{
		"--defaults-file=" + login, "--single-transaction", "--quick", "--routines", "--triggers", "--no-tablespaces", "--hex-blob", "--skip-dump-date",
		"--default-character-set=utf8mb4", maxPacket, "--ignore-table=" + database + "." + loadingTable, "--result-file=" + file,
	}
	if !mariaDB { // which knows neither. Loading GTIDs takes an administrator, and older servers lack the statistics.
		args = append(args, "--set-gtid-purged=OFF", "--loose-column-statistics=0")
	}
	return append(args, "--", database)
}

// proveScript proves that a dump has the line that the client writes last.
func proveScript(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it was only read
	info, err := file.Stat()
	if err != nil {
		return err
	}
	const most = 200
	end := make([]byte, min(most, info.Size()))
	if _, err := file.ReadAt(end, info.Size()-int64(len(end))); err != nil {
		return err
	}
	lines := bytes.Split(bytes.TrimSpace(end), []byte("\n"))
	if !bytes.HasPrefix(lines[len(lines)-1], []byte("-- Dump completed")) {
		return errors.New("the client ended without an error, and without the line that ends a dump")
	}
	return nil
}

var (
	// definerLines begin statements that make something on behalf of a user.
	definerLines = [][]byte{[]byte("/*!50003 CREATE*/ /*!50017 DEFINER="), []byte("/*!50003 CREATE DEFINER="), []byte("CREATE DEFINER="), []byte("/*!50013 DEFINER="), []byte("/*!50020 CREATE*/ /*!50017 DEFINER=")}
	definer      = regexp.MustCompile("DEFINER=`(?:[^`]|``)*`@`(?:[^`]|``)*` ?")
	createTable  = regexp.MustCompile("^CREATE TABLE `((?:[^`]|``)+)`")
)

// script reads a dump of MySQL without the users on whose behalf its triggers and procedures ran: the target may not have
// them, and to name another user takes the rights of an administrator. So they run on behalf of whoever loads them.
type script struct {
	in     *bufio.Reader
	rest   []byte // of a line, to be handed out
	inLine bool   // the next bytes go on with a line
	read   atomic.Int64
	tables []string // that the dump has
}

func newScript(in io.Reader) *script {
	const most = 64 << 10 // No line that is changed is longer.
	return &script{in: bufio.NewReaderSize(in, most)}
}

// Read implements io.Reader.
func (s *script) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		line, err := s.in.ReadSlice('\n')
		if len(line) == 0 {
			return 0, err
		}
		s.read.Add(int64(len(line)))
		if s.rest = line; !s.inLine {
			s.rest = s.begin(line)
		}
		s.inLine = line[len(line)-1] != '\n'
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// begin looks at the begin of a line. The lines of data begin with INSERT, and line breaks in them are escaped.
func (s *script) begin(line []byte) []byte {
	if match := createTable.FindSubmatch(line); match != nil {
		s.tables = append(s.tables, strings.ReplaceAll(string(match[1]), "``", "`"))
	}
	if slices.ContainsFunc(definerLines, func(begin []byte) bool { return bytes.HasPrefix(line, begin) }) {
		if at := definer.FindIndex(line); at != nil {
			return slices.Concat(line[:at[0]], line[at[1]:])
		}
	}
	return line
}
