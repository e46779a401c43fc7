package lists

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"threescale.dev/backup/fn/archive/internal/dirfd"
)

// Writer writes the two lists of a tree.
type Writer struct {
	tree  *dirfd.Dir
	fsync bool
	mtree *os.File
	sums  *os.File
	xattr *os.File // nil: no entry had any so far

	mtreeOut *bufio.Writer
	sumsOut  *bufio.Writer
	xattrOut *bufio.Writer
	line     []byte
}

// NewWriter starts the lists anew. The first line of SHA256SUMS is filled in last: it is the digest of MTREE.
func NewWriter(tree *dirfd.Dir, fsync bool) (l *Writer, err error) {
	if err := errors.Join(tree.Remove(MTREEName), tree.Remove(SumsName), tree.Remove(XattrsName)); err != nil {
		return nil, err
	}
	l = &Writer{tree: tree, fsync: fsync}
	if l.mtree, err = tree.Create(MTREEName); err != nil {
		return nil, err
	}
	if l.sums, err = tree.Create(SumsName); err != nil {
		return nil, errors.Join(err, l.mtree.Close())
	}
	const buffer = 64 << 10
	l.mtreeOut, l.sumsOut = bufio.NewWriterSize(l.mtree, buffer), bufio.NewWriterSize(l.sums, buffer)
	_, err = l.mtreeOut.WriteString(MTREEHeader)
	if err == nil {
		_, err = l.sumsOut.Write(mtreeSum(strings.Repeat("0", sumLen)))
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// mtreeSum is the first line of a tree's SHA256SUMS.
func mtreeSum(digest string) []byte { return AppendSum(nil, Sum{SHA256: digest, Path: MTREEName}) }

// Add lists an entry.
func (l *Writer) Add(e *Entry) error {
	l.line = append(AppendMTREE(l.line[:0], e), '\n')
	if len(l.line) > MaxLine {
		return fmt.Errorf("cannot list %q: its path and link are too long", e.Path)
	}
	if _, err := l.mtreeOut.Write(l.line); err != nil {
		return err
	}
	if len(e.Xattrs) > 0 {
		if err := l.addXattrs(e); err != nil {
			return err
		}
	}
	if e.Kind != File {
		return nil
	}
	l.line = AppendSum(l.line[:0], Sum{SHA256: e.SHA256, Path: FilesDir + "/" + e.Path})
	_, err := l.sumsOut.Write(l.line)
	return err
}

func (l *Writer) addXattrs(e *Entry) (err error) {
	if l.xattr == nil {
		if l.xattr, err = l.tree.Create(XattrsName); err != nil {
			return err
		}
		l.xattrOut = bufio.NewWriter(l.xattr)
	}
	l.line = appendXattrs(l.line[:0], e)
	_, err = l.xattrOut.Write(l.line)
	return err
}

// Close writes what is buffered.
func (l *Writer) Close() error {
	err := l.closeXattrs()
	return errors.Join(err, l.mtreeOut.Flush(), l.sumsOut.Flush(), l.mtree.Close(), l.sums.Close())
}

// closeXattrs completes the list of extended attributes and lists its digest.
func (l *Writer) closeXattrs() error {
	if l.xattr == nil {
		return nil
	}
	if err := errors.Join(l.xattrOut.Flush(), l.xattr.Close()); err != nil {
		return err
	}
	digest, err := l.tree.Digest(XattrsName)
	if err != nil {
		return err
	}
	_, err = l.sumsOut.Write(AppendSum(l.line[:0], Sum{SHA256: digest, Path: XattrsName}))
	return err
}

// Finish fills in the first line, after close, and returns the digests.
func (l *Writer) Finish() (Digests, error) {
	mtree, err := l.tree.Digest(MTREEName)
	if err != nil {
		return Digests{}, err
	}
	if err := l.tree.Overwrite(SumsName, mtreeSum(mtree)); err != nil {
		return Digests{}, err
	}
	if l.fsync {
		names := []string{MTREEName, SumsName}
		if l.xattr != nil {
			names = append(names, XattrsName)
		}
		for _, name := range names {
			if err := l.tree.SyncFile(name); err != nil {
				return Digests{}, err
			}
		}
	}
	sums, err := l.tree.Digest(SumsName)
	return Digests{MTREE: mtree, Files: sums}, err
}
