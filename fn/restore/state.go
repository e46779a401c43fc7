package restore

import (
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// State is all that a decision is made from.
type State struct {
	Facts
	Progress
}

// Facts are what the cluster shows. They are read anew for each decision. What is nil does not exist.
type Facts struct {
	Restore *v1alpha1.ThreeScaleRestore
	Now     time.Time
	// NoCrossNamespaceRefs forbids names of other namespaces.
	NoCrossNamespaceRefs bool
	// Account is as whom the restore acts in its namespace, in words.
	Account string

	// Backup is what spec.restoreSource.backupRef names.
	Backup Object
	// SourceVolume is what spec.restoreSource.persistentVolume names.
	SourceVolume *corev1.PersistentVolume
	// SourceClaim is the PersistentVolumeClaim called SourceClaimName.
	SourceClaim *corev1.PersistentVolumeClaim
	// FileStorage is the PersistentVolumeClaim of the System file storage.
	FileStorage *corev1.PersistentVolumeClaim
	// FileStorageDoomed tells that the garbage collector is about to delete it,
	// since the APIManager that owns it is gone.
	FileStorageDoomed bool

	Repository    *sourcev1.GitRepository
	Kustomization *kustomizev1.Kustomization
	// APIManager is that of the backup, as it is now.
	APIManager Object

	Inspect Pod
	Refill  Pod
	Resync  Pod
	// Inspection is what the inspect Job's report says; nil without a report.
	Inspection *job.Inspection
	// Refilled is what the refill Job's report says; nil without a report.
	Refilled *job.RefillResult

	// OperatorVersion is the 3scale version that the namespace's operator is for; "" if unknown.
	OperatorVersion string
	// Leftovers tells that helpers or hand-over Secrets of this restore are there.
	Leftovers bool
}

// Progress is what was done and learnt since the controller began to work on the restore, and no fact shows. It ends with the call.
type Progress struct {
	// RightsAsked tells that it was asked which rights for the last steps are missing.
	RightsAsked   bool
	RightsMissing []string
	// Branch is what the branch says; nil until it was read.
	Branch *Branch
	// Planned tells that the plan was made, from the objects handed over.
	Planned bool
	// Asked tells that Flux was asked to look at the repository, which may be
	// read as it was before.
	Asked bool
	// Compared tells that the live objects were compared with what was committed.
	// Where they held it, status.lastAppliedRevision says so.
	Compared bool
	// CleanedUp tells that what only the restore needed was removed. What is
	// still there then, something else holds.
	CleanedUp bool
}

// Branch is what was read from the branch that a restore starts from.
type Branch struct {
	// Commit is of an earlier time with the trailer of this attempt; "" without one.
	Commit string
	// Run that the trailer names.
	Run string
	// Problem that a commit would meet, for example that nobody is known to
	// encrypt for.
	Problem *Problem
}

// Pod is a Job of the mover.
type Pod struct {
	// Name of the Job; "" if it does not exist.
	Name     string
	Exists   bool
	Complete bool
	Failed   bool
	// Ending tells that it is being deleted; it does not exist then.
	Ending bool
	// EndedAt is when it completed or failed.
	EndedAt time.Time
	// Message of the Job controller, if it failed.
	Message string
	// FileStorage is the UID of the PersistentVolumeClaim that the Job fills, if any.
	FileStorage string
}
