package archive

import (
	"strings"
	"time"
)

// Kind is the type of an entry of the file storage, as mtree(5) names it.
type Kind string

const (
	// File is a regular file.
	File Kind = "file"
	// Directory is a directory.
	Directory Kind = "dir"
	// Symlink is a symbolic link.
	Symlink Kind = "link"
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
}

// sameMeta tells if all but the digest of two entries of one path is the same.
func (e *Entry) sameMeta(o *Entry) bool {
	return e.sameContent(o) && e.UID == o.UID && e.GID == o.GID && e.Link == o.Link
}

// sameContent tells if a file can be taken for unchanged: same kind, size, mtime and mode.
func (e *Entry) sameContent(o *Entry) bool {
	return e.Kind == o.Kind && e.Mode == o.Mode && e.Size == o.Size && e.ModTime.Equal(o.ModTime)
}

// comparePaths orders paths byte by byte with the slash lowest and the root first: a depth-first walk's order.
func comparePaths(a, b string) int {
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

// splitPath returns the directory and the last element of a relative path; "." is the directory of a single element.
func splitPath(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return ".", path
	}
	return path[:i], path[i+1:]
}

// joinPath appends an element to a relative directory.
func joinPath(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

// validPath tells if a path is relative, clean and stays below its root. Any byte but zero may be in an element.
func validPath(path string) bool {
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

// cutElement splits a path after its first element.
func cutElement(path string) (name, rest string) {
	name, rest, _ = strings.Cut(path, "/")
	return name, rest
}
