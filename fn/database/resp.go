package database

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// This is RESP2, the protocol of Redis: what a server answers, and how a file holds commands that redis-cli --pipe takes.
// It is not left to a client library, since those hold each value in memory, and the largest may be 512 MiB. They also
// connect again by themselves, and the cursor of a SCAN is worth nothing on another server.

// maxBulk is the longest string that Redis takes unless proto-max-bulk-len says otherwise.
const maxBulk = 512 << 20

// maxLine is the longest line that is read: headers are short, and so are errors. Buffers are larger.
const maxLine = 16 << 10

// What a header begins with.
const (
	respStatus  = '+'
	respError   = '-'
	respInteger = ':'
	respBulk    = '$'
	respArray   = '*'
)

var (
	errNotRESP = errors.New("this is not the protocol of Redis")
	errNoBulk  = errors.New("there is none") // the null bulk string
)

// readHeader reads a line such as $5 or +OK: its first byte, and the rest.
func readHeader(r *bufio.Reader) (kind byte, rest string, err error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || len(line) > maxLine {
		return 0, "", errNotRESP
	}
	if err != nil {
		return 0, "", unexpected(err)
	}
	text, ended := strings.CutSuffix(string(line), "\r\n")
	if !ended || text == "" {
		return 0, "", errNotRESP
	}
	return text[0], text[1:], nil
}

// unexpected returns io.EOF as io.ErrUnexpectedEOF.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseNumber parses a number as Redis writes it: no sign but -, no zeros in front.
func parseNumber(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != text {
		return 0, errNotRESP
	}
	return n, nil
}

// parseLength parses the length in a header.
func parseLength(text string, most int64) (int64, error) {
	n, err := parseNumber(text)
	if err != nil || n < 0 {
		return 0, errNotRESP
	}
	if n > most {
		return 0, &tooLongError{n, most}
	}
	return n, nil
}

// tooLongError says that something is larger than Redis itself would take, or than we hold in memory.
type tooLongError struct{ is, most int64 }

func (e *tooLongError) Error() string {
	return fmt.Sprintf("%d bytes in one string, of at most %d", e.is, e.most)
}

// readBulk reads the string after its header, with the end of its line.
func readBulk(r *bufio.Reader, length int64) (string, error) {
	data := make([]byte, length)
	if _, err := io.ReadFull(r, data); err != nil {
		return "", unexpected(err)
	}
	return string(data), readEnd(r)
}

// copyBulk copies the string after its header, without holding it, and reads the end of its line.
func copyBulk(w io.Writer, r *bufio.Reader, length int64) error {
	if _, err := io.CopyN(w, r, length); err != nil {
		return unexpected(err)
	}
	return readEnd(r)
}

func readEnd(r *bufio.Reader) error {
	var end [2]byte
	if _, err := io.ReadFull(r, end[:]); err != nil {
		return unexpected(err)
	}
	if end != [2]byte{'\r', '\n'} {
		return errNotRESP
	}
	return nil
}

// writeCommand writes an array of strings. Errors are those of w's Flush.
func writeCommand(w *bufio.Writer, words ...string) {
	writeHeader(w, respArray, int64(len(words)))
	for _, word := range words {
		writeBulk(w, word)
	}
}

func writeBulk(w *bufio.Writer, word string) {
	writeHeader(w, respBulk, int64(len(word)))
	_, _ = w.WriteString(word)
	_, _ = w.WriteString("\r\n")
}

func writeHeader(w *bufio.Writer, kind byte, n int64) {
	_, _ = w.Write(append(strconv.AppendInt(append(w.AvailableBuffer(), kind), n, 10), '\r', '\n'))
}
