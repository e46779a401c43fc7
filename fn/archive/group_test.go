package archive

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Two users as OpenShift gives them to two namespaces: they have group 0 in common and nothing else.
const (
	firstOfGroup  = 1_000_680_000
	secondOfGroup = 1_000_920_000
)

// inGroup returns what a process of such a user prints.
func (f *fixture) inGroup(user int, args childArgs) string {
	f.t.Helper()
	args.Volume, args.Files, args.User, args.GroupZero, args.Workers = f.root, f.files, user, true, 2
	out, _ := childCommand(f.t, args).CombinedOutput() // what it prints tells how it ended
	return string(out)
}

// TestUsersOfOneGroup: on a volume whose owners nobody changes, as NFS, a user goes on where another one of the group
// ended.
func TestUsersOfOneGroup(t *testing.T) {
	needRoot(t, "being two users")
	f := newFixture(t)
	f.addSome()
	openUp(t, f.root)
	openUp(t, f.files)
	require.NoError(t, os.Chmod(f.root, 0o770))
	require.Contains(t, f.inGroup(firstOfGroup, childArgs{Run: "r1"}), "written")

	hidden := filepath.Join(f.files, "tenant-002/empty")
	require.NoError(t, os.Chmod(hidden, 0))
	require.Contains(t, f.inGroup(firstOfGroup, childArgs{Run: "r2"}), "unreadable", "and leaves what it had")
	require.NoError(t, os.Chmod(hidden, 0o644))

	f.add("tenant-003/new", "more")
	require.Contains(t, f.inGroup(secondOfGroup, childArgs{Run: "r3"}), "written")
	assert.Contains(t, f.inGroup(secondOfGroup, childArgs{VerifyRuns: true}), "verified 2 runs")
	assert.Contains(t, f.inGroup(firstOfGroup, childArgs{Run: "r4"}), "written", "and the first one after it")
	for _, run := range []string{"r1", "r3", "r4"} {
		f.verify(run)
	}

	dir := target(t)
	openUp(t, filepath.Dir(dir))
	require.NoError(t, os.Chmod(dir, 0o770))
	assert.Contains(t, f.inGroup(secondOfGroup, childArgs{Run: "r1", Target: dir, Existing: Fail}), "restored 4 files")
	assert.Equal(t, "1000920000 0 644\n", shell(t, dir, "stat", "-c", "%u %g %a", "tenant-001/2026/01/02/logo-0123456789abcdef.png"))

	// What has the modes of the file storage may be its owner's alone to remove.
	assert.Regexp(t, `runs that are gone, such as "r1": .*permission denied`, f.inGroup(secondOfGroup, childArgs{Remove: []string{"r1"}}))
	assert.Contains(t, f.inGroup(secondOfGroup, childArgs{VerifyRuns: true}), "verified 2 runs")
}
