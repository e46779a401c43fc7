package archive

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// dirStack opens the directories below a root one after another and keeps those above the last one open, so that a
// walk in order opens each about once. It never follows a symlink. It is for one goroutine.
type dirStack struct {
	root  *dir
	flags int // O_RDONLY to list directories, O_PATH to reach into them
	names []string
	fds   []int
}

// open returns the descriptor of a directory by its relative path, valid until the next call.
func (s *dirStack) open(path string) (int, error) {
	depth, rest := s.keep(path)
	s.closeBelow(depth)
	for rest != "" {
		var name string
		name, rest = cutElement(rest)
		fd, err := retry(func() (int, error) { return unix.Openat(s.top(), name, s.flags|openDirFlags, 0) })
		if err != nil {
			return -1, s.root.fail("open", path, err)
		}
		s.names, s.fds = append(s.names, name), append(s.fds, fd)
	}
	return s.top(), nil
}

func (s *dirStack) top() int {
	if len(s.fds) == 0 {
		return s.root.fd
	}
	return s.fds[len(s.fds)-1]
}

// keep returns how many of the open directories lead to path, and what of path is left.
func (s *dirStack) keep(path string) (depth int, rest string) {
	if path == "." {
		return 0, ""
	}
	rest = path
	for _, open := range s.names {
		name, after := cutElement(rest)
		if name != open {
			break
		}
		depth, rest = depth+1, after
	}
	return depth, rest
}

func (s *dirStack) closeBelow(depth int) {
	for _, fd := range s.fds[depth:] {
		_ = unix.Close(fd) // a directory has nothing to lose
	}
	s.names, s.fds = s.names[:depth], s.fds[:depth]
}

func (s *dirStack) close() { s.closeBelow(0) }

func (s *dirStack) describe(dir, name string) string {
	return filepath.Join(s.root.path, dir, name)
}

// wrap names the path in an error of a system call below dir.
func (s *dirStack) wrap(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot %s %q: %w", op, filepath.Join(s.root.path, path), err)
}
