package redis

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadCommand(t *testing.T) {
	cases := map[string]struct {
		reason, said string
		want         []string
		err          string
	}{
		"Words":    {"words may be of any bytes", "*2\r\n$4\r\nAUTH\r\n$3\r\na\r\n\r\n", []string{"AUTH", "a\r\n"}, ""},
		"Inline":   {"no client of ours speaks so", "PING\r\n", nil, "got"},
		"TooMany":  {"nobody says so much", "*99\r\n", nil, "length is"},
		"Negative": {"it would be no length", "*-1\r\n", nil, "length is"},
		"CutOff":   {"a client may go at any time", "*1\r\n$4\r\nPI", nil, "EOF"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := ReadCommand(bufio.NewReader(strings.NewReader(tc.said)))
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err, tc.reason)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, got, tc.reason)
		})
	}
}

// TestDial has a client say who it is, and read an answer and an error.
func TestDial(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	said := make(chan []string, 4)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		r := bufio.NewReader(conn)
		for _, answer := range []string{"+OK", "+OK", ":1", "-ERR no"} {
			words, err := ReadCommand(r)
			if err != nil {
				return
			}
			said <- words
			if _, err := fmt.Fprintf(conn, "%s\r\n", answer); err != nil {
				return
			}
		}
	}()
	defer func() { require.NoError(t, listener.Close()) }()

	conn, err := Dial("redis://:secret@" + listener.Addr().String() + "/1")
	require.NoError(t, err)
	require.Equal(t, []string{"AUTH", "secret"}, <-said)
	require.Equal(t, []string{"SELECT", "1"}, <-said)
	answer, err := conn.Do("EXISTS", "key")
	require.NoError(t, err)
	require.Equal(t, "1", answer)
	_, err = conn.Do("LPUSH", "queue", "job")
	require.EqualError(t, err, "ERR no")
	require.NoError(t, conn.Close())

	for _, address := range []string{"", "http://example.com", "redis://"} {
		_, err := Dial(address)
		require.EqualError(t, err, "cannot parse the URL of Redis")
	}
}
