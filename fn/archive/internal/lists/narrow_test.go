package lists

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// access is a file's owner, group, mode and access control list.
type access struct {
	uid, gid uint32
	mode     uint32
	users    map[uint32]uint32 // rights of named users
	groups   map[uint32]uint32 // rights of named groups
	group    uint32            // rights of the owning group
	mask     uint32
}

// subject is somebody who asks for access.
type subject struct {
	uid    uint32
	groups []uint32
}

// list returns the access control list in the kernel's form.
func (a *access) list() string {
	const nobody = 1<<32 - 1
	b := binary.LittleEndian.AppendUint32(nil, 2)
	add := func(tag, perm, id uint32) {
		b = binary.LittleEndian.AppendUint16(b, uint16(tag))
		b = binary.LittleEndian.AppendUint16(b, uint16(perm))
		b = binary.LittleEndian.AppendUint32(b, id)
	}
	add(1, a.mode>>6&7, nobody)
	for _, uid := range sortedKeys(a.users) {
		add(2, a.users[uid], uid)
	}
	add(4, a.group, nobody)
	for _, gid := range sortedKeys(a.groups) {
		add(8, a.groups[gid], gid)
	}
	add(16, a.mask, nobody)
	add(32, a.mode&7, nobody)
	return string(b)
}

func sortedKeys(m map[uint32]uint32) []uint32 {
	keys := make([]uint32, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// byList reports whether the list lets a subject do all that it asks for, as acl(5) has it.
func (a *access) byList(s subject, asked uint32) bool {
	if s.uid == a.uid {
		return a.mode>>6&asked == asked
	}
	if rights, named := a.users[s.uid]; named {
		return rights&a.mask&asked == asked
	}
	matched := false
	for _, gid := range s.groups {
		rights, named := a.groups[gid]
		if gid == a.gid {
			matched = true
			if a.group&a.mask&asked == asked {
				return true
			}
		}
		if named {
			matched = true
			if rights&a.mask&asked == asked {
				return true
			}
		}
	}
	return !matched && a.mode&asked == asked
}

// byMode reports whether a mode without a list lets a subject do all that it asks for.
func (a *access) byMode(mode uint32, s subject, asked uint32) bool {
	switch {
	case s.uid == a.uid:
		mode >>= 6
	case slices.Contains(s.groups, a.gid):
		mode >>= 3
	}
	return mode&asked == asked
}

const (
	owner, owningGroup = 1000, 2000
	stranger           = 9
)

// randomAccess returns a file with up to three named users and groups.
func randomAccess(random *rand.Rand) *access {
	rights := func() uint32 { return random.Uint32N(8) }
	a := &access{uid: owner, gid: owningGroup, users: map[uint32]uint32{}, groups: map[uint32]uint32{}, group: rights(), mask: rights()}
	for range random.IntN(4) {
		a.users[owner+random.Uint32N(4)] = rights()
	}
	for range random.IntN(4) {
		a.groups[owningGroup+random.Uint32N(4)] = rights()
	}
	a.mode = random.Uint32N(8)<<9 | rights()<<6 | a.mask<<3 | rights()
	return a
}

// subjects returns one of each class: every user that is named or not, in every set of groups.
func subjects() []subject {
	var all []subject
	for _, uid := range []uint32{owner, owner + 1, owner + 2, owner + 3, stranger} {
		for set := range 1 << 4 {
			groups := []uint32{stranger}
			for i := range uint32(4) {
				if set>>i&1 == 1 {
					groups = append(groups, owningGroup+i)
				}
			}
			all = append(all, subject{uid, groups})
		}
	}
	return all
}

// TestNobodyGainsByLosingAList goes through random lists and all classes of subjects: what the narrowed mode lets a
// subject do, the list let it do.
func TestNobodyGainsByLosingAList(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		a := randomAccess(random)
		xattrs := []Xattr{{ACLAccess, a.list()}}
		mode := Narrow(a.mode, xattrs)
		require.Zero(t, mode&^a.mode, "%+v: a mode is never more", *a)
		require.Equal(t, mode, Narrow(mode, xattrs), "%+v: narrowing twice is narrowing once", *a)
		require.Equal(t, a.mode, (&Entry{Kind: File, Mode: mode, Xattrs: xattrs}).StatMode(), "%+v: setting the list gives all back", *a)
		for _, s := range subjects() {
			for asked := uint32(1); asked < 8; asked++ {
				if a.byMode(mode, s, asked) {
					require.True(t, a.byList(s, asked), "%+v: mode %o lets %+v do %o", *a, mode, s, asked)
				}
			}
		}
	}
}

// TestKernelJudgesAlike compares what this test takes for the rules with the kernel's.
func TestKernelJudgesAlike(t *testing.T) {
	if os.Getuid() != 0 {
		require.Empty(t, os.Getenv("THREESCALE_BACKUP_SKIP_NOTHING"), "being others needs root")
		t.Skip("being others needs root")
	}
	dir := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"))
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	require.NoError(t, openUp(dir))
	random := rand.New(rand.NewPCG(3, 4))
	files := make(map[string]*access)
	for i := range 50 {
		a := randomAccess(random)
		for _, path := range []string{fmt.Sprintf("%s/%d-list", dir, i), fmt.Sprintf("%s/%d-mode", dir, i)} {
			require.NoError(t, os.WriteFile(path, nil, 0o600))
			require.NoError(t, os.Chown(path, owner, owningGroup))
			require.NoError(t, unix.Chmod(path, Narrow(a.mode, []Xattr{{ACLAccess, a.list()}})&0o777))
			files[path] = a
		}
		require.NoError(t, unix.Setxattr(fmt.Sprintf("%s/%d-list", dir, i), ACLAccess, []byte(a.list()), 0))
	}
	for _, s := range subjects() {
		granted, err := accessOf(s, files)
		require.NoError(t, err)
		for path, a := range files {
			for asked := uint32(1); asked < 8; asked++ {
				want := a.byList(s, asked)
				if strings.HasSuffix(path, "-mode") {
					want = a.byMode(Narrow(a.mode, []Xattr{{ACLAccess, a.list()}}), s, asked)
				} else if a.mask == 0 {
					want = a.byMode(a.mode, s, asked) // Linux does not look at such a list
				}
				require.Equal(t, want, granted[path][asked], "%s: %+v, %+v, %o", path, *a, s, asked)
			}
		}
	}
}

// openUp lets everybody through the directories above one.
func openUp(dir string) error {
	for up := filepath.Dir(dir); up != os.TempDir() && up != "/"; up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// accessOf asks the kernel, as a subject, on a thread that ends with it.
func accessOf(s subject, files map[string]*access) (map[string][8]bool, error) {
	granted := make(map[string][8]bool)
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: nobody else gets this thread
		failed <- func() error {
			if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(s.groups)), uintptr(unsafe.Pointer(&s.groups[0])), 0); errno != 0 {
				return errno
			}
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, stranger, stranger, stranger); errno != 0 {
				return errno
			}
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(s.uid), uintptr(s.uid), uintptr(s.uid)); errno != 0 {
				return errno
			}
			for path := range files {
				var rights [8]bool
				for asked := uint32(1); asked < 8; asked++ {
					rights[asked] = unix.Access(path, asked) == nil
				}
				granted[path] = rights
			}
			return nil
		}()
	}()
	return granted, <-failed
}

// FuzzNarrow: whatever is in the place of an access control list, nobody gets a right by it that the mode does not give.
func FuzzNarrow(f *testing.F) {
	a := access{uid: 1, gid: 2, mode: 0o750, users: map[uint32]uint32{5: 7}, groups: map[uint32]uint32{6: 4}, group: 5, mask: 5}
	f.Add(uint32(0o750), a.list())
	f.Add(uint32(0o777), a.list()[:20])
	f.Add(uint32(0o777), "\x02\x00\x00\x00")
	f.Add(uint32(0o7777), "")
	f.Fuzz(func(t *testing.T, mode uint32, list string) {
		mode &= 0o7777
		xattrs := []Xattr{{Name: ACLAccess, Value: list}}
		narrow := Narrow(mode, xattrs)
		assert.Zero(t, narrow&^mode, "no right is new")
		assert.Equal(t, mode&^0o077, narrow&^0o077, "the owner's are what they were")
		assert.Equal(t, narrow, Narrow(narrow, xattrs), "twice is once")
		e := Entry{Mode: mode, Xattrs: xattrs}
		if _, ok := parseACL(list); ok {
			assert.Equal(t, mode&^0o077, e.StatMode()&^0o077)
		} else {
			assert.Zero(t, narrow&0o077, "of what cannot be read, nobody gets anything")
		}
	})
}
