package sops

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// configName is the only name that SOPS knows: .sops.yml is ignored.
const configName = ".sops.yaml"

// maxConfig bounds what is read of a .sops.yaml: the largest known ones have some thousand lines.
const maxConfig = 256 << 10

// findConfig returns the path and the content of the nearest .sops.yaml, from the folder of a file up to the root.
// A symlink on the way is an error, not a place to look elsewhere: who follows it would find other rules.
func findConfig(root fs.FS, file string) (string, []byte, error) {
	for dir := path.Dir(file); ; dir = path.Dir(dir) {
		name := path.Join(dir, configName)
		found, err := isThere(root, name)
		switch {
		case err != nil:
			return "", nil, err
		case found:
			data, err := readConfig(root, name)
			return name, data, err
		case dir == ".":
			return "", nil, fmt.Errorf("cannot encrypt %q: %w", file, ErrNoRules)
		}
	}
}

// isThere reports whether there is a regular file. It fails for anything else of that name, and if one of the path's elements is a symlink.
func isThere(root fs.FS, name string) (bool, error) {
	elements := strings.Split(name, "/")
	for i := range elements {
		p := path.Join(elements[:i+1]...)
		info, err := fs.Lstat(root, p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return false, nil
		case err != nil:
			return false, fmt.Errorf("cannot look for SOPS rules at %q: %w", p, err)
		case info.Mode()&fs.ModeSymlink != 0:
			return false, fmt.Errorf("cannot look for SOPS rules at %q: %q is a symlink, which is never followed: replace it by what it points to", name, p)
		case p != name && !info.IsDir():
			return false, fmt.Errorf("cannot look for SOPS rules at %q: %q is not a directory: choose another path", name, p)
		case p == name && !info.Mode().IsRegular(): // found out before it is opened: opening a named pipe waits for its writer
			return false, fmt.Errorf("cannot read %q: it is not a regular file", name)
		}
	}
	return true, nil
}

// readConfig reads one .sops.yaml.
func readConfig(root fs.FS, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot open %q: %w", name, err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read %q: %w", name, err)
	}
	if len(data) > maxConfig {
		return nil, fmt.Errorf("cannot read %q: it is larger than %d bytes: divide it, a .sops.yaml of a folder goes before those above it", name, maxConfig)
	}
	return data, nil
}
