// Package redis speaks the few words of Redis' protocol (RESP2) that a test needs:
// what a client says is an array of strings, and what it hears is one line.
package redis

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
)

const (
	maxWords = 16
	maxWord  = 1 << 20
)

// ReadCommand reads what a client says: an array of bulk strings.
func ReadCommand(r *bufio.Reader) ([]string, error) {
	count, err := readLength(r, '*', maxWords)
	if err != nil {
		return nil, err
	}
	words := make([]string, count)
	for i := range words {
		size, err := readLength(r, '$', maxWord)
		if err != nil {
			return nil, err
		}
		word := make([]byte, size+2)
		if _, err := io.ReadFull(r, word); err != nil {
			return nil, fmt.Errorf("cannot read word: %w", err)
		}
		words[i] = string(word[:size])
	}
	return words, nil
}

func readLength(r *bufio.Reader, kind byte, limit int) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != kind {
		return 0, fmt.Errorf("cannot read command: got %q", line)
	}
	n, err := strconv.Atoi(strings.TrimSpace(line[1:]))
	if err != nil || n < 0 || n > limit {
		return 0, fmt.Errorf("cannot read command: length is %q", line)
	}
	return n, nil
}

// A Conn is a client's connection.
type Conn struct {
	conn net.Conn
	r    *bufio.Reader
}

// Dial connects to the server of a URL such as redis://:password@host:6379/1.
func Dial(address string) (*Conn, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "redis" || u.Host == "" {
		return nil, errors.New("cannot parse the URL of Redis") // It may hold a password.
	}
	conn, err := net.Dial("tcp", u.Host) //nolint:noctx // It ends with the program.
	if err != nil {
		return nil, err
	}
	c := &Conn{conn: conn, r: bufio.NewReader(conn)}
	if password, ok := u.User.Password(); ok {
		if _, err := c.Do("AUTH", password); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	if database := strings.Trim(u.Path, "/"); database != "" {
		if _, err := c.Do("SELECT", database); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return c, nil
}

// Do says something, and returns the answer without its first character.
func (c *Conn) Do(words ...string) (string, error) {
	var command strings.Builder
	fmt.Fprintf(&command, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&command, "$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := io.WriteString(c.conn, command.String()); err != nil {
		return "", fmt.Errorf("cannot write to Redis: %w", err)
	}
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("cannot read from Redis: %w", err)
	}
	answer := strings.TrimSpace(line)
	if strings.HasPrefix(answer, "-") {
		return "", errors.New(answer[1:])
	}
	return answer[1:], nil
}

// Close ends the connection.
func (c *Conn) Close() error { return c.conn.Close() }
