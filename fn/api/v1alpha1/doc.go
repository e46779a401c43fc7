// Package v1alpha1 holds the types that a user writes and reads: ThreeScaleBackup,
// its condition types and its reasons. The schemas under manifests/ are generated
// from these types; `make generate` does it.
//
// +kubebuilder:object:generate=true
// +groupName=backup.threescale.dev
package v1alpha1
