package database

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"threescale.dev/backup/fn/threescale"
)

// relayPort is in the name of a relay's socket, where clients of PostgreSQL look for it.
const relayPort = 5432

// relay lends a session of PostgreSQL to one client on this machine, by a socket in a directory that nobody else sees. It
// hands on what the client sends, but for some statements, in whose place it sends others.
type relay struct {
	conn      *pgconn.PgConn
	dir       string
	listener  net.Listener
	instead   map[string]string
	committed bool // the client has ended its transaction
}

// newRelay takes over a session that does nothing.
func newRelay(ctx context.Context, conn *pgconn.PgConn, dir string, instead map[string]string) (*relay, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", filepath.Join(dir, ".s.PGSQL."+strconv.Itoa(relayPort)))
	if err != nil { // The path of a socket has 107 bytes at most.
		return nil, &judgedError{Failed, fmt.Errorf("cannot make a socket for pg_restore in directory %q: %w", dir, err)}
	}
	return &relay{conn: conn, dir: dir, listener: listener, instead: instead}, nil
}

// conninfo is how the client finds the relay.
func (r *relay) conninfo(c threescale.Connection) string {
	c.Address = threescale.Address{Host: r.dir, Port: relayPort}
	return conninfo(c, nil)
}

// during lends the session while the client runs, and closes it. A client that ended well has committed.
func (r *relay) during(ctx context.Context, run func() error) error {
	server, err := r.conn.Hijack()
	if err != nil {
		return err
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		r.serve(server)
	}()
	err = run()
	_ = r.listener.Close() // It may never have come.
	if err != nil {
		r.cancel(ctx)
	}
	_ = server.Conn.Close()
	<-served
	if err == nil && !r.committed {
		return errors.New("pg_restore ended without an error, and did not commit")
	}
	return err
}

// cancel has the server end a statement that would go on for long, and keep the lock: it does not look whether anybody
// waits for the answer.
func (r *relay) cancel(ctx context.Context) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer stop()
	_ = r.conn.CancelRequest(ctx) // It ends by itself otherwise, and is undone.
}

// serve serves the one client.
func (r *relay) serve(server *pgconn.HijackedConn) {
	client, err := r.listener.Accept()
	if err != nil {
		return
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_, _ = io.Copy(client, server.Conn) // The client says that it was cut off.
		_ = client.Close()
	}()
	if greet(client, server.ParameterStatuses) == nil {
		_ = r.forward(server.Conn, client) // likewise
	}
	_ = server.Conn.Close()
	<-answered
}

// greet answers a client that logs in: the session has.
func greet(client io.ReadWriter, parameters map[string]string) error {
	backend := pgproto3.NewBackend(client, client)
	for {
		message, err := backend.ReceiveStartupMessage()
		if err != nil {
			return err
		}
		if _, ok := message.(*pgproto3.StartupMessage); ok {
			break
		}
		if _, err := client.Write([]byte("N")); err != nil { // It asked for an encryption.
			return err
		}
	}
	backend.Send(&pgproto3.AuthenticationOk{})
	for name, value := range parameters {
		backend.Send(&pgproto3.ParameterStatus{Name: name, Value: value})
	}
	backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	return backend.Flush()
}

// A message of PostgreSQL has a kind and its length, which counts itself and what follows.
const (
	messageHead   = 5
	messageKind   = 1
	queryKind     = 'Q'
	terminateKind = 'X'
)

// forward hands on messages until the client says that it ends.
func (r *relay) forward(to io.Writer, from io.Reader) error {
	in, out := bufio.NewReaderSize(from, bufferSize), bufio.NewWriterSize(to, bufferSize)
	for {
		head, err := in.Peek(messageHead)
		if err != nil {
			return err
		}
		kind, length := head[0], messageKind+int64(binary.BigEndian.Uint32(head[messageKind:]))
		switch {
		case kind == terminateKind:
			return nil
		case kind == queryKind && length <= bufferSize:
			err = r.query(out, in, int(length))
		default:
			_, err = io.CopyN(out, in, length)
		}
		if err == nil && in.Buffered() == 0 {
			err = out.Flush()
		}
		if err != nil {
			return err
		}
	}
}

// query hands on a statement, or another in its place.
func (r *relay) query(out io.Writer, in *bufio.Reader, length int) error {
	message, err := in.Peek(length)
	if err != nil {
		return err
	}
	text := string(message[messageHead : length-1]) // without the 0 at its end
	if other, ok := r.instead[text]; ok {
		r.committed = r.committed || text == "COMMIT"
		message, err = (&pgproto3.Query{String: other}).Encode(nil)
	}
	if err == nil {
		_, err = out.Write(message)
	}
	if err == nil {
		_, err = in.Discard(length)
	}
	return err
}
