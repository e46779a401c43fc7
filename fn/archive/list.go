package archive

import (
	"encoding/binary"
	"time"
)

// flags say what the writing of an entry can save.
type flags byte

const (
	sameFile flags = 1 << iota // the previous tree holds the file, so that a link will do
	kept                       // the partial tree holds the entry already
)

// list is what a scan found: the entries of a directory tree in about 50 bytes each, without a pointer each.
type list struct {
	root  Entry
	top   *node
	count counts
}

// counts is what a list holds.
type counts struct {
	files, bytes, dirs, symlinks int64
}

func (c *counts) add(e *Entry) {
	switch e.Kind {
	case File:
		c.files++
		c.bytes += e.Size
	case Directory:
		c.dirs++
	case Symlink:
		c.symlinks++
	}
}

func (c *counts) merge(o counts) {
	c.files += o.files
	c.bytes += o.bytes
	c.dirs += o.dirs
	c.symlinks += o.symlinks
}

func (c *counts) total() int64 { return c.files + c.dirs + c.symlinks }

// node is one directory of a list.
type node struct {
	data []byte  // the records of its entries, sorted by name
	dirs []*node // those of its directories, in the same order
	gone bool    // it vanished while it was scanned
}

// appendRecord appends an entry to a node's data: flags, kind, and numbers as varints.
func appendRecord(b []byte, name string, e *Entry) []byte {
	b = append(b, 0, e.Kind[0])
	b = appendString(b, name)
	b = binary.AppendUvarint(b, uint64(e.Mode))
	b = binary.AppendUvarint(b, uint64(e.UID))
	b = binary.AppendUvarint(b, uint64(e.GID))
	b = binary.AppendUvarint(b, uint64(e.Size))
	b = binary.AppendVarint(b, e.ModTime.Unix())
	b = binary.AppendUvarint(b, uint64(e.ModTime.Nanosecond()))
	if e.Kind == Symlink {
		b = appendString(b, e.Link)
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
func (r *record) read(parent string, e *Entry) {
	kind := r.b[1]
	r.b = r.b[2:]
	name := r.string()
	*e = Entry{Kind: kindOf(kind)}
	if parent == "." {
		e.Path = string(name)
	} else {
		e.Path = parent + "/" + string(name)
	}
	e.Mode, e.UID, e.GID = uint32(r.uvarint()), uint32(r.uvarint()), uint32(r.uvarint())
	e.Size = int64(r.uvarint())
	sec := r.varint()
	e.ModTime = time.Unix(sec, int64(r.uvarint())).UTC()
	if e.Kind == Symlink {
		e.Link = string(r.string())
	}
}

func kindOf(first byte) Kind {
	switch first {
	case File[0]:
		return File
	case Directory[0]:
		return Directory
	}
	return Symlink
}

// cursor yields the entries of a list in the order of comparePaths.
type cursor struct {
	list    *list
	started bool
	stack   []position
}

type position struct {
	path string
	node *node
	rest []byte // of node.data
	dirs int    // of node.dirs, passed
}

func (l *list) cursor() *cursor { return &cursor{list: l} }

// next fills e with the next entry and returns its flags, which may be changed; nil after the last.
func (c *cursor) next(e *Entry) *flags {
	if !c.started {
		c.started = true
		*e = c.list.root
		c.push(".", c.list.top)
		return new(flags)
	}
	for len(c.stack) > 0 {
		p := &c.stack[len(c.stack)-1]
		if len(p.rest) == 0 {
			c.stack = c.stack[:len(c.stack)-1]
			continue
		}
		f := (*flags)(&p.rest[0])
		r := record{p.rest}
		r.read(p.path, e)
		p.rest = r.b
		if e.Kind != Directory {
			return f
		}
		child := p.node.dirs[p.dirs]
		p.dirs++
		if child.gone {
			continue
		}
		c.push(e.Path, child)
		return f
	}
	return nil
}

func (c *cursor) push(path string, n *node) {
	c.stack = append(c.stack, position{path: path, node: n, rest: n.data})
}
