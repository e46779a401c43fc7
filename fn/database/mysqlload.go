package database

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// mysqlSession holds a named lock, of which the server has one of each name, whatever the database. The client that runs
// the dump has a session of its own, and a lock of its own: it may outlive the session that holds the first.
type mysqlSession struct {
	db       *sql.DB
	conn     *sql.Conn
	database string
}

// lockName names a lock of a database. Names have at most 64 characters, in which case does not count.
func (s *mysqlSession) lockName(of string) string {
	const enough = 32
	sum := sha256.Sum256([]byte(s.database))
	return "threescale-backup/" + hex.EncodeToString(sum[:])[:enough] + "/" + of
}

func lockMySQL(ctx context.Context, o LoadOptions) (_ *mysqlSession, err error) {
	s := &mysqlSession{database: o.Connection.Database}
	if s.db, err = openMySQL(o.Connection); err != nil {
		return nil, err
	}
	if s.conn, err = s.db.Conn(ctx); err == nil {
		err = s.lock(ctx, o)
	}
	if err != nil {
		s.close(ctx)
		return nil, err
	}
	return s, nil
}

func (s *mysqlSession) lock(ctx context.Context, o LoadOptions) error {
	// So long after a node was lost, the server releases its locks.
	if _, err := s.conn.ExecContext(ctx, "SET SESSION wait_timeout = 300"); err != nil {
		return err
	}
	for _, name := range []string{s.lockName("load"), s.lockName("client")} {
		got := sql.NullInt64{}
		if err := s.conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, ?)", name, int(o.patience()/time.Second)).Scan(&got); err != nil {
			return err
		}
		if got.Int64 != 1 {
			return s.locked(o)
		}
	}
	// No client of an earlier load is left, and until ours has it, nobody else begins to wait for it.
	_, err := s.conn.ExecContext(ctx, "DO RELEASE_LOCK(?)", s.lockName("client"))
	return err
}

// locked says how to end another load. The two locks may be of one, and no server has more.
func (s *mysqlSession) locked(o LoadOptions) error {
	return o.locked(fmt.Sprintf("if its pod is gone, KILL the session that SELECT COALESCE(IS_USED_LOCK('%s'), IS_USED_LOCK('%s')) shows",
		s.lockName("load"), s.lockName("client")))
}

func (s *mysqlSession) close(context.Context) {
	if s.conn != nil {
		_ = s.conn.Close() // What it said last has been heard, and the locks go with it.
	}
	_ = s.db.Close() // likewise
}

func (s *mysqlSession) confirm(ctx context.Context, _ sqlServer) error {
	_, err := s.conn.ExecContext(ctx, "DROP TABLE "+loadingTable)
	return err
}

// load has the client run a dump. Its statements cannot be undone, and the mark says until the end that not all have been
// run.
func (s *mysqlSession) load(ctx context.Context, o LoadOptions, before sqlServer) (isLoaded func(table) bool, err error) {
	client, err := findClient(ctx, o.Client, before, mysqlClients(before, "mysql", "mariadb")...)
	if err != nil {
		return nil, err
	}
	began := o.loading()
	if err := s.mark(ctx, began); err != nil {
		return nil, err
	}
	err = s.keptAlive(ctx, aliveTime, func() error {
		isLoaded, err = s.run(ctx, o, before, client)
		return err
	})
	if err == nil {
		err = s.end(ctx, o, began)
	}
	return isLoaded, hasWritten(err)
}

// aliveTime is how often a session says something: servers, and proxies before them, end one that does not.
const aliveTime = 30 * time.Second

// keptAlive works while the session says something so often. It returns when nobody uses the session any more.
func (s *mysqlSession) keptAlive(ctx context.Context, often time.Duration, work func() error) error {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(often)
		defer ticker.Stop()
		for s.says(ctx) == nil {
			select {
			case <-end:
				return
			case <-ticker.C:
			}
		}
	}()
	defer func() {
		close(end)
		<-ended
	}()
	return work()
}

// says fails if the session is lost. What does not answer is.
func (s *mysqlSession) says(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, aliveTime)
	defer cancel()
	_, err := s.conn.ExecContext(ctx, "DO 1")
	return err
}

// end marks the database as loaded. If the session was lost while the client ran, and the lock with it, it begins another
// one: without a mark of another load, nobody else has written.
func (s *mysqlSession) end(ctx context.Context, o LoadOptions, began mark) error {
	if s.says(ctx) == nil {
		return s.mark(ctx, o.loaded())
	}
	_ = s.conn.Close() // It is lost.
	var err error
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return err
	}
	if err := s.lock(ctx, o); err != nil {
		return err
	}
	text := ""
	if err := s.conn.QueryRowContext(ctx, "SELECT COALESCE(MAX(run), '') FROM "+loadingTable).Scan(&text); err != nil {
		return err
	}
	if text != began.String() {
		return &judgedError{Locked, errTaken}
	}
	return s.mark(ctx, o.loaded())
}

// mark replaces the mark at once. It fails if the session has ended, and with it the lock.
func (s *mysqlSession) mark(ctx context.Context, m mark) error {
	// Servers of a cluster write to tables with a primary key only. Ones that older versions made have none, and no id.
	const columns = " (id TINYINT NOT NULL DEFAULT 1 PRIMARY KEY, run VARCHAR(255) NOT NULL) ENGINE=InnoDB"
	if _, err := s.conn.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+loadingTable+columns); err != nil {
		return err
	}
	tx, err := s.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // it was committed, or its error has been told
	if _, err := tx.ExecContext(ctx, "DELETE FROM "+loadingTable); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO "+loadingTable+" (run) VALUES (?)", m.String()); err != nil {
		return err
	}
	return tx.Commit()
}

// run has the client run a dump.
func (s *mysqlSession) run(ctx context.Context, o LoadOptions, before sqlServer, client sqlClient) (isLoaded func(table) bool, err error) {
	file, err := os.Open(filepath.Join(o.From, mysqlFile))
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	script := newScript(file)
	stop := watch(o.Progress, script.read.Load)
	defer stop()
	err = withPrivate(o.Private, func(dir string) error {
		login, err := mysqlLogin(o.Connection, dir, before.version.mariaDB)
		if err != nil {
			return err
		}
		lock := strings.NewReader(clientLock(s.lockName("client")))
		err = client.run(ctx, io.MultiReader(lock, script), mysqlLoadArgs(login, o.Connection.Database)...)
		if hasNoLock(err) {
			return s.locked(o)
		}
		return err
	})
	return func(t table) bool { return slices.Contains(script.tables, t.name) }, err
}

// clientLock is the first line of what the client runs. A number that is too large ends it unless it gets the lock: DO would
// go on, and only procedures raise errors of their own.
func clientLock(name string) string {
	return "SET @threescale_backup_lock = 18446744073709551615 + (COALESCE(GET_LOCK('" + name + "', 0), 0) <> 1);\n"
}

// hasNoLock reports whether a client has ended since it did not get its lock.
func hasNoLock(err error) bool {
	client, ok := errors.AsType[*clientError](err)
	return ok && strings.Contains(client.said, "ERROR 1690 (22003) at line 1:")
}

// mysqlLoadArgs is the command line of the client that runs a dump. In binary mode, it runs no commands of its own that are
// in a dump, such as \! for a shell. Without local-infile, it sends the server no file of its own, which a dump may ask for.
// It does not connect again: the new session would have neither the lock nor what the dump has set.
func mysqlLoadArgs(login, database string) []string {
	return []string{
		"--defaults-file=" + login, "--batch", "--binary-mode", "--local-infile=0", "--skip-reconnect", "--default-character-set=utf8mb4", maxPacket, "--database=" + database,
	}
}
