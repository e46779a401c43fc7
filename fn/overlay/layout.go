package overlay

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/threescale"
)

const (
	kustomizationFile = "kustomization.yaml"
	apiManagerFile    = "apimanager.yaml"
	pvcFile           = "persistentvolumeclaim.yaml"
)

// kustomization is what a tree uses of kustomize's own file.
type kustomization struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Namespace  string   `json:"namespace,omitempty"`
	Patches    []patch  `json:"patches,omitempty"`
	Resources  []string `json:"resources"`
}

// patch is a manifest with the fields to change and no others.
type patch struct {
	Patch string `json:"patch"`
}

// layout says which file holds what. base and target are the same objects in
// the same order, before and after the changes that the input asks for.
//
// A change of an APIManager or a ConfigMap is a patch in the overlay, next to
// the namespace, where a reader looks for what is particular to this place. A
// change of a Secret, or of a ConfigMap as confidential as one, is in the base:
// once it is encrypted nothing can patch it.
type layout struct {
	in           Input
	base, target []*unstructured.Unstructured
}

// files returns the tree, sorted by path.
func (l layout) files() ([]File, error) {
	var files []File
	base := kustomization{}
	overlay := kustomization{Namespace: l.in.Namespace, Resources: []string{path.Join("..", "..", BaseDir(l.in.Name))}}
	for i, object := range l.base {
		key := keyOf(object)
		isSecret := threescale.IsSensitive(key.Kind, key.Name)
		if isSecret {
			object = l.target[i]
		} else if change := difference(object.Object, l.target[i].Object); len(change) > 0 {
			change["apiVersion"], change["kind"] = object.GetAPIVersion(), key.Kind
			change["metadata"] = map[string]any{"name": key.Name}
			content, err := yaml.Marshal(change)
			if err != nil {
				return nil, fmt.Errorf("cannot encode the patch of %s: %w", key, err)
			}
			overlay.Patches = append(overlay.Patches, patch{string(content)})
		}
		file, err := manifestFile(FilePath(l.in.Name, key), object.Object)
		if err != nil {
			return nil, err
		}
		file.Secret = isSecret
		files = append(files, file)
		base.Resources = append(base.Resources, fileName(key))
	}
	if l.in.FileStorage != nil {
		file, err := manifestFile(path.Join(Dir(l.in.Name), pvcFile), l.pvc().Object)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
		overlay.Resources = append(overlay.Resources, pvcFile)
	}
	slices.Sort(base.Resources)
	for dir, content := range map[string]kustomization{BaseDir(l.in.Name): base, Dir(l.in.Name): overlay} {
		file, err := kustomizationOf(dir, content)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return files, nil
}

// expected returns what the overlay must come to.
func (l layout) expected() map[Key]*unstructured.Unstructured {
	objects := slices.Clone(l.target)
	if l.in.FileStorage != nil {
		objects = append(objects, l.pvc())
	}
	out := make(map[Key]*unstructured.Unstructured, len(objects))
	for _, object := range objects {
		placed := object.DeepCopy()
		placed.SetNamespace(l.in.Namespace)
		out[keyOf(placed)] = placed
	}
	return out
}

// pvc returns the PersistentVolumeClaim of the file storage.
func (l layout) pvc() *unstructured.Unstructured {
	storage := l.in.FileStorage
	modes := make([]any, len(storage.AccessModes))
	for i, mode := range storage.AccessModes {
		modes[i] = string(mode)
	}
	spec := map[string]any{
		"accessModes": modes,
		"resources":   map[string]any{"requests": map[string]any{"storage": storage.Size.String()}},
	}
	if storage.StorageClass != nil {
		spec["storageClassName"] = *storage.StorageClass
	}
	key := Key{threescale.KindPVC, threescale.FileStoragePVCName}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       key.Kind,
		"metadata":   map[string]any{"name": key.Name, "annotations": values(fluxAnnotations(key))},
		"spec":       spec,
	}}
}

// silenceMail empties the values of the Secret of the mail account, as the
// operator has them for an installation without one. Porta then loses its mail
// without an error (3scale/porta: config/application.rb, raise_delivery_errors).
func silenceMail(objects []*unstructured.Unstructured) {
	for _, object := range objects {
		if keyOf(object) != (Key{threescale.KindSecret, threescale.MailSecret}) {
			continue
		}
		data, _ := object.Object["data"].(map[string]any)
		for key := range data {
			data[key] = ""
		}
	}
}

// difference returns the fields of an object that are not in another, or not the
// same there, as a merge patch. Nothing is ever taken away.
func difference(from, to map[string]any) map[string]any {
	out := map[string]any{}
	for name, value := range to {
		before, wasObject := from[name].(map[string]any)
		after, isObject := value.(map[string]any)
		switch {
		case reflect.DeepEqual(from[name], value):
		case wasObject && isObject:
			out[name] = difference(before, after)
		default:
			out[name] = value
		}
	}
	return out
}

// fileName returns the name of an object's file. Names of objects can be longer
// than a file name may be: such a one is cut, and told apart by a digest.
//
// ConfigMap system is in configmap-system.yaml, though it is encrypted: a name
// says of what kind the object is, and secret-... would be the file of a Secret
// of that name. A rule of .sops.yaml that matches secret-*.yaml alone does not
// match it, which stops a restore before it starts, by the path in its message.
func fileName(key Key) string {
	if key.Kind == threescale.APIManagerKind {
		return apiManagerFile
	}
	const longest, kept = 200, 180
	name := key.Name
	if len(name) > longest {
		digest := sha256.Sum256([]byte(name))
		name = name[:kept] + "-" + hex.EncodeToString(digest[:8])
	}
	return strings.ToLower(key.Kind) + "-" + name + ".yaml"
}

func manifestFile(name string, object any) (File, error) {
	content, err := yaml.Marshal(object)
	if err != nil {
		return File{}, fmt.Errorf("cannot encode file %q: %w", name, err)
	}
	return File{Path: name, Data: content}, nil
}

func kustomizationOf(dir string, content kustomization) (File, error) {
	content.APIVersion, content.Kind = "kustomize.config.k8s.io/v1beta1", "Kustomization"
	file, err := manifestFile(path.Join(dir, kustomizationFile), content)
	file.Data = append([]byte(header), file.Data...)
	return file, err
}
