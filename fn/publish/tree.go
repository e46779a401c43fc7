package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// maxFileSize is the size in bytes from which a file of the repository is not read.
const maxFileSize = 16 << 20

// errNotRegular is wrapped in the errors of a tree when a path is, or passes
// through, a symlink or a submodule: neither is ever followed.
var errNotRegular = errors.New("is a symlink or a submodule, which is not followed")

// tree is one commit's files as an [fs.FS], which opens files and no directories.
type tree struct {
	ctx    context.Context
	storer storer.EncodedObjectStorer
	root   plumbing.Hash // zero: there are no files
	fetch  func(context.Context, plumbing.Hash) error
}

// entries lists a directory; the zero hash is an empty one.
func (t *tree) entries(hash plumbing.Hash) ([]object.TreeEntry, error) {
	if hash.IsZero() {
		return nil, nil
	}
	found, err := object.GetTree(t.storer, hash)
	if err != nil {
		return nil, fmt.Errorf("cannot read tree %s: %w", hash, err)
	}
	return found.Entries, nil
}

// lookup finds the entry of a path, without following anything.
func (t *tree) lookup(name string) (object.TreeEntry, error) {
	current := object.TreeEntry{Mode: filemode.Dir, Hash: t.root}
	if name == "." {
		return current, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		switch current.Mode {
		case filemode.Dir:
		case filemode.Symlink, filemode.Submodule:
			return current, errNotRegular
		default:
			return current, fs.ErrNotExist
		}
		entries, err := t.entries(current.Hash)
		if err != nil {
			return current, err
		}
		at := slices.IndexFunc(entries, func(e object.TreeEntry) bool { return e.Name == part })
		if at < 0 {
			return current, fs.ErrNotExist
		}
		current = entries[at]
	}
	return current, nil
}

func (t *tree) find(op, name string) (object.TreeEntry, error) {
	if !fs.ValidPath(name) {
		return object.TreeEntry{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	entry, err := t.lookup(name)
	if err != nil {
		return entry, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return entry, nil
}

func (t *tree) Open(name string) (fs.File, error) {
	entry, data, err := t.read(name)
	if err != nil {
		return nil, err
	}
	return &file{bytes.NewReader(data), infoOf(entry, name, int64(len(data)))}, nil
}

// ReadFile reads a regular file of at most maxFileSize bytes.
func (t *tree) ReadFile(name string) ([]byte, error) {
	_, data, err := t.read(name)
	return data, err
}

func (t *tree) read(name string) (entry object.TreeEntry, data []byte, err error) {
	if entry, err = t.find("read", name); err != nil {
		return entry, nil, err
	}
	if data, err = t.blob(entry); err != nil {
		return entry, nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return entry, data, nil
}

func (t *tree) blob(entry object.TreeEntry) ([]byte, error) {
	switch entry.Mode {
	case filemode.Regular, filemode.Executable, filemode.Deprecated:
	case filemode.Dir:
		return nil, errors.New("is a directory")
	default:
		return nil, errNotRegular
	}
	found, err := object.GetBlob(t.storer, entry.Hash)
	if errors.Is(err, plumbing.ErrObjectNotFound) && t.fetch != nil {
		if err := t.fetch(t.ctx, entry.Hash); err != nil {
			return nil, err
		}
		found, err = object.GetBlob(t.storer, entry.Hash)
	}
	if err != nil {
		return nil, err
	}
	if found.Size > maxFileSize {
		return nil, fmt.Errorf("is too large: %d bytes, at most %d are read", found.Size, maxFileSize)
	}
	reader, err := found.Reader()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(reader)
	return data, errors.Join(err, reader.Close())
}

// Stat tells of a path; the size of a file is not known before it is opened.
func (t *tree) Stat(name string) (fs.FileInfo, error) {
	entry, err := t.find("stat", name)
	if err != nil {
		return nil, err
	}
	return infoOf(entry, name, 0), nil
}

// file is an open file of a tree.
type file struct {
	io.Reader

	info info
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *file) Close() error               { return nil }

// info is what a tree tells of an entry.
type info struct {
	name string
	mode fs.FileMode
	size int64
}

func infoOf(entry object.TreeEntry, name string, size int64) info {
	mode, err := entry.Mode.ToOSFileMode()
	if err != nil || entry.Mode == filemode.Submodule {
		mode = fs.ModeIrregular
	}
	return info{path.Base(name), mode, size}
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return nil }
