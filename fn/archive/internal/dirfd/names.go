package dirfd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"math"
	"slices"

	"golang.org/x/sys/unix"
)

// NameList holds the names in a directory, one after the other, so that a million of them are not a million
// allocations.
type NameList struct {
	bytes []byte
	spans []span
}

type span struct{ start, end uint32 }

// Read reads the names of an open directory from where it is, with the help of a buffer.
func (n *NameList) Read(fd int, buf []byte) error {
	n.bytes, n.spans = n.bytes[:0], n.spans[:0]
	for {
		length, err := Retry(func() (int, error) { return unix.ReadDirent(fd, buf) })
		if err != nil || length <= 0 {
			return err
		}
		if err := n.add(buf[:length]); err != nil {
			return err
		}
	}
}

var errDirent = errors.New("malformed or too large directory")

// add takes the names from the records of getdents64(2): inode, offset, length, type and name.
func (n *NameList) add(dirents []byte) error {
	const lengthAt, nameAt = 16, 19
	for len(dirents) > 0 {
		if len(dirents) < nameAt {
			return errDirent
		}
		length := int(binary.NativeEndian.Uint16(dirents[lengthAt:]))
		if length <= nameAt || length > len(dirents) {
			return errDirent
		}
		name, _, _ := bytes.Cut(dirents[nameAt:length], []byte{0})
		dirents = dirents[length:]
		if string(name) == "." || string(name) == ".." {
			continue
		}
		if len(n.bytes)+len(name) > math.MaxUint32 {
			return errDirent
		}
		start := uint32(len(n.bytes))
		n.bytes = append(n.bytes, name...)
		n.spans = append(n.spans, span{start, uint32(len(n.bytes))})
	}
	return nil
}

func (n *NameList) at(s span) []byte { return n.bytes[s.start:s.end] }

// Sorted yields the names in the order of their bytes.
func (n *NameList) Sorted() iter.Seq[string] {
	slices.SortFunc(n.spans, func(a, b span) int { return bytes.Compare(n.at(a), n.at(b)) })
	return func(yield func(string) bool) {
		for _, s := range n.spans {
			if !yield(string(n.at(s))) {
				return
			}
		}
	}
}

// Names lists the directory, sorted.
func (d *Dir) Names() ([]string, error) {
	if _, err := unix.Seek(d.FD, 0, unix.SEEK_SET); err != nil {
		return nil, d.Fail("seek", "", err)
	}
	var n NameList
	if err := n.Read(d.FD, make([]byte, 8<<10)); err != nil {
		return nil, d.Fail("readdirent", "", err)
	}
	return slices.Collect(n.Sorted()), nil
}
