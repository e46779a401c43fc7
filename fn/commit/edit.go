// Package commit makes the files of a commit from a tree of package overlay:
// Secrets, and ConfigMaps as confidential, encrypted by package sops, the whole proven by building it once more,
// and the files of an earlier tree that are gone. The controller and the
// command line both commit what it makes.
package commit

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/publish"
	"threescale.dev/backup/fn/sops"
)

const kustomizationFile = "kustomization.yaml"

// Encrypter returns the rules by which what is confidential is encrypted: the recipients
// that are given, else the rules that lie in the repository.
func Encrypter(files fs.FS, recipients []string) (*sops.Encrypter, error) {
	if len(recipients) > 0 {
		return sops.ForRecipients(recipients)
	}
	return sops.ForRepository(files), nil
}

// Edit makes the edit of a repository whose newest files are given: the tree
// below root ("." for the repository's own). What overlay.File.Secret marks is not
// in it in plain text.
// Errors are those of packages sops and overlay.
func Edit(files fs.FS, root string, tree *overlay.Tree, encrypter *sops.Encrypter) (publish.Edit, error) {
	if err := checkOwner(files, root, tree.Name, tree.Namespace); err != nil {
		return publish.Edit{}, err
	}
	edit := publish.Edit{Write: make(map[string][]byte, len(tree.Files))}
	encrypted := make([]overlay.File, 0, len(tree.Files))
	for _, file := range tree.Files {
		full := path.Join(root, file.Path)
		if file.Secret {
			var err error
			if file.Data, err = encrypter.Encrypt(full, file.Data); err != nil {
				return publish.Edit{}, err
			}
			if !sops.Encrypted(file.Data) {
				return publish.Edit{}, fmt.Errorf("cannot commit %q: it is not encrypted: this is a bug, please report it", full)
			}
		}
		encrypted = append(encrypted, file)
		edit.Write[full] = file.Data
	}
	if _, err := overlay.BuildFiles(encrypted, overlay.Dir(tree.Name)); err != nil {
		return publish.Edit{}, fmt.Errorf("cannot build the encrypted tree: %w", err)
	}
	edit.Remove = removed(files, root, tree)
	return edit, nil
}

// checkOwner returns an *overlay.TakenError if the folders of a restore of that
// name into that namespace are somebody else's.
func checkOwner(files fs.FS, root, name, namespace string) error {
	err := overlay.CheckOwner(previous(files, root, name), name, namespace)
	if taken, ok := errors.AsType[*overlay.TakenError](err); ok {
		taken.Path = path.Join(root, taken.Path)
	}
	return err
}

// previous are the kustomization.yaml files of an earlier tree of that name.
func previous(files fs.FS, root, name string) map[string][]byte {
	out := map[string][]byte{}
	for _, dir := range []string{overlay.BaseDir(name), overlay.Dir(name)} {
		file := path.Join(dir, kustomizationFile)
		data, err := fs.ReadFile(files, path.Join(root, file))
		if !errors.Is(err, fs.ErrNotExist) {
			out[file] = data // what cannot be read, as it is too large, is not ours
		}
	}
	return out
}

// removed are the files that an earlier commit of the same tree wrote and this
// one does not.
func removed(files fs.FS, root string, tree *overlay.Tree) []string {
	var gone []string
	for _, name := range overlay.Removed(previous(files, root, tree.Name), tree) {
		gone = append(gone, path.Join(root, name))
	}
	return gone
}
