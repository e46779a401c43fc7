package archive

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
)

// maxHolder bounds what is read of a lock file.
const maxHolder = 4 << 10

// volumeLock is held by the volume's only writer.
type volumeLock struct {
	file    *os.File
	warning string // not empty where the file system has no locks
}

// lock makes the caller the volume's only writer. Another writer is a LockedError.
func (v *Volume) lock(holder string) (*volumeLock, error) {
	// The lock file is made once and never removed: another process may hold it open.
	f, err := v.root.OpenFile(lockName, unix.O_RDWR|unix.O_CREAT, 0o660)
	if err != nil {
		return nil, fmt.Errorf("cannot lock volume %q: %w", v.root.Path, err)
	}
	l := &volumeLock{file: f}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		other, _ := dirfd.ReadAtMost(f, maxHolder) // a name that cannot be read is told as empty
		return nil, errors.Join(&LockedError{Holder: strings.TrimSpace(string(other))}, f.Close())
	}
	if lockless(err) {
		l.warning, err = fmt.Sprintf("volume has no locks (%v): two writers at a time are not noticed", err), nil
	}
	if err == nil {
		err = l.name(holder + "\n")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot lock volume %q: %w", v.root.Path, err), f.Close())
	}
	return l, nil
}

// name writes into the lock file who holds the lock, for the errors of other writers.
func (l *volumeLock) name(holder string) error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := l.file.WriteAt([]byte(holder), 0)
	return err
}

// release gives up the lock.
func (l *volumeLock) release() {
	// None of the errors leaves the volume locked for longer than this process lives. Closing alone would not unlock
	// it while a process that was just forked off has the file open.
	_ = l.name("")
	_ = unix.Flock(int(l.file.Fd()), unix.LOCK_UN)
	_ = l.file.Close()
}

// lockless reports whether an error says that the file system cannot lock.
func lockless(err error) bool {
	return errors.Is(err, unix.ENOLCK) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL)
}
