package archive

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
	require.Greater(t, len(list), 32<<10)
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

// inheritedList is a default list that gives a user all.
func inheritedList() string { return acl(7, 7, 7, 7) }

// setList sets an attribute of an entry of any directory.
func setList(t *testing.T, path, name, value string) {
	t.Helper()
	require.NoError(t, unix.Setxattr(path, name, []byte(value), 0))
}

// withoutRoot leaves out what the root of a volume has.
func withoutRoot(attributes map[string]string) map[string]string {
	for key := range attributes {
		if strings.HasPrefix(key, ". ") {
			delete(attributes, key)
		}
	}
	return attributes
}

// TestInheritedListsAreRemoved restores into volumes whose root passes on a list, and over entries that have lists.
func TestInheritedListsAreRemoved(t *testing.T) {
	cases := map[string]struct {
		reason   string
		existing Existing
		prepare  func(t *testing.T, f *fixture, dir string)
	}{
		"Fresh": {"what is made inherits", Fail, func(*testing.T, *fixture, string) {}},
		"Directory": {"a directory that is there passes on a list too", Overwrite, func(t *testing.T, _ *fixture, dir string) {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, "tenant-001/2026"), 0o755))
		}},
		"File": {"a file that is there with its content has inherited", Fail, func(t *testing.T, f *fixture, dir string) {
			shell(t, "/", "cp", "-r", "--preserve=timestamps", f.files+"/.", dir)
			shell(t, dir, "chmod", "--recursive", "--reference="+f.files, ".")
		}},
		"Granted": {"somebody was given more since it was restored", Fail, func(t *testing.T, f *fixture, dir string) {
			f.restoreTo(dir, "r1", Fail)
			setList(t, filepath.Join(dir, "tenant-002/.htaccess"), lists.ACLAccess, acl(6, 4, 7, 4))
			require.NoError(t, os.Chmod(filepath.Join(dir, "tenant-002/.htaccess"), 0o644)) // which bounds the list
		}},
		"Passed": {"a directory was told to pass on a list", Fail, func(t *testing.T, f *fixture, dir string) {
			f.restoreTo(dir, "r1", Fail)
			setList(t, filepath.Join(dir, "tenant-002"), lists.ACLDefault, inheritedList())
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.files = mount(t, "tmpfs")
			f.opts.Files = f.files
			f.addSome()
			f.setXattr("tenant-001/2026/01/03", lists.ACLDefault, acl(7, 5, 5, 0))
			f.setXattr("tenant-001/2026/01/03/über uns.html", lists.ACLAccess, acl(6, 4, 4, 0))
			touchAll(f)
			f.write("r1")
			dir := mount(t, "tmpfs")
			require.NoError(t, os.Chmod(dir, 0o750))
			setList(t, dir, lists.ACLDefault, inheritedList())
			tc.prepare(t, f, dir)
			setList(t, dir, lists.ACLAccess, acl(7, 5, 5, 0))
			for range 2 {
				result := f.restoreTo(dir, "r1", tc.existing)
				assert.Empty(t, result.Warnings)
				assert.Equal(t, withoutRoot(xattrs(t, f.files)), withoutRoot(xattrs(t, dir)), tc.reason)
				for _, e := range listed(t, f.files)[1:] {
					assert.Equal(t, modeOf(t, f.files, e.Path), modeOf(t, dir, e.Path), e.Path)
				}
			}
			assert.Equal(t, map[string]string{
				". " + lists.ACLDefault: inheritedList(),
				". " + lists.ACLAccess:  acl(7, 5, 5, 0),
			}, rootOf(xattrs(t, dir)), "the root keeps what its volume has, as it keeps its owner")
			before := changes(t, dir)
			assert.Zero(t, f.restoreTo(dir, "r1", Fail).WrittenFiles)
			assert.Equal(t, before, changes(t, dir), "what is as it should be is not touched")
		})
	}
}

// rootOf leaves only what the root of a volume has.
func rootOf(attributes map[string]string) map[string]string {
	for key := range attributes {
		if !strings.HasPrefix(key, ". ") {
			delete(attributes, key)
		}
	}
	return attributes
}

// TestListsAreTheSourcesAndNoOther restores random trees over random others.
func TestListsAreTheSourcesAndNoOther(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	perm := func() uint16 { return uint16(random.Uint32N(8)) }
	sprinkle := func(dir string) {
		for i := range 6 {
			sub := filepath.Join(dir, "d"+strconv.Itoa(i))
			if random.IntN(3) == 0 {
				continue
			}
			for _, path := range []string{sub, filepath.Join(sub, "sub"), filepath.Join(sub, "file"), filepath.Join(sub, "sub/file")} {
				if strings.HasSuffix(path, "file") {
					require.NoError(t, os.WriteFile(path, []byte{byte(random.IntN(2))}, 0o600))
				} else {
					require.NoError(t, os.Mkdir(path, 0o700))
					if random.IntN(2) == 0 {
						setList(t, path, lists.ACLDefault, acl(perm(), perm(), perm(), perm()))
					}
				}
				if random.IntN(2) == 0 {
					setList(t, path, lists.ACLAccess, acl(perm(), perm(), perm(), perm()))
				} else {
					require.NoError(t, unix.Chmod(path, random.Uint32N(0o1000)))
				}
			}
		}
	}
	for i := range 10 {
		f := newFixture(t)
		f.files = mount(t, "tmpfs")
		f.opts.Files = f.files
		sprinkle(f.files)
		f.write("r1")
		dir := mount(t, "tmpfs")
		setList(t, dir, lists.ACLDefault, acl(perm(), perm(), perm(), perm()))
		sprinkle(dir)
		f.restoreTo(dir, "r1", Mirror)
		require.Equal(t, withoutRoot(xattrs(t, f.files)), withoutRoot(xattrs(t, dir)), i)
		for _, e := range listed(t, f.files)[1:] {
			require.Equal(t, modeOf(t, f.files, e.Path), modeOf(t, dir, e.Path), "%d: %s", i, e.Path)
		}
	}
}

// TestInheritedListsThatStay restores into volumes that pass lists on, and do not let them be removed.
func TestInheritedListsThatStay(t *testing.T) {
	cases := map[string]struct {
		errno  unix.Errno
		user   int
		passed int // entries that the root's list is passed on to, and whose list stays
	}{
		"Removed":     {0, 65532, 0},
		"Unsupported": {unix.ENOTSUP, 0, 10},
		"Unknown":     {unix.ENOSYS, 0, 10},
		"Invalid":     {unix.EINVAL, 0, 10},
		"NotAllowed":  {unix.EPERM, 0, 10},
		"Denied":      {unix.EACCES, 0, 10},
		"Gone":        {unix.ENODATA, 0, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			f.write("r1")
			shell(t, f.root, "chmod", "-R", "a+rX", ".")
			openUp(t, f.root)
			dir := mount(t, "tmpfs")
			openUp(t, filepath.Dir(dir))
			setList(t, dir, lists.ACLDefault, inheritedList())
			shell(t, dir, "sh", "-c", "chgrp 65532 .; chmod 2770 .")
			args := childArgs{Target: dir, User: tc.user}
			if tc.errno != 0 {
				args.Deny = map[int]int{unix.SYS_LREMOVEXATTR: int(tc.errno)}
			}
			for range 2 {
				out := f.restoreInChild(args)
				assert.Equal(t, tc.passed > 0, strings.Contains(out, fmt.Sprintf("access control lists of %d files and directories could not be removed", tc.passed)), out)
			}
			assert.True(t, f.compare(dir, "r1").Same)
		})
	}
}

// TestListOfSomebodyElsesFile restores as a user who may not change a file that is there, which is then made anew.
func TestListOfSomebodyElsesFile(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	shell(t, f.root, "chmod", "-R", "a+rX", ".")
	openUp(t, f.root)
	dir := mount(t, "tmpfs")
	openUp(t, filepath.Dir(dir))
	shell(t, "/", "cp", "-r", "--preserve=mode,timestamps", f.files+"/.", dir)
	shell(t, dir, "sh", "-c", "find . -type d -exec chown 65532:65532 {} +")
	setList(t, filepath.Join(dir, "tenant-002/.htaccess"), lists.ACLAccess, acl(6, 4, 4, 4))
	out := f.restoreInChild(childArgs{Target: dir, User: 65532})
	assert.NotContains(t, out, "access control lists")
	assert.Empty(t, xattrs(t, dir))
	assert.True(t, f.compare(dir, "r1").Same)
}
