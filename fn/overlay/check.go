package overlay

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// kustomizeMutex: kustomize keeps its OpenAPI schema in a variable of its own.
var kustomizeMutex sync.Mutex

// BuildFiles builds a folder of a tree with kustomize, as Flux does, and returns
// the objects. Encrypted Secrets come out as they are. All that a
// kustomization.yaml names must be among the files: nothing is fetched and
// nothing is read from elsewhere.
func BuildFiles(files []File, dir string) (map[Key]*unstructured.Unstructured, error) {
	objects, err := kustomize(files, dir)
	if err != nil {
		return nil, fmt.Errorf("cannot build %q: %w", dir, err)
	}
	return objects, nil
}

// kustomize returns the objects that a folder comes to.
func kustomize(files []File, dir string) (map[Key]*unstructured.Unstructured, error) {
	if err := checkLocal(files); err != nil {
		return nil, err
	}
	memory := filesys.MakeFsInMemory()
	for _, file := range files {
		if err := memory.WriteFile("/"+file.Path, file.Data); err != nil {
			return nil, err
		}
	}
	kustomizeMutex.Lock()
	defer kustomizeMutex.Unlock()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(memory, "/"+dir)
	if err != nil {
		return nil, err
	}
	objects := make(map[Key]*unstructured.Unstructured, resources.Size())
	for _, built := range resources.Resources() {
		object, err := decode(built)
		if err != nil {
			return nil, fmt.Errorf("cannot decode %s %q: %w", built.GetKind(), built.GetName(), err)
		}
		key := keyOf(object)
		if objects[key] != nil {
			return nil, fmt.Errorf("there are two of %s", key)
		}
		objects[key] = object
	}
	return objects, nil
}

// decode reads one object by way of YAML, as Flux does, with numbers as int64 or
// float64. Doing so one by one takes less memory than all in one stream.
func decode(built *resource.Resource) (*unstructured.Unstructured, error) {
	manifest, err := built.AsYAML()
	if err != nil {
		return nil, err
	}
	encoded, err := yaml.YAMLToJSON(manifest)
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{}
	err = json.Unmarshal(encoded, &object.Object)
	return object, err
}

// checkLocal fails for a path that is not below the root, or a resource that is
// not among the files. Kustomize takes any other text for the address of a
// repository and clones it.
func checkLocal(files []File) error {
	known := map[string]bool{}
	for _, file := range files {
		if !fs.ValidPath(file.Path) || known[file.Path] {
			return fmt.Errorf("file %q is there twice or outside of the tree", file.Path)
		}
		known[file.Path], known[path.Dir(file.Path)] = true, true
	}
	for _, file := range files {
		if path.Base(file.Path) != kustomizationFile {
			continue
		}
		var content kustomization
		if err := yaml.UnmarshalStrict(file.Data, &content); err != nil {
			return fmt.Errorf("cannot read file %q: %w", file.Path, err)
		}
		for _, resource := range content.Resources {
			if !known[path.Join(path.Dir(file.Path), resource)] {
				return fmt.Errorf("file %q names resource %q, which is not in the tree", file.Path, resource)
			}
		}
	}
	return nil
}

// compare fails unless two sets of objects are the same, and tells where they
// are not: by object and field, never by value.
func compare(want, got map[Key]*unstructured.Unstructured) error {
	keys := slices.SortedFunc(maps.Keys(want), compareKeys)
	for key := range got {
		if want[key] == nil {
			keys = append(keys, key)
		}
	}
	var places []string
	for _, key := range keys {
		if want[key] == nil || got[key] == nil {
			places = append(places, key.String())
		} else if field, differs := firstDifference(want[key].Object, got[key].Object, nil); differs {
			places = append(places, key.String()+" "+field)
		}
	}
	if len(places) == 0 {
		return nil
	}
	return fmt.Errorf("kustomize builds other objects from the tree than were meant; they differ in %s", strings.Join(places, ", "))
}

// firstDifference returns the path, in the order of keys, of the first field in
// which two objects differ.
func firstDifference(want, got any, at []string) (string, bool) {
	a, isObject := want.(map[string]any)
	b, alsoObject := got.(map[string]any)
	if !isObject || !alsoObject {
		return strings.Join(at, "."), !reflect.DeepEqual(want, got)
	}
	both := maps.Clone(a)
	maps.Copy(both, b)
	for _, name := range slices.Sorted(maps.Keys(both)) {
		if field, differs := firstDifference(a[name], b[name], append(at, name)); differs {
			return field, true
		}
	}
	return "", false
}
