package walk

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"threescale.dev/backup/fn/archive/internal/lists"
)

// Objects have neither modes nor owners, and what their keys have before a slash is no object. So all have modes with
// which 3scale can use them where they are restored to a volume, and directories have a time that never changes.
const (
	objectMode    = 0o664
	objectDirMode = 0o775
	maxName       = 255 // bytes of a file's name
)

// KeyLister makes a list of objects: regular files, and the directories that their keys imply. Its zero value is not
// usable; see NewKeyLister.
type KeyLister struct {
	found Found
	open  []*keyDir // the directories that lead to the last key, the root first
}

// keyDir is a directory whose keys are not all known yet.
type keyDir struct {
	name    string
	node    *node
	data    []byte
	records []keyRecord
}

// keyRecord is an entry of a keyDir. In the order of keys, what is in "a" comes after "a-b", and in that of names before.
type keyRecord struct {
	start, end int   // of data
	dir        *node // nil: it is an object
}

// NewKeyLister returns an empty list.
func NewKeyLister() *KeyLister {
	root := dirEntry(".")
	top := &node{}
	return &KeyLister{
		found: Found{List: &List{root: root, top: top, Count: Counts{Dirs: 1}}},
		open:  []*keyDir{{node: top}},
	}
}

func dirEntry(path string) lists.Entry {
	return lists.Entry{Path: path, Kind: lists.Directory, Mode: objectDirMode, ModTime: time.Unix(0, 0).UTC()}
}

// Add adds an object. Keys come in their order. One that no file can have is noted as unreadable.
func (l *KeyLister) Add(key string, size int64, modified time.Time, stamp uint64) {
	if err := checkKey(key); err != nil {
		l.refuse(key, err)
		return
	}
	elements := strings.Split(key, "/")
	dirs, name := elements[:len(elements)-1], elements[len(elements)-1]
	depth := 1
	for depth < len(l.open) && depth <= len(dirs) && l.open[depth].name == dirs[depth-1] {
		depth++
	}
	l.closeBelow(depth)
	for _, dir := range dirs[depth-1:] {
		child := &keyDir{name: dir, node: &node{}}
		l.add(dirEntry(""), dir, child.node)
		l.open = append(l.open, child)
	}
	l.add(lists.Entry{Kind: lists.File, Mode: objectMode, Size: size, ModTime: modified.UTC(), Stamp: stamp}, name, nil)
}

func (l *KeyLister) add(e lists.Entry, name string, dir *node) {
	parent := l.open[len(l.open)-1]
	start := len(parent.data)
	parent.data = appendRecord(parent.data, name, &e)
	parent.records = append(parent.records, keyRecord{start, len(parent.data), dir})
	l.found.List.Count.Add(&e)
}

// closeBelow completes the directories below a depth, since no more keys of theirs can come.
func (l *KeyLister) closeBelow(depth int) {
	for len(l.open) > depth {
		l.complete()
		l.open = l.open[:len(l.open)-1]
	}
}

// complete sorts the records of the innermost directory by name.
func (l *KeyLister) complete() {
	d := l.open[len(l.open)-1]
	name := func(r keyRecord) []byte {
		rest := record{d.data[r.start+2 : r.end]} // after flags and kind
		return rest.string()
	}
	compare := func(a, b keyRecord) int { return bytes.Compare(name(a), name(b)) }
	sorted := slices.IsSortedFunc(d.records, compare)
	if !sorted {
		slices.SortStableFunc(d.records, compare)
	}
	data := make([]byte, 0, len(d.data))
	for i, r := range d.records {
		if i+1 < len(d.records) && compare(r, d.records[i+1]) == 0 { // the key comes before those below it
			l.refuse(l.path(string(name(r))), errors.New("no file can have this key: there are keys that begin with it and a slash"))
			continue
		}
		data = append(data, d.data[r.start:r.end]...)
		if r.dir != nil {
			d.node.dirs = append(d.node.dirs, r.dir)
		}
	}
	d.node.data = data
}

// path is that of a name in the innermost directory.
func (l *KeyLister) path(name string) string {
	var b strings.Builder
	for _, d := range l.open[1:] {
		b.WriteString(d.name + "/")
	}
	return b.String() + name
}

func (l *KeyLister) refuse(key string, err error) {
	if len(l.found.Unreadable) < MaxListed {
		l.found.Unreadable = append(l.found.Unreadable, Unreadable{Path: key, Err: err})
	}
}

// Found completes the list.
func (l *KeyLister) Found() *Found {
	l.closeBelow(1)
	l.complete()
	slices.SortFunc(l.found.Unreadable, func(a, b Unreadable) int { return strings.Compare(a.Path, b.Path) })
	return &l.found
}

// checkKey returns why no file can have a key.
func checkKey(key string) error {
	for element := range strings.SplitSeq(key, "/") {
		why := ""
		switch {
		case element == "":
			why = "a slash at its begin or end, or two in a row"
		case element == "." || element == "..":
			why = fmt.Sprintf("%q between slashes", element)
		case len(element) > maxName:
			why = fmt.Sprintf("more than %d bytes between slashes", maxName)
		case strings.IndexByte(element, 0) >= 0:
			why = "a zero byte"
		}
		if why != "" {
			return fmt.Errorf("no file can have this key: it has %s", why)
		}
	}
	return nil
}
