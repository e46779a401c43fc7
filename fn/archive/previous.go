package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// previous is the tree that a new one takes unchanged files from.
type previous struct {
	name    string
	digests Digests
	dir     *dir
}

// entrySource yields entries in the order of comparePaths, and io.EOF after the last.
type entrySource interface{ next() (Entry, error) }

// seeker finds entries in a source, asked for in increasing order.
type seeker struct {
	source entrySource
	entry  Entry
	valid  bool
	ended  bool
}

// find returns the entry of a path, or nil if the source has none.
func (s *seeker) find(path string) (*Entry, error) {
	for !s.ended {
		if s.valid {
			order := comparePaths(s.entry.Path, path)
			if order == 0 {
				return &s.entry, nil
			}
			if order > 0 {
				return nil, nil
			}
		}
		if err := s.advance(); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (s *seeker) advance() error {
	entry, err := s.source.next()
	s.entry, s.valid = entry, err == nil
	if errors.Is(err, io.EOF) {
		s.ended = true
		return nil
	}
	return err
}

// drain reads the source to its end, so that it can prove itself.
func (s *seeker) drain() error {
	for !s.ended {
		if err := s.advance(); err != nil {
			return err
		}
	}
	return nil
}

// findPrevious looks for the newest tree to link from, and finds out if nothing has changed since.
func (w *writer) findPrevious(ctx context.Context) error {
	if w.scanned == nil || w.opts.CopyAll {
		return nil
	}
	candidates, err := w.candidates()
	if err != nil {
		return err
	}
	for _, m := range candidates {
		if err := ctx.Err(); err != nil {
			return err
		}
		shared, err := w.tryPrevious(m)
		if err == nil {
			w.share(shared, m)
			return nil
		}
		w.scanned.list.clear(sameFile)
		w.warn(fmt.Sprintf("tree %s is damaged and was not used: %v", m.Tree, err))
	}
	return nil
}

// candidates returns the manifests whose trees may be used, best first.
func (w *writer) candidates() ([]*Manifest, error) {
	runs, err := w.volume.ownRuns()
	if err != nil {
		return nil, err
	}
	sortRuns(runs)
	var candidates []*Manifest
	seen := make(map[string]bool)
	for i := len(runs) - 1; i >= 0; i-- {
		m := runs[i].Manifest
		if m != nil && m.Tree != "" && w.sealer.sameAs(m.Encryption) && !seen[m.Tree] {
			seen[m.Tree] = true
			candidates = append(candidates, m)
		}
	}
	if w.interrupted == nil || seen[w.interrupted.Tree] {
		return candidates, nil
	}
	if kind, err := w.trees.kind(w.interrupted.Tree); kind == 0 || err != nil {
		return candidates, err
	}
	return append([]*Manifest{w.interrupted}, candidates...), nil
}

// tryPrevious compares the scan with a tree. It returns true if they are the same.
func (w *writer) tryPrevious(m *Manifest) (bool, error) {
	tree, err := w.trees.sub(m.Tree)
	if err != nil {
		return false, err
	}
	same, err := w.scanned.list.compare(tree, m.Digests)
	if err != nil {
		return false, errors.Join(err, tree.close())
	}
	w.previous = &previous{name: m.Tree, digests: m.Digests, dir: tree}
	return same, nil
}

// share takes over the tree of a manifest if nothing has changed.
func (w *writer) share(shared bool, m *Manifest) {
	w.shared = shared
	if !shared {
		return
	}
	count := w.scanned.list.count
	w.setTree(m.Digests, count)
	w.manifest.LinksOmitted = m.LinksOmitted
	w.manifest.Totals.LinkedFiles, w.manifest.Totals.LinkedBytes = count.files, count.bytes
}

// setTree puts the run's tree into the manifest.
func (w *writer) setTree(digests Digests, count counts) {
	w.manifest.Digests.MTREE, w.manifest.Digests.Files = digests.MTREE, digests.Files
	w.manifest.Tree = treeName(digests.MTREE, digests.Files)
	w.manifest.Totals.Files, w.manifest.Totals.Bytes = count.files, count.bytes
	w.manifest.Totals.Directories, w.manifest.Totals.Symlinks = count.dirs, count.symlinks
}

// compare marks the files of the list that the tree has unchanged. It returns true if the tree has just the entries
// of the list, and an error if the tree's lists are not what the digests say.
func (l *list) compare(tree *dir, digests Digests) (same bool, err error) {
	if kind, err := tree.kind(filesDir); err != nil || kind == 0 {
		return false, errors.Join(err, errors.New("no files"))
	}
	if err := proveDigest(tree, sumsName, digests.Files); err != nil {
		return false, err
	}
	old, err := openHashed(tree, mtreeName)
	if err != nil {
		return false, err
	}
	defer old.Close()
	reader, err := newMTREEReader(&old)
	if err != nil {
		return false, err
	}
	same, err = l.mark(&differ{reader: reader})
	if err != nil {
		return false, err
	}
	if _, err := io.Copy(io.Discard, reader.lines.r); err != nil {
		return false, err
	}
	if got := sumOf(old.hash); got != digests.MTREE {
		return false, fmt.Errorf("%s: got sha256:%s, want sha256:%s", mtreeName, got, digests.MTREE)
	}
	return same, nil
}

// mark marks the unchanged files. It returns true if both have the same entries.
func (l *list) mark(old *differ) (bool, error) {
	var e Entry
	same := true
	for c := l.cursor(); ; {
		f := c.next(&e)
		if f == nil {
			break
		}
		was, exact, err := old.find(&e)
		if err != nil {
			return false, err
		}
		same = same && exact
		if e.Kind == File && (exact || was != nil && e.sameContent(was)) {
			*f |= sameFile
		}
	}
	more, err := old.more()
	return same && !more, err
}

// differ finds entries in an MTREE, asked for in increasing order.
type differ struct {
	reader *mtreeReader
	ahead  *Entry // read already, and not passed yet
	line   []byte
}

// find tells if the entry of the same path is exactly the same, and returns it if it is not; nil if there is none.
func (d *differ) find(e *Entry) (was *Entry, exact bool, err error) {
	d.line = appendMTREE(d.line[:0], e)
	if d.ahead == nil && d.reader.skip(d.line, e) {
		return nil, true, nil
	}
	for {
		if d.ahead != nil {
			order := comparePaths(d.ahead.Path, e.Path)
			if order > 0 {
				return nil, false, nil
			}
			was, d.ahead = d.ahead, nil
			if order == 0 {
				return was, e.sameMeta(was), nil
			}
		}
		if more, err := d.more(); !more || err != nil {
			return nil, false, err
		}
	}
}

// more reads ahead. It returns false at the end.
func (d *differ) more() (bool, error) {
	if d.ahead != nil {
		return true, nil
	}
	next, err := d.reader.next()
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", mtreeName, err)
	}
	d.ahead = &next
	return true, nil
}

// proveDigest returns an error if a file of the directory does not have the digest.
func proveDigest(d *dir, name, want string) error {
	got, err := d.digest(name)
	if err == nil && got != want {
		err = fmt.Errorf("%s: got sha256:%s, want sha256:%s", name, got, want)
	}
	return err
}

// proveLists reads the lists of a tree and returns an error if they are not what the digests say.
func proveLists(tree *dir, digests Digests) error {
	ls, err := openLists(tree, digests)
	if err != nil {
		return err
	}
	seek := &seeker{source: ls}
	return errors.Join(seek.drain(), ls.close())
}

// clear removes a flag from all entries.
func (l *list) clear(flag flags) {
	var e Entry
	for c := l.cursor(); ; {
		f := c.next(&e)
		if f == nil {
			return
		}
		*f &^= flag
	}
}
