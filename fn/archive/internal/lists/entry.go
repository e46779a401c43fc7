package lists

import (
	"strings"
	"time"
)

// Kind is the type of an entry of the file storage, as mtree(5) names it.
type Kind string

// The kinds of entries that a backup holds.
const (
	File      Kind = "file" // regular ones
	Directory Kind = "dir"
	Symlink   Kind = "link"
)

// Entry is one entry of the file storage, as its source had it.
type Entry struct {
	Path    string // slash-separated and relative to the root of the file storage; "." is the root
	Kind    Kind
	Mode    uint32 // permission, setuid, setgid and sticky bits: 0 to 07777
	UID     uint32
	GID     uint32
	Size    int64     // bytes of a file's plaintext; 0 for others
	ModTime time.Time // in UTC, with nanoseconds
	Link    string    // target of a symlink; "" for others
	SHA256  string    // 64 hex digits: the digest of a file's stored bytes; "" for others, and when only scanned
	Xattrs  []Xattr   // of files and directories, sorted by name; nil when only scanned
	Stamp   uint64    // of a scanned file: if it is still the same, the file was not written to; 0: not known
	Lost    string    // of a stored file, the names of the attributes that are not kept, for messages
}

// SameMeta reports whether all but the digest of two entries of one path is the same.
func (e *Entry) SameMeta(o *Entry) bool {
	return e.SameContent(o) && e.UID == o.UID && e.GID == o.GID && e.Link == o.Link
}

// SameContent reports whether a file can be taken for unchanged: same kind, size, mtime and mode.
func (e *Entry) SameContent(o *Entry) bool {
	return e.Kind == o.Kind && e.Mode == o.Mode && e.Size == o.Size && e.ModTime.Equal(o.ModTime)
}

// ComparePaths orders paths byte by byte with the slash lowest and the root first: a depth-first walk's order.
func ComparePaths(a, b string) int {
	if a == "." {
		a = ""
	}
	if b == "." {
		b = ""
	}
	n := min(len(a), len(b))
	i := 0
	for i < n && a[i] == b[i] {
		i++
	}
	if i == n {
		return len(a) - len(b)
	}
	return pathRank(a[i]) - pathRank(b[i])
}

// pathRank is a byte's place in the order of paths. No path holds a zero byte.
func pathRank(c byte) int {
	if c == '/' {
		return 0
	}
	return int(c)
}

// JoinPath appends an element to a relative directory.
func JoinPath(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

// Below reports whether a path is that of an entry below a directory, which is not the root.
func Below(path, dir string) bool {
	return len(path) > len(dir) && path[len(dir)] == '/' && path[:len(dir)] == dir
}

// ValidPath reports whether a path is relative, clean and stays below its root. Any byte but zero may be in an element.
func ValidPath(path string) bool {
	if path == "." {
		return true
	}
	for rest := path; ; {
		element, after, more := strings.Cut(rest, "/")
		if element == "" || element == "." || element == ".." || strings.IndexByte(element, 0) >= 0 {
			return false
		}
		if !more {
			return true
		}
		rest = after
	}
}
