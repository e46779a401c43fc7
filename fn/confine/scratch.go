package confine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// prefix of the names of children's own directories. The parent's process ID follows.
const prefix = "threescale-child-"

// scratch makes the directory that a child has for its temporary files, which no child that was killed can remove.
func scratch() (string, error) {
	return os.MkdirTemp("", fmt.Sprintf("%s%d-", prefix, os.Getpid()))
}

// Sweep removes the directories that parents have left which were killed themselves. It is for the start of a program, before its
// first Run: a directory of its own process ID is of an earlier life, as in a container that was started again. Those of other users
// are left to them.
func Sweep() error {
	found, err := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	for _, directory := range found {
		text, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(directory), prefix), "-")
		parent, failed := strconv.Atoi(text)
		if failed == nil && (parent == os.Getpid() || !alive(parent)) {
			if removed := os.RemoveAll(directory); !errors.Is(removed, fs.ErrPermission) {
				err = errors.Join(err, removed)
			}
		}
	}
	return err
}

// alive reports whether there is a process of that ID; where nobody can tell, there is.
func alive(pid int) bool {
	if _, err := os.Stat("/proc/self"); err != nil {
		return true
	}
	_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	return !errors.Is(err, fs.ErrNotExist)
}
