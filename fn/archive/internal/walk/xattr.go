package walk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
)

// Attributes says which extended attributes of the source are kept.
type Attributes byte

// Which extended attributes are kept.
const (
	NoAttributes  Attributes = iota // none is looked at
	AccessLists                     // POSIX access control lists, which tell no more than modes and owners do
	AllAttributes                   // those of users too
)

// XattrReader reads the extended attributes of open files. It is for one goroutine.
type XattrReader struct {
	Keep Attributes
	buf  []byte
}

// Xattrs are the extended attributes of a file or directory. What the node or the file system has for itself, such as
// the label of SELinux, is neither kept nor lost.
type Xattrs struct {
	Kept []lists.Xattr
	Lost string // names of those that are not kept, for messages
	Most uint32 // bits that the mode may have, by an access control list that is kept or lost
}

const allModes = 0o7777

// Read returns the attributes of an open file.
func (r *XattrReader) Read(fd int) (Xattrs, error) {
	x := Xattrs{Most: allModes}
	if r.Keep == NoAttributes {
		return x, nil
	}
	var lost []string
	names, err := r.names(fd)
	if errors.Is(err, unix.E2BIG) || errors.Is(err, unix.ERANGE) {
		names, lost, err = []string{lists.ACLAccess, lists.ACLDefault}, []string{"more than can be listed"}, nil
	}
	if err != nil {
		return x, err
	}
	for _, name := range names {
		value, err := r.value(fd, name)
		switch {
		case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP): // it has none, or no more
		case err != nil && name == lists.ACLAccess: // without it nobody knows what the group may do
			return x, err
		case err == nil && r.keeps(lists.Xattr{Name: name, Value: value}, x.Kept):
			x.Kept = append(x.Kept, lists.Xattr{Name: name, Value: value})
		case means(name, value):
			lost = append(lost, name)
		}
		if err == nil {
			x.Most = lists.Narrow(x.Most, []lists.Xattr{{Name: name, Value: value}})
		}
	}
	x.Lost = NameSome(lost)
	return x, nil
}

// NameSome names attributes in a message, ten of them at most.
func NameSome(attributes []string) string {
	return named(attributes[:min(len(attributes), maxNamedLost)], len(attributes))
}

// named names some of many.
func named(names []string, count int) string {
	text := strings.Join(names, ", ")
	if more := count - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func (r *XattrReader) keeps(x lists.Xattr, others []lists.Xattr) bool {
	isACL := x.Name == lists.ACLAccess || x.Name == lists.ACLDefault
	return lists.KeepsXattr(x.Name) && (isACL || r.Keep == AllAttributes) && x.Fits(others)
}

// names lists the attributes of a file, sorted.
func (r *XattrReader) names(fd int) ([]string, error) {
	if r.buf == nil {
		r.buf = make([]byte, 64<<10) // the most that Linux has of a list, and of a value
	}
	n, err := dirfd.Retry(func() (int, error) { return unix.Flistxattr(fd, r.buf) })
	if dirfd.Unsupported(err) {
		return nil, nil
	}
	if err != nil || n == 0 {
		return nil, err
	}
	names := strings.Split(strings.TrimSuffix(string(r.buf[:n]), "\x00"), "\x00")
	slices.Sort(names)
	return names, nil
}

func (r *XattrReader) value(fd int, name string) (string, error) {
	n, err := dirfd.Retry(func() (int, error) { return unix.Fgetxattr(fd, name, r.buf) })
	if err != nil {
		return "", err
	}
	return string(r.buf[:n]), nil
}

// means reports whether losing an attribute loses anything. Every file on NFS 4 has an access control list, which
// mostly says no more than its mode.
func means(name, value string) bool {
	if name != "system.nfs4_acl" {
		return name == "security.capability" || strings.HasPrefix(name, "system.") || strings.HasPrefix(name, "user.")
	}
	const entry = 16 // type, flags, mask, and the length of the name that follows
	b := []byte(value)
	if len(b) < 4 {
		return true
	}
	for b = b[4:]; len(b) > 0; {
		if len(b) < entry {
			return true
		}
		n := int(binary.BigEndian.Uint32(b[entry-4:]))
		if b = b[entry:]; n < 0 || n > len(b) {
			return true
		}
		switch string(b[:n]) {
		case "OWNER@", "GROUP@", "EVERYONE@":
		default:
			return true
		}
		b = b[min(len(b), (n+3)/4*4):]
	}
	return false
}

// Lost counts entries with attributes that are not kept, and names the first.
type Lost struct {
	count int
	names []string
}

const maxNamedLost = 10

// Add counts an entry, of which the named attributes are lost, if any.
func (l *Lost) Add(path, attributes string) {
	if attributes == "" {
		return
	}
	if l.count++; l.count <= maxNamedLost {
		l.names = append(l.names, fmt.Sprintf("%s (%s)", lists.Escape(path), strings.ReplaceAll(lists.Escape(attributes), `\040`, " ")))
	}
}

// Merge adds what another has counted.
func (l *Lost) Merge(o Lost) {
	l.count += o.count
	l.names = append(l.names, o.names...)
	l.names = l.names[:min(len(l.names), maxNamedLost)]
}

// Warning tells how many there are; empty: none.
func (l *Lost) Warning(format string) string {
	if l.count == 0 {
		return ""
	}
	slices.Sort(l.names)
	return fmt.Sprintf(format, l.count, named(l.names, l.count))
}
