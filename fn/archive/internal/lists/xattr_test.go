package lists

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/dirfd"
)

// aclOf is an access control list of tags and rights.
func aclOf(entries ...[2]uint16) []Xattr {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, e[0])
		b = binary.LittleEndian.AppendUint16(b, e[1])
		b = binary.LittleEndian.AppendUint32(b, 1<<32-1)
	}
	return []Xattr{{Name: ACLAccess, Value: string(b)}}
}

func TestNarrow(t *testing.T) {
	const user, named, group, mask, other = 1, 2, 4, 16, 32
	cases := map[string]struct {
		reason     string
		mode, want uint32
		xattrs     []Xattr
	}{
		"None":       {"without a list the mode says all", 0o664, 0o664, nil},
		"UserXattr":  {"another attribute gives no rights", 0o664, 0o664, []Xattr{{Name: "user.x", Value: "y"}}},
		"Default":    {"what a directory passes on is not its own", 0o775, 0o775, []Xattr{{Name: ACLDefault, Value: "x"}}},
		"Mask":       {"what stat tells of the group is the mask", 0o674, 0o644, aclOf([2]uint16{user, 6}, [2]uint16{named, 7}, [2]uint16{group, 4}, [2]uint16{mask, 7}, [2]uint16{other, 4})},
		"MaskIsLess": {"the mask bounds the group too", 0o610, 0o610, aclOf([2]uint16{user, 6}, [2]uint16{group, 7}, [2]uint16{mask, 1}, [2]uint16{other, 0})},
		"NoMask":     {"a list of the three that a mode has", 0o640, 0o640, aclOf([2]uint16{user, 6}, [2]uint16{group, 4}, [2]uint16{other, 0})},
		"NoGroup":    {"a list that says nothing of the group gives it nothing", 0o670, 0o600, aclOf([2]uint16{user, 6})},
		"Malformed":  {"nor does one that nobody can read", 0o6775, 0o6700, []Xattr{{Name: ACLAccess, Value: "\x02\x00\x00\x00\x01"}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, Narrow(tc.mode, tc.xattrs), tc.reason)
			assert.Zero(t, Narrow(tc.mode, tc.xattrs)&^tc.mode, "rights are never more: %s", tc.reason)
		})
	}
}

// TestNarrowNeverWidens goes through all rights of the group and all masks.
func TestNarrowNeverWidens(t *testing.T) {
	for group := range uint16(8) {
		for mask := range uint16(8) {
			list := aclOf([2]uint16{1, 7}, [2]uint16{4, group}, [2]uint16{16, mask}, [2]uint16{32, 0})
			stat := 0o2700 | uint32(mask)<<3
			got := Entry{Kind: File, Mode: Narrow(stat, list), Xattrs: list}
			assert.Equal(t, 0o2700|uint32(group&mask)<<3, got.Mode)
			assert.Equal(t, stat, got.StatMode(), "the mask is what stat tells once the list is set")
		}
	}
}

func TestXattrsAreBounded(t *testing.T) {
	large := Xattr{Name: "user.x", Value: strings.Repeat("x", maxXattr)}
	assert.True(t, large.Fits(nil))
	assert.False(t, (&Xattr{Name: "user.x", Value: large.Value + "x"}).Fits(nil), "a line would be too long")
	e := Entry{Path: "a"}
	for i := range 7 {
		x := Xattr{Name: "user." + string(rune('a'+i)), Value: large.Value}
		require.True(t, x.Fits(e.Xattrs))
		e.Xattrs = append(e.Xattrs, x)
	}
	assert.False(t, large.Fits(append(e.Xattrs, large)), "so much nobody keeps in memory of one entry")
	dir, err := dirfd.Open(t.TempDir())
	require.NoError(t, err)
	defer dir.Close()
	require.NoError(t, dir.WriteFile("good", appendXattrs(nil, &e), false))
	e.Xattrs = append(e.Xattrs, Xattr{Name: "user.y", Value: large.Value}, Xattr{Name: "user.z", Value: large.Value})
	require.NoError(t, dir.WriteFile("bad", appendXattrs(nil, &e), false))
	for name, ok := range map[string]bool{"good": true, "bad": false} {
		require.NoError(t, dir.Rename(name, dir, XattrsName))
		r, err := OpenXattrs(dir)
		assert.Equal(t, ok, err == nil, "%s: %v", name, err)
		if err == nil {
			require.NoError(t, r.Close())
		}
	}
}

// FuzzReadXattrs reads lists that somebody else may have written: what is read is written back as it was.
func FuzzReadXattrs(f *testing.F) {
	f.Add([]byte("# file: a\\040b\nuser.x=0seA==\n\n# file: c\nsystem.posix_acl_access=0s\nuser.y=0seA==\n\n"))
	f.Add([]byte("# file: a\nsecurity.capability=0seA==\n\n"))
	f.Add([]byte("# file: ../a\nuser.x=0seA==\n\n"))
	f.Add([]byte("# file: a\nuser.x=0seA==\n\n# file: b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir, err := dirfd.Open(t.TempDir())
		require.NoError(t, err)
		defer dir.Close()
		require.NoError(t, dir.WriteFile(XattrsName, data, false))
		r, err := OpenXattrs(dir)
		if err != nil {
			return
		}
		defer r.Close()
		var again []byte
		for r.path != "" {
			assert.True(t, ValidPath(r.path))
			for _, x := range r.attrs {
				assert.True(t, KeepsXattr(x.Name))
			}
			again = appendXattrs(again, &Entry{Path: r.path, Xattrs: r.attrs})
			if err := r.advance(); err != nil {
				assert.NotErrorIs(t, err, io.EOF, "readers of a tree would take it for the end of proven lists")
				assert.True(t, strings.HasPrefix(string(data), string(again)))
				return
			}
		}
		assert.Equal(t, string(data), string(again))
	})
}
