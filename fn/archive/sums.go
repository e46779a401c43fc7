package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

const sumLen = 64 // hex digits of a SHA-256

// sum is one line of a SHA256SUMS file.
type sum struct {
	SHA256 string // 64 lower-case hex digits
	Path   string // relative to the directory of the list
}

// appendSum appends a line as coreutils' sha256sum writes it: with a backslash, a line feed or a carriage return in
// the path, the line begins with a backslash and those are escaped.
func appendSum(b []byte, s sum) []byte {
	escaped := strings.ContainsAny(s.Path, "\\\n\r")
	if escaped {
		b = append(b, '\\')
	}
	b = append(append(b, s.SHA256...), "  "...)
	if !escaped {
		return append(append(b, s.Path...), '\n')
	}
	for i := range len(s.Path) {
		switch c := s.Path[i]; c {
		case '\\':
			b = append(b, `\\`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		default:
			b = append(b, c)
		}
	}
	return append(b, '\n')
}

// parseSum reads a line without its newline, and only in the one form that appendSum writes.
func parseSum(line []byte) (sum, error) {
	text, escaped := strings.CutPrefix(string(line), `\`)
	if len(text) < sumLen+3 || text[sumLen:sumLen+2] != "  " || !isDigest(text[:sumLen]) {
		return sum{}, errors.New("not a digest, two spaces and a path")
	}
	s := sum{SHA256: text[:sumLen], Path: text[sumLen+2:]}
	if escaped {
		s.Path = sumUnescaper().Replace(s.Path)
	}
	if !validPath(s.Path) {
		return sum{}, fmt.Errorf("path %q leaves its directory", s.Path)
	}
	if again := appendSum(make([]byte, 0, 256), s); !bytes.Equal(again[:len(again)-1], line) {
		return sum{}, errors.New("path is not escaped as coreutils does")
	}
	return s, nil
}

func sumUnescaper() *strings.Replacer {
	return strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r")
}

// isDigest tells if s is a SHA-256 in lower-case hex.
func isDigest(s string) bool {
	if len(s) != sumLen {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// sumsReader reads a SHA256SUMS file, whose paths strictly increase in the order of comparePaths.
type sumsReader struct {
	lines *lineReader
	prev  string
}

func newSumsReader(r io.Reader) *sumsReader { return &sumsReader{lines: newLineReader(r)} }

// next returns the next line, or io.EOF after the last.
func (r *sumsReader) next() (sum, error) {
	line, err := r.lines.next()
	if err != nil {
		return sum{}, err
	}
	s, err := parseSum(line)
	if err != nil {
		return sum{}, fmt.Errorf("line %d: %w", r.lines.n, err)
	}
	if r.prev != "" && comparePaths(r.prev, s.Path) >= 0 {
		return sum{}, fmt.Errorf("line %d: path %q is out of order", r.lines.n, s.Path)
	}
	r.prev = s.Path
	return s, nil
}
