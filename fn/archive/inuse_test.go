package archive

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// tryRemove removes a run that may be in use.
func (f *fixture) tryRemove(run string) error {
	f.t.Helper()
	result, err := f.volume.Remove(f.t.Context(), []string{run}, RemoveOptions{Holder: "test"})
	if err != nil {
		return err
	}
	return result.Err()
}

func TestARunThatIsReadIsNotRemoved(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	f.add("more", "x")
	f.write("r2")
	elsewhere, err := OpenVolume(f.root)
	require.NoError(t, err)
	defer elsewhere.Close()
	first, err := f.volume.OpenRun(t.Context(), "r2")
	require.NoError(t, err)
	second, err := elsewhere.OpenRun(t.Context(), Latest)
	require.NoError(t, err, "any number may read")

	var inUse *InUseError
	require.ErrorAs(t, f.tryRemove("r2"), &inUse)
	assert.Equal(t, "r2", inUse.Run)
	require.NoError(t, first.Close())
	require.ErrorAs(t, f.tryRemove("r2"), &inUse, "one still reads")
	target, err := os.Readlink(f.path("latest"))
	require.NoError(t, err)
	assert.Equal(t, "runs/r2", target, "all is as it was")
	f.verify("r2")
	assert.NoError(t, f.tryRemove("r1"), "another run is not in use")
	assert.Len(t, restore(t, second), 5)

	require.NoError(t, second.Close())
	assert.NoError(t, f.tryRemove("r2"))
}

// TestLocksGoWithTheRun has the lock's file open in a process that was just forked off, as far as the lock can tell.
func TestLocksGoWithTheRun(t *testing.T) {
	f := newFixture(t)
	f.write("r1")
	r, err := f.volume.OpenRun(t.Context(), "r1")
	require.NoError(t, err)
	forked, err := unix.Dup(int(r.held.file.Fd()))
	require.NoError(t, err)
	defer unix.Close(forked)
	require.NoError(t, r.Close())
	assert.NoError(t, f.tryRemove("r1"))
}

func TestARunThatIsVerifiedIsNotRemoved(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	tried := 0
	report, err := f.volume.Verify(t.Context(), "r1", VerifyOptions{Workers: 1, Progress: func(Progress) {
		var inUse *InUseError
		tried++
		assert.ErrorAs(t, f.tryRemove("r1"), &inUse)
	}})
	require.NoError(t, err)
	assert.NotZero(t, tried)
	assert.Empty(t, report.Problems)
	assert.NoError(t, f.tryRemove("r1"), "nobody reads it any more")
}

func TestARunThatCannotBeOpenedIsNotHeld(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	result := f.write("r1")
	require.NoError(t, os.RemoveAll(f.path("trees", result.Manifest.Tree)))
	_, err := f.volume.OpenRun(t.Context(), "r1")
	require.Error(t, err)
	assert.NoError(t, f.tryRemove("r1"), "and a run without its tree can be removed")

	f.write("r2")
	require.NoError(t, os.Remove(f.path("runs/r2/manifest.json")))
	assert.NoError(t, f.tryRemove("r2"), "nor can one without a manifest be read")
}

func TestARunThatIsRemovedIsNotRead(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	reserved, err := f.volume.reserve("r1")
	require.NoError(t, err)
	_, err = f.volume.OpenRun(t.Context(), "r1")
	require.ErrorIs(t, err, ErrRunNotFound)
	_, err = f.volume.Verify(t.Context(), "r1", VerifyOptions{})
	require.ErrorIs(t, err, ErrRunNotFound)
	require.NoError(t, reserved.release())
	f.verify("r1")
}

// TestARunThatWentBeforeItWasHeld has a run go between the two calls that open and lock its manifest.
func TestARunThatWentBeforeItWasHeld(t *testing.T) {
	f := newFixture(t)
	f.write("r1")
	opened, err := f.volume.openManifest("r1", unix.O_RDONLY)
	require.NoError(t, err)
	defer opened.Close()
	assert.True(t, f.volume.isManifest("r1", opened))
	f.remove("r1")
	assert.False(t, f.volume.isManifest("r1", opened), "it is gone")
	f.write("r1")
	assert.False(t, f.volume.isManifest("r1", opened), "another one has its name")
}

func TestReadersOfAReadOnlyVolumeHoldTheirRuns(t *testing.T) {
	needRoot(t, "mounting a volume")
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	mounted := t.TempDir()
	require.NoError(t, unix.Mount(f.root, mounted, "", unix.MS_BIND, ""))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(mounted, unix.MNT_DETACH)) })
	require.NoError(t, unix.Mount("", mounted, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	require.ErrorIs(t, os.WriteFile(filepath.Join(mounted, "file"), nil, 0o600), unix.EROFS)
	v, err := OpenVolume(mounted)
	require.NoError(t, err)
	defer v.Close()
	r, err := v.OpenRun(t.Context(), Latest)
	require.NoError(t, err)
	var inUse *InUseError
	require.ErrorAs(t, f.tryRemove("r1"), &inUse, "as a restore's pod has it mounted")
	require.NoError(t, r.Close())
	assert.NoError(t, f.tryRemove("r1"))
}

func TestVolumeWithoutLocksIsReadAndPruned(t *testing.T) {
	for name, errno := range map[string]unix.Errno{"NoLocks": unix.ENOLCK, "NotSupported": unix.ENOTSUP, "NoCall": unix.ENOSYS} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.addSome()
			f.write("r1")
			denied := map[int]int{unix.SYS_FLOCK: int(errno)}
			out, err := childCommand(t, childArgs{Volume: f.root, Run: "r1", Target: t.TempDir(), Existing: Fail, Workers: 1, Deny: denied}).CombinedOutput()
			require.NoError(t, err, "%s", out)
			out, err = childCommand(t, childArgs{Volume: f.root, Remove: []string{"r1"}, Deny: denied}).CombinedOutput()
			require.NoError(t, err, "%s", out)
			assert.Contains(t, string(out), "removed r1 [volume has no locks", "which is said")
			assert.Empty(t, ls(t, f.path("runs")))
		})
	}
}

// TestVerifyRunsOfOneHoldsIt is the same of one run.
func TestVerifyRunsOfOneHoldsIt(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.write("r1")
	f.write("r2")
	report, err := f.volume.VerifyRuns(t.Context(), VerifyRunsOptions{Run: "r1", Workers: 1, Progress: func(p Progress) {
		var inUse *InUseError
		if p.FilesDone > 0 {
			assert.ErrorAs(t, f.tryRemove("r1"), &inUse)
		}
	}})
	require.NoError(t, err)
	assert.Empty(t, report.Damages())
}
