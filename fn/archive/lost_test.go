package archive

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/parallel"
)

const capability = "security.capability"

// netBind is a capability as the kernel stores it.
func netBind() string { return "\x01\x00\x00\x02\x00\x04" + strings.Repeat("\x00", 14) }

// lostOf returns the warning that a run of the file storage has to give, by what getxattr(2) tells; empty: none.
func (f *fixture) lostOf() string {
	f.t.Helper()
	lost := make(map[string][]string)
	for key := range xattrs(f.t, f.files) {
		i := strings.LastIndexByte(key, ' ')
		path, name := key[:i], key[i+1:]
		if name == capability || len(f.opts.Recipients) > 0 && strings.HasPrefix(name, "user.") {
			lost[path] = append(lost[path], name)
		}
	}
	if len(lost) == 0 {
		return ""
	}
	var named []string
	for path, names := range lost {
		slices.Sort(names)
		for i, name := range names {
			names[i] = lists.Escape(name)
		}
		named = append(named, fmt.Sprintf("%s (%s)", lists.Escape(path), strings.Join(names, ", ")))
	}
	slices.Sort(named)
	return fmt.Sprintf("extended attributes of %d files and directories are not kept: %s", len(named), strings.Join(named, ", "))
}

// assertTells proves that a run tells what it does not keep, and nothing else of that kind.
func (f *fixture) assertTells(result *Result, why string) {
	f.t.Helper()
	var told []string
	for _, warning := range result.Manifest.Warnings {
		if strings.HasPrefix(warning, "extended attributes") {
			told = append(told, warning)
		}
	}
	var want []string
	if warning := f.lostOf(); warning != "" {
		want = []string{warning}
	}
	assert.Equal(f.t, want, told, why)
}

// withLost is a fixture with attributes that are not kept.
func withLost(t *testing.T, encrypted bool) *fixture {
	t.Helper()
	needRoot(t, "mounting")
	f := newFixture(t)
	f.files = mountExt4(t)
	f.opts.Files = f.files
	f.addSome()
	f.setXattr("tenant-002/.htaccess", capability, netBind())
	f.setXattr("tenant-001", "user.dir", "1")
	f.setXattr("tenant-002/empty", "user.a\n=", "1")
	f.setXattr(secretFile, "user.x", "1")
	f.setXattr(secretFile, lists.ACLAccess, acl(6, 4, 7, 0))
	touchAll(f)
	if encrypted {
		f.opts.Recipients = []string{identity(t).Recipient().String()}
	}
	return f
}

// TestLostAttributesAreToldByEachRun makes runs that find the files stored already.
func TestLostAttributesAreToldByEachRun(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(f *fixture)
		shared bool
	}{
		"Shared": {"nothing has changed", func(*fixture) {}, true},
		"Linked": {"another file is new", func(f *fixture) { f.add("new", "new") }, false},
		"Reread": {"what is told of the files beside the tree is gone", func(f *fixture) { f.removeStamps() }, false},
		"Proven": {"what is linked is read before", func(f *fixture) { f.opts.ProveLinks = true }, true},
		"Damaged": {"what is damaged is copied", func(f *fixture) {
			f.opts.ProveLinks = true
			path := f.stored(&Result{Manifest: f.open("r1").Info().Manifest}, "tenant-002/.htaccess")
			require.NoError(f.t, os.Chmod(path, 0o600))
			require.NoError(f.t, os.WriteFile(path, []byte("DENY"), 0o600))
		}, false},
		"Given": {"a file is given a capability, which is all that changes", func(f *fixture) {
			f.setXattr("tenant-002/empty", capability, netBind())
		}, false},
		"Taken": {"a file is given no more than others", func(f *fixture) {
			require.NoError(f.t, unix.Removexattr(filepath.Join(f.files, "tenant-002/.htaccess"), capability))
		}, false},
		"Swapped": {"another file is given it", func(f *fixture) {
			require.NoError(f.t, unix.Removexattr(filepath.Join(f.files, "tenant-002/.htaccess"), capability))
			f.setXattr("tenant-002/empty", capability, netBind())
		}, false},
	}
	for name, tc := range cases {
		for _, encrypted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%t", name, encrypted), func(t *testing.T) {
				f := withLost(t, encrypted)
				f.assertTells(f.write("r1"), "what is copied is told")
				tc.change(f)
				result := f.write("r2")
				f.assertTells(result, tc.reason)
				assert.Equal(t, tc.shared, result.TreeShared, tc.reason)
				third := f.write("r3")
				assert.True(t, third.TreeShared)
				f.assertTells(third, "the run after that tells it too")
				f.verify("r3")
			})
		}
	}
}

// TestLostAttributesAreToldAfterAnInterruption resumes a run that has stored some of the files.
func TestLostAttributesAreToldAfterAnInterruption(t *testing.T) {
	f := withLost(t, true)
	for i := range 4 * parallel.BatchItems {
		path := "f" + itoa(1000+i)
		f.add(path, path)
		if i%parallel.BatchItems == 0 {
			f.setXattr(path, "user.x", "1")
		}
	}
	interruptAt(f, "r1", 2*parallel.BatchItems)
	stored := ls(t, f.path("trees/.partial-r1/files"))
	require.NotEmpty(t, stored)
	require.Less(t, len(stored), 4*parallel.BatchItems)
	first := stored[0]
	require.Equal(t, "f1000", first, "which has one")
	before := inode(t, f.path("trees/.partial-r1/files", first))
	result := f.write("r1")
	f.assertTells(result, "what an interrupted attempt has stored is told")
	assert.Equal(t, before, inode(t, f.stored(result, first)), "and is not stored again: where all files have some, an attempt would begin from nothing")
	f.assertTells(f.write("r2"), "also by the next run")
}

// removeStamps removes what is told of the files beside their trees.
func (f *fixture) removeStamps() {
	f.t.Helper()
	stamps, err := filepath.Glob(f.path("trees", stampsPrefix+"*"))
	require.NoError(f.t, err)
	for _, path := range stamps {
		require.NoError(f.t, os.Remove(path))
	}
}

// TestWhatIsToldIsWhatIsLost makes random changes between runs.
func TestWhatIsToldIsWhatIsLost(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	f := withLost(t, true)
	encrypted := f.opts.Recipients
	paths := []string{secretFile, "tenant-002/.htaccess", "tenant-002/empty", "tenant-001", "tenant-002", "tenant-001/2026/01/03/über uns.html"}
	for i := range 40 {
		for range random.IntN(3) {
			path := paths[random.IntN(len(paths))]
			full := filepath.Join(f.files, path)
			switch info, err := os.Stat(full); random.IntN(7) {
			case 0:
				f.setXattr(path, fmt.Sprintf("user.%d", random.IntN(4)), "x")
			case 1:
				_ = unix.Removexattr(full, fmt.Sprintf("user.%d", random.IntN(4)))
			case 2:
				if require.NoError(t, err); info.Mode().IsRegular() {
					f.setXattr(path, capability, netBind())
				}
			case 3:
				_ = unix.Removexattr(full, capability)
			case 4:
				f.removeStamps()
			case 5:
				f.add(secretFile, fmt.Sprint(i))
			case 6:
				f.opts.Recipients = [][]string{nil, encrypted}[random.IntN(2)]
			}
		}
		f.opts.ProveLinks = random.IntN(2) == 0
		run := fmt.Sprintf("r%d", i)
		f.assertTells(f.write(run), run)
		f.verify(run)
	}
}
