package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// Edit is what a change does: paths are relative to the repository's root,
// with slashes, and all lie below the folders.
type Edit struct {
	Write  map[string][]byte // regular files with these bytes; directories are made
	Remove []string          // files; one that is not there is no error
}

// paths are those that an edit touches, in the order in which they are written.
func (e Edit) paths() []string {
	names := slices.Sorted(maps.Keys(e.Write))
	for _, name := range e.Remove {
		if _, written := e.Write[name]; !written {
			names = append(names, name)
		}
	}
	return names
}

// node is a directory or a file that an edit touches.
type node struct {
	children map[string]*node // of a directory
	data     []byte           // of a file
	remove   bool
}

// plan checks an edit and arranges it as a tree of directories.
func plan(folders []string, edit Edit) (*node, error) {
	root := &node{children: map[string]*node{}}
	add := func(name string, leaf *node) error {
		if err := checkPath(name); err != nil {
			return err
		}
		if !below(folders, name) {
			return fail(PathRefused, "cannot write the path %q: it is not below %s", name, strings.Join(folders, ", "))
		}
		parts := strings.Split(name, "/")
		current := root
		for _, part := range parts[:len(parts)-1] {
			next := current.children[part]
			if next == nil {
				next = &node{children: map[string]*node{}}
				current.children[part] = next
			}
			if next.children == nil {
				return fail(PathRefused, "cannot write the path %q: %q is a file", name, part)
			}
			current = next
		}
		if last := parts[len(parts)-1]; current.children[last] == nil {
			current.children[last] = leaf
			return nil
		}
		return fail(PathRefused, "cannot write the path %q: it is written twice, or is a directory", name)
	}
	for _, name := range edit.Remove {
		if _, written := edit.Write[name]; written {
			continue
		}
		if err := add(name, &node{remove: true}); err != nil {
			return nil, err
		}
	}
	for name, data := range edit.Write {
		if err := add(name, &node{data: data}); err != nil {
			return nil, err
		}
	}
	return root, nil
}

// builder writes the blobs and the trees that an edit makes.
type builder struct {
	tree *tree
	made []plumbing.Hash // objects that the repository may not have yet
}

// apply returns what becomes of a directory; the zero hash when nothing is left of it.
func (b *builder) apply(hash plumbing.Hash, edit *node, at string) (plumbing.Hash, error) {
	entries, err := b.tree.entries(hash)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	entries = slices.Clone(entries)
	changed := false
	for name, child := range edit.children {
		where := at + name
		index := slices.IndexFunc(entries, func(e object.TreeEntry) bool { return e.Name == name })
		old := object.TreeEntry{Name: name}
		if index >= 0 {
			old = entries[index]
		}
		updated, err := b.entry(old, child, where)
		switch {
		case err != nil:
			return plumbing.ZeroHash, err
		case updated == old:
			continue
		case index >= 0 && updated.Hash.IsZero():
			entries = slices.Delete(entries, index, index+1)
		case index >= 0:
			entries[index] = updated
		case !updated.Hash.IsZero():
			entries = append(entries, updated)
		default:
			continue
		}
		changed = true
	}
	switch {
	case !changed:
		return hash, nil
	case len(entries) == 0:
		return plumbing.ZeroHash, nil
	}
	slices.SortFunc(entries, func(x, y object.TreeEntry) int { return cmp.Compare(sortKey(x), sortKey(y)) })
	return b.store(&object.Tree{Entries: entries})
}

// sortKey is what Git sorts a directory by.
func sortKey(entry object.TreeEntry) string {
	if entry.Mode == filemode.Dir {
		return entry.Name + "/"
	}
	return entry.Name
}

// entry returns what becomes of one entry, which has no hash when it is not there.
func (b *builder) entry(old object.TreeEntry, edit *node, where string) (object.TreeEntry, error) {
	there := !old.Hash.IsZero()
	if there && (old.Mode == filemode.Symlink || old.Mode == filemode.Submodule) {
		return old, fail(PathRefused, "cannot write %q: in the repository it is a symlink or a submodule, which is never followed or replaced; remove it, or choose another path", where)
	}
	if edit.children != nil {
		if there && old.Mode != filemode.Dir {
			return old, fail(PathRefused, "cannot write below %q: in the repository it is a file; remove it, or choose another path", where)
		}
		hash, err := b.apply(old.Hash, edit, where+"/")
		if hash.IsZero() {
			return object.TreeEntry{Name: old.Name}, err
		}
		return object.TreeEntry{Name: old.Name, Mode: filemode.Dir, Hash: hash}, err
	}
	switch {
	case there && old.Mode == filemode.Dir:
		return old, fail(PathRefused, "cannot write the file %q: in the repository it is a directory; remove it, or choose another path", where)
	case edit.remove:
		return object.TreeEntry{Name: old.Name}, nil
	case there && old.Hash == plumbing.ComputeHash(plumbing.BlobObject, edit.data):
		return old, nil
	}
	hash, err := b.blob(edit.data)
	mode := filemode.Regular
	if old.Mode == filemode.Executable {
		mode = old.Mode
	}
	return object.TreeEntry{Name: old.Name, Mode: mode, Hash: hash}, err
}

func (b *builder) blob(data []byte) (plumbing.Hash, error) {
	encoded := &plumbing.MemoryObject{}
	encoded.SetType(plumbing.BlobObject)
	if _, err := encoded.Write(data); err != nil {
		return plumbing.ZeroHash, fmt.Errorf("cannot store a file: %w", err)
	}
	return b.keep(encoded)
}

func (b *builder) store(what object.Object) (plumbing.Hash, error) {
	encoded := &plumbing.MemoryObject{}
	if err := what.Encode(encoded); err != nil {
		return plumbing.ZeroHash, fmt.Errorf("cannot encode a %s: %w", what.Type(), err)
	}
	return b.keep(encoded)
}

func (b *builder) keep(encoded plumbing.EncodedObject) (plumbing.Hash, error) {
	hash, err := b.tree.storer.SetEncodedObject(encoded)
	if err != nil {
		return hash, fmt.Errorf("cannot store a %s: %w", encoded.Type(), err)
	}
	b.made = append(b.made, hash)
	return hash, nil
}

// checkFolders refuses folders that are malformed or that are, or lie behind, anything but directories.
func checkFolders(files *tree, folders []string) error {
	if len(folders) == 0 {
		return fail(InvalidInput, "cannot publish: there is no folder to write to")
	}
	for _, folder := range folders {
		if err := checkPath(folder); err != nil {
			return err
		}
		parts := strings.Split(folder, "/")
		for i := range parts {
			prefix := strings.Join(parts[:i+1], "/")
			entry, err := files.lookup(prefix)
			if err != nil {
				break // what is not there can be made
			}
			if entry.Mode != filemode.Dir {
				return fail(PathRefused, "cannot write below %q: in the repository %q is a file, a symlink or a submodule; remove it, or choose another path", folder, prefix)
			}
		}
	}
	return nil
}

// checkDiff proves, from the two trees alone, that a commit changes nothing
// outside of the folders and that each written file holds the given bytes.
func checkDiff(ctx context.Context, objects storer.EncodedObjectStorer, before, after plumbing.Hash, folders []string, edit Edit) error {
	var trees [2]*object.Tree
	for i, hash := range []plumbing.Hash{before, after} {
		if hash.IsZero() {
			continue
		}
		var err error
		if trees[i], err = object.GetTree(objects, hash); err != nil {
			return fail(Internal, "cannot check the commit: %v", err)
		}
	}
	changes, err := object.DiffTreeWithOptions(ctx, trees[0], trees[1], nil)
	if err != nil {
		return errors.Join(fail(Internal, "cannot check the commit: %v", err), ctx.Err())
	}
	for _, change := range changes {
		for _, name := range []string{change.From.Name, change.To.Name} {
			if name != "" && !below(folders, name) {
				return fail(Internal, "cannot publish: the commit would change %q, which is not below %s", name, strings.Join(folders, ", "))
			}
		}
	}
	result := &tree{ctx: ctx, storer: objects, root: after}
	for name, data := range edit.Write {
		entry, err := result.lookup(name)
		if err != nil || entry.Hash != plumbing.ComputeHash(plumbing.BlobObject, data) {
			return fail(Internal, "cannot publish: the commit would not hold %q as it was written", name)
		}
	}
	return nil
}
