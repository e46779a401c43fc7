package restore

import (
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// State is all that a decision is made from.
type State struct {
	Facts
	Progress
}

// Facts are what the cluster shows. They are read anew for each decision. Nil means that the object
// does not exist.
type Facts struct {
	Restore *v1alpha1.ThreeScaleRestore
	Now     time.Time
	// NoCrossNamespaceRefs forbids references to other namespaces.
	NoCrossNamespaceRefs bool
	// Account is the identity that the restore uses in its namespace, in words.
	Account string

	// Backup is the ThreeScaleBackup that spec.restoreSource.backupRef names.
	Backup *unstructured.Unstructured
	// SourceVolume is the volume that spec.restoreSource.persistentVolume names.
	SourceVolume *corev1.PersistentVolume
	// SourcePVC is the PersistentVolumeClaim called SourcePVCName.
	SourcePVC *corev1.PersistentVolumeClaim
	// BucketSecrets has the keys of each Secret that spec.restoreSource.bucket names and that exists;
	// of a key without a value, nothing.
	BucketSecrets map[string][]string
	// FileStorage is the PersistentVolumeClaim of the System file storage.
	FileStorage *corev1.PersistentVolumeClaim
	// FileStorageDoomed means that the garbage collector is about to delete it, since the APIManager
	// that owns it is gone.
	FileStorageDoomed bool

	Repository    *sourcev1.GitRepository
	Kustomization *kustomizev1.Kustomization
	// APIManager is the live one of the name that the backup has.
	APIManager *unstructured.Unstructured

	Inspect Pod
	Refill  Pod
	Load    Pod
	Resync  Pod
	// Inspection is the report of the inspect Job; nil without one.
	Inspection *job.Inspection
	// Refilled is the report of the refill Job; nil without one.
	Refilled *job.RefillResult
	// Loaded is the report of the load Job; nil without one.
	Loaded *job.LoadResult

	// OperatorVersion is the 3scale version that the namespace's operator installs; "" if unknown.
	OperatorVersion string
	// Leftovers means that helpers or hand-over Secrets of this restore exist.
	Leftovers bool
}

// Progress is what the present call has done or found out and the facts do not show. It ends with the
// call.
type Progress struct {
	// RightsAsked means that RightsMissing is known.
	RightsAsked   bool
	RightsMissing []string
	// Branch is nil until it was read.
	Branch *Branch
	// Planned means that the plan was made from the objects that were handed over.
	Planned bool
	// Asked means that Flux was asked to look at the repository; the fact may be older.
	Asked bool
	// Compared means that the live objects were compared with the commit. If they hold it,
	// status.lastAppliedRevision says so.
	Compared bool
	// CleanedUp means that Jobs, helpers and hand-over Secrets were deleted. Something else holds what
	// still exists.
	CleanedUp bool
}

// Branch describes the branch that a restore starts from.
type Branch struct {
	// Commit is an earlier commit with the trailer of this attempt; "" without one.
	Commit string
	// Run is the run that the trailer names.
	Run string
	// Problem is what would keep a commit from being made or seen, for example missing recipients.
	Problem *Problem
}

// Pod is the state of a Job.
type Pod struct {
	// Name of the Job; "" if it does not exist.
	Name     string
	Exists   bool
	Complete bool
	Failed   bool
	// Ending means that it is being deleted; Exists is false then.
	Ending bool
	// EndedAt is when it completed or failed.
	EndedAt time.Time
	// Message is the Job controller's, if the Job failed.
	Message string
	// FileStorage is the UID of the PersistentVolumeClaim that the Job fills; "" if it fills none.
	FileStorage string
}
