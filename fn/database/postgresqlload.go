package database

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// loadLock is the advisory lock that a load holds. The server has one of each number for each database.
const loadLock = 0x7473_2d6c_6f61_64 // "ts-load"

// keepAlive has the server find out within a minute that a node is lost, and release its lock. Over a Unix socket it has no
// effect.
const keepAlive = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"

// postgreSQLSession holds the lock. The client's statements go through it as well: so the lock is there for as long as
// anything may be written, whichever process dies first, and the mark is made by the transaction that writes.
type postgreSQLSession struct{ conn *pgconn.PgConn }

func lockPostgreSQL(ctx context.Context, o LoadOptions) (*postgreSQLSession, error) {
	conn, err := connectPostgreSQL(ctx, o.Connection)
	if err != nil {
		return nil, err
	}
	wait := max(o.patience(), time.Millisecond) // 0 would be for ever
	_, err = conn.Exec(ctx, fmt.Sprintf(keepAlive+"; SET lock_timeout = %d; SELECT pg_catalog.pg_advisory_lock(%d); RESET lock_timeout", wait.Milliseconds(), int64(loadLock))).ReadAll()
	if err == nil {
		return &postgreSQLSession{conn}, nil
	}
	closePostgreSQL(ctx, conn)
	const lockNotAvailable = "55P03"
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == lockNotAvailable {
		return nil, o.locked(fmt.Sprintf("if its pod is gone, SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = %d"+
			" AND database = (SELECT oid FROM pg_database WHERE datname = current_database())", loadLock&math.MaxUint32))
	}
	return nil, err
}

func (s *postgreSQLSession) close(ctx context.Context) { closePostgreSQL(ctx, s.conn) }

func (s *postgreSQLSession) confirm(ctx context.Context, marked sqlServer) error {
	_, err := s.conn.Exec(ctx, dropMarks(marked)).ReadAll()
	return err
}

func dropMarks(s sqlServer) string { return "DROP TABLE " + strings.Join(s.marks, ", ") }

// chooseSchema has the next table that is made in the transaction be made in public, or in another schema where the user
// may make one: many servers have no public, or let nobody make anything there. The transaction may have made the schema.
const chooseSchema = `SELECT pg_catalog.set_config('search_path', (SELECT pg_catalog.quote_ident(nspname) FROM pg_catalog.pg_namespace
WHERE nspname <> 'information_schema' AND nspname !~ '^pg_'
AND pg_catalog.has_schema_privilege(oid, 'CREATE') AND pg_catalog.has_schema_privilege(oid, 'USAGE')
ORDER BY nspname <> 'public', nspname LIMIT 1), true)`

// load runs pg_restore: all of it, or nothing.
func (s *postgreSQLSession) load(ctx context.Context, o LoadOptions, before sqlServer) (isLoaded func(table) bool, err error) {
	client, err := findClient(ctx, o.Client, before, "pg_restore")
	if err != nil {
		return nil, err
	}
	err = withPrivate(o.Private, func(dir string) error {
		relay, err := newRelay(ctx, s.conn, dir, s.statements(o, before))
		if err != nil {
			return err
		}
		args := []string{"--no-owner", "--no-privileges", "--no-password", "--single-transaction", "--exit-on-error", "--dbname=" + relay.conninfo(o.Connection)}
		if o.Policy == Replace {
			args = append(args, "--clean", "--if-exists")
		}
		err = relay.during(ctx, func() error { return client.run(ctx, nil, append(args, o.From)...) })
		if err != nil && relay.committed && s.hasCommitted(ctx, o, before) {
			return nil
		}
		return hasWritten(err)
	})
	return func(t table) bool { return !slices.Contains(before.tables, t) }, err // One that was made again has another ID.
}

// hasCommitted reports whether the transaction of a client that has failed is there all the same: it may have been ended
// before it heard of it.
func (s *postgreSQLSession) hasCommitted(ctx context.Context, o LoadOptions, before sqlServer) bool {
	after, err := lookPostgreSQL(ctx, o.Connection)
	return err == nil && o.owns(after.Server) && before.Loaded != after.Loaded
}

// statements are those of pg_restore that begin and end its transaction, and what is sent in their place.
func (s *postgreSQLSession) statements(o LoadOptions, before sqlServer) map[string]string {
	begin := "BEGIN"
	if len(before.marks) > 0 {
		begin += "; " + dropMarks(before)
	}
	text := strings.ReplaceAll(o.loaded().String(), "'", "''")
	return map[string]string{
		"BEGIN":  begin,
		"COMMIT": chooseSchema + "; CREATE TABLE " + loadingTable + " (run text NOT NULL); INSERT INTO " + loadingTable + " VALUES ('" + text + "'); COMMIT",
	}
}
