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
	if isFull(err) {
		err = nil // who is to free space needs no name
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot lock volume %q: %w", v.root.Path, err), f.Close())
	}
	return l, nil
}

// name writes the holder into the lock file, for the errors of other writers.
func (l *volumeLock) name(holder string) error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := l.file.WriteAt([]byte(holder), 0)
	return err
}

// release gives up the lock.
func (l *volumeLock) release() {
	// None of the errors leaves the volume locked for longer than this process lives. Closing alone would not unlock it
	// while a process that was just forked off has the file open.
	_ = l.name("")
	_ = unix.Flock(int(l.file.Fd()), unix.LOCK_UN)
	_ = l.file.Close()
}

// lockless reports whether an error says that the file system cannot lock.
func lockless(err error) bool {
	return errors.Is(err, unix.ENOLCK) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL)
}

// A run that is read is not removed: readers hold a shared lock on its manifest.json, and Remove needs an exclusive
// one. It is the manifest and not the directory because NFS and SMB pass locks of files on to the server, where all
// nodes meet, and those of directories not. A reader may have the volume mounted read-only, and only read the file.

// runLock is held on a run while it is read or removed. The zero value holds nothing.
type runLock struct{ file *os.File }

// release gives up the lock. Closing alone would not, as with volumeLock.
func (l *runLock) release() error {
	if l == nil || l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	_ = unix.Flock(int(f.Fd()), unix.LOCK_UN) // where there are no locks there is none to give up
	return f.Close()
}

// hold keeps a run from being removed. Where the file system has no locks it holds nothing. A run that is being removed
// is an ErrRunNotFound.
func (v *Volume) hold(id string) (*runLock, error) {
	f, err := v.openManifest(id, unix.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("cannot read run %q, which was just removed: %w", id, err)
	}
	l := &runLock{file: f}
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	// Any other error means that the file system has no locks. Between opening and locking, the run may have gone.
	if errors.Is(err, unix.EWOULDBLOCK) || !v.isManifest(id, f) {
		return nil, errors.Join(fmt.Errorf("cannot read run %q, which is being removed: %w", id, ErrRunNotFound), l.release())
	}
	return l, nil
}

// reserve makes sure that nobody reads a run, or begins to before the lock is released.
func (v *Volume) reserve(id string) (*runLock, error) {
	f, err := v.openManifest(id, unix.O_RDWR) // NFS locks exclusively only what may be written to
	if err != nil {
		f, err = v.openManifest(id, unix.O_RDONLY)
	}
	if err != nil {
		return &runLock{}, nil //nolint:nilerr // a run without a manifest cannot be read
	}
	l := &runLock{file: f}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errors.Join(&InUseError{Run: id}, l.release())
	}
	if err != nil && !lockless(err) && !errors.Is(err, unix.EBADF) { // EBADF: it may not be written to, see above
		return nil, errors.Join(fmt.Errorf("cannot lock run %q: %w", id, err), l.release())
	}
	return l, nil
}

// openManifest opens the manifest of a run to lock it. Nothing is read or written.
func (v *Volume) openManifest(id string, flags int) (*os.File, error) {
	run, err := v.openRun(id)
	if err != nil {
		return nil, err
	}
	defer run.Close()
	return run.OpenFile(manifestName, flags, 0)
}

// isManifest reports whether an open file is still the manifest of a run.
func (v *Volume) isManifest(id string, f *os.File) bool {
	run, err := v.openRun(id)
	if err != nil {
		return false
	}
	defer run.Close()
	named, err := dirfd.LstatAt(run.FD, manifestName)
	var held unix.Stat_t
	return err == nil && unix.Fstat(int(f.Fd()), &held) == nil && dirfd.SameFile(&named, &held)
}
