package lists

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// MaxLine is the longest line of a list: a path and a link target of PATH_MAX bytes, each escaped fourfold, and more.
const MaxLine = 64 << 10

// LineReader reads the lines of a list, each of which ends in a newline.
type LineReader struct {
	r *bufio.Reader
	n int // number of the last line read
}

// NewLineReader returns a reader of the lines of r.
func NewLineReader(r io.Reader) *LineReader {
	return &LineReader{r: bufio.NewReaderSize(r, MaxLine)}
}

// Next returns a line without its newline, valid until the next call, or io.EOF after the last.
func (l *LineReader) Next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if errors.Is(err, io.EOF) && len(line) == 0 {
		return nil, io.EOF
	}
	l.n++
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d has no end", l.n)
	}
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("line %d is longer than %d bytes", l.n, MaxLine)
	}
	if err != nil {
		return nil, err
	}
	return line[:len(line)-1], nil
}

// rest reads what is left, for its digest.
func (l *LineReader) rest() error {
	_, err := io.Copy(io.Discard, l.r)
	return err
}
