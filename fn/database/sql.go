package database

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
)

// sqlServer is what is known of a SQL database.
type sqlServer struct {
	Server
	version version
	tables  []table  // but for our own
	marks   []string // the tables that have marks of loads; of PostgreSQL alone
}

// table of a database. Names of PostgreSQL have a schema, and IDs.
type table struct{ name, id string }

// has reports whether there is a table of a name, in whichever schema.
func (s sqlServer) has(name string) bool {
	return slices.ContainsFunc(s.tables, func(t table) bool { return t.name == name || strings.HasSuffix(t.name, "."+name) })
}

// lookSQL connects to a SQL database and finds out what it is.
func lookSQL(ctx context.Context, c threescale.Connection) (sqlServer, error) {
	if c.Kind == recorded.PostgreSQL {
		return lookPostgreSQL(ctx, c)
	}
	return lookMySQL(ctx, c)
}

// sqlTask is on whose behalf a SQL database is used, for its errors.
type sqlTask struct {
	database   threescale.Database
	connection threescale.Connection
}

// errNoTLS says that a server that has to encrypt does not.
var errNoTLS = errors.New("the server does not offer TLS")

// failed makes an Error of any other, or returns that of the context. Nothing of a row is in it.
func (t sqlTask) failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	problem, text := judgeSQL(err)
	if t.connection.Password != "" { // No client shows it; if one ever did, nobody shall read it.
		text = strings.ReplaceAll(text, t.connection.Password, "…")
	}
	_, written := errors.AsType[*writtenError](err)
	return &Error{Problem: problem, Database: t.database, Err: fmt.Errorf("%s: %w", t.connection, &saidError{withoutAddresses(text, t.connection), err}), Written: written}
}

// writtenError is an error after which a database may hold a part of what was loaded.
type writtenError struct{ err error }

func (e *writtenError) Error() string { return e.err.Error() }
func (e *writtenError) Unwrap() error { return e.err }

// hasWritten returns an error of a load that has begun to write.
func hasWritten(err error) error {
	if err == nil {
		return nil
	}
	return &writtenError{err}
}

// ipAddress finds what may be an address.
var ipAddress = regexp.MustCompile(`\d+\.\d+\.\d+\.\d+|[0-9A-Fa-f]*:[0-9A-Fa-f.]*:[0-9A-Fa-f.:]*[0-9A-Fa-f]\b`)

// withoutAddresses returns what an error says without addresses, but for those that the connection shows: whoever shows
// the error knows that they are to be concealed, if they are.
func withoutAddresses(text string, c threescale.Connection) string {
	known := []string{c.Address.Host}
	if c.Sentinel != nil {
		for _, address := range c.Sentinel.Addresses {
			known = append(known, address.Host)
		}
	}
	return ipAddress.ReplaceAllStringFunc(text, func(found string) string {
		if _, err := netip.ParseAddr(found); err != nil || slices.Contains(known, found) {
			return found
		}
		return "…"
	})
}

// saidError shows its text, and nothing of the error that it was made of.
type saidError struct {
	text string
	err  error
}

func (e *saidError) Error() string { return e.text }
func (e *saidError) Unwrap() error { return e.err }

// judgeSQL returns what an error means, and what to say of it.
func judgeSQL(err error) (Problem, string) {
	judged, isJudged := errors.AsType[*judgedError](err)
	client, isClient := errors.AsType[*clientError](err)
	postgreSQL, isPostgreSQL := errors.AsType[*pgconn.PgError](err)
	mySQL, isMySQL := errors.AsType[*mysql.MySQLError](err)
	path, isPath := errors.AsType[*fs.PathError](err)
	switch {
	case isJudged:
		return judged.problem, judged.err.Error()
	case isClient:
		return judgeClient(client)
	case isPostgreSQL:
		return judgePostgreSQL(postgreSQL)
	case isMySQL:
		return judgeMySQL(mySQL)
	case isFull(err):
		return Full, fmt.Sprintf("there is no space left: give the volume more (%s)", err)
	case isPath:
		return Failed, path.Error()
	}
	return judgeNetwork(err)
}

func isFull(err error) bool {
	var system syscall.Errno
	return errors.As(err, &system) && slices.Contains([]syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}, system)
}

// judgeNetwork is judgeSQL for what keeps a connection from being made.
func judgeNetwork(err error) (Problem, string) {
	dns, isDNS := errors.AsType[*net.DNSError](err)
	authority, isAuthority := errors.AsType[x509.UnknownAuthorityError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	name, isName := errors.AsType[x509.HostnameError](err)
	alert, isAlert := errors.AsType[tls.AlertError](err)
	verification, isVerification := errors.AsType[*tls.CertificateVerificationError](err)
	record, isRecord := errors.AsType[tls.RecordHeaderError](err)
	operation, isOperation := errors.AsType[*net.OpError](err)
	switch {
	case isDNS && dns.IsNotFound:
		return Unreachable, "the name of the host is not known: check the URL"
	case isAuthority:
		return Untrusted, fmt.Sprintf("%s: set the CA of the server in the Secret", authority.Error())
	case isInvalid && invalid.Reason == x509.Expired:
		return Untrusted, fmt.Sprintf("%s: renew the certificate of the server", invalid.Error())
	case isInvalid:
		return Untrusted, invalid.Error()
	case isName:
		return Untrusted, fmt.Sprintf("%s: use a host of the certificate in the URL", name.Error())
	case isVerification:
		return Untrusted, verification.Error()
	case isAlert:
		return Untrusted, alert.Error()
	case isRecord:
		return Untrusted, record.Error()
	case errors.Is(err, errNoTLS), errors.Is(err, mysql.ErrNoTLS):
		return Untrusted, "the server does not offer TLS, and the connection has to be encrypted: turn it on in the server"
	case isOperation && operation.Op == "remote error": // an alert of TLS
		return Untrusted, fmt.Sprintf("%s: check the client's certificate in the Secret", operation.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return Unreachable, "nothing listens there: check host and port in the URL, and that the server runs"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return Unreachable, "it does not answer: check host and port in the URL, and firewalls and NetworkPolicies"
	case isOperation, isDNS, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, driver.ErrBadConn), errors.Is(err, pgconn.ErrConnClosed):
		return Unreachable, fmt.Sprintf("the connection could not be made, or ended early: %s", onOneLine(innermost(err).Error()))
	}
	return Failed, onOneLine(innermost(err).Error())
}

// innermost returns the first cause of an error, without what others put before it.
func innermost(err error) error {
	for {
		switch wrapped := err.(type) { //nolint:errorlint // One wrapping is taken off at a time.
		case interface{ Unwrap() error }:
			if wrapped.Unwrap() == nil {
				return err
			}
			err = wrapped.Unwrap()
		case interface{ Unwrap() []error }:
			if len(wrapped.Unwrap()) == 0 {
				return err
			}
			err = wrapped.Unwrap()[0]
		default:
			return err
		}
	}
}

// judgePostgreSQL says what an answer of the server means.
func judgePostgreSQL(e *pgconn.PgError) (Problem, string) {
	switch {
	case e.Code == "28000" && (strings.Contains(e.Message, "no encryption") || strings.Contains(e.Message, "SSL off")):
		return Untrusted, e.Message + ": if the server asks for TLS, set the mode of TLS"
	case e.Code == "28P01", e.Code == "28000":
		return Denied, e.Message + ": correct the login in the Secret"
	case e.Code == "3D000":
		return Unsupported, e.Message + ": check the name of the database in the URL"
	case e.Code == "42501":
		return Denied, e.Message + ": grant it to the user"
	case e.Code == "42704", e.Code == "22023": // A parameter that the server does not know.
		return Unsupported, e.Message + ": correct the query of the URL"
	case e.Code == "53300", strings.HasPrefix(e.Code, "57P"), strings.HasPrefix(e.Code, "08"):
		return Unreachable, e.Message + ": see the log of the server"
	case e.Code == "53100":
		return Full, e.Message
	}
	return Failed, "SQLSTATE " + e.Code // The message may quote a row.
}

// judgeMySQL says what an answer of the server means.
func judgeMySQL(e *mysql.MySQLError) (Problem, string) {
	text := fmt.Sprintf("%s (%d)", e.Message, e.Number)
	switch e.Number {
	case 1045, 1698, 1862, 1820, 3118, 4151: // Wrong, not allowed in this way, expired, locked.
		return Denied, text + ": correct the login in the Secret, or set the mode of TLS if the user has to use it"
	case 1044, 1142, 1143, 1227, 1370, 1419:
		return Denied, text + ": grant it to the user"
	case 1049:
		return Unsupported, text + ": check the name of the database in the URL"
	case 3159, 4162: // ER_SECURE_TRANSPORT_REQUIRED
		return Untrusted, text + ": set the mode of TLS"
	case 1040, 1053, 1129, 1130, 1203, 1226, 1927:
		return Unreachable, text
	case 1021, 1114, 3636:
		return Full, text + ": give the server more space"
	case 1290, 1836: // read-only
		return Unsupported, text + ": name the primary server in the URL"
	}
	return Failed, fmt.Sprintf("error %d (%s) of the server", e.Number, string(e.SQLState[:])) // The message may quote a row.
}

// clientSays are texts of clients, and what they mean. The first that fits counts.
var clientSays = []struct {
	problem Problem
	advice  string
	texts   []string
}{
	{Full, "give the volume, or the server, more space", []string{"No space left on device", "Errcode: 28", "Errcode: 122", "Got errno 28", "Got errno 122", "Disk quota exceeded", "could not extend file", "is full"}},
	{ClientMissing, "use an image with the client of the server's own version", []string{"server version mismatch", "unsupported version", "unrecognized configuration parameter"}},
	{Untrusted, "check the CA and the certificates", []string{"certificate verify failed", "does not match host name", "certificate is not", "SSL connection error", "TLS/SSL error", "server does not support SSL"}},
	{Denied, "correct the login in the Secret", []string{"password authentication failed", "no pg_hba.conf entry", "(using password:"}},
	{Denied, "grant the user USAGE on the schema, and to load into it CREATE", []string{"permission denied for schema"}},
	{Unsupported, "make it in the database that is loaded, or name another database", []string{`schema "public" does not exist`}},
	{Denied, "grant the user SELECT on all tables and sequences, as in GRANT pg_read_all_data", []string{"permission denied for"}},
	{Denied, "load as the user who owns what is there", []string{"must be owner of", "permission denied to"}},
	{Denied, "grant the user what is missing", []string{"insufficent privileges", "insufficient privileges", "command denied to user", "Access denied", "you need (at least one of) the", "row-level security"}},
	{Denied, "set log_bin_trust_function_creators in the server, or load as an administrator", []string{"log_bin_trust_function_creators"}},
	{Failed, "it changed while it was dumped, as in an upgrade: try again after it", []string{"Table definition has changed"}},
	{Unreachable, "the connection ended early: see the log of the server", []string{
		"server closed the connection", "terminating connection", "Lost connection", "gone away", "Connection reset", "SSL connection has been closed", "SSL SYSCALL error",
		"could not receive data", "could not send data", "Connection was killed", "no connection to the server", "lost synchronization",
	}},
	{Unreachable, "check that the server runs", []string{"could not translate host name", "Connection refused", "Can't connect", "Connection timed out", "timeout expired", "is shutting down", "is starting up", "Unknown server host", "Unknown MySQL server host", "too many clients", "Too many connections"}},
	{Failed, "the database holds something of that name which is not what the dump has: replace it by hand, or load into an empty database", []string{"already exists", "is not a ", "cannot drop", "cannot be performed on"}},
}

// judgeClient says what the words of a client mean.
func judgeClient(e *clientError) (Problem, string) {
	for _, says := range clientSays {
		if slices.ContainsFunc(says.texts, func(text string) bool { return strings.Contains(e.said, text) }) {
			return says.problem, e.Error() + ": " + says.advice
		}
	}
	return Failed, e.Error()
}
