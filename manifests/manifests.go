// Package manifests holds those of the shipped manifests that the program
// compares a cluster with, so that they are written once.
package manifests

import (
	"bytes"
	_ "embed"
)

var (
	//go:embed rbac/clusterrole.yaml
	crossplaneRole []byte
	//go:embed controller/clusterrole.yaml
	controllerRole []byte
	//go:embed controller/leaderelection.yaml
	leaderElection []byte
	//go:embed claim/xrd.yaml
	claimXRD []byte
	//go:embed namespaced/xrd.yaml
	namespacedXRD []byte
	//go:embed crd/restore.yaml
	restoreCRD []byte
)

// CrossplaneRole is the ClusterRole that Crossplane's own aggregates.
func CrossplaneRole() []byte { return crossplaneRole }

// ControllerRole is the ClusterRole of the controller of restores.
func ControllerRole() []byte { return controllerRole }

// LeaderElectionRole is the Role by which one of the controller's pods leads. Its
// binding comes after it in the file.
func LeaderElectionRole() []byte {
	role, _, _ := bytes.Cut(leaderElection, []byte("\n---\n"))
	return role
}

// ClaimXRD is the XRD of the flavour with claims.
func ClaimXRD() []byte { return claimXRD }

// NamespacedXRD is the XRD of the flavour without them.
func NamespacedXRD() []byte { return namespacedXRD }

// RestoreCRD is the CustomResourceDefinition of ThreeScaleRestore.
func RestoreCRD() []byte { return restoreCRD }
