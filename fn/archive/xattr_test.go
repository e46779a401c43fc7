package archive

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/lists"
)

// acl is a POSIX access control list as the kernel takes it, with a named user of all rights.
func acl(owner, group, mask, other uint16) string {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, owner, 1<<32 - 1}, {2, 7, 4711}, {4, group, 1<<32 - 1}, {16, mask, 1<<32 - 1}, {32, other, 1<<32 - 1}} {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return string(b)
}

// setXattr sets an extended attribute of an entry of the file storage.
func (f *fixture) setXattr(path, name, value string) {
	f.t.Helper()
	require.NoError(f.t, unix.Setxattr(filepath.Join(f.files, path), name, []byte(value), 0))
}

// xattrs returns the extended attributes of all entries below a directory.
func xattrs(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for _, e := range listed(t, dir) {
		path := filepath.Join(dir, e.Path)
		buf := make([]byte, 64<<10)
		n, err := unix.Llistxattr(path, buf)
		if err != nil {
			continue // a symlink, or a file system that has none
		}
		for _, name := range strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == 0 }) {
			value := make([]byte, 64<<10)
			n, err := unix.Lgetxattr(path, name, value)
			require.NoError(t, err)
			found[e.Path+" "+name] = string(value[:n])
		}
	}
	return found
}

const secretFile = "tenant-001/2026/01/02/logo-0123456789abcdef.png"

// withLists is a fixture with access control lists and attributes of users.
func withLists(t *testing.T) *fixture {
	t.Helper()
	needRoot(t, "mounting")
	f := newFixture(t)
	f.files = mountExt4(t)
	f.opts.Files = f.files
	f.addSome()
	f.add("a b\n=#\\ü", "odd")
	require.NoError(t, os.Symlink("nowhere", filepath.Join(f.files, "link")))
	require.NoError(t, os.Mkdir(filepath.Join(f.files, "inherits"), 0o750))
	f.setXattr("inherits", lists.ACLDefault, acl(7, 5, 7, 0))
	f.add("inherits/later/file", "inherits")
	f.setXattr(secretFile, lists.ACLAccess, acl(6, 4, 7, 0))
	f.setXattr("tenant-002", lists.ACLAccess, acl(7, 1, 7, 0))
	f.setXattr("a b\n=#\\ü", "user.a=b\n", "\x00\xff any bytes\n")
	f.setXattr(".", "user.root", "r")
	touchAll(f)
	return f
}

func TestXattrsAreGivenBack(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprint(encrypted), func(t *testing.T) {
			f := withLists(t)
			want := xattrs(t, f.files)
			require.Len(t, want, 8, "%v", want)
			var identities []age.Identity
			if encrypted {
				key := identity(t)
				f.opts.Recipients, identities = []string{key.Recipient().String()}, []age.Identity{key}
				for name := range want {
					if strings.Contains(name, " user.") {
						delete(want, name)
					}
				}
			}
			result := f.write("r1")
			if encrypted {
				assert.Equal(t, []string{`extended attributes of 2 files and directories are not kept: . (user.root), a\040b\012\075\043\134\303\274 (user.a\075b\012)`}, result.Manifest.Warnings)
			} else {
				assert.Empty(t, result.Manifest.Warnings)
			}
			assert.Empty(t, f.verify("r1").Warnings)
			info, err := os.Stat(f.stored(result, secretFile))
			require.NoError(t, err)
			assert.Equal(t, os.FileMode(0o640), info.Mode(), "whoever restores by hand gives the group no more than it had")

			dir := mountExt4(t)
			f.restoreTo(dir, "r1", Fail, identities...)
			assert.Equal(t, want, xattrs(t, dir))
			assertEqualTrees(t, f.files, dir)
			assert.Equal(t, Comparison{Same: true}, f.compare(dir, "r1", identities...))
			before := changes(t, dir)
			again := f.restoreTo(dir, "r1", Fail, identities...)
			assert.Zero(t, again.WrittenFiles)
			assert.Equal(t, before, changes(t, dir), "what is as it should be is not touched")

			second := f.write("r2")
			assert.True(t, second.TreeShared, "nothing has changed")
			f.add("more", "more")
			third := f.write("r3")
			assert.Equal(t, result.Manifest.Totals.Files, third.Manifest.Totals.LinkedFiles)
			f.verify("r3")
			dir = mountExt4(t)
			f.restoreTo(dir, "r3", Fail, identities...)
			assert.Equal(t, want, xattrs(t, dir), "what is linked keeps them too")
		})
	}
}

func TestXattrsThatATargetCannotHold(t *testing.T) {
	f := withLists(t)
	f.write("r1")
	dir := t.TempDir()
	shell(t, "/", "mount", "-t", "ramfs", "ramfs", dir)
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	for range 2 {
		result := f.restoreTo(dir, "r1", Fail)
		require.Len(t, result.Warnings, 1)
		assert.Contains(t, result.Warnings[0], "extended attributes of 7 files and directories could not be set")
		assert.Contains(t, result.Warnings[0], secretFile+" ("+lists.ACLAccess+")")
		info, err := os.Stat(filepath.Join(dir, secretFile))
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o640), info.Mode(), "the group could only read")
		info, err = os.Stat(filepath.Join(dir, "tenant-002"))
		require.NoError(t, err)
		assert.Equal(t, os.ModeDir|0o710, info.Mode())
	}
	assert.Equal(t, Comparison{Same: true}, f.compare(dir, "r1"), "what the volume cannot hold is no difference")
}

// TestXattrsChange changes nothing but attributes.
func TestXattrsChange(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(f *fixture)
	}{
		"Group": {"the group may write now, which the mode does not show", func(f *fixture) { f.setXattr(secretFile, lists.ACLAccess, acl(6, 6, 7, 0)) }},
		"Mask":  {"the mask is narrower", func(f *fixture) { f.setXattr(secretFile, lists.ACLAccess, acl(6, 4, 1, 0)) }},
		"Removed": {"there is none any more", func(f *fixture) {
			require.NoError(f.t, unix.Removexattr(filepath.Join(f.files, secretFile), lists.ACLAccess))
		}},
		"First":     {"a file gets its first", func(f *fixture) { f.setXattr("tenant-002/.htaccess", "user.x", "1") }},
		"Directory": {"a directory's are no less", func(f *fixture) { f.setXattr("tenant-002", lists.ACLAccess, acl(7, 7, 7, 0)) }},
		"Default": {"nor what it passes on", func(f *fixture) {
			require.NoError(f.t, unix.Removexattr(filepath.Join(f.files, "inherits"), lists.ACLDefault))
		}},
		"User": {"an attribute has another value", func(f *fixture) { f.setXattr(".", "user.root", "s") }},
	}
	for name, tc := range cases {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%t", name, known), func(t *testing.T) {
				f := withLists(t)
				before := xattrs(t, f.files)
				first := f.write("r1")
				tc.change(f)
				if !known {
					require.NoError(t, os.Remove(f.path("trees", ".stamps-"+first.Manifest.Tree)))
				}
				second := f.write("r2")
				assert.False(t, second.TreeShared, tc.reason)
				assert.GreaterOrEqual(t, second.Manifest.Totals.LinkedFiles, first.Manifest.Totals.Files-1, "only what has changed is stored again")
				f.verify("r1")
				f.verify("r2")
				for run, want := range map[string]map[string]string{"r1": before, "r2": xattrs(t, f.files)} {
					dir := mountExt4(t)
					f.restoreTo(dir, run, Fail)
					assert.Equal(t, want, xattrs(t, dir), "%s: %s", run, tc.reason)
				}
			})
		}
	}
}

func TestXattrsAreProven(t *testing.T) {
	cases := map[string]struct {
		reason string
		damage func(t *testing.T, path string)
	}{
		"Value":   {"another list", func(t *testing.T, path string) { replaceIn(t, path, "0sAgAAAAEABg", "0sAgAAAAEABw") }},
		"Removed": {"none", func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }},
		"Empty":   {"an empty one", func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 0)) }},
		"Torn":    {"a part of one", func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 100)) }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := withLists(t)
			result := f.write("r1")
			tc.damage(t, f.path("trees", result.Manifest.Tree, lists.XattrsName))
			require.Error(t, f.report("r1").Err(), tc.reason)
			_, err := f.tryRestore(mountExt4(t), "r1", Fail)
			var damaged *IntegrityError
			require.ErrorAs(t, err, &damaged, tc.reason)
			second := f.write("r2")
			assert.False(t, second.TreeShared)
			require.Len(t, second.Manifest.Warnings, 1)
			assert.Contains(t, second.Manifest.Warnings[0], "is damaged and was not used")
			f.verify("r2")
			f.verify("r1")
		})
	}
	t.Run("Added", func(t *testing.T) {
		f := newFixture(t)
		f.addSome()
		result := f.write("r1")
		list := fmt.Sprintf("# file: tenant-002/empty\n%s=0sAgAAAA==\n\n", lists.ACLAccess)
		require.NoError(t, os.WriteFile(f.path("trees", result.Manifest.Tree, lists.XattrsName), []byte(list), 0o644))
		require.Error(t, f.report("r1").Err(), "a list that nobody wrote")
	})
}

// TestTornXattrsEndNoList adds a list that ends within an entry, and removes the files from the entry before it on: the
// run must not pass for a smaller one.
func TestTornXattrsEndNoList(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	result := f.write("r1")
	list := fmt.Sprintf("# file: tenant-002/.htaccess\n%s=0sAgAAAA==\n\n# file: tenant-002/empty\n", lists.ACLAccess)
	require.NoError(t, os.WriteFile(f.path("trees", result.Manifest.Tree, lists.XattrsName), []byte(list), 0o644))
	for _, path := range []string{"tenant-002/.htaccess", "tenant-002/empty"} {
		require.NoError(t, os.Remove(f.stored(result, path)))
	}
	require.Error(t, f.report("r1").Err())
	var damaged *IntegrityError
	_, err := f.tryRestore(t.TempDir(), "r1", Fail)
	require.ErrorAs(t, err, &damaged)
	for _, err = range f.open("r1").Entries(t.Context()) {
		if err != nil {
			break
		}
	}
	require.ErrorAs(t, err, &damaged)
}

// TestXattrsAreReadBySetfattr restores a tree by the tools that everybody has.
func TestXattrsAreReadBySetfattr(t *testing.T) {
	needProgram(t, "setfattr", "attr")
	f := withLists(t)
	result := f.write("r1")
	tree := f.path("trees", result.Manifest.Tree)
	shell(t, tree, "sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS")
	dir := mountExt4(t)
	shell(t, dir, "cp", "-a", filepath.Join(tree, "files")+"/.", ".")
	shell(t, dir, "setfattr", "--restore="+filepath.Join(tree, lists.XattrsName))
	assert.Equal(t, xattrs(t, f.files), xattrs(t, dir))
}
