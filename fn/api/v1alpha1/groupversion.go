package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	// Group is the API group, and the prefix of every label and annotation, of
	// this product. Whoever renames the project changes it here and in doc.go.
	Group = "backup.threescale.dev"
	// Version is the API version of the types in this package.
	Version = "v1alpha1"
	// KindBackup is the kind that a user writes: a claim, or a namespaced composite.
	KindBackup = "ThreeScaleBackup"
	// KindRestore is the kind of a restore.
	KindRestore = "ThreeScaleRestore"
	// KindCompositeBackup is the kind of the composite behind a claim.
	KindCompositeBackup = "XThreeScaleBackup"
)

// GroupVersion is the group and version of the types in this package.
var GroupVersion = schema.GroupVersion{Group: Group, Version: Version}

// AddToScheme registers the types of this package.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &ThreeScaleBackup{}, &ThreeScaleBackupList{}, &ThreeScaleRestore{}, &ThreeScaleRestoreList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
