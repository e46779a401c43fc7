package archive

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/lists"
)

// aclEntry is one line of an access control list.
type aclEntry struct {
	tag, perm uint16
	id        uint32
}

const (
	aclUserObj, aclUser, aclGroupObj, aclGroup, aclMask, aclOther = 1, 2, 4, 8, 16, 32

	aclNoID = 1<<32 - 1
)

// aclOf is an access control list as the kernel takes it.
func aclOf(entries ...aclEntry) string {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return string(b)
}

// mount mounts a new file system of the kernel's memory for the time of the test: tmpfs has access control lists and
// ramfs has not.
func mount(t *testing.T, fstype string) string {
	t.Helper()
	needRoot(t, "mounting")
	dir := t.TempDir()
	require.NoError(t, unix.Mount(fstype, dir, fstype, 0, ""))
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// modeOf returns what stat(2) tells of an entry.
func modeOf(t *testing.T, parts ...string) uint32 {
	t.Helper()
	var st unix.Stat_t
	require.NoError(t, unix.Lstat(filepath.Join(parts...), &st))
	return st.Mode & 0o7777
}

// TestListsThatTakeRightsAway brings files whose lists give somebody less than the others to a volume without lists.
func TestListsThatTakeRightsAway(t *testing.T) {
	f := newFixture(t)
	f.files = mount(t, "tmpfs")
	f.opts.Files = f.files
	random := rand.New(rand.NewPCG(5, 6))
	perm := func() uint16 { return uint16(random.Uint32N(8)) }
	want := make(map[string]uint32)
	for i := range 100 {
		path := "d" + strconv.Itoa(i)
		require.NoError(t, os.Mkdir(filepath.Join(f.files, path), 0o700))
		if i%2 == 0 {
			path += "/file"
			f.add(path, path)
		}
		user, named, group, also, mask, other := perm(), perm(), perm(), perm(), perm(), perm()
		f.setXattr(path, lists.ACLAccess, aclOf(aclEntry{aclUserObj, user, aclNoID}, aclEntry{aclUser, named, 4711},
			aclEntry{aclGroupObj, group, aclNoID}, aclEntry{aclGroup, also, 4712}, aclEntry{aclMask, mask, aclNoID}, aclEntry{aclOther, other, aclNoID}))
		want[path] = uint32(user<<6 | (group&named&mask)<<3 | other&named&also&mask)
	}
	result := f.write("r1")
	dir := mount(t, "ramfs")
	f.restoreTo(dir, "r1", Fail)
	for path, mode := range want {
		assert.Equal(t, mode, modeOf(t, dir, path), path)
		stored := modeOf(t, f.stored(result, path))
		assert.Equal(t, mode&0o077, stored&0o077, "what is stored gives nobody more either: %s", path)
	}
	dir = mount(t, "tmpfs")
	f.restoreTo(dir, "r1", Fail)
	for path := range want {
		assert.Equal(t, modeOf(t, f.files, path), modeOf(t, dir, path), "where there are lists, nothing is taken away: %s", path)
	}
}

// TestListsTooLongToBeKept stores what has access control lists that are longer than a line of files.xattrs.
func TestListsTooLongToBeKept(t *testing.T) {
	f := newFixture(t)
	f.files = mount(t, "tmpfs")
	f.opts.Files = f.files
	f.add("file", "secret")
	f.add("dir/open", "known")
	entries := []aclEntry{{aclUserObj, 7, aclNoID}}
	for i := range uint32(5000) {
		entries = append(entries, aclEntry{aclUser, 5, 10_000 + i})
	}
	list := aclOf(append(entries, aclEntry{aclGroupObj, 1, aclNoID}, aclEntry{aclMask, 7, aclNoID}, aclEntry{aclOther, 3, aclNoID})...)
	require.Greater(t, len(list), lists.MaxXattr)
	for _, path := range []string{"file", "dir"} {
		f.setXattr(path, lists.ACLAccess, list)
	}
	for _, run := range []string{"r1", "r2"} {
		result := f.write(run)
		require.Len(t, result.Manifest.Warnings, 1)
		assert.Contains(t, result.Manifest.Warnings[0], "extended attributes of 2 files and directories are not kept: dir (system.posix_acl_access), file (system.posix_acl_access)")
		f.verify(run)
		for _, fstype := range []string{"tmpfs", "ramfs"} {
			dir := mount(t, fstype)
			f.restoreTo(dir, run, Fail)
			for _, path := range []string{"file", "dir"} {
				assert.Equal(t, uint32(0o711), modeOf(t, dir, path), "%s on %s: the group has its own rights, and the others none that a named user lacks", path, fstype)
			}
			assert.Equal(t, uint32(0o644), modeOf(t, dir, "dir/open"))
		}
	}
}
