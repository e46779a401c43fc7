package archive

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/test/disk"
	"threescale.dev/backup/test/syscalls"
)

// TestPowerCut cuts the power of the disk that the mover writes to. What it wrote since it, or the kernel, last had it
// made durable is lost: all, the newest, the oldest, or some of the blocks. After each cut the file system recovers, what
// coreutils can tell of the runs that were there is what it was, and the next try succeeds. What the mover has told to be
// done is there.
func TestPowerCut(t *testing.T) {
	needRoot(t, "mounting a file system")
	if _, err := os.Stat("/dev/fuse"); err != nil {
		skip(t, "the disk is one of FUSE: "+err.Error())
	}
	for _, kind := range []string{"ext4", "xfs"} {
		needProgram(t, "mkfs."+kind, "e2fsprogs, xfsprogs")
		for _, name := range []string{"Backup", "Mend", "Prune", "Restore", "RestoreOver"} {
			if kind == "xfs" && name != "Backup" && !proving() {
				continue // one file system is sample enough
			}
			for syncs, every := range map[string]int{"OwnSyncs": 0, "KernelSyncs": 16} {
				t.Run(kind+"/"+name+"/"+syncs, func(t *testing.T) { cutPower(t, kind, works()[name], every) })
			}
		}
	}
}

// cutPower cuts the power during work. The kernel makes durable what it likes, when it likes: here nothing, or all before
// one of so many calls.
func cutPower(t *testing.T, kind string, w work, every int) {
	t.Helper()
	s := newScene(t, w)
	random := rand.New(rand.NewPCG(13, 17))
	d := disk.New(t, kind)
	var notes *disk.Notes
	t.Run("noted", func(t *testing.T) {
		notes = s.noted(t, w, d, func() bool { return every > 0 && random.IntN(every) == 0 })
	})
	require.NotNil(t, notes)
	total := notes.Events()
	places := spread(random, points(2), total)
	for i, place := range append(places, total) {
		t.Run(fmt.Sprintf("point-%d", place), func(t *testing.T) {
			lost := disk.Lost(i % 4)
			if i == len(places) {
				lost = disk.All
			}
			dir, _ := notes.Cut(t, place, lost, random)
			s := s.on(t, w, dir)
			w.check(s)
			if i == len(places) {
				s.done(w)
			}
			w.again(s, i%2 == 1)
		})
	}
	require.False(t, t.Failed())
	t.Logf("%s: %d cuts of %d blocks and syncs, 0 lost runs", w.reason, len(places)+1, total)
}

// noted runs the process of a scene on a disk, and returns what was written until it was done. Before each call it asks
// whether the kernel is to make all durable.
func (s *scene) noted(t *testing.T, w work, d *disk.Disk, syncs func() bool) *disk.Notes {
	t.Helper()
	dir, _ := d.Mount(t)
	shell(t, s.place(), "cp", "-a", ".", dir)
	mounted, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(mounted)
	require.NoError(t, unix.Syncfs(mounted))
	notes := d.Note(t)
	c := s.on(t, w, dir)
	out, err := c.attempt(w, w.numbers, func(call syscalls.Call) bool { return c.counted(w, call) }, func(int, syscalls.Call) syscalls.Outcome {
		if syncs() {
			_ = unix.Syncfs(mounted) // the calls of the process itself tell of errors
		}
		return syscalls.Made
	})
	require.NoError(t, err, out)
	notes.End()
	return notes
}

// done proves that what a process has told to be done is there.
func (s *scene) done(w work) {
	s.t.Helper()
	switch args := w.args(s); {
	case args.Target != "":
		require.Equal(s.t, filesBelow(s.t, s.files), filesBelow(s.t, s.target))
	case len(args.Remove) > 0:
		require.Equal(s.t, []string{"r2", "r3"}, ls(s.t, s.path("runs")))
	default:
		require.True(s.t, s.isThere(args.Run))
		s.verify(args.Run)
	}
}
