package archive

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
)

// listsWriter writes the two lists of a tree.
type listsWriter struct {
	tree  *dir
	fsync bool
	mtree *os.File
	sums  *os.File

	mtreeOut *bufio.Writer
	sumsOut  *bufio.Writer
	line     []byte
}

// newListsWriter starts the lists anew. The first line of SHA256SUMS is filled in last: it is the digest of MTREE.
func newListsWriter(tree *dir, fsync bool) (l *listsWriter, err error) {
	if err := errors.Join(tree.remove(mtreeName), tree.remove(sumsName)); err != nil {
		return nil, err
	}
	l = &listsWriter{tree: tree, fsync: fsync}
	if l.mtree, err = tree.create(mtreeName); err != nil {
		return nil, err
	}
	if l.sums, err = tree.create(sumsName); err != nil {
		return nil, errors.Join(err, l.mtree.Close())
	}
	const buffer = 64 << 10
	l.mtreeOut, l.sumsOut = bufio.NewWriterSize(l.mtree, buffer), bufio.NewWriterSize(l.sums, buffer)
	_, err = l.mtreeOut.WriteString(mtreeHeader)
	if err == nil {
		_, err = l.sumsOut.Write(mtreeSum(strings.Repeat("0", sumLen)))
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// mtreeSum is the first line of a tree's SHA256SUMS.
func mtreeSum(digest string) []byte { return appendSum(nil, sum{SHA256: digest, Path: mtreeName}) }

// add lists an entry.
func (l *listsWriter) add(e *Entry) error {
	l.line = append(appendMTREE(l.line[:0], e), '\n')
	if len(l.line) > maxLine {
		return fmt.Errorf("cannot list %q: its path and link are too long", e.Path)
	}
	if _, err := l.mtreeOut.Write(l.line); err != nil {
		return err
	}
	if e.Kind != File {
		return nil
	}
	l.line = appendSum(l.line[:0], sum{SHA256: e.SHA256, Path: filesDir + "/" + e.Path})
	_, err := l.sumsOut.Write(l.line)
	return err
}

// close writes what is buffered.
func (l *listsWriter) close() error {
	return errors.Join(l.mtreeOut.Flush(), l.sumsOut.Flush(), l.mtree.Close(), l.sums.Close())
}

// finish fills in the first line, after close, and returns the digests.
func (l *listsWriter) finish() (Digests, error) {
	mtree, err := l.tree.digest(mtreeName)
	if err != nil {
		return Digests{}, err
	}
	if err := l.tree.overwrite(sumsName, mtreeSum(mtree)); err != nil {
		return Digests{}, err
	}
	if l.fsync {
		if err := errors.Join(l.tree.syncFile(mtreeName), l.tree.syncFile(sumsName)); err != nil {
			return Digests{}, err
		}
	}
	sums, err := l.tree.digest(sumsName)
	return Digests{MTREE: mtree, Files: sums}, err
}
