package v1alpha1

import (
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ThreeScaleRestoreStatus is how far the restore is.
type ThreeScaleRestoreStatus struct {
	// ObservedGeneration is the newest generation that is ready or stalled.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	meta.ReconcileRequestStatus `json:",inline"`
	meta.ForceRequestStatus     `json:",inline"`

	// Completed is true once the restore has done all of it.
	// +optional
	Completed bool `json:"completed,omitempty"`
	// Attempt identifies what is restored: a digest of the spec and of the
	// request to force it.
	// +optional
	Attempt string `json:"attempt,omitempty"`
	// RestoredRun is the run that is restored.
	// +optional
	RestoredRun string `json:"restoredRun,omitempty"`
	// ManifestSHA256 is the digest of that run's manifest.
	// +optional
	ManifestSHA256 string `json:"manifestSHA256,omitempty"`
	// StartTime of the restore.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// CompletionTime of the restore.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// WaitingSince is when the current wait for others began; spec.timeout bounds it.
	// +optional
	WaitingSince *metav1.Time `json:"waitingSince,omitempty"`
	// Plan is what the restore does to each object.
	// +optional
	Plan *Plan `json:"plan,omitempty"`
	// Inventory lists the objects of the commit.
	// +optional
	// +listType=atomic
	Inventory []ObjectReference `json:"inventory,omitempty"`
	// LastPushCommit is the commit that holds the restored objects.
	// +optional
	LastPushCommit string `json:"lastPushCommit,omitempty"`
	// FoundCommit is a commit of this very restore that was on the branch before
	// the status knew of it: there is no second one.
	// +optional
	FoundCommit string `json:"foundCommit,omitempty"`
	// LastPushTime is when it was pushed.
	// +optional
	LastPushTime *metav1.Time `json:"lastPushTime,omitempty"`
	// RevisionBefore is what the Kustomization had attempted before the push.
	// +optional
	RevisionBefore string `json:"revisionBefore,omitempty"`
	// Resynced tells that Zync was told to make the routes again.
	// +optional
	Resynced bool `json:"resynced,omitempty"`
	// LastAppliedRevision is the revision with which the Kustomization applied it.
	// +optional
	LastAppliedRevision string `json:"lastAppliedRevision,omitempty"`
	// History of the restores, newest first.
	// +optional
	History meta.History `json:"history,omitempty"`
	// Conditions are those of Flux: Ready, Reconciling, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Plan is what a restore does to each object.
type Plan struct {
	// Run that it is for.
	Run string `json:"run"`
	// Source of the run.
	// +optional
	Source PlanSource `json:"source,omitempty,omitzero"`
	// Objects in the order in which they are committed.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=512
	Objects []PlannedObject `json:"objects,omitempty"`
	// FileStorage says what becomes of the files.
	// +optional
	FileStorage PlannedFileStorage `json:"fileStorage,omitempty,omitzero"`
	// Rewritten lists the objects and keys in which the domain is replaced.
	// +optional
	// +listType=atomic
	Rewritten []string `json:"rewritten,omitempty"`
	// Warnings that do not stop the restore.
	// +optional
	// +listType=atomic
	Warnings []string `json:"warnings,omitempty"`
}

// PlanSource is the installation that was backed up.
type PlanSource struct {
	// Namespace of the installation.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// APIManager is its name.
	// +optional
	APIManager string `json:"apiManager,omitempty"`
	// ThreeScaleVersion of it, such as 2.16.
	// +optional
	ThreeScaleVersion string `json:"threescaleVersion,omitempty"`
	// StartTime of the run.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// Verified tells that every digest was compared; what APIManagerBackup wrote has none.
	// +optional
	Verified bool `json:"verified,omitempty"`
}

// ObjectReference names an object of the namespace.
type ObjectReference struct {
	// Kind of the object.
	Kind string `json:"kind"`
	// Name of the object.
	Name string `json:"name"`
}

// PlannedObject is what a restore does to one object.
type PlannedObject struct {
	ObjectReference `json:",inline"`
	// Verdict says what happens.
	Verdict Verdict `json:"verdict"`
	// Message says why, for a conflict.
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

// PlannedFileStorage says what becomes of the files.
type PlannedFileStorage struct {
	// Action is Fill, Overwrite, Mirror, Skip or Unchanged; Conflict where files
	// are there that nothing says what to do with.
	// +optional
	Action string `json:"action,omitempty"`
	// Files that the run holds.
	// +optional
	Files int64 `json:"files,omitempty"`
	// Bytes that the run holds.
	// +optional
	Bytes int64 `json:"bytes,omitempty"`
}
