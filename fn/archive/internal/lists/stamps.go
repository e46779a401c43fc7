package lists

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"

	"threescale.dev/backup/fn/archive/internal/dirfd"
)

// A list of stamps tells what the files of a tree were when they were stored: after a header that names the tree, one
// line a file in the order of the tree's MTREE, with its stamp in 16 hex digits and, behind a space, the extended
// attributes that are not kept of it, if any. It only saves reading: without it, or with another tree's, all files are
// read.
const stampsHeader = "#stamps "

// StampsWriter writes a list of stamps. Its first error is that of Finish.
type StampsWriter struct {
	dir  *dirfd.Dir
	name string
	file *os.File
	out  *bufio.Writer
	line []byte
	err  error
}

// NewStampsWriter starts a list anew.
func NewStampsWriter(dir *dirfd.Dir, name string) *StampsWriter {
	w := &StampsWriter{dir: dir, name: name}
	if w.err = dir.Remove(name); w.err != nil {
		return w
	}
	if w.file, w.err = dir.Create(name); w.err != nil {
		return w
	}
	w.out = bufio.NewWriter(w.file)
	_, w.err = w.out.WriteString(stampsHeader + strings.Repeat("0", sumLen) + "\n")
	return w
}

// Add adds the next file's stamp, and what is not kept of it. Nil takes none.
func (w *StampsWriter) Add(stamp uint64, lost string) {
	if w == nil || w.err != nil {
		return
	}
	const digits = 16
	w.line = strconv.AppendUint(append(w.line[:0], "0000000000000000"...), stamp, 16)
	start := len(w.line) - digits
	if lost != "" {
		w.line = appendVis(append(w.line, ' '), lost)
	}
	w.line = append(w.line, '\n')
	_, w.err = w.out.Write(w.line[start:])
}

// Finish says which tree the list is of, and closes it.
func (w *StampsWriter) Finish(tree string) error {
	if w.file == nil {
		return w.err
	}
	err := errors.Join(w.err, w.out.Flush(), w.file.Close())
	if err != nil {
		return err
	}
	return w.dir.Overwrite(w.name, []byte(stampsHeader+tree))
}

// StampsReader reads the stamps of a tree; nil has none.
type StampsReader struct {
	file  *os.File
	lines *LineReader
}

// OpenStamps opens the list of that name; nil if there is none of the tree.
func OpenStamps(dir *dirfd.Dir, name, tree string) *StampsReader {
	f, err := dir.Open(name)
	if err != nil {
		return nil
	}
	s := &StampsReader{file: f, lines: NewLineReader(f)}
	if header, err := s.lines.Next(); err != nil || string(header) != stampsHeader+tree {
		s.Close()
		return nil
	}
	return s
}

// Next returns the stamp of the tree's next file, 0 if it is not known, and what is not kept of the file.
func (s *StampsReader) Next() (stamp uint64, lost string) {
	if s == nil || s.lines == nil {
		return 0, ""
	}
	line, err := s.lines.Next()
	if err != nil {
		s.lines = nil // whatever follows, it is of no use
		return 0, ""
	}
	digits, escaped, _ := bytes.Cut(line, []byte{' '})
	stamp, err = strconv.ParseUint(string(digits), 16, 64)
	if err == nil {
		lost, err = unvis(escaped)
	}
	if err != nil {
		return 0, ""
	}
	return stamp, lost
}

// Close closes the list.
func (s *StampsReader) Close() {
	if s != nil {
		_ = s.file.Close() // it was only read
	}
}
