package lists

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

const sumLen = 64 // hex digits of a SHA-256

// Sum is one line of a SHA256SUMS file.
type Sum struct {
	SHA256 string // 64 lower-case hex digits
	Path   string // relative to the directory of the list
}

// AppendSum appends a line as coreutils' sha256sum writes it: with a backslash, a line feed or a carriage return in the
// path, the line begins with a backslash and those are escaped.
func AppendSum(b []byte, s Sum) []byte {
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

// parseSum reads a line without its newline, and only in the one form that AppendSum writes.
func parseSum(line []byte) (Sum, error) {
	text, escaped := strings.CutPrefix(string(line), `\`)
	if len(text) < sumLen+3 || text[sumLen:sumLen+2] != "  " || !IsDigest(text[:sumLen]) {
		return Sum{}, errors.New("not a digest, two spaces and a path")
	}
	s := Sum{SHA256: text[:sumLen], Path: text[sumLen+2:]}
	if escaped {
		s.Path = sumUnescaper.Replace(s.Path)
	}
	if !ValidPath(s.Path) {
		return Sum{}, fmt.Errorf("path %q leaves its directory", s.Path)
	}
	if again := AppendSum(make([]byte, 0, 256), s); !bytes.Equal(again[:len(again)-1], line) {
		return Sum{}, errors.New("path is not escaped as coreutils does")
	}
	return s, nil
}

var sumUnescaper = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r")

// IsDigest reports whether s is a SHA-256 in lower-case hex.
func IsDigest(s string) bool {
	return len(s) == sumLen && strings.Trim(s, "0123456789abcdef") == ""
}

// SumsReader reads a SHA256SUMS file, whose paths strictly increase in the order of ComparePaths.
type SumsReader struct {
	AnyOrder bool // the order is not checked

	lines *LineReader
	prev  string
}

// NewSumsReader returns a reader of the lines of r.
func NewSumsReader(r io.Reader) *SumsReader { return &SumsReader{lines: NewLineReader(r)} }

// Next returns the next line, or io.EOF after the last.
func (r *SumsReader) Next() (Sum, error) {
	line, err := r.lines.Next()
	if err != nil {
		return Sum{}, err
	}
	s, err := parseSum(line)
	if err != nil {
		return Sum{}, fmt.Errorf("line %d: %w", r.lines.n, err)
	}
	if !r.AnyOrder && r.prev != "" && ComparePaths(r.prev, s.Path) >= 0 {
		return Sum{}, fmt.Errorf("line %d: path %q is out of order", r.lines.n, s.Path)
	}
	r.prev = s.Path
	return s, nil
}
