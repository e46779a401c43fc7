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
	"strings"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/test/cluster/poll"
)

// CgroupParent is the control group of all pods: nothing of them is outside it.
const CgroupParent = "/threescale-backup-test"

// cgroupRoots lists the hierarchies of control groups that are mounted: one of
// version 2, several of version 1, or both.
func cgroupRoots() ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cannot list mounts: %w", err)
	}
	var roots []string
	for line := range strings.SplitSeq(string(data), "\n") {
		mount, kind, ok := strings.Cut(line, " - ")
		if fields := strings.Fields(mount); ok && len(fields) > 4 && strings.HasPrefix(kind, "cgroup") {
			roots = append(roots, fields[4])
		}
	}
	return roots, nil
}

// MakeCgroups makes the pods' control group in each hierarchy: the kubelet
// wants to find it.
func MakeCgroups() error {
	roots, err := cgroupRoots()
	if err != nil {
		return err
	}
	for _, root := range roots {
		delegateControllers(root)
		if err := os.MkdirAll(root+CgroupParent, 0o755); err != nil {
			return fmt.Errorf("cannot create control group %q: %w", root+CgroupParent, err)
		}
	}
	return nil
}

// delegateControllers lets control groups below the root of version 2 have its
// controllers, as systemd does. Where that is refused they may be delegated
// already; if not, the kubelet says which one it lacks.
func delegateControllers(root string) {
	controllers, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil {
		return // Version 1.
	}
	for controller := range strings.FieldsSeq(string(controllers)) {
		_ = os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+"+controller), 0) // See above.
	}
}

// removeCgroups removes the pods' control groups, empty since their processes
// are gone.
func removeCgroups(ctx context.Context) error {
	roots, err := cgroupRoots()
	if err != nil {
		return err
	}
	for _, root := range roots {
		err := poll.Until(ctx, patience, "control group "+root+CgroupParent+" to empty", func(context.Context) error {
			return removeCgroup(root + CgroupParent)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// removeCgroup removes a control group and those below it. Their files are the
// kernel's: only the folders can be removed, from the bottom.
func removeCgroup(root string) error {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot list control group %q: %w", root, err)
	}
	for _, dir := range slices.Backward(dirs) {
		if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
			return fmt.Errorf("cannot remove control group %q: %w", dir, err)
		}
	}
	return nil
}
