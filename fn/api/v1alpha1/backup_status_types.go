package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ThreeScaleBackupStatus is what is known about the runs.
type ThreeScaleBackupStatus struct {
	// True when the newest run that has ended succeeded. It does not change while the
	// next run is in progress.
	Completed bool `json:"completed"`
	// Name of the APIManager that is backed up.
	// +optional
	APIManagerSourceName string `json:"apiManagerSourceName,omitempty"`
	// Name of the PersistentVolumeClaim of the volume that holds the runs.
	// +optional
	BackupPersistentVolumeClaimName string `json:"backupPersistentVolumeClaimName,omitempty"`
	// UID of the PersistentVolumeClaim that holds the runs, which tells it from a
	// later one of the same name.
	// +optional
	BackupPersistentVolumeClaimUID string `json:"backupPersistentVolumeClaimUID,omitempty"`
	// When the newest run started.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// When the newest run succeeded or failed; absent while it is in progress.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// When the newest successful run was complete.
	// +optional
	LastSuccessfulTime *metav1.Time `json:"lastSuccessfulTime,omitempty"`
	// The newest spec.trigger that started a run.
	// +optional
	LastHandledTrigger string `json:"lastHandledTrigger,omitempty"`
	// When the schedule starts the next run; absent without a schedule, or while it
	// is suspended.
	// +optional
	NextRunTime *metav1.Time `json:"nextRunTime,omitempty"`
	// When the newest successful run is too old for the schedule: the run after it
	// should have ended by then.
	// +optional
	StaleTime *metav1.Time `json:"staleTime,omitempty"`
	// State of spec.schedule.
	// +optional
	Schedule *ScheduleStatus `json:"schedule,omitempty"`
	// The newest verification that spec.verify started.
	// +optional
	Verification *VerificationStatus `json:"verification,omitempty"`
	// The copies in the bucket of spec.offsite.
	// +optional
	Offsite *OffsiteStatus `json:"offsite,omitempty"`
	// Progress of the run; absent while none is in progress.
	// +optional
	Progress *Progress `json:"progress,omitempty"`
	// The newest successful run.
	// +optional
	LastRun *LastRun `json:"lastRun,omitempty"`
	// What runs do not hold as spec.databases is now, such as the contents of databases
	// that it does not name, and what was changed in Routes: back it up by other means.
	// +optional
	// +listType=atomic
	NotIncluded []string `json:"notIncluded,omitempty"`
	// The newest runs, newest first, at most 10. Older ones are still on the volume,
	// unless the retention removed them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	Runs []Run `json:"runs,omitempty"`
	// The SHA-256 of the manifest.json of the newest successful runs, newest first, at
	// most 100: what verifications, restores and later runs compare with, so that
	// whoever can write to the volume cannot replace a run.
	// +optional
	// +listType=map
	// +listMapKey=run
	// +kubebuilder:validation:MaxItems=100
	Manifests []RunManifest `json:"manifests,omitempty"`
	// PreflightPassed, BackupCompleted, Warning and, with spec.verify, Verified; with
	// spec.offsite, OffsiteCopied and OffsiteVerified; and those of Crossplane, of which Ready means configured and able to run.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Progress of a run.
type Progress struct {
	// What is done now: Snapshot, Locked (another writer holds the volume), Dumping
	// with the name of a database, Scan, Resume, FileStorage, Sync, Verify or Copy.
	Phase string `json:"phase"`
	// Files of the file storage that are done.
	FilesDone int64 `json:"filesDone"`
	// All files of the file storage; 0 until they are counted.
	FilesTotal int64 `json:"filesTotal"`
	// Bytes of the file storage that are done; while a database is dumped, of its dump.
	BytesDone int64 `json:"bytesDone"`
	// All bytes of the file storage; 0 until they are counted.
	BytesTotal int64 `json:"bytesTotal"`
}

// LastRun describes the newest successful run.
type LastRun struct {
	// ID of the run: the name of its folder below runs/ on the volume, and what a
	// ThreeScaleRestore calls it.
	ID string `json:"id"`
	// How many files the run holds, objects included.
	Files int64 `json:"files"`
	// Size of the run's files in bytes, whether stored by this run or by an earlier
	// one.
	Bytes int64 `json:"bytes"`
	// How many of the files an earlier run already held, so that they take no room.
	LinkedFiles int64 `json:"linkedFiles"`
	// SHA-256 of the run's manifest.json, in hex: what threescale-backup verify
	// --expect compares with.
	ManifestSHA256 string `json:"manifestSHA256"`
	// True when the run is stored encrypted.
	// +optional
	Encrypted bool `json:"encrypted,omitempty"`
	// The databases that the run holds.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Databases []DatabaseDump `json:"databases,omitempty"`
	// Entries of the file storage that are not in the run, at most 20; the run's
	// manifest.json lists them all.
	// +optional
	// +listType=atomic
	Skipped []string `json:"skipped,omitempty"`
	// Warnings of the run, at most 20; the run's manifest.json lists them all.
	// +optional
	// +listType=atomic
	Warnings []string `json:"warnings,omitempty"`
	// IDs of the runs that the retention removed after this one, at most 20.
	// +optional
	// +listType=atomic
	Removed []string `json:"removed,omitempty"`
	// Bytes that the removed runs alone held.
	// +optional
	FreedBytes int64 `json:"freedBytes,omitempty"`
}

// RunManifest identifies the manifest.json of a run.
type RunManifest struct {
	// ID of the run.
	Run string `json:"run"`
	// SHA-256 of its manifest.json, in hex.
	SHA256 string `json:"sha256"`
}

// ScheduleStatus is the state of a schedule.
type ScheduleStatus struct {
	// The cron expression that the other fields are about.
	Expression string `json:"expression"`
	// IANA name of the expression's time zone; UTC without it.
	// +optional
	TimeZone string `json:"timeZone,omitempty"`
	// When the schedule was set or resumed: earlier slots are not its own.
	Since metav1.Time `json:"since"`
	// True while spec.suspend keeps slots from starting.
	// +optional
	Suspended bool `json:"suspended,omitempty"`
	// The newest slot that was started or skipped.
	// +optional
	LastSlot *metav1.Time `json:"lastSlot,omitempty"`
	// The slot after lastSlot; absent while suspended.
	// +optional
	NextSlot *metav1.Time `json:"nextSlot,omitempty"`
	// How many slots passed without a start before the newest one that started, or
	// since then; 0 once a slot started on time.
	// +optional
	MissedSlots int32 `json:"missedSlots,omitempty"`
	// The first of the missed slots.
	// +optional
	FirstMissedSlot *metav1.Time `json:"firstMissedSlot,omitempty"`
}

// VerificationStatus says what a verification found.
type VerificationStatus struct {
	// ID of the verification, made of its slot.
	// +optional
	ID string `json:"id,omitempty"`
	// Running, Completed or Failed. A completed one read everything, and may have
	// found damage.
	// +optional
	State RunState `json:"state,omitempty"`
	// When the verification started.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// When the verification completed or failed; absent while it is in progress.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// When the newest verification that found no damage was complete.
	// +optional
	LastSuccessfulTime *metav1.Time `json:"lastSuccessfulTime,omitempty"`
	// Progress of the verification; absent once it has ended.
	// +optional
	Progress *Progress `json:"progress,omitempty"`
	// How many runs were verified.
	// +optional
	Runs int64 `json:"runs,omitempty"`
	// How many files were read.
	// +optional
	Files int64 `json:"files,omitempty"`
	// How many bytes were read.
	// +optional
	Bytes int64 `json:"bytes,omitempty"`
	// IDs of the runs that are not what was written.
	// +optional
	// +listType=atomic
	DamagedRuns []string `json:"damagedRuns,omitempty"`
	// The damaged files, and what is wrong with each.
	// +optional
	// +listType=atomic
	Problems []string `json:"problems,omitempty"`
	// Why the verification failed, in a word; absent unless it did.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Why the verification failed, and what to do.
	// +optional
	Message string `json:"message,omitempty"`
	// State of spec.verify.schedule.
	// +optional
	Schedule *ScheduleStatus `json:"schedule,omitempty"`
}

// RunState is the state of a run or a verification.
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
	// ID of the run: the name of its folder below runs/ on the volume.
	ID string `json:"id"`
	// Running, Completed or Failed.
	State RunState `json:"state"`
	// When the run started.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// When the run completed or failed; absent while it is in progress.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// Size of the files in the run, in bytes.
	// +optional
	Bytes int64 `json:"bytes,omitempty"`
	// Why the run failed, in a word; absent unless it did.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Why the run failed, and what to do.
	// +optional
	Message string `json:"message,omitempty"`
}
