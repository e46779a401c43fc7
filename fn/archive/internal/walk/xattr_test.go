package walk

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/assert"
)

// nfs4 is an access control list of NFS 4 for the given names.
func nfs4(names ...string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(names)))
	for _, name := range names {
		b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
		b = binary.BigEndian.AppendUint32(b, uint32(len(name)))
		b = append(append(b, name...), make([]byte, (4-len(name)%4)%4)...)
	}
	return string(b)
}

func TestWhatAttributesMean(t *testing.T) {
	cases := map[string]struct {
		reason, name, value string
		want                bool
	}{
		"Capability":  {"a file that may do more than others may not any more", "security.capability", "x", true},
		"Label":       {"a label of SELinux is the node's", "security.selinux", "x", false},
		"FileSystem":  {"what a file system keeps for itself is no user's", "trusted.overlay.opaque", "y", false},
		"OtherList":   {"an access control list of another kind", "system.richacl", "x", true},
		"NFS4Trivial": {"every file on NFS 4 has a list, and it says what the mode does", "system.nfs4_acl", nfs4("OWNER@", "GROUP@", "EVERYONE@"), false},
		"NFS4Named":   {"a list that names somebody says more", "system.nfs4_acl", nfs4("OWNER@", "alice@example.com", "GROUP@", "EVERYONE@"), true},
		"NFS4Torn":    {"what nobody can read may say more", "system.nfs4_acl", nfs4("OWNER@", "GROUP@")[:30], true},
		"NFS4Length":  {"likewise", "system.nfs4_acl", nfs4() + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff", true},
		"NFS4Empty":   {"likewise", "system.nfs4_acl", "", true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, means(tc.name, tc.value), tc.reason)
		})
	}
}

func TestLostIsBounded(t *testing.T) {
	var a, b Lost
	for range 30 {
		a.Add("a\x1b", "user.x")
		b.Add("b", "user.x, user.y")
		b.Add("none", "")
	}
	a.Merge(b)
	assert.Equal(t, `60 lost: a\033 (user.x), a\033 (user.x), a\033 (user.x), a\033 (user.x), a\033 (user.x), a\033 (user.x), a\033 (user.x), a\033 (user.x), a\033 (user.x), a\033 (user.x) and 50 more`, a.Warning("%d lost: %s"))
}
