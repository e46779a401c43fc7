package lists

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"threescale.dev/backup/fn/archive/internal/dirfd"
)

// Xattr is an extended attribute of an entry, an access control list among them.
type Xattr struct {
	Name  string
	Value string // any bytes
}

// The names that POSIX access control lists have as extended attributes.
const (
	ACLAccess  = "system.posix_acl_access"
	ACLDefault = "system.posix_acl_default"
)

func xattrOf(xattrs []Xattr, name string) (value string, ok bool) {
	for _, x := range xattrs {
		if x.Name == name {
			return x.Value, true
		}
	}
	return "", false
}

// HasXattr reports whether an entry has an attribute.
func (e *Entry) HasXattr(name string) bool {
	_, ok := xattrOf(e.Xattrs, name)
	return ok
}

// Narrow returns a mode that gives nobody more than the access control list of an entry, for a place where the list is
// not set. There, the users and groups that the list names count as the owning group or as others, so these get only
// rights that all named ones have. The group bits of stat(2) are of no use: they are the mask, the most that anybody
// named may have.
func Narrow(mode uint32, xattrs []Xattr) uint32 {
	text, ok := xattrOf(xattrs, ACLAccess)
	if !ok {
		return mode
	}
	acl, ok := parseACL(text)
	if !ok {
		return mode &^ 0o077
	}
	return mode &^ (^(acl.group&acl.users)&7<<3 | ^(acl.users&acl.groups)&7)
}

// StatMode is the mode that stat(2) shows of an entry whose access control list is set.
func (e *Entry) StatMode() uint32 {
	text, _ := xattrOf(e.Xattrs, ACLAccess)
	if acl, ok := parseACL(text); ok {
		return e.Mode&^0o077 | acl.mask<<3 | acl.other
	}
	return e.Mode
}

// accessList is what a POSIX access control list gives, as three bits each.
type accessList struct {
	group  uint32 // the owning group may
	other  uint32 // everybody may whom the list does not name
	users  uint32 // each user may whom the list names
	groups uint32 // each group may that the list names
	mask   uint32 // stat(2) tells in the group's place
}

// parseACL reads an access control list in the kernel's form.
func parseACL(text string) (acl accessList, ok bool) {
	const (
		version, header, size = 2, 4, 8

		owner, user, owningGroup, group, mask, other = 1, 2, 4, 8, 16, 32
	)
	b := []byte(text)
	if len(b) < header || binary.LittleEndian.Uint32(b) != version || (len(b)-header)%size != 0 {
		return acl, false
	}
	acl = accessList{users: 7, groups: 7}
	seen, bound := uint16(0), uint32(7)
	for b = b[header:]; len(b) > 0; b = b[size:] {
		tag, may := binary.LittleEndian.Uint16(b), uint32(binary.LittleEndian.Uint16(b[2:]))&7
		seen |= tag
		switch tag {
		case owner: // as in the mode
		case user:
			acl.users &= may
		case owningGroup:
			acl.group, acl.mask = may, may
		case group:
			acl.groups &= may
		case mask:
			bound = may
		case other:
			acl.other = may
		default:
			return acl, false
		}
	}
	acl.group &= bound
	if seen&mask != 0 {
		acl.mask = bound
	}
	if seen&user != 0 {
		acl.users &= bound
	}
	if seen&group != 0 {
		acl.groups &= bound
	}
	return acl, seen&(owningGroup|other) == owningGroup|other
}

// The list of extended attributes is in the format of getfattr --dump, so that setfattr --restore reads it: for each
// entry that has any, a line with its path, a line for each attribute with the value in base64, and an empty line.
const (
	xattrFile  = "# file: "
	xattrValue = "=0s"
	// maxXattr is the longest value that has room in a line.
	maxXattr = 32 << 10
	// maxXattrs bounds the names and values of one entry together.
	maxXattrs = 256 << 10
)

func appendXattrs(b []byte, e *Entry) []byte {
	b = append(appendVis(append(b, xattrFile...), e.Path), '\n')
	for _, x := range e.Xattrs {
		b = append(appendVis(b, x.Name), xattrValue...)
		b = append(base64.StdEncoding.AppendEncode(b, []byte(x.Value)), '\n')
	}
	return append(b, '\n')
}

// XattrsReader reads the list. Its zero value is at the end of one.
type XattrsReader struct {
	file  *dirfd.HashedFile
	lines *LineReader
	path  string  // of the next entry; empty: there is none
	attrs []Xattr // of the next entry
}

// advance reads the next entry.
func (r *XattrsReader) advance() error {
	before := r.path
	r.path, r.attrs = "", nil
	line, err := r.lines.Next()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	name, ok := bytes.CutPrefix(line, []byte(xattrFile))
	if !ok {
		return fmt.Errorf("line %d: not the path of a file", r.lines.n)
	}
	path, err := unvis(name)
	if err != nil || !ValidPath(path) || before != "" && ComparePaths(before, path) >= 0 {
		return fmt.Errorf("line %d: malformed path, or out of order", r.lines.n)
	}
	for size := 0; size <= maxXattrs; {
		line, err := r.lines.Next()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // io.EOF says that all lists are read and proven
		}
		if err != nil {
			return fmt.Errorf("it ends too early: %w", err)
		}
		if len(line) == 0 {
			if len(r.attrs) == 0 {
				break
			}
			r.path = path
			return nil
		}
		x, err := parseXattr(line)
		size += x.size()
		if err == nil && len(r.attrs) > 0 && cmp.Compare(r.attrs[len(r.attrs)-1].Name, x.Name) >= 0 {
			err = errors.New("out of order")
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", r.lines.n, err)
		}
		r.attrs = append(r.attrs, x)
	}
	return fmt.Errorf("line %d: no attributes, or too many", r.lines.n)
}

// size is what an attribute counts towards maxXattrs.
func (x *Xattr) size() int { return len(x.Name) + len(x.Value) }

// Fits reports whether one more attribute has room beside others.
func (x *Xattr) Fits(others []Xattr) bool {
	size := x.size()
	for i := range others {
		size += others[i].size()
	}
	return len(x.Value) <= maxXattr && size <= maxXattrs
}

func parseXattr(line []byte) (Xattr, error) {
	name, value, ok := bytes.Cut(line, []byte(xattrValue))
	if !ok {
		return Xattr{}, errors.New("not an attribute in base64")
	}
	text, err := unvis(name)
	if err != nil || !KeepsXattr(text) {
		return Xattr{}, errors.New("not the name of an attribute that is kept")
	}
	data, err := base64.StdEncoding.Strict().DecodeString(string(value))
	return Xattr{Name: text, Value: string(data)}, err
}

// KeepsXattr reports whether a backup keeps an attribute of that name: those of users, and POSIX access control lists.
func KeepsXattr(name string) bool {
	user, ok := strings.CutPrefix(name, "user.")
	return name == ACLAccess || name == ACLDefault || ok && user != ""
}

// OpenXattrs opens the list of a tree, which may have none.
func OpenXattrs(tree Folder) (*XattrsReader, error) {
	f, err := tree.OpenHashed(XattrsName)
	if errors.Is(err, fs.ErrNotExist) {
		return &XattrsReader{}, nil
	}
	if err != nil {
		return nil, err
	}
	r := &XattrsReader{file: f, lines: NewLineReader(f)}
	if err := r.advance(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

// Close closes the list.
func (r *XattrsReader) Close() error {
	if r == nil || r.file == nil {
		return nil
	}
	return r.file.Close()
}

// Find returns the attributes of an entry, asked for in increasing order.
func (r *XattrsReader) Find(path string) ([]Xattr, error) {
	for r.path != "" {
		order := ComparePaths(r.path, path)
		if order > 0 {
			break
		}
		attrs := r.attrs
		if err := r.advance(); err != nil {
			return nil, fmt.Errorf("%s: %w", XattrsName, err)
		}
		if order == 0 {
			return attrs, nil
		}
	}
	return nil, nil
}

// Prove reads the list to its end and compares it with its digest; empty: there should be none.
func (r *XattrsReader) Prove(want string) error {
	switch {
	case want == "" && r.file == nil:
		return nil
	case want == "":
		return fmt.Errorf("%s: it is not in %s", XattrsName, SumsName)
	case r.file == nil:
		return fmt.Errorf("%s: it is missing", XattrsName)
	}
	if err := r.lines.rest(); err != nil {
		return err
	}
	return r.file.Prove(XattrsName, want)
}

// XattrsDigest returns the digest of the list by the last line of a tree's SHA256SUMS, which it does not prove; empty
// without such a line.
func XattrsDigest(tree *dirfd.Dir) (string, error) {
	f, err := tree.Open(SumsName)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	line := make([]byte, 1+sumLen+2+len(XattrsName)+1) // with the newline before it
	if info.Size() < int64(len(line)) {
		return "", nil
	}
	if _, err := f.ReadAt(line, info.Size()-int64(len(line))); err != nil {
		return "", err
	}
	s, err := parseSum(line[1 : len(line)-1])
	if err != nil || line[0] != '\n' || s.Path != XattrsName {
		return "", nil
	}
	return s.SHA256, nil
}
