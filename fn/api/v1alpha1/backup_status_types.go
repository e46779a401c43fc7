package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ThreeScaleBackupStatus is what is known about the runs.
type ThreeScaleBackupStatus struct {
	// Completed is true when a run has succeeded and the newest finished one
	// did. It stays as it is while the next run goes.
	Completed bool `json:"completed"`
	// APIManagerSourceName is the APIManager that is backed up.
	// +optional
	APIManagerSourceName string `json:"apiManagerSourceName,omitempty"`
	// BackupPersistentVolumeClaimName is the claim of the volume that holds the runs.
	// +optional
	BackupPersistentVolumeClaimName string `json:"backupPersistentVolumeClaimName,omitempty"`
	// BackupPersistentVolumeClaimUID tells that claim from a later one of the same name.
	// +optional
	BackupPersistentVolumeClaimUID string `json:"backupPersistentVolumeClaimUID,omitempty"`
	// StartTime of the newest run.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// CompletionTime of the newest run, once it has finished.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// LastSuccessfulTime is when the newest successful run was complete.
	// +optional
	LastSuccessfulTime *metav1.Time `json:"lastSuccessfulTime,omitempty"`
	// LastHandledTrigger is the newest trigger that started a run.
	// +optional
	LastHandledTrigger string `json:"lastHandledTrigger,omitempty"`
	// NextRunTime is when the schedule starts the next run.
	// +optional
	NextRunTime *metav1.Time `json:"nextRunTime,omitempty"`
	// StaleTime is when the newest successful run is too old for the schedule:
	// the run after it should have ended by then.
	// +optional
	StaleTime *metav1.Time `json:"staleTime,omitempty"`
	// Schedule tells how far spec.schedule is.
	// +optional
	Schedule *ScheduleStatus `json:"schedule,omitempty"`
	// Verification is the newest one that spec.verify started.
	// +optional
	Verification *VerificationStatus `json:"verification,omitempty"`
	// Progress of the run in flight.
	// +optional
	Progress *Progress `json:"progress,omitempty"`
	// LastRun describes the newest successful run.
	// +optional
	LastRun *LastRun `json:"lastRun,omitempty"`
	// NotIncluded lists what no run holds.
	// +optional
	// +listType=atomic
	NotIncluded []string `json:"notIncluded,omitempty"`
	// Runs are the newest runs, newest first, at most 10.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	Runs []Run `json:"runs,omitempty"`
	// Conditions are set by Crossplane from what the function returns.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Progress of a run.
type Progress struct {
	// Phase that the run is in: Snapshot, Locked (another writer holds the
	// volume), Scan, Resume, FileStorage, Sync or Verify.
	Phase string `json:"phase"`
	// FilesDone of the file storage.
	FilesDone int64 `json:"filesDone"`
	// FilesTotal of the file storage, once known.
	FilesTotal int64 `json:"filesTotal"`
	// BytesDone of the file storage.
	BytesDone int64 `json:"bytesDone"`
	// BytesTotal of the file storage, once known.
	BytesTotal int64 `json:"bytesTotal"`
}

// LastRun describes the newest successful run.
type LastRun struct {
	// ID of the run: the name of its folder below runs/ on the volume.
	ID string `json:"id"`
	// Files in the run, objects included.
	Files int64 `json:"files"`
	// Bytes of those files.
	Bytes int64 `json:"bytes"`
	// LinkedFiles are those that an earlier run already held.
	LinkedFiles int64 `json:"linkedFiles"`
	// ManifestSHA256 is the digest of the run's manifest.json, in hex.
	ManifestSHA256 string `json:"manifestSHA256"`
	// Encrypted tells that the run is stored encrypted.
	// +optional
	Encrypted bool `json:"encrypted,omitempty"`
	// Skipped lists entries of the file storage that are not in the run.
	// +optional
	// +listType=atomic
	Skipped []string `json:"skipped,omitempty"`
	// Warnings of the run.
	// +optional
	// +listType=atomic
	Warnings []string `json:"warnings,omitempty"`
	// Removed lists the runs that the retention removed after this one.
	// +optional
	// +listType=atomic
	Removed []string `json:"removed,omitempty"`
	// FreedBytes is what they alone held.
	// +optional
	FreedBytes int64 `json:"freedBytes,omitempty"`
}

// ScheduleStatus tells how far a schedule is.
type ScheduleStatus struct {
	// Expression and TimeZone are the schedule that the rest is of.
	Expression string `json:"expression"`
	// TimeZone of the expression.
	// +optional
	TimeZone string `json:"timeZone,omitempty"`
	// Since is when it was set or resumed: earlier slots are not its own.
	Since metav1.Time `json:"since"`
	// Suspended tells that spec.suspend keeps slots from starting.
	// +optional
	Suspended bool `json:"suspended,omitempty"`
	// LastSlot is the newest slot that started, or that was let pass.
	// +optional
	LastSlot *metav1.Time `json:"lastSlot,omitempty"`
	// NextSlot is the one after it.
	// +optional
	NextSlot *metav1.Time `json:"nextSlot,omitempty"`
	// MissedSlots counts those that passed without a start before the newest
	// one that started, or since then; 0 once a slot started on time.
	// +optional
	MissedSlots int32 `json:"missedSlots,omitempty"`
	// FirstMissedSlot is the first of them.
	// +optional
	FirstMissedSlot *metav1.Time `json:"firstMissedSlot,omitempty"`
}

// VerificationStatus tells what a verification found.
type VerificationStatus struct {
	// ID of the verification, after its slot.
	// +optional
	ID string `json:"id,omitempty"`
	// State of the verification. A completed one read everything, and may have
	// found damage.
	// +optional
	State RunState `json:"state,omitempty"`
	// StartTime of the verification.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// CompletionTime of the verification.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// LastSuccessfulTime is when the newest one that found no damage was complete.
	// +optional
	LastSuccessfulTime *metav1.Time `json:"lastSuccessfulTime,omitempty"`
	// Progress of the verification while it goes.
	// +optional
	Progress *Progress `json:"progress,omitempty"`
	// Runs that were verified.
	// +optional
	Runs int64 `json:"runs,omitempty"`
	// Files that were read.
	// +optional
	Files int64 `json:"files,omitempty"`
	// Bytes that were read.
	// +optional
	Bytes int64 `json:"bytes,omitempty"`
	// DamagedRuns are the IDs of runs that are not what was written.
	// +optional
	// +listType=atomic
	DamagedRuns []string `json:"damagedRuns,omitempty"`
	// Problems name the damaged files.
	// +optional
	// +listType=atomic
	Problems []string `json:"problems,omitempty"`
	// Reason of a failure.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Message of a failure.
	// +optional
	Message string `json:"message,omitempty"`
	// Schedule tells how far spec.verify.schedule is.
	// +optional
	Schedule *ScheduleStatus `json:"schedule,omitempty"`
}

// RunState says how far a run is.
// +kubebuilder:validation:Enum=Running;Completed;Failed
type RunState string

// States of a run.
const (
	RunRunning   RunState = "Running"
	RunCompleted RunState = "Completed"
	RunFailed    RunState = "Failed"
)

// Run is one line of the history.
type Run struct {
	// ID of the run.
	ID string `json:"id"`
	// State of the run.
	State RunState `json:"state"`
	// StartTime of the run.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// CompletionTime of the run.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// Bytes in the run.
	// +optional
	Bytes int64 `json:"bytes,omitempty"`
	// Reason of a failure.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Message of a failure.
	// +optional
	Message string `json:"message,omitempty"`
}
