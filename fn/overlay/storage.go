package overlay

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
)

// fileStoragePVC is the path of what the operator would make the PVC of the
// file storage from, and searchPVC of what it makes that of the search index
// from (apimanager_types.go:576-636).
func fileStoragePVC() []string {
	return []string{"spec", "system", "fileStorage", "persistentVolumeClaim"}
}

func searchPVC() []string {
	return []string{"spec", "system", "searchdSpec", "persistentVolumeClaim"}
}

// setStorageClass notes another class in the APIManager: for the PVC of the
// file storage, from which the operator would make it if it were not there, and
// for that of the search index, if the APIManager names a class for it. One that
// names none takes the default class of whatever cluster it is on. An APIManager
// whose files are in S3 has no PVC of the file storage.
func setStorageClass(objects []*unstructured.Unstructured, class string) error {
	if class == "" {
		return nil
	}
	object := apiManagerOf(objects)
	if _, named, err := unstructured.NestedString(object.Object, append(searchPVC(), "storageClassName")...); named && err == nil {
		// It is there, so that what is above it are objects.
		_ = unstructured.SetNestedField(object.Object, class, append(searchPVC(), "storageClassName")...)
	}
	if threescale.UsesS3(object) {
		return nil
	}
	if err := unstructured.SetNestedField(object.Object, class, append(fileStoragePVC(), "storageClassName")...); err != nil {
		return &UnexpectedObjectError{object.GetKind(), object.GetName(), "has a spec.system.fileStorage that is not an object"}
	}
	return nil
}

// dropVolumeNames takes the names of PersistentVolumes out of the APIManager, and
// returns which were there. A PVC that names a volume waits for it for ever,
// and the volumes of the backup's cluster are not on another one, or are bound.
//
// The search index is made anew, on any volume. The file storage's volume is
// dropped only where the tree holds its PVC, which binds to whatever the
// restored files were written to: without it the operator makes the PVC from
// the APIManager, and that name may be the only thing that leads to the files.
//
// This changes the base. A patch in the overlay can add and replace, but the
// patches of a tree take no field away.
func dropVolumeNames(objects []*unstructured.Unstructured, withFileStorage bool) []threescale.Place {
	object := apiManagerOf(objects)
	pvcs := [][]string{searchPVC()}
	if withFileStorage {
		pvcs = [][]string{fileStoragePVC(), searchPVC()}
	}
	var dropped []threescale.Place
	for _, pvc := range pvcs {
		field := slices.Concat(pvc, []string{"volumeName"})
		if _, found, err := unstructured.NestedFieldNoCopy(object.Object, field...); !found || err != nil {
			continue
		}
		unstructured.RemoveNestedField(object.Object, field...)
		dropped = append(dropped, threescale.Place{Kind: object.GetKind(), Name: object.GetName(), Field: strings.Join(field, ".")})
	}
	return dropped
}

// FileStorage describes the PersistentVolumeClaim system-storage.
type FileStorage struct {
	// StorageClass of the PVC, which Input.StorageClass does not change: nil is
	// the cluster's default, and the empty one is no class at all.
	StorageClass *string
	Size         resource.Quantity
	AccessModes  []corev1.PersistentVolumeAccessMode
}

// FormerStorage is the file storage that a run was made of. It comes from a volume that anybody may have written: what makes no sense
// counts as not recorded.
type FormerStorage struct {
	// PVC that the run recorded; nil if it recorded none.
	PVC *recorded.PVC
	// Bytes of the files.
	Bytes int64
}

// Where the operator leaves the size and the modes open, it takes these
// (facts/3scale.md section 2).
const defaultStorageSize = "100Mi"

// storageOf is the PVC of the file storage that is made anew: as it was when
// the run was made, if the run recorded it, else as the operator would make it
// for the APIManager; of another class where one is given; in any case large
// enough for what is restored. It is nil where the files are not in a PVC.
func storageOf(apiManager *unstructured.Unstructured, former FormerStorage, class string) *FileStorage {
	if threescale.UsesS3(apiManager) {
		return nil
	}
	s := &FileStorage{Size: resource.MustParse(defaultStorageSize), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}}
	s.follow(apiManager)
	if former.PVC != nil {
		s.record(former.PVC)
	}
	if class != "" {
		s.StorageClass = &class
	}
	// A file system needs room for itself, and files for their last blocks.
	if least := former.Bytes + former.Bytes/5; s.Size.CmpInt64(least) < 0 {
		s.Size = *resource.NewQuantity(roundUp(least, 64<<20), resource.BinarySI)
	}
	return s
}

// follow takes over what the APIManager asks for.
func (s *FileStorage) follow(apiManager *unstructured.Unstructured) {
	value, _, _ := unstructured.NestedFieldNoCopy(apiManager.Object, fileStoragePVC()...)
	pvc, _ := value.(map[string]any)
	if class, ok := pvc["storageClassName"].(string); ok {
		s.StorageClass = &class
	}
	asked, _, _ := unstructured.NestedString(pvc, "resources", "requests")
	if size, err := resource.ParseQuantity(asked); err == nil {
		s.Size = size
	}
}

// record takes over what a run recorded.
func (s *FileStorage) record(pvc *recorded.PVC) {
	s.StorageClass = pvc.StorageClass
	if size, err := resource.ParseQuantity(pvc.Size); err == nil && size.Sign() > 0 {
		s.Size = size
	}
	var modes []corev1.PersistentVolumeAccessMode
	for _, mode := range pvc.AccessModes {
		switch mode := corev1.PersistentVolumeAccessMode(mode); mode {
		case corev1.ReadWriteOnce, corev1.ReadWriteMany, corev1.ReadWriteOncePod:
			modes = append(modes, mode)
		}
	}
	if len(modes) > 0 {
		s.AccessModes = modes
	}
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

func (s *FileStorage) check() error {
	switch {
	case s == nil:
		return nil
	case s.Size.Sign() <= 0:
		return fmt.Errorf("the file storage has no size")
	case len(s.AccessModes) == 0:
		return fmt.Errorf("the file storage has no access mode")
	case s.StorageClass != nil && *s.StorageClass != "" && len(validation.IsDNS1123Subdomain(*s.StorageClass)) > 0:
		return fmt.Errorf("the file storage's class %q cannot exist", *s.StorageClass)
	}
	return nil
}
