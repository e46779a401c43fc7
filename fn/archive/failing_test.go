package archive

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/test/syscalls"
)

// fault is an error of system calls.
type fault struct {
	reason  string
	errno   syscall.Errno
	numbers []int
	lasts   bool // all later calls fail likewise
	of      func(s *scene, call syscalls.Call) bool
	works   []string
}

// takesSpace reports whether a call fails on a full volume.
func takesSpace(s *scene, call syscalls.Call) bool {
	takes := []int{unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_MKDIRAT, unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2}
	return (call.Makes() || slices.Contains(takes, call.Number)) && below(call.On, s.place())
}

func changesIt(s *scene, call syscalls.Call) bool { return call.Changes() && below(call.On, s.place()) }

// reads reports whether a call reads the directory that is given.
func reads(dir func(s *scene) string) func(*scene, syscalls.Call) bool {
	return func(s *scene, call syscalls.Call) bool {
		return !call.Makes() && slices.Contains(syscalls.Reading(), call.Number) && below(call.On, dir(s))
	}
}

func theFiles(s *scene) string  { return s.files }
func theVolume(s *scene) string { return s.root }

func faults() map[string]fault {
	writers := []string{"Backup", "Mend", "Prune", "Restore", "RestoreOver"}
	readers := []string{"Backup", "Mend", "Prune", "Verify", "Restore"}
	return map[string]fault{
		"FullFromThenOn":       {"A volume that is full stays full", unix.ENOSPC, syscalls.Changing(), true, takesSpace, writers},
		"FullOnce":             {"Somebody else made room", unix.ENOSPC, syscalls.Changing(), false, takesSpace, writers},
		"BrokenOnce":           {"A bad block", unix.EIO, syscalls.Changing(), false, changesIt, writers},
		"BrokenFromThenOn":     {"A volume that is gone", unix.EIO, syscalls.Changing(), true, changesIt, writers},
		"StaleSource":          {"A file server has lost a file that is read", unix.ESTALE, syscalls.Reading(), false, reads(theFiles), []string{"Backup"}},
		"StaleSourceForGood":   {"Or all of them", unix.ESTALE, syscalls.Reading(), true, reads(theFiles), []string{"Backup"}},
		"GoneSource":           {"Somebody removes what is read", unix.ENOENT, []int{unix.SYS_OPENAT, unix.SYS_NEWFSTATAT}, false, reads(theFiles), []string{"Backup"}},
		"BrokenSource":         {"A bad block of the file storage", unix.EIO, syscalls.Reading(), false, reads(theFiles), []string{"Backup"}},
		"StaleVolume":          {"A file server has lost a file of the backup", unix.ESTALE, syscalls.Reading(), false, reads(theVolume), readers},
		"StaleVolumeForGood":   {"Or all of it", unix.ESTALE, syscalls.Reading(), true, reads(theVolume), readers},
		"UnreadableVolumeOnce": {"A bad block of the backup", unix.EIO, syscalls.Reading(), false, reads(theVolume), readers},
	}
}

// TestFailingSystemCalls has each system call of the mover fail, or as many as are tried, once or from then on. It ends
// with the reason, or does without the call; the runs that were there are whole, and the next try succeeds.
func TestFailingSystemCalls(t *testing.T) {
	for name, f := range faults() {
		for _, work := range f.works {
			t.Run(name+"/"+work, func(t *testing.T) {
				t.Parallel()
				failEach(t, f, works()[work])
			})
		}
	}
}

func failEach(t *testing.T, f fault, w work) {
	t.Helper()
	s := newScene(t, w)
	calls := s.count(t, w, f.numbers, f.of)
	random := rand.New(rand.NewPCG(3, 5))
	failed, of := 0, make(map[string]int)
	places := spread(random, min(points(1), len(calls)), len(calls))
	for i, place := range places {
		t.Run(fmt.Sprintf("point-%d", place), func(t *testing.T) {
			s := s.copied(t, w)
			s.lacks = f.errno == unix.ENOENT
			out, err := s.fail(f, w, place, of)
			told := strings.Contains(out, f.errno.Error())
			require.NotContains(t, out, "goroutine ", "no panic")
			if err != nil {
				failed++
				var exit *exec.ExitError
				require.True(t, errors.As(err, &exit) && exit.Exited(), "it ends by itself: %v", err)
				require.True(t, told, "the reason is told: %s", out)
			}
			w.check(s)
			s.lacks = false
			w.again(s, i%2 == 1 || f.errno == unix.ENOENT) // a run that is done does not get what is there again
		})
	}
	require.False(t, t.Failed())
	t.Logf("%s: %d points of %d calls (%s), %d failed with the reason, %d did without, 0 lost runs",
		f.reason, len(places), len(calls), counts(of), failed, len(places)-failed)
}

// fail runs the process of a scene, and has a call fail.
func (s *scene) fail(f fault, w work, place int, of map[string]int) (string, error) {
	s.t.Helper()
	durable := true
	out, err := s.attempt(w, f.numbers, func(call syscalls.Call) bool { return f.of(s, call) }, func(n int, call syscalls.Call) syscalls.Outcome {
		if n != place && (n < place || !f.lasts) {
			return syscalls.Made
		}
		if n == place {
			of[syscalls.Name(call.Number)]++
		}
		durable = durable && call.Number != unix.SYS_SYNCFS
		return syscalls.Fail(f.errno)
	})
	require.True(s.t, durable || err != nil, "what could not be made durable is no success: %s", out)
	return out, err
}
