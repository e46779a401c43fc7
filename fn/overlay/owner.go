package overlay

import (
	"bytes"
	"fmt"
	"path"

	"sigs.k8s.io/yaml"
)

// header is the first line of each kustomization.yaml of a tree, and tells a
// folder that a restore may write anew from one that somebody else keeps.
const header = "# Written by a ThreeScaleRestore, which writes this folder anew whenever it runs.\n"

// TakenError says that a folder of the tree is somebody else's.
type TakenError struct {
	// Path of the kustomization.yaml that tells so, relative to the folder that
	// holds base and overlays.
	Path string
	// Namespace of the restore that wrote it; "" if none did.
	Namespace string
}

func (e *TakenError) Error() string {
	if e.Namespace == "" {
		return fmt.Sprintf("%q was not written by a restore, which would write it anew: move that folder away, rename the restore, or choose another path", e.Path)
	}
	return fmt.Sprintf("%q belongs to a restore of the same name into namespace %q: rename this restore, or choose another path", e.Path, e.Namespace)
}

// CheckOwner returns a *TakenError if the folders of a restore of that name hold
// what a restore into that namespace did not write. Previous holds the
// kustomization.yaml files that are in the repository, as for [Removed].
func CheckOwner(previous map[string][]byte, name, namespace string) error {
	for _, dir := range []string{BaseDir(name), Dir(name)} {
		file := path.Join(dir, kustomizationFile)
		content, exists := previous[file]
		if exists && !bytes.HasPrefix(content, []byte(header)) {
			return &TakenError{Path: file}
		}
	}
	file := path.Join(Dir(name), kustomizationFile)
	var overlay struct {
		Namespace string `json:"namespace"`
	}
	if content, exists := previous[file]; exists && yaml.Unmarshal(content, &overlay) != nil {
		return &TakenError{Path: file}
	}
	if overlay.Namespace != "" && overlay.Namespace != namespace {
		return &TakenError{Path: file, Namespace: overlay.Namespace}
	}
	return nil
}
