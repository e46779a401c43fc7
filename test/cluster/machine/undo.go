//go:build linux

package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/test/cluster/poll"
)

// patience is how long the kernel may take to end what was killed.
const patience = 10 * time.Second

// Undo removes everything of a cluster from this machine, whether its harness
// ended as it should or was killed. Every step is tried; the errors are joined.
// The work folder goes last, and the record only when nothing is left.
func (s *State) Undo(ctx context.Context) error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	if boot != s.BootID {
		s.Processes = nil // The IDs are of other processes now.
	}
	var errs []error
	for _, p := range s.Processes {
		errs = append(errs, p.kill())
	}
	errs = append(errs,
		s.awaitProcesses(ctx),
		s.unmount(),
		s.detachLoops(ctx),
		s.removeAddress(ctx),
		removeCgroups(ctx),
		s.restoreSysctls(),
		s.removeFolders(),
	)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cannot clean up after cluster in %q: %w", s.WorkDir, err)
	}
	if err := os.RemoveAll(s.WorkDir); err != nil {
		return fmt.Errorf("cannot remove work folder %q: %w", s.WorkDir, err)
	}
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove state %q: %w", s.path, err)
	}
	return nil
}

// awaitProcesses waits until the killed processes are gone, and those of their
// cgroup with them: the kernel takes a moment to end a PID namespace.
func (s *State) awaitProcesses(ctx context.Context) error {
	return poll.Until(ctx, patience, "the processes to end", func(context.Context) error {
		for _, p := range s.Processes {
			if p.alive() && !isZombie(p.PID) {
				return fmt.Errorf("process %q (%d) still runs", p.Name, p.PID)
			}
		}
		return nil
	})
}

// isZombie reports whether a process only waits for its parent to notice: for a
// harness whose own parent is slow that may take for ever.
func isZombie(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	i := strings.LastIndex(string(data), ") ")
	return i >= 0 && strings.HasPrefix(string(data)[i+2:], "Z")
}

// unmount removes every mount below the work folder, the deepest first.
func (s *State) unmount() error {
	points, err := MountsBelow(s.WorkDir)
	if err != nil {
		return err
	}
	var errs []error
	for _, point := range points {
		if err := unix.Unmount(point, 0); err == nil {
			continue
		}
		// Busy: somebody, a developer's shell perhaps, is in there. It goes
		// when they leave.
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
			errs = append(errs, fmt.Errorf("cannot unmount %q: %w", point, err))
		}
	}
	return errors.Join(errs...)
}

// MountsBelow lists the mount points in a folder, the deepest and newest first.
func MountsBelow(dir string) ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cannot list mounts: %w", err)
	}
	var points []string
	for line := range strings.SplitSeq(string(data), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if point := fields[4]; point == dir || strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	// The kernel lists a mount after what it is mounted upon.
	slices.Reverse(points)
	sort.SliceStable(points, func(i, j int) bool { return strings.Count(points[i], "/") > strings.Count(points[j], "/") })
	return points, nil
}

// detachLoops detaches the loop devices of files in the work folder. Most do it
// themselves when they are unmounted; the kernel takes a moment for either.
func (s *State) detachLoops(ctx context.Context) error {
	return poll.Until(ctx, patience, "loop devices to detach", func(context.Context) error {
		files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
		if err != nil {
			return fmt.Errorf("cannot list loop devices: %w", err)
		}
		var errs []error
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err == nil && strings.HasPrefix(string(data), s.WorkDir+"/") {
				device := "/dev/" + strings.Split(file, "/")[3]
				errs = append(errs, fmt.Errorf("%s of %q is still there", device, strings.TrimSpace(string(data))), detachLoop(device))
			}
		}
		return errors.Join(errs...)
	})
}

// detachLoop asks a loop device to detach as soon as nobody has it open.
func detachLoop(device string) error {
	f, err := os.Open(device)
	if err != nil {
		return fmt.Errorf("cannot open %q: %w", device, err)
	}
	err = unix.IoctlSetInt(int(f.Fd()), unix.LOOP_CLR_FD, 0)
	return errors.Join(err, f.Close())
}

func (s *State) restoreSysctls() error {
	var errs []error
	for path, value := range s.Sysctls {
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			errs = append(errs, fmt.Errorf("cannot restore kernel setting %q: %w", path, err))
		}
	}
	return errors.Join(errs...)
}

// removeFolders removes the folders that the harness made, unless somebody has
// put something into them since.
func (s *State) removeFolders() error {
	for _, dir := range slices.Backward(s.Folders) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
			return fmt.Errorf("cannot remove folder %q: %w", dir, err)
		}
	}
	return nil
}
