package database

import (
	"bufio"
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// aDump makes a dump of keys with the same payload.
func aDump(keys ...string) string {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	payload := stringPayload("value", 10)
	for _, key := range keys {
		writeRestoreHead(w, key, 0, int64(len(payload)))
		_, _ = w.WriteString(payload)
		writeRestoreEnd(w)
	}
	writeKeys(w, int64(len(keys)))
	_ = w.Flush()
	return out.String()
}

func TestDumpIsProven(t *testing.T) {
	found, err := proveDump(strings.NewReader(aDump("a", "", "\r\n*2")))
	require.NoError(t, err)
	assert.Equal(t, proven{keys: 3, version: 10}, found)
}

// TestDumpIsRefused has files that a server would partly execute.
func TestDumpIsRefused(t *testing.T) {
	whole := aDump("a", "b")
	change := func(from, to string) string {
		require.Contains(t, whole, from)
		return strings.Replace(whole, from, to, 1)
	}
	for reason, text := range map[string]string{
		"nothing in it":                      "",
		"no end":                             strings.TrimSuffix(whole, "*2\r\n$4\r\nECHO\r\n$6\r\n2 keys\r\n"),
		"a key is lost":                      change("2 keys", "3 keys"),
		"something after the end":            whole + "\r\n",
		"another dump after the end":         whole + whole,
		"the end is not ours":                change("2 keys", "2 kegs"),
		"a number of another form":           change("$6\r\n2 keys", "$7\r\n02 keys"),
		"another command":                    change("RESTORE", "RESTART"),
		"a command of another length":        change("*6\r\n", "*5\r\n"),
		"a command in small letters":         change("RESTORE", "restore"),
		"another command of two words":       change("$4\r\nECHO", "$4\r\nKEYS"),
		"an inline command":                  "FLUSHALL\r\n" + whole,
		"no REPLACE":                         change("REPLACE", "replace"),
		"a relative time":                    change("ABSTTL", "IDLETI"),
		"a time before 1970":                 change("$1\r\n0\r\n", "$2\r\n-1\r\n"),
		"a time that is no number":           change("$1\r\n0\r\n", "$1\r\nx\r\n"),
		"a time with a sign":                 change("$1\r\n0\r\n", "$2\r\n+1\r\n"),
		"a length with zeros":                change("$7\r\nRESTORE", "$07\r\nRESTORE"),
		"a negative length":                  change("$7\r\nRESTORE", "$-1\r\nRESTORE"),
		"a key that is longer than Redis's":  change("$1\r\na\r\n", "$536870913\r\na\r\n"),
		"a key that is longer than the rest": change("$1\r\na\r\n", "$536870912\r\na\r\n"),
		"a payload without a footer":         change(stringPayload("value", 10), "short"),
		"a line without CR":                  change("*6\r\n", "*6\n"),
		"a string without its end":           change("RESTORE\r\n", "RESTORE\n\n"),
		"a line that does not end":           strings.Repeat("*", 1<<20),
		"the marker":                         aDump("a", loadingKey),
		"the lock":                           aDump("a", lockKey),
	} {
		_, err := proveDump(strings.NewReader(text))
		var judged *judgedError
		if assert.ErrorAs(t, err, &judged, reason) {
			assert.Equal(t, Failed, judged.problem, reason)
		}
	}
}

// TestDumpIsCut cuts it everywhere.
func TestDumpIsCut(t *testing.T) {
	whole := aDump("a", "b")
	for n := range len(whole) {
		_, err := proveDump(strings.NewReader(whole[:n]))
		require.Error(t, err, "%d bytes", n)
	}
}

// full is a server that takes nothing.
type full struct{}

var errFull = errors.New("full")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestErrorsOfTheOtherSideAreItsOwn(t *testing.T) {
	d := newDumpReader(strings.NewReader(aDump(random(100_000))))
	_, err := d.next(bufio.NewWriterSize(full{}, 16))
	assert.Equal(t, errFull, err)
}

// FuzzDump holds the reader to taking exactly what it would write itself.
func FuzzDump(f *testing.F) {
	f.Add(aDump())
	f.Add(aDump("a", "\r\n"))
	f.Add(aDump("a") + "x")
	f.Add("*1\r\n$8\r\nFLUSHALL\r\n")
	f.Add("*6\r\n$7\r\nRESTORE\r\n$0\r\n\r\n$13\r\n4102444800001\r\n$10\r\n\x00\x00\x0a\x00\x00\x00\x00\x00\x00\x00\r\n$7\r\nREPLACE\r\n$6\r\nABSTTL\r\n*2\r\n$4\r\nECHO\r\n$6\r\n1 keys\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		var out bytes.Buffer
		w := bufio.NewWriter(&out)
		d := newDumpReader(strings.NewReader(text))
		for {
			_, err := d.next(w)
			if err == nil {
				continue
			}
			if err.Error() != "EOF" {
				return
			}
			break
		}
		writeKeys(w, d.keys)
		require.NoError(t, w.Flush())
		require.Equal(t, text, out.String())
	})
}

// FuzzAnswer holds the client to an end, whatever a server says.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{"+OK\r\n", "-ERR no\r\n", ":1\r\n", "$5\r\nhello\r\n", "$-1\r\n", "*-1\r\n", "*2\r\n$1\r\n0\r\n*1\r\n$3\r\nkey\r\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := &redisConn{r: bufio.NewReaderSize(strings.NewReader(text), 16), w: bufio.NewWriter(&bytes.Buffer{})}
		for {
			var err error
			for _, read := range []func(string) error{
				c.status,
				func(s string) error { _, err := c.integer(s); return err },
				func(s string) error { _, err := c.bulk(s); return err },
				func(s string) error { _, err := c.array(s); return err },
			} {
				err = read("GET")
				if errors.Is(err, errNotRESP) || err == nil {
					break
				}
			}
			if err != nil {
				return
			}
		}
	})
}
