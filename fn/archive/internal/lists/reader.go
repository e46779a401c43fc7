// Package lists is the text that describes a tree: MTREE its entries, SHA256SUMS the bytes of its files. Both have one
// canonical form and one order, in which they are written and read as streams.
package lists

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"sync"

	"threescale.dev/backup/fn/archive/internal/dirfd"
)

// The names in the directory of a tree.
const (
	FilesDir  = "files"
	MTREEName = "MTREE"
	// XattrsName comes after all files in the order of the lists, so its digest can be written in the same pass.
	XattrsName = "files.xattrs"
	SumsName   = "SHA256SUMS" // also in the directory of a run
)

// IsOfTree reports whether a name is one in the directory of a tree.
func IsOfTree(name string) bool {
	return name == FilesDir || name == MTREEName || name == SumsName || name == XattrsName
}

// TreeName returns the name of a tree: what `sha256sum MTREE SHA256SUMS | sha256sum` prints.
func TreeName(mtree, sums string) string {
	list := AppendSum(nil, Sum{SHA256: mtree, Path: MTREEName})
	return dirfd.DigestOf(AppendSum(list, Sum{SHA256: sums, Path: SumsName}))
}

// Folder holds the lists of a tree or of a run: a directory, or what has a common prefix in a bucket.
type Folder interface {
	// OpenHashed opens a file by its name. One that is not there is fs.ErrNotExist.
	OpenHashed(name string) (*dirfd.HashedFile, error)
}

// Digests are the SHA-256 of the lists of a tree, in 64 hex digits.
type Digests struct {
	MTREE string `json:"mtree,omitempty"`
	Files string `json:"files,omitempty"` // of SHA256SUMS
}

// Reader reads the two lists of a tree side by side, in memory that does not depend on their length.
type Reader struct {
	want  Digests // compared when the lists end
	mtree *dirfd.HashedFile
	sums  *dirfd.HashedFile

	entries *MTREEReader
	digests *SumsReader
	xattrs  *XattrsReader
	stamps  *StampsReader
}

// Open opens the lists of the tree in the given folder, and takes over its list of stamps. The digests in want are
// checked when the lists have been read to the end: until Next has returned io.EOF, nothing that it returned is proven.
func Open(tree Folder, want Digests, stamps *StampsReader) (*Reader, error) {
	l := &Reader{want: want, stamps: stamps}
	err := l.open(tree)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if l.entries, err = NewMTREEReader(l.mtree); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", MTREEName, err), l.Close())
	}
	l.digests = NewSumsReader(l.sums)
	first, err := l.digests.Next()
	if err == nil && (first.Path != MTREEName || first.SHA256 != want.MTREE) {
		err = errors.New("line 1: not the digest of MTREE")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", SumsName, err), l.Close())
	}
	return l, nil
}

// open opens the lists at once: in a bucket, each takes a while.
func (l *Reader) open(tree Folder) error {
	var mtreeErr, sumsErr, xattrsErr error
	var wg sync.WaitGroup
	wg.Go(func() { l.mtree, mtreeErr = tree.OpenHashed(MTREEName) })
	wg.Go(func() { l.sums, sumsErr = tree.OpenHashed(SumsName) })
	wg.Go(func() {
		if l.xattrs, xattrsErr = OpenXattrs(tree); xattrsErr != nil {
			xattrsErr = fmt.Errorf("%s: %w", XattrsName, xattrsErr)
		}
	})
	wg.Wait()
	return cmp.Or(mtreeErr, sumsErr, xattrsErr)
}

// Next returns the next entry with its digest and attributes, or io.EOF once both lists are read and proven. Nil has no
// entries.
func (l *Reader) Next() (Entry, error) {
	if l == nil {
		return Entry{}, io.EOF
	}
	e, err := l.entries.Next()
	if errors.Is(err, io.EOF) {
		return Entry{}, l.finish()
	}
	if err != nil {
		return Entry{}, fmt.Errorf("%s: %w", MTREEName, err)
	}
	if e.Xattrs, err = l.xattrs.Find(e.Path); err != nil {
		return Entry{}, err
	}
	if e.Kind != File {
		return e, nil
	}
	s, err := l.digests.Next()
	if errors.Is(err, io.EOF) {
		err = errors.New("ends too early")
	}
	if err == nil && s.Path != FilesDir+"/"+e.Path {
		err = fmt.Errorf("line %d: path %q where %q is expected", l.digests.lines.n, s.Path, FilesDir+"/"+e.Path)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("%s: %w", SumsName, err)
	}
	e.SHA256 = s.SHA256
	e.Stamp, e.Lost = l.stamps.Next()
	return e, nil
}

// finish returns io.EOF if the digests end too, and all lists are proven.
func (l *Reader) finish() error {
	s, err := l.digests.Next()
	xattrs := ""
	if err == nil && s.Path == XattrsName {
		xattrs = s.SHA256
		s, err = l.digests.Next()
	}
	if err := l.xattrs.Prove(xattrs); err != nil {
		return err
	}
	if err == nil {
		return fmt.Errorf("%s: path %q is not in %s", SumsName, s.Path, MTREEName)
	}
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", SumsName, err)
	}
	if err := cmp.Or(l.mtree.Prove(MTREEName, l.want.MTREE), l.sums.Prove(SumsName, l.want.Files)); err != nil {
		return err
	}
	return io.EOF
}

// Close closes the lists.
func (l *Reader) Close() error {
	l.stamps.Close()
	return errors.Join(l.mtree.Close(), l.sums.Close(), l.xattrs.Close())
}

// Prove reads the lists of a tree and returns an error if they are not what the digests say.
func Prove(tree Folder, digests Digests) error {
	r, err := Open(tree, digests, nil)
	if err != nil {
		return err
	}
	return errors.Join(NewSeeker(r).Drain(), r.Close())
}
