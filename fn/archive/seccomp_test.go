package archive

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// deny makes system calls fail in this process, as they do on a volume that lacks something: the numbers of the
// calls and of the errors. It cannot be undone.
func deny(calls map[int]int) error {
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}} // the number of the call
	for call, errno := range calls {
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(call)},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		)
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("cannot filter system calls: %w", errno)
	}
	return nil
}

// linklessVolume lacks what FAT lacks.
func linklessVolume() map[int]int {
	return map[int]int{
		unix.SYS_SYMLINKAT: int(unix.EPERM),
		unix.SYS_LINKAT:    int(unix.EPERM),
		unix.SYS_FCHMOD:    int(unix.EPERM),
		unix.SYS_FCHMODAT:  int(unix.EPERM),
		unix.SYS_UTIMENSAT: int(unix.EINVAL),
	}
}
