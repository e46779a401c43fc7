package overlay

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"threescale.dev/backup/fn/threescale"
)

// FileStorage describes the PersistentVolumeClaim system-storage.
type FileStorage struct {
	// StorageClass of the claim, which Input.StorageClass does not change: nil is
	// the cluster's default, and the empty one is no class at all.
	StorageClass *string
	Size         resource.Quantity
	AccessModes  []corev1.PersistentVolumeAccessMode
}

// FormerStorage is the file storage that a run was made of. It comes from a volume that anybody may have written: what makes no sense
// counts as not recorded.
type FormerStorage struct {
	// Claim that the run recorded; nil if it recorded none.
	Claim *FormerClaim
	// Bytes of the files.
	Bytes int64
}

// FormerClaim is a PersistentVolumeClaim as a run recorded it.
type FormerClaim struct {
	StorageClass *string
	Size         string // a quantity
	AccessModes  []string
}

// Where the operator leaves the size and the modes open, it takes these
// (facts/3scale.md section 2).
const defaultStorageSize = "100Mi"

// storageOf is the claim of the file storage that is made anew: as it was when
// the run was made, if the run recorded it, else as the operator would make it
// for the APIManager; of another class where one is given; in any case large
// enough for what is restored. It is nil where the files are not in a claim.
func storageOf(apiManager map[string]any, former FormerStorage, class string) *FileStorage {
	if threescale.UsesS3(apiManager) {
		return nil
	}
	s := &FileStorage{Size: resource.MustParse(defaultStorageSize), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}}
	s.follow(apiManager)
	if former.Claim != nil {
		s.record(former.Claim)
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
func (s *FileStorage) follow(apiManager map[string]any) {
	value, _, _ := unstructured.NestedFieldNoCopy(apiManager, fileStorageClaim()...)
	claim, _ := value.(map[string]any)
	if class, ok := claim["storageClassName"].(string); ok {
		s.StorageClass = &class
	}
	asked, _, _ := unstructured.NestedString(claim, "resources", "requests")
	if size, err := resource.ParseQuantity(asked); err == nil {
		s.Size = size
	}
}

// record takes over what a run recorded.
func (s *FileStorage) record(claim *FormerClaim) {
	s.StorageClass = claim.StorageClass
	if size, err := resource.ParseQuantity(claim.Size); err == nil && size.Sign() > 0 {
		s.Size = size
	}
	var modes []corev1.PersistentVolumeAccessMode
	for _, mode := range claim.AccessModes {
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
