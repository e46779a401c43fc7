// Package syscalls runs a program of a test one system call at a time: of each
// call that it is told to look at, the test decides whether it is made, fails,
// or is where the program is killed.
//
// The program is the test's own binary: its TestMain calls [Enter] first, and
// then does what the environment of the command tells it.
package syscalls

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// variable tells a program which system calls to ask about: their numbers, as JSON.
const variable = "SYSCALLS_TEST_NUMBERS"

// socket is the descriptor at which the program hands over the listener of its calls.
const socket = 3

// Call is a system call that the program is about to make.
type Call struct {
	Number int    // unix.SYS_*
	On     string // the path of the file or directory that its descriptor is, or what /proc has for a socket; empty: it has none
	flags  uint64 // of openat
}

// Makes reports whether the call may make a file.
func (c Call) Makes() bool { return c.Number == unix.SYS_OPENAT && c.flags&unix.O_CREAT != 0 }

// Changes reports whether the call may change something: all of [Changing] do, but not each openat.
func (c Call) Changes() bool {
	return c.Makes() || c.Number != unix.SYS_OPENAT && slices.Contains(Changing(), c.Number)
}

// Outcome is what becomes of a call.
type Outcome int

// The outcomes beside those of [Fail].
const (
	Made Outcome = 0
	Kill Outcome = -1 // the program is killed before the call is made
)

// Fail is the outcome of a call that is not made, and fails with an error.
func Fail(errno syscall.Errno) Outcome { return Outcome(errno) }

// Changing returns the calls by which this software changes files.
func Changing() []int {
	return []int{
		unix.SYS_MKDIRAT, unix.SYS_OPENAT, unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_FTRUNCATE, unix.SYS_FCHMOD, unix.SYS_FCHMODAT,
		unix.SYS_FCHOWNAT, unix.SYS_UTIMENSAT, unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2,
		unix.SYS_UNLINKAT, unix.SYS_FSYNC, unix.SYS_SYNCFS,
	}
}

// Reading returns the calls by which it reads them.
func Reading() []int {
	return []int{
		unix.SYS_OPENAT, unix.SYS_READ, unix.SYS_PREAD64, unix.SYS_GETDENTS64, unix.SYS_NEWFSTATAT, unix.SYS_FSTAT, unix.SYS_READLINKAT,
	}
}

// Name returns the name of a call of [Changing] and [Reading].
func Name(number int) string {
	names := map[int]string{
		unix.SYS_MKDIRAT: "mkdirat", unix.SYS_OPENAT: "openat", unix.SYS_WRITE: "write", unix.SYS_PWRITE64: "pwrite64",
		unix.SYS_FTRUNCATE: "ftruncate", unix.SYS_FCHMOD: "fchmod", unix.SYS_FCHMODAT: "fchmodat", unix.SYS_FCHOWNAT: "fchownat",
		unix.SYS_UTIMENSAT: "utimensat", unix.SYS_LINKAT: "linkat", unix.SYS_SYMLINKAT: "symlinkat", unix.SYS_RENAMEAT: "renameat",
		unix.SYS_RENAMEAT2: "renameat2", unix.SYS_UNLINKAT: "unlinkat", unix.SYS_FSYNC: "fsync", unix.SYS_SYNCFS: "syncfs",
		unix.SYS_READ: "read", unix.SYS_PREAD64: "pread64", unix.SYS_GETDENTS64: "getdents64", unix.SYS_NEWFSTATAT: "newfstatat",
		unix.SYS_FSTAT: "fstat", unix.SYS_READLINKAT: "readlinkat",
	}
	return names[number]
}

// Enter returns at once, unless the process was started by [Run]: then the program begins anew, with its calls looked
// at.
func Enter() {
	text, ok := os.LookupEnv(variable)
	if !ok {
		return
	}
	err := enter(text)
	fmt.Fprintln(os.Stderr, "cannot have system calls looked at:", err)
	os.Exit(2)
}

func enter(text string) error {
	var numbers []int
	if err := json.Unmarshal([]byte(text), &numbers); err != nil {
		return err
	}
	runtime.LockOSThread() // the filter is this thread's, and then that of the program
	listener, err := listen(numbers)
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(socket, []byte{0}, unix.UnixRights(listener), nil, 0); err != nil {
		return err
	}
	if err := unix.Close(socket); err != nil {
		return err
	}
	environment := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, variable+"=") })
	return syscall.Exec("/proc/self/exe", os.Args, environment)
}

// refused is what is said where the kernel asks about no calls: an old one, a sandbox, or another filter that asks.
const refused = "cannot filter system calls"

// listen has the kernel ask about calls of this thread, and returns the descriptor at which it does.
func listen(numbers []int) (int, error) {
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}} // the number of the call
	for _, number := range numbers {
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(number)},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		)
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, err
	}
	// A signal must not have a call begin again that was asked about.
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return -1, fmt.Errorf(refused+": %w", errno)
	}
	return int(listener), nil
}

// Run runs a program to its end. Before each call of the given numbers it asks what becomes of it, one call at a time.
// It returns what the program printed, and the error of its end.
func Run(tb testing.TB, cmd *exec.Cmd, numbers []int, decide func(Call) Outcome) ([]byte, error) {
	tb.Helper()
	text, err := json.Marshal(numbers)
	require.NoError(tb, err)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(tb, err)
	theirs := os.NewFile(uintptr(pair[1]), "socket")
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Env = append(cmd.Env, variable+"="+string(text))
	cmd.ExtraFiles = []*os.File{theirs}
	require.NoError(tb, cmd.Start())
	require.NoError(tb, theirs.Close())
	s := supervisor{program: cmd.Process, decide: decide}
	s.listener, err = receive(pair[0])
	if err != nil {
		_ = cmd.Wait()
		if strings.Contains(output.String(), refused) && os.Getenv("THREESCALE_BACKUP_SKIP_NOTHING") == "" {
			tb.Skip("this kernel, or what confines this process, lets no test decide on system calls: " + output.String())
		}
		require.NoError(tb, err, output.String())
	}
	require.NoError(tb, unix.Close(pair[0]))
	served := make(chan error, 1)
	go func() { served <- s.serve() }()
	ended := cmd.Wait()
	require.NoError(tb, errors.Join(<-served, unix.Close(s.listener)))
	return []byte(output.String()), ended
}

// receive takes a descriptor from a socket.
func receive(from int) (int, error) {
	control := make([]byte, unix.CmsgSpace(4))
	_, n, flags, _, err := unix.Recvmsg(from, make([]byte, 1), control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, err
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return -1, errors.New("the program handed over more than its listener")
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return -1, err
	}
	if len(messages) != 1 {
		return -1, errors.New("the program ended before it could be asked")
	}
	descriptors, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	return descriptors[0], nil
}

// supervisor answers for a program.
type supervisor struct {
	program  *os.Process
	listener int
	decide   func(Call) Outcome
}

// What the kernel asks, and is answered: struct seccomp_notif and seccomp_notif_resp.
type (
	notification struct {
		id        uint64
		thread    uint32
		_         uint32
		number    int32
		_         uint32
		_         uint64
		arguments [6]uint64
	}
	answer struct {
		id    uint64
		value int64
		errno int32
		flags uint32
	}
)

// serve answers until no process is left that could ask.
func (s *supervisor) serve() error {
	for {
		asked := []unix.PollFd{{Fd: int32(s.listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(asked, -1); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil {
			return err
		}
		if asked[0].Revents&unix.POLLIN == 0 {
			return nil
		}
		var n notification
		err := s.control(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n))
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINTR) {
			continue // who asked is no longer there
		}
		if err != nil {
			return err
		}
		if err := s.answer(&n); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
}

func (s *supervisor) answer(n *notification) error {
	a := answer{id: n.id}
	switch outcome := s.decide(Call{Number: int(n.number), On: on(n), flags: n.arguments[2]}); outcome {
	case Kill:
		return s.program.Kill()
	case Made:
		a.flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
	default:
		a.errno = -int32(outcome)
	}
	return s.control(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a))
}

func (s *supervisor) control(request uintptr, argument unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s.listener), request, uintptr(argument))
	if errno != 0 {
		return errno
	}
	return nil
}

// on tells what the descriptor of a call is.
func on(n *notification) string {
	argument := n.arguments[0]
	if n.number == unix.SYS_SYMLINKAT {
		argument = n.arguments[1]
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.thread, int32(argument)))
	if err != nil {
		return "" // AT_FDCWD, or a descriptor that is not open
	}
	return path
}
