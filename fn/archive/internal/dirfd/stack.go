package dirfd

import (
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Stack opens the directories below a root one after another and keeps those above the last one open, so that a walk in
// order opens each about once. It never follows a symlink. It is for one goroutine.
type Stack struct {
	Root     *Dir
	Readable bool // to list directories and change their modes; else only to reach into them
	names    []string
	fds      []int
}

// Open returns the descriptor of a directory by its relative path, valid until the next call.
func (s *Stack) Open(path string) (int, error) {
	flags := unix.O_DIRECTORY
	if !s.Readable {
		flags |= unix.O_PATH
	}
	depth, rest := s.keep(path)
	s.closeBelow(depth)
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		fd, err := OpenAt(s.top(), name, flags, 0)
		if err != nil {
			return -1, s.Root.Fail("open", path, err)
		}
		s.names, s.fds = append(s.names, name), append(s.fds, fd)
	}
	return s.top(), nil
}

func (s *Stack) top() int {
	if len(s.fds) == 0 {
		return s.Root.FD
	}
	return s.fds[len(s.fds)-1]
}

// keep returns how many of the open directories lead to path, and what of path is left.
func (s *Stack) keep(path string) (depth int, rest string) {
	if path == "." {
		return 0, ""
	}
	rest = path
	for _, open := range s.names {
		name, after, _ := strings.Cut(rest, "/")
		if name != open {
			break
		}
		depth, rest = depth+1, after
	}
	return depth, rest
}

func (s *Stack) closeBelow(depth int) {
	for _, fd := range s.fds[depth:] {
		_ = unix.Close(fd) // a directory has nothing to lose
	}
	s.names, s.fds = s.names[:depth], s.fds[:depth]
}

// Close closes the directories.
func (s *Stack) Close() { s.closeBelow(0) }

// Parent returns the directory that an entry lies in, valid until the next call, and the entry's name there.
func (s *Stack) Parent(path string) (parent *Dir, name string, err error) {
	dir, name := Split(path)
	fd, err := s.Open(dir)
	if err != nil {
		return nil, "", err
	}
	return &Dir{FD: fd, Path: filepath.Join(s.Root.Path, dir)}, name, nil
}

// Wrap names the path in an error of a system call below dir.
func (s *Stack) Wrap(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot %s %q: %w", op, filepath.Join(s.Root.Path, path), err)
}

// Split returns the directory and the last element of a relative path; "." is the directory of a single element.
func Split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return ".", path
	}
	return path[:i], path[i+1:]
}
