package tree

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// Compare marks the files of the list that the tree has unchanged: as the same where the stamp is the same too, else as
// doubtful. It returns true if the tree seems to have just the entries of the list, the extended attributes that are
// not kept of its files, and an error if the tree's lists are not what the digests say.
func Compare(l *walk.List, previous *Previous) (same bool, lost walk.Lost, err error) {
	stamps := previous.Stamps()
	defer stamps.Close()
	old := &differ{stamps: stamps}
	same, err = old.compare(l, previous.Dir, previous.Digests)
	return same, old.lost, err
}

func (d *differ) compare(l *walk.List, tree *dirfd.Dir, digests lists.Digests) (same bool, err error) {
	if kind, err := tree.Kind(lists.FilesDir); err != nil || kind == 0 {
		return false, errors.Join(err, errors.New("no files"))
	}
	if err := tree.Prove(lists.SumsName, digests.Files); err != nil {
		return false, err
	}
	old, err := tree.OpenHashed(lists.MTREEName)
	if err != nil {
		return false, err
	}
	defer old.Close()
	if d.reader, err = lists.NewMTREEReader(old); err != nil {
		return false, err
	}
	if d.xattrs, err = lists.OpenXattrs(tree); err != nil {
		return false, err
	}
	defer d.xattrs.Close()
	if same, err = mark(l, d); err != nil {
		return false, err
	}
	want, err := lists.XattrsDigest(tree)
	if err == nil {
		err = d.xattrs.Prove(want)
	}
	if err != nil {
		return false, err
	}
	if err := d.reader.Rest(); err != nil {
		return false, err
	}
	if err := old.Prove(lists.MTREEName, digests.MTREE); err != nil {
		return false, err
	}
	return same, nil
}

// mark marks the unchanged files. It returns true if both have the same entries.
func mark(l *walk.List, old *differ) (bool, error) {
	same := true
	for e, f := range l.All() {
		xattrs, err := old.xattrs.Find(e.Path)
		if err != nil {
			return false, err
		}
		if e.Kind == lists.File {
			e.Mode = lists.Narrow(e.Mode, xattrs) // if they are the same still, which its stamp tells, or reading it
		}
		was, exact, err := old.find(e)
		if err != nil {
			return false, err
		}
		exact = exact && (e.Kind == lists.File || slices.Equal(e.Xattrs, xattrs))
		same = same && exact
		if e.Kind == lists.File && (exact || was != nil && e.SameContent(was)) {
			*f |= walk.Doubtful
			if e.Stamp != 0 && e.Stamp == old.stamp {
				*f ^= walk.Doubtful | walk.SameFile
			}
		}
	}
	more, err := old.more()
	return same && !more && !old.passedOver, err
}

// differ finds entries in an MTREE, asked for in increasing order.
type differ struct {
	reader *lists.MTREEReader
	stamps *lists.StampsReader
	xattrs *lists.XattrsReader
	stamp  uint64       // of the last entry that was read, if it is a file
	lost   walk.Lost    // attributes of the files that were read
	ahead  *lists.Entry // read already, and not passed yet
	line   []byte

	passedOver bool // the tree has an entry that was not asked for: what is above it need not tell, if it vanished meanwhile
}

// find reports whether the tree has exactly this entry. If it has another one of the same path, was is that one.
func (d *differ) find(e *lists.Entry) (was *lists.Entry, exact bool, err error) {
	d.line = lists.AppendMTREE(d.line[:0], e)
	if d.ahead == nil && d.reader.Skip(d.line, e) {
		d.passed(e)
		return nil, true, nil
	}
	for {
		if d.ahead != nil {
			order := lists.ComparePaths(d.ahead.Path, e.Path)
			if order > 0 {
				return nil, false, nil
			}
			was, d.ahead = d.ahead, nil
			if order == 0 {
				return was, e.SameMeta(was), nil
			}
			d.passedOver = true
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
	next, err := d.reader.Next()
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", lists.MTREEName, err)
	}
	d.ahead = &next
	d.passed(&next)
	return true, nil
}

// passed reads the stamp that belongs to an entry.
func (d *differ) passed(e *lists.Entry) {
	if e.Kind == lists.File {
		stamp, lost := d.stamps.Next()
		d.stamp = stamp
		d.lost.Add(e.Path, lost)
	}
}
