package archive

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// lists reads the two lists of a tree side by side, in memory that does not depend on their length.
type lists struct {
	want  Digests // digests of the lists, compared at their ends; empty ones are not
	mtree hashedFile
	sums  hashedFile

	entries *mtreeReader
	digests *sumsReader
}

// hashedFile is a file whose digest is computed while it is read.
type hashedFile struct {
	file *os.File
	hash hash.Hash
}

func (h *hashedFile) Read(p []byte) (int, error) {
	n, err := h.file.Read(p)
	h.hash.Write(p[:n])
	return n, err
}

func (h *hashedFile) Close() error { return h.file.Close() }

func openHashed(d *dir, name string) (hashedFile, error) {
	f, err := d.open(name)
	return hashedFile{f, sha256.New()}, err
}

// openLists opens the lists of the tree in the given directory. The digests in want are checked when they have been
// read to the end: until next has returned io.EOF, nothing that it returned is proven.
func openLists(tree *dir, want Digests) (*lists, error) {
	l := &lists{want: want}
	var err error
	if l.mtree, err = openHashed(tree, mtreeName); err != nil {
		return nil, err
	}
	if l.sums, err = openHashed(tree, sumsName); err != nil {
		return nil, errors.Join(err, l.mtree.Close())
	}
	if l.entries, err = newMTREEReader(&l.mtree); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", mtreeName, err), l.close())
	}
	l.digests = newSumsReader(&l.sums)
	first, err := l.digests.next()
	if err == nil && (first.Path != mtreeName || first.SHA256 != want.MTREE) {
		err = errors.New("line 1: not the digest of MTREE")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", sumsName, err), l.close())
	}
	return l, nil
}

// next returns the next entry with its digest, or io.EOF once both lists are read and proven.
func (l *lists) next() (Entry, error) {
	e, err := l.entries.next()
	if errors.Is(err, io.EOF) {
		return Entry{}, l.finish()
	}
	if err != nil {
		return Entry{}, fmt.Errorf("%s: %w", mtreeName, err)
	}
	if e.Kind != File {
		return e, nil
	}
	s, err := l.digests.next()
	if errors.Is(err, io.EOF) {
		err = errors.New("ends too early")
	}
	if err == nil && s.Path != filesDir+"/"+e.Path {
		err = fmt.Errorf("line %d: path %q where %q is expected", l.digests.lines.n, s.Path, filesDir+"/"+e.Path)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("%s: %w", sumsName, err)
	}
	e.SHA256 = s.SHA256
	return e, nil
}

// finish returns io.EOF if the digests are over too and both lists are what they should be.
func (l *lists) finish() error {
	s, err := l.digests.next()
	if err == nil {
		return fmt.Errorf("%s: path %q is not in %s", sumsName, s.Path, mtreeName)
	}
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", sumsName, err)
	}
	if got := sumOf(l.mtree.hash); got != l.want.MTREE {
		return fmt.Errorf("%s: got sha256:%s, want sha256:%s", mtreeName, got, l.want.MTREE)
	}
	if got := sumOf(l.sums.hash); got != l.want.Files {
		return fmt.Errorf("%s: got sha256:%s, want sha256:%s", sumsName, got, l.want.Files)
	}
	return io.EOF
}

func (l *lists) close() error { return errors.Join(l.mtree.Close(), l.sums.Close()) }
