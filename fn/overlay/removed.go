package overlay

import (
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Removed returns the files of an earlier tree of the same restore that the new
// one does not have, sorted. previous holds the kustomization.yaml files that
// are in the repository, by their paths as in File; only those of the tree's own
// two folders are looked at. They are read as what anybody may have edited: a
// file goes only if such a kustomization.yaml lists it by its plain name, and
// the name is one that a tree gives to its files.
func Removed(previous map[string][]byte, tree *Tree) []string {
	kept := map[string]bool{}
	for _, file := range tree.Files {
		kept[file.Path] = true
	}
	var removed []string
	for _, dir := range []string{BaseDir(tree.Name), Dir(tree.Name)} {
		for _, name := range listed(previous[path.Join(dir, kustomizationFile)]) {
			file := path.Join(dir, name)
			if isOurs(path.Dir(dir), name) && !kept[file] {
				removed = append(removed, file)
			}
		}
	}
	slices.Sort(removed)
	return slices.Compact(removed)
}

// listed returns the resources of a kustomization.yaml, none when it cannot be
// read.
func listed(content []byte) []string {
	const longest = 1 << 20
	if len(content) > longest {
		return nil
	}
	var file struct {
		Resources []string `json:"resources"`
	}
	if yaml.Unmarshal(content, &file) != nil {
		return nil
	}
	return file.Resources
}

// isOurs reports whether a tree has files of that name below base or overlays.
func isOurs(folder, name string) bool {
	if strings.ContainsAny(name, "/\\\x00") {
		return false
	}
	if folder == overlaysFolder {
		return name == pvcFile
	}
	stem, isYAML := strings.CutSuffix(name, ".yaml")
	isObject := strings.HasPrefix(stem, "secret-") || strings.HasPrefix(stem, "configmap-")
	return name == apiManagerFile || isYAML && isObject
}
