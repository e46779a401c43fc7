// Package v1alpha1 holds the types that a user writes and reads: ThreeScaleBackup
// and ThreeScaleRestore, with the types and reasons of their conditions, and the
// function's Input. `make generate` makes the schemas under manifests/ from them.
//
// +kubebuilder:object:generate=true
// +groupName=backup.threescale.dev
package v1alpha1
