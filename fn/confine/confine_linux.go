package confine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// isolate makes a child the leader of a group of processes that is killed as one, also when the parent dies.
func isolate(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	command.Cancel = func() error {
		err := syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
}

// signaled reports whether a signal ended a process, such as the kernel's where memory is short.
func signaled(state *os.ProcessState) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled()
}

// niceness is how far a child stands back for what answers the API server.
const niceness = 10

// confine has the kernel bound this process.
func (l Limits) confine() error {
	// Whoever runs out of memory beside it is the wrong one to end. Where /proc is not writable the limit below stands alone.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0o644)
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, niceness)
	m, err := memory()
	if err != nil {
		return err
	}
	for resource, limit := range map[int]int64{
		unix.RLIMIT_DATA:  m.mapped - m.used + l.Memory, // what is mapped by now and not used counts nothing
		unix.RLIMIT_AS:    m.reserved + l.Memory + arena,
		unix.RLIMIT_FSIZE: maxFile,
		unix.RLIMIT_CORE:  0, // a core holds logins
	} {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: uint64(limit), Max: uint64(limit)}); err != nil {
			return fmt.Errorf("cannot set limit %d: %w", resource, err)
		}
	}
	return nil
}

// arena is what the Go runtime reserves at a time. Linux lets it map one of any size for writing whatever RLIMIT_DATA says, since
// that takes the place of what was reserved: RLIMIT_AS bounds what can be.
const arena = 64 << 20

// mappings of a process, in bytes.
type mappings struct {
	reserved int64 // all of the address space that is taken
	mapped   int64 // private memory that is mapped for writing
	used     int64 // what of it is used
}

// memory returns those of this process.
func memory() (mappings, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return mappings{}, err
	}
	field := func(name string) int64 {
		_, after, _ := bytes.Cut(status, []byte("\n"+name+":"))
		words := bytes.Fields(after)
		if len(words) == 0 {
			return 0
		}
		kilobytes, _ := strconv.ParseInt(string(words[0]), 10, 64)
		return kilobytes << 10
	}
	m := mappings{reserved: field("VmSize"), mapped: field("VmData"), used: field("RssAnon")}
	if m.reserved == 0 || m.mapped == 0 {
		return mappings{}, errors.New("/proc/self/status does not tell what is mapped")
	}
	return m, nil
}

// privateMemory returns the bytes of memory that this process uses and shares with nobody.
func privateMemory() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, resident, shared int64
	if _, err := fmt.Sscan(string(text), &size, &resident, &shared); err != nil {
		return 0, err
	}
	return (resident - shared) * int64(os.Getpagesize()), nil
}
