package overlay

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"threescale.dev/backup/fn/threescale"
)

// Key names an object of one namespace.
type Key struct{ Kind, Name string }

// String writes a key as "Secret/system-app".
func (k Key) String() string { return k.Kind + "/" + k.Name }

// Input is what a tree is made of. Build does not change it.
type Input struct {
	// Name of the restore, a DNS label: the name of both folders.
	Name string
	// Namespace that the objects are for.
	Namespace string
	// Objects of the backup in any order: Secrets, ConfigMaps and one APIManager,
	// without a namespace.
	Objects []*unstructured.Unstructured
	// Admitted are the objects that the run's manifest lists. No other may be
	// among Objects.
	Admitted []Key
	// WildcardDomain that the installation moves to; empty keeps the one it has.
	WildcardDomain string
	// StorageClass from which the operator would make the file storage, if it were
	// not there, and from which it makes the volume of the search index where the
	// APIManager names a class for that; empty keeps those that the APIManager has.
	StorageClass string
	// OmitDatabaseSecrets leaves out the Secrets that point to databases outside
	// the installation, as the operator's own restore does (see
	// [threescale.DatabaseSecrets]).
	OmitDatabaseSecrets bool
	// OmitBucketSecret leaves out the Secret that leads to the bucket of the file
	// storage, where that is in S3.
	OmitBucketSecret bool
	// Quiet commits the Secret of the mail account with empty values.
	Quiet bool
	// FileStorage is the PVC of the file storage that is there; nil has one made as Former says.
	FileStorage *FileStorage
	// Former is the file storage that the backup was made of; without it, and without FileStorage, the tree holds no PVC.
	Former *FormerStorage
}

// File is one file of a tree.
type File struct {
	// Path is relative to the folder that holds base and overlays, with slashes.
	Path string
	Data []byte
	// Secret means that Data hold a Secret, or a ConfigMap as confidential as one,
	// in plain text (see [threescale.IsSensitive]).
	Secret bool
}

// Tree is a kustomize base and overlay, and what they come to.
type Tree struct {
	// Name of the restore, and Namespace that it restores into.
	Name, Namespace string
	// Files sorted by path.
	Files []File
	// Objects as kustomize builds them, which is as Flux applies them, Secrets in
	// plain text.
	Objects map[Key]*unstructured.Unstructured `json:"-"` // JSON has no such keys
	// Omitted are the Secrets that were left out on request, sorted.
	Omitted []Key
	// Dropped are the fields of the APIManager that name a PersistentVolume and
	// were left out, since the volume is not where the restored objects go.
	Dropped []threescale.Place
	// Rewritten and LeftWithDomain are the Rewritten and Left of
	// threescale.RewriteDomain.
	Rewritten, LeftWithDomain []threescale.Place
}

// Sorted returns the objects by kind and name.
func (t *Tree) Sorted() []*unstructured.Unstructured {
	out := make([]*unstructured.Unstructured, 0, len(t.Objects))
	for _, key := range slices.SortedFunc(maps.Keys(t.Objects), compareKeys) {
		out = append(out, t.Objects[key])
	}
	return out
}

// Dir returns the folder that Flux builds for a restore, relative to the one
// that holds base and overlays.
func Dir(name string) string { return path.Join(overlaysFolder, name) }

// BaseDir returns the folder of a restore's own base.
func BaseDir(name string) string { return path.Join(baseFolder, name) }

// FilePath returns the file of an object in the base of a restore, relative to
// the folder that holds base and overlays.
func FilePath(name string, key Key) string { return path.Join(BaseDir(name), fileName(key)) }

const (
	baseFolder     = "base"
	overlaysFolder = "overlays"
)

// Build makes the tree of a restore and checks it: kustomize must build from it
// exactly the objects that were admitted, with the changes that the input asks
// for. It fails with an *UnexpectedObjectError for what a backup of 3scale does
// not hold, and otherwise for input that cannot be used. No error shows a value.
func Build(in Input) (*Tree, error) {
	tree, err := build(in)
	if err != nil {
		return nil, fmt.Errorf("cannot build the tree of restore %q: %w", in.Name, err)
	}
	return tree, nil
}

func build(in Input) (*Tree, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	objects, err := admit(in.Objects, in.Admitted)
	if err != nil {
		return nil, err
	}
	if in.FileStorage == nil && in.Former != nil {
		in.FileStorage = storageOf(apiManagerOf(objects), *in.Former, in.StorageClass)
	}
	if err := in.FileStorage.check(); err != nil {
		return nil, err
	}
	tree := &Tree{Name: in.Name, Namespace: in.Namespace}
	objects, tree.Omitted = without(objects, in.omitted(apiManagerOf(objects)))
	tree.Dropped = dropVolumeNames(objects, in.FileStorage != nil)
	moved, err := threescale.RewriteDomain(objects, in.WildcardDomain)
	if err != nil {
		return nil, err
	}
	tree.Rewritten, tree.LeftWithDomain = moved.Rewritten, moved.Left
	if err := setStorageClass(moved.Objects, in.StorageClass); err != nil {
		return nil, err
	}
	if in.Quiet {
		silenceMail(moved.Objects)
	}
	l := layout{in: in, base: objects, target: moved.Objects}
	if tree.Files, err = l.files(); err != nil {
		return nil, err
	}
	tree.Objects, err = BuildFiles(tree.Files, Dir(in.Name))
	if err != nil {
		return nil, err
	}
	return tree, compare(l.expected(), tree.Objects)
}

// check looks at all of the input but the objects.
func (in Input) check() error {
	if len(validation.IsDNS1123Label(in.Name)) > 0 {
		return fmt.Errorf("the name becomes that of a folder and must be a DNS label: at most 63 lower-case letters, digits and hyphens")
	}
	if len(validation.IsDNS1123Label(in.Namespace)) > 0 {
		return fmt.Errorf("the target namespace %q is not a DNS label", in.Namespace)
	}
	if in.StorageClass != "" && len(validation.IsDNS1123Subdomain(in.StorageClass)) > 0 {
		return fmt.Errorf("the storage class %q cannot exist: set spec.target.storageClass to one that does", in.StorageClass)
	}
	return nil
}

// omitted returns the names of the Secrets that are to be left out.
func (in Input) omitted(apiManager *unstructured.Unstructured) []string {
	var names []string
	if in.OmitDatabaseSecrets {
		names = threescale.DatabaseSecrets(apiManager)
	}
	if in.OmitBucketSecret && threescale.UsesS3(apiManager) {
		names = append(names, threescale.FileStorageSecret(apiManager))
	}
	return names
}

// without returns the objects that stay without the Secrets of these names, and
// the keys of those that do not.
func without(objects []*unstructured.Unstructured, names []string) ([]*unstructured.Unstructured, []Key) {
	var kept []*unstructured.Unstructured
	var omitted []Key
	for _, object := range objects {
		key := keyOf(object)
		if key.Kind == threescale.KindSecret && slices.Contains(names, key.Name) {
			omitted = append(omitted, key)
			continue
		}
		kept = append(kept, object)
	}
	return kept, omitted
}

// apiManagerOf returns the one APIManager among admitted objects.
func apiManagerOf(objects []*unstructured.Unstructured) *unstructured.Unstructured {
	for _, object := range objects {
		if object.GetKind() == threescale.APIManagerKind {
			return object
		}
	}
	return nil
}

// compareKeys sorts by kind, then by name.
func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
}
