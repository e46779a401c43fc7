// Package walk lists what is below a directory, in little memory and in the order of the lists. See Scan.
package walk

import (
	"encoding/binary"
	"io"
	"iter"
	"time"

	"threescale.dev/backup/fn/archive/internal/lists"
)

// Flags say what the writing of an entry can save.
type Flags byte

// What the writing of an entry can save.
const (
	SameFile Flags = 1 << iota // the previous tree holds the file, so that a link will do
	Kept                       // the partial tree holds the entry already
	Proven                     // a SameFile was read, and its digest is that of the previous tree's list
	Doubtful                   // the previous tree has a file that looks the same: only reading it can prove that it is
)

// List is what a scan found: the entries of a directory tree in about 50 bytes each, without a pointer each.
type List struct {
	Count  Counts
	root   lists.Entry
	top    *node
	xattrs map[string]Xattrs // of directories that have any, by path
}

// Counts is what a list holds.
type Counts struct {
	Files    int64
	Bytes    int64 // the sizes of the files
	Dirs     int64 // with the root
	Symlinks int64
}

// Add counts an entry.
func (c *Counts) Add(e *lists.Entry) {
	switch e.Kind {
	case lists.File:
		c.Files++
		c.Bytes += e.Size
	case lists.Directory:
		c.Dirs++
	case lists.Symlink:
		c.Symlinks++
	}
}

func (c *Counts) merge(o Counts) {
	c.Files += o.Files
	c.Bytes += o.Bytes
	c.Dirs += o.Dirs
	c.Symlinks += o.Symlinks
}

// Total returns the number of entries.
func (c *Counts) Total() int64 { return c.Files + c.Dirs + c.Symlinks }

// node is one directory of a list.
type node struct {
	data []byte   // the records of its entries, sorted by name
	more [][]byte // those that follow, of a large directory
	dirs []*node  // those of its directories, in the same order
	gone bool     // it vanished while it was scanned
}

const stamped = 'F' // the kind of a file with a stamp, in a record

// appendRecord appends an entry to a node's data: flags, kind, and numbers as varints.
func appendRecord(b []byte, name string, e *lists.Entry) []byte {
	kind := e.Kind[0]
	if e.Stamp != 0 {
		kind = stamped
	}
	b = append(b, 0, kind)
	b = appendString(b, name)
	b = binary.AppendUvarint(b, uint64(e.Mode))
	b = binary.AppendUvarint(b, uint64(e.UID))
	b = binary.AppendUvarint(b, uint64(e.GID))
	b = binary.AppendUvarint(b, uint64(e.Size))
	b = binary.AppendVarint(b, e.ModTime.Unix())
	b = binary.AppendUvarint(b, uint64(e.ModTime.Nanosecond()))
	if e.Kind == lists.Symlink {
		b = appendString(b, e.Link)
	}
	if e.Stamp != 0 {
		b = binary.LittleEndian.AppendUint64(b, e.Stamp)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// record reads what appendRecord wrote.
type record struct{ b []byte }

func (r *record) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	r.b = r.b[n:]
	return v
}

func (r *record) varint() int64 {
	v, n := binary.Varint(r.b)
	r.b = r.b[n:]
	return v
}

func (r *record) string() []byte {
	n := r.uvarint()
	s := r.b[:n]
	r.b = r.b[n:]
	return s
}

// read fills e from the record of an entry of the directory at path parent.
func (r *record) read(parent string, e *lists.Entry) {
	kind := r.b[1]
	r.b = r.b[2:]
	name := r.string()
	*e = lists.Entry{Kind: kindOf(kind)}
	if parent == "." {
		e.Path = string(name)
	} else {
		e.Path = parent + "/" + string(name)
	}
	e.Mode, e.UID, e.GID = uint32(r.uvarint()), uint32(r.uvarint()), uint32(r.uvarint())
	e.Size = int64(r.uvarint())
	sec := r.varint()
	e.ModTime = time.Unix(sec, int64(r.uvarint())).UTC()
	if e.Kind == lists.Symlink {
		e.Link = string(r.string())
	}
	if kind == stamped {
		e.Stamp, r.b = binary.LittleEndian.Uint64(r.b), r.b[8:]
	}
}

func kindOf(first byte) lists.Kind {
	switch first {
	case lists.File[0], stamped:
		return lists.File
	case lists.Directory[0]:
		return lists.Directory
	}
	return lists.Symlink
}

// Cursor yields the entries of a list in the order of ComparePaths.
type Cursor struct {
	list    *List
	started bool
	stack   []position
}

type position struct {
	path string
	node *node
	rest []byte // of node.data, or of what follows
	more int    // of node.more, passed
	dirs int    // of node.dirs, passed
}

// Cursor returns a cursor before the root.
func (l *List) Cursor() *Cursor { return &Cursor{list: l} }

// Next fills e with the next entry and returns its flags, which may be changed; nil after the last.
func (c *Cursor) Next(e *lists.Entry) *Flags {
	if !c.started {
		c.started = true
		*e = c.list.root
		c.addXattrs(e)
		c.push(".", c.list.top)
		return new(Flags)
	}
	for len(c.stack) > 0 {
		p := &c.stack[len(c.stack)-1]
		if len(p.rest) == 0 && p.more < len(p.node.more) {
			p.rest = p.node.more[p.more]
			p.more++
		}
		if len(p.rest) == 0 {
			c.stack = c.stack[:len(c.stack)-1]
			continue
		}
		f := (*Flags)(&p.rest[0])
		r := record{p.rest}
		r.read(p.path, e)
		p.rest = r.b
		if e.Kind != lists.Directory {
			return f
		}
		child := p.node.dirs[p.dirs]
		p.dirs++
		if child.gone {
			continue
		}
		c.addXattrs(e)
		c.push(e.Path, child)
		return f
	}
	return nil
}

// addXattrs adds the extended attributes of a directory, and takes from its mode what its access control list denies.
func (c *Cursor) addXattrs(e *lists.Entry) {
	if x, ok := c.list.xattrs[e.Path]; ok {
		e.Xattrs = x.Kept
		e.Mode &= x.Most
	}
}

func (c *Cursor) push(path string, n *node) {
	c.stack = append(c.stack, position{path: path, node: n, rest: n.data})
}

// Clear removes a flag from all entries.
func (l *List) Clear(flag Flags) {
	for _, f := range l.All() {
		*f &^= flag
	}
}

// All yields the entries of the list in the order of ComparePaths, and their flags, which may be changed. An entry is
// valid until the next one.
func (l *List) All() iter.Seq2[*lists.Entry, *Flags] {
	return func(yield func(*lists.Entry, *Flags) bool) {
		var e lists.Entry
		c := l.Cursor()
		for f := c.Next(&e); f != nil; f = c.Next(&e) {
			if !yield(&e, f) {
				return
			}
		}
	}
}

// Source yields the entries of the list.
func (l *List) Source() lists.Source { return &cursorSource{l.Cursor()} }

type cursorSource struct{ cursor *Cursor }

func (c *cursorSource) Next() (lists.Entry, error) {
	var e lists.Entry
	if c.cursor.Next(&e) == nil {
		return lists.Entry{}, io.EOF
	}
	return e, nil
}
