package lists

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"threescale.dev/backup/fn/archive/internal/dirfd"
)

// MTREEHeader is the first line of a list; bsdtar knows the format by it.
const MTREEHeader = "#mtree\n"

// AppendMTREE appends the line of an entry without its newline.
func AppendMTREE(b []byte, e *Entry) []byte {
	if e.Path == "." {
		b = append(b, '.')
	} else {
		b = appendVis(append(b, "./"...), e.Path)
	}
	b = append(append(b, " type="...), e.Kind...)
	b = strconv.AppendUint(append(b, " mode=0"...), uint64(e.Mode), 8)
	b = strconv.AppendUint(append(b, " uid="...), uint64(e.UID), 10)
	b = strconv.AppendUint(append(b, " gid="...), uint64(e.GID), 10)
	if e.Kind == File {
		b = strconv.AppendInt(append(b, " size="...), e.Size, 10)
	}
	b = strconv.AppendInt(append(b, " time="...), e.ModTime.Unix(), 10)
	nanos := strconv.Itoa(1e9 + e.ModTime.Nanosecond())
	b = append(append(b, '.'), nanos[1:]...)
	if e.Kind == Symlink {
		b = appendVis(append(b, " link="...), e.Link)
	}
	return b
}

// ParseMTREE reads a line without its newline, and only in the one form that AppendMTREE writes.
func ParseMTREE(line []byte) (Entry, error) {
	path, rest, _ := bytes.Cut(line, []byte{' '})
	e, err := parseMTREEPath(path)
	if err != nil {
		return Entry{}, err
	}
	for len(rest) > 0 {
		var word []byte
		word, rest, _ = bytes.Cut(rest, []byte{' '})
		key, value, _ := strings.Cut(string(word), "=")
		if err := e.setKeyword(key, value); err != nil {
			return Entry{}, fmt.Errorf("keyword %q: %w", word, err)
		}
	}
	if !bytes.Equal(AppendMTREE(make([]byte, 0, 256), &e), line) {
		return Entry{}, errors.New("entry is not in canonical form")
	}
	return e, nil
}

func parseMTREEPath(b []byte) (Entry, error) {
	if string(b) == "." {
		return Entry{Path: "."}, nil
	}
	rest, ok := bytes.CutPrefix(b, []byte("./"))
	if !ok {
		return Entry{}, fmt.Errorf("path %q does not begin with ./", b)
	}
	path, err := unvis(rest)
	if err != nil {
		return Entry{}, fmt.Errorf("path %q: %w", b, err)
	}
	if path == "." || !ValidPath(path) {
		return Entry{}, fmt.Errorf("path %q leaves its directory", b)
	}
	return Entry{Path: path}, nil
}

// setKeyword sets the value of a keyword. The canonical form shows repeated and missing keywords.
func (e *Entry) setKeyword(key, value string) (err error) {
	switch key {
	case "type":
		if e.Kind = Kind(value); e.Kind != File && e.Kind != Directory && e.Kind != Symlink {
			err = errors.New("unknown type")
		}
	case "mode":
		e.Mode, err = parseUint32(value, 8)
		if e.Mode > 0o7777 {
			err = errors.New("out of range")
		}
	case "uid":
		e.UID, err = parseUint32(value, 10)
	case "gid":
		e.GID, err = parseUint32(value, 10)
	case "size":
		e.Size, err = strconv.ParseInt(value, 10, 64)
		if e.Size < 0 {
			err = errors.New("out of range")
		}
	case "time":
		e.ModTime, err = parseTime(value)
	case "link":
		e.Link, err = unvis([]byte(value))
	default:
		err = errors.New("unknown")
	}
	return err
}

func parseUint32(s string, base int) (uint32, error) {
	n, err := strconv.ParseUint(s, base, 32)
	return uint32(n), err
}

// parseTime reads seconds, a dot and nine digits of nanoseconds, which count upwards also before 1970.
func parseTime(s string) (time.Time, error) {
	secs, nanos, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(secs, 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	nsec, err := strconv.ParseUint(nanos, 10, 32)
	if err != nil || nsec > 999_999_999 {
		return time.Time{}, errors.New("malformed nanoseconds")
	}
	return time.Unix(sec, int64(nsec)).UTC(), nil
}

// MTREEReader reads an MTREE file: entries that strictly increase in the order of ComparePaths, each below a directory.
type MTREEReader struct {
	lines *LineReader
	check hierarchy
}

// NewMTREEReader reads the header.
func NewMTREEReader(r io.Reader) (*MTREEReader, error) {
	lines := NewLineReader(r)
	line, err := lines.Next()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line 1: not the header of an MTREE: %w", err)
	}
	if err != nil || string(line)+"\n" != MTREEHeader {
		return nil, errors.New("line 1: not the header of an MTREE")
	}
	return &MTREEReader{lines: lines}, nil
}

// Skip passes over the next line if it is the given one, that of e: much faster than reading it.
func (r *MTREEReader) Skip(line []byte, e *Entry) bool {
	next, err := r.lines.r.Peek(len(line) + 1)
	if err != nil || next[len(line)] != '\n' || !bytes.Equal(next[:len(line)], line) {
		return false
	}
	_, _ = r.lines.r.Discard(len(next)) // it is buffered
	r.lines.n++
	return r.check.add(e) == nil
}

// Rest reads what is left of the list, so that its digest can be known.
func (r *MTREEReader) Rest() error { return r.lines.rest() }

// Next returns the next entry, or io.EOF after the last.
func (r *MTREEReader) Next() (Entry, error) {
	line, err := r.lines.Next()
	if errors.Is(err, io.EOF) && r.check.prev == "" {
		return Entry{}, errors.New("no entry for the root")
	}
	if err != nil {
		return Entry{}, err
	}
	e, err := ParseMTREE(line)
	if err == nil {
		err = r.check.add(&e)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("line %d: %w", r.lines.n, err)
	}
	return e, nil
}

// hierarchy checks that entries come as a depth-first walk gives them, so that no entry lies below a symlink or a file.
type hierarchy struct {
	prev string
	dirs []string // the open directories, outermost first
}

func (h *hierarchy) add(e *Entry) error {
	if h.prev == "" {
		if e.Path != "." || e.Kind != Directory {
			return errors.New("the first entry is not the root directory")
		}
		h.prev, h.dirs = ".", append(h.dirs, ".")
		return nil
	}
	if ComparePaths(h.prev, e.Path) >= 0 {
		return fmt.Errorf("path %q is out of order", e.Path)
	}
	parent, _ := dirfd.Split(e.Path)
	for len(h.dirs) > 0 && h.dirs[len(h.dirs)-1] != parent {
		h.dirs = h.dirs[:len(h.dirs)-1]
	}
	if len(h.dirs) == 0 {
		return fmt.Errorf("path %q is not below a directory", e.Path)
	}
	if e.Kind == Directory {
		h.dirs = append(h.dirs, e.Path)
	}
	h.prev = e.Path
	return nil
}
