package v1alpha1

import (
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ThreeScaleRestoreStatus is the state of the restore.
type ThreeScaleRestoreStatus struct {
	// The newest generation of the spec that is ready or stalled.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	meta.ReconcileRequestStatus `json:",inline"`
	meta.ForceRequestStatus     `json:",inline"`

	// True once the restore is complete.
	// +optional
	Completed bool `json:"completed,omitempty"`
	// Identifies this restore: a digest of what the spec asks for, and of the request
	// to force it.
	// +optional
	Attempt string `json:"attempt,omitempty"`
	// ID of the run that is restored.
	// +optional
	RestoredRun string `json:"restoredRun,omitempty"`
	// SHA-256 of the restored run's manifest.json, in hex.
	// +optional
	ManifestSHA256 string `json:"manifestSHA256,omitempty"`
	// When the restore started.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// When the restore was completed.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// When the current wait for others began; spec.timeout bounds it.
	// +optional
	WaitingSince *metav1.Time `json:"waitingSince,omitempty"`
	// What the restore does to each object, to the files and to the databases.
	// +optional
	Plan *Plan `json:"plan,omitempty"`
	// What the pods are given to log in to the bucket of the file storage, where the
	// Secret in the run is not enough.
	// +optional
	FileBucket *FileBucketLogin `json:"fileBucket,omitempty"`
	// Names of the databases that this restore has loaded.
	// +optional
	// +listType=atomic
	LoadedDatabases []string `json:"loadedDatabases,omitempty"`
	// The objects of the commit.
	// +optional
	// +listType=atomic
	Inventory []ObjectReference `json:"inventory,omitempty"`
	// Hash of the commit that holds the restored objects.
	// +optional
	LastPushCommit string `json:"lastPushCommit,omitempty"`
	// Hash of a commit of this restore that was already on the branch, though the
	// status did not know of it: no second one is made.
	// +optional
	FoundCommit string `json:"foundCommit,omitempty"`
	// When the commit was pushed.
	// +optional
	LastPushTime *metav1.Time `json:"lastPushTime,omitempty"`
	// The revision that Flux had fetched before the push.
	// +optional
	RevisionBefore string `json:"revisionBefore,omitempty"`
	// True once Zync was told to make the Routes again.
	// +optional
	Resynced bool `json:"resynced,omitempty"`
	// The revision with which the Kustomization applied the commit.
	// +optional
	LastAppliedRevision string `json:"lastAppliedRevision,omitempty"`
	// The restores that this object has done, newest first, in the form of Flux' own
	// objects.
	// +optional
	History meta.History `json:"history,omitempty"`
	// Those of Flux: Ready, Reconciling and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Plan is what a restore does to each object.
type Plan struct {
	// ID of the run that the plan is for.
	Run string `json:"run"`
	// The installation that was backed up.
	// +optional
	Source PlanSource `json:"source,omitempty,omitzero"`
	// What becomes of each object, in the order in which they are committed.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=512
	Objects []PlannedObject `json:"objects,omitempty"`
	// What becomes of the files.
	// +optional
	FileStorage PlannedFileStorage `json:"fileStorage,omitempty,omitzero"`
	// What becomes of each database that the run holds, and of System's in any case.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Databases []PlannedDatabase `json:"databases,omitempty"`
	// The objects and keys in which the domain is replaced.
	// +optional
	// +listType=atomic
	Rewritten []string `json:"rewritten,omitempty"`
	// What does not stop the restore but needs attention.
	// +optional
	// +listType=atomic
	Warnings []string `json:"warnings,omitempty"`
}

// PlanSource is the installation that was backed up.
type PlanSource struct {
	// Namespace of the installation.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Name of the APIManager.
	// +optional
	APIManager string `json:"apiManager,omitempty"`
	// Version of 3scale, such as 2.16.
	// +optional
	ThreeScaleVersion string `json:"threescaleVersion,omitempty"`
	// When the run started.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// True when every digest was compared, except those that filesBySize is about; what
	// APIManagerBackup wrote has none.
	// +optional
	Verified bool `json:"verified,omitempty"`
	// True for the files of a run in a bucket: that each is there with its size was
	// checked, and its digest is compared when it is written, before the commit.
	// +optional
	FilesBySize bool `json:"filesBySize,omitempty"`
}

// ObjectReference names an object of the namespace.
type ObjectReference struct {
	// Kind of the object, such as Secret.
	Kind string `json:"kind"`
	// Name of the object in the restore's namespace.
	Name string `json:"name"`
}

// PlannedObject is what a restore does to one object.
type PlannedObject struct {
	ObjectReference `json:",inline"`
	// What the restore does: Create, Replace, Unchanged (nothing), or Conflict
	// (nothing at all is restored).
	Verdict Verdict `json:"verdict"`
	// Why it is a conflict, and what to do.
	// +optional
	Message string `json:"message,omitempty"`
}

// Verdict is what a restore does to one object.
// +kubebuilder:validation:Enum=Create;Replace;Unchanged;Conflict
type Verdict string

// Verdicts.
const (
	VerdictCreate    Verdict = "Create"
	VerdictReplace   Verdict = "Replace"
	VerdictUnchanged Verdict = "Unchanged"
	VerdictConflict  Verdict = "Conflict"
)

// FileBucketLogin is what a pod is given to log in to the bucket of the file storage, as the
// APIManager of the run says.
type FileBucketLogin struct {
	// The Secret of this namespace that leads to the bucket; empty if that of the run does.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`
	// Audience of the pod's token that is exchanged for the role of the bucket; empty if keys
	// log in.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Audience string `json:"audience,omitempty"`
}

// PlannedFileStorage says what becomes of the files.
type PlannedFileStorage struct {
	// What the restore does: Fill, Overwrite, Mirror, Skip or Unchanged (nothing);
	// Conflict where files are there that nothing says what to do with, or that are in the
	// bucket of an installation that may still run.
	// +optional
	Action string `json:"action,omitempty"`
	// True if the files go into the bucket that the APIManager names, and not onto a
	// PersistentVolumeClaim.
	// +optional
	Bucket bool `json:"bucket,omitempty"`
	// How many files the run holds.
	// +optional
	Files int64 `json:"files,omitempty"`
	// Size of the run's files in bytes.
	// +optional
	Bytes int64 `json:"bytes,omitempty"`
}

// PlannedDatabase says what becomes of one database. Its address and its login are in
// Secrets, which not everybody may read who may read this.
type PlannedDatabase struct {
	// Which one: system-database, zync-database, backend-redis or system-redis.
	Name string `json:"name"`
	// PostgreSQL, MySQL (MariaDB too) or Redis; absent where it is not known.
	// +optional
	Kind string `json:"kind,omitempty"`
	// What the restore does: Load, Replace, Skip (nothing), Unchanged (nothing, since it
	// was loaded), or Conflict (nothing at all is restored).
	Action DatabaseAction `json:"action"`
	// Version of the server that was dumped; absent if the run does not hold this
	// database.
	// +optional
	DumpVersion string `json:"dumpVersion,omitempty"`
	// Size of the dump, in bytes.
	// +optional
	DumpBytes int64 `json:"dumpBytes,omitempty"`
	// Version of the server that the Secret leads to; absent if it was not seen.
	// +optional
	ServerVersion string `json:"serverVersion,omitempty"`
	// Whether it has no table, or no key; absent if it was not seen.
	// +optional
	Empty *bool `json:"empty,omitempty"`
	// Why, and what to do.
	// +optional
	Message string `json:"message,omitempty"`
}

// DatabaseAction is what a restore does to one database.
// +kubebuilder:validation:Enum=Load;Replace;Skip;Unchanged;Conflict
type DatabaseAction string

// What a restore does to one database.
const (
	DatabaseLoad      DatabaseAction = "Load"
	DatabaseReplace   DatabaseAction = "Replace"
	DatabaseSkip      DatabaseAction = "Skip"
	DatabaseUnchanged DatabaseAction = "Unchanged"
	DatabaseConflict  DatabaseAction = "Conflict"
)
