package database

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"threescale.dev/backup/fn/threescale"
)

const (
	// bufferSize is that of each buffer of a connection or a file.
	bufferSize = 128 << 10
	// dialTime is how long a connection may take, and a handshake of TLS: a Redis that does not speak it just waits.
	dialTime = 5 * time.Second
	// stallTime is how long a server may be silent when an answer is due, and how long it may take nothing.
	stallTime = time.Minute
	// redisPort is where Redis and its sentinels listen by default.
	redisPort, sentinelPort = 6379, 26379
)

// redisConn is one connection to one server, which it never replaces by another. Its methods are for one goroutine.
type redisConn struct {
	conn    net.Conn
	release func() bool // stops watching the context
	r       *bufio.Reader
	w       *bufio.Writer // keeps its first error, which flush returns
}

// refusal is what a server answers in place of a result.
type refusal struct{ command, text string }

func (e *refusal) Error() string {
	return fmt.Sprintf("cannot run %s: the server says %q", e.command, said(e.text))
}

// code is the first word of a refusal, such as NOPERM.
func (e *refusal) code() string {
	code, _, _ := strings.Cut(e.text, " ")
	return code
}

// said is what a server says, without what it repeats of a command, which may be a key or a value.
func said(text string) string {
	text, _, _ = strings.Cut(text, ", with args beginning with")
	const most = 200
	if len(text) > most {
		text = text[:most] + "..."
	}
	return text
}

// openRedis connects, to the master if there are sentinels, logs in, and selects the index.
func openRedis(ctx context.Context, c threescale.Connection) (*redisConn, error) {
	index, err := redisIndex(c.Database)
	if err != nil {
		return nil, err
	}
	if c.Sentinel == nil {
		return openServer(ctx, c, address(c.Address, redisPort), index)
	}
	master, err := findMaster(ctx, c)
	if err != nil {
		return nil, err
	}
	conn, err := openServer(ctx, c, master, index)
	if err != nil {
		return nil, fmt.Errorf("cannot use what the sentinels name as the master of %q: %w", c.Address.Host, err)
	}
	return conn, nil
}

func redisIndex(database string) (int, error) {
	if database == "" {
		return 0, nil
	}
	index, err := strconv.Atoi(database)
	if err != nil || index < 0 {
		return 0, &judgedError{Unsupported, errors.New("the path of the URL is the index of the database, and no number")}
	}
	return index, nil
}

func openServer(ctx context.Context, c threescale.Connection, server string, index int) (*redisConn, error) {
	conn, err := connect(ctx, server, c.TLS, c.Username, c.Password)
	if err != nil {
		return nil, err
	}
	if index != 0 {
		conn.send("SELECT", strconv.Itoa(index))
		err = errors.Join(conn.flush(), conn.status("SELECT"))
	}
	if err != nil {
		conn.close()
		return nil, err
	}
	return conn, nil
}

func address(a threescale.Address, port int) string {
	if a.Port != 0 {
		port = a.Port
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(port))
}

// findMaster asks the sentinels in turn, as each may be down.
func findMaster(ctx context.Context, c threescale.Connection) (string, error) {
	var failed []error
	for _, sentinel := range c.Sentinel.Addresses {
		at := address(sentinel, sentinelPort)
		master, err := askSentinel(ctx, c, at)
		if err == nil {
			return master, nil
		}
		failed = append(failed, fmt.Errorf("cannot ask sentinel %s: %w", at, err))
	}
	if len(failed) == 0 {
		return "", &judgedError{Unsupported, errors.New("the list of sentinels is empty")}
	}
	return "", errors.Join(failed...)
}

func askSentinel(ctx context.Context, c threescale.Connection, at string) (string, error) {
	var encrypted *threescale.TLS
	if c.Sentinel.TLS {
		if encrypted = c.TLS; encrypted == nil {
			encrypted = &threescale.TLS{Mode: threescale.TLSVerify}
		}
	}
	conn, err := connect(ctx, at, encrypted, c.Sentinel.Username, c.Sentinel.Password)
	if err != nil {
		return "", err
	}
	defer conn.close()
	const command = "SENTINEL GET-MASTER-ADDR-BY-NAME"
	conn.send("SENTINEL", "GET-MASTER-ADDR-BY-NAME", c.Address.Host)
	if err := conn.flush(); err != nil {
		return "", err
	}
	words, err := conn.array(command)
	if errors.Is(err, errNoBulk) {
		return "", &judgedError{Unsupported, fmt.Errorf("it knows no master %q, which is the host of the URL", c.Address.Host)}
	}
	if err == nil && words != 2 {
		err = errNotRESP
	}
	if err != nil {
		return "", err
	}
	host, err := conn.bulk(command)
	if err != nil {
		return "", err
	}
	port, err := conn.bulk(command)
	return net.JoinHostPort(host, port), err
}

// connect connects to a server or a sentinel, and logs in. It ends with the context.
func connect(ctx context.Context, server string, encrypted *threescale.TLS, username, password string) (*redisConn, error) {
	stream, err := dial(ctx, server, encrypted)
	if err != nil {
		return nil, err
	}
	conn := &redisConn{
		conn:    stream,
		release: context.AfterFunc(ctx, func() { _ = stream.Close() }),
		r:       bufio.NewReaderSize(stream, bufferSize),
		w:       bufio.NewWriterSize(stream, bufferSize),
	}
	if err := conn.login(username, password); err != nil {
		conn.close()
		return nil, err
	}
	return conn, nil
}

// login logs in, if there is a login.
func (c *redisConn) login(username, password string) error {
	switch {
	case username != "":
		c.send("AUTH", username, password)
	case password != "":
		c.send("AUTH", password)
	default:
		return nil
	}
	if err := c.flush(); err != nil {
		return err
	}
	return c.status("AUTH")
}

func (c *redisConn) close() {
	c.release()
	_ = c.conn.Close() // Whatever it had to say was an answer.
}

// send sends a command with the next flush.
func (c *redisConn) send(words ...string) { writeCommand(c.w, words...) }

// flush sends what waits. A server that asks for a certificate of the client refuses it after the handshake, and may
// have ended the connection by then: what it said before tells more than a write that failed.
func (c *redisConn) flush() error {
	err := c.w.Flush()
	if err == nil {
		return nil
	}
	if _, said := c.r.Peek(1); isTLS(said) {
		return said
	}
	return err
}

// header reads the first line of an answer.
func (c *redisConn) header(command string, want byte) (string, error) {
	kind, text, err := readHeader(c.r)
	if err != nil {
		return "", err
	}
	switch kind {
	case want:
		return text, nil
	case respError:
		return "", &refusal{command, strings.TrimPrefix(text, "EXECABORT Transaction discarded because of: ")}
	}
	return "", errNotRESP
}

// status reads an answer such as +OK.
func (c *redisConn) status(command string) error {
	_, err := c.header(command, respStatus)
	return err
}

func (c *redisConn) integer(command string) (int64, error) {
	text, err := c.header(command, respInteger)
	if err != nil {
		return 0, err
	}
	return parseNumber(text)
}

// length reads the header of a string; the string follows. It returns errNoBulk if there is none.
func (c *redisConn) length(command string) (int64, error) {
	text, err := c.header(command, respBulk)
	if err != nil {
		return 0, err
	}
	if text == "-1" {
		return 0, errNoBulk
	}
	return parseLength(text, maxBulk)
}

// bulk reads a string that is held in memory.
func (c *redisConn) bulk(command string) (string, error) {
	length, err := c.length(command)
	if err != nil {
		return "", err
	}
	const most = 16 << 20
	if length > most {
		return "", &tooLongError{length, most}
	}
	return readBulk(c.r, length)
}

// array reads the header of an array: how many answers follow. It returns errNoBulk if there is none.
func (c *redisConn) array(command string) (int, error) {
	text, err := c.header(command, respArray)
	if err != nil {
		return 0, err
	}
	if text == "-1" {
		return 0, errNoBulk
	}
	const most = 1 << 20
	n, err := parseLength(text, most)
	return int(n), err
}

// steadyConn is a connection whose other side must not be silent for long. There is no limit for a transfer as a whole.
type steadyConn struct {
	net.Conn
	limit time.Duration
}

func (c steadyConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c steadyConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
