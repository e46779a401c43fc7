package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Offsite has each successful run copied to a bucket.
type Offsite struct {
	// Where the runs are copied to. A prefix takes the runs of one ThreeScaleBackup with
	// one PersistentVolumeClaim.
	// +required
	Bucket Bucket `json:"bucket"`

	// Which runs stay in the bucket, by the rules of spec.retention; that of the volume
	// by default. A copy removes the others after it has sent the new ones.
	// +optional
	Retention *Retention `json:"retention,omitempty"`

	// Has the object store keep each object from being destroyed before its time. In a
	// bucket with versions, it can still be hidden by a delete marker or a newer version.
	// The bucket must have been made with object lock. Without it, the bucket's own
	// setting counts.
	// +optional
	ObjectLock *ObjectLock `json:"objectLock,omitempty"`

	// Reads everything in the bucket again on a schedule, and compares every digest; the
	// condition OffsiteVerified has the result.
	// +optional
	Verify *OffsiteVerify `json:"verify,omitempty"`
}

// ObjectLock keeps objects from being destroyed. They can still be hidden, by a delete
// marker or a newer version.
type ObjectLock struct {
	// Governance lets those destroy objects who have the right to; Compliance nobody.
	// +required
	Mode ObjectLockMode `json:"mode"`
	// For how many days at least after each run that has an object; up to half as long
	// again, which saves requests.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=36500
	Days int32 `json:"days"`
}

// ObjectLockMode says whom an object lock stops.
// +kubebuilder:validation:Enum=Governance;Compliance
type ObjectLockMode string

// Modes of an object lock.
const (
	LockGovernance ObjectLockMode = "Governance"
	LockCompliance ObjectLockMode = "Compliance"
)

// OffsiteVerify reads a bucket again.
type OffsiteVerify struct {
	// Cron expression with five fields, or a descriptor such as @weekly, in
	// spec.timeZone.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Schedule string `json:"schedule"`
	// Reads only the newest run in the bucket; false by default. Otherwise all are read;
	// what they share is read once.
	// +optional
	LatestOnly bool `json:"latestOnly,omitempty"`
}

// OffsiteStatus says what is known of the copies in the bucket.
type OffsiteStatus struct {
	// ID of the newest copy.
	// +optional
	ID string `json:"id,omitempty"`
	// Running, Completed or Failed.
	// +optional
	State RunState `json:"state,omitempty"`
	// When the copy started.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// When the copy completed or failed; absent while it is in progress.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// When the newest copy that succeeded was complete.
	// +optional
	LastSuccessfulTime *metav1.Time `json:"lastSuccessfulTime,omitempty"`
	// Where the copies are, as endpoint/bucket/prefix.
	// +optional
	Location string `json:"location,omitempty"`
	// ID of the newest run that is in the bucket.
	// +optional
	Run string `json:"run,omitempty"`
	// SHA-256 of its manifest.json, in hex.
	// +optional
	ManifestSHA256 string `json:"manifestSHA256,omitempty"`
	// Bytes that the newest successful copy sent.
	// +optional
	Bytes int64 `json:"bytes,omitempty"`
	// Requests that it made.
	// +optional
	Requests int64 `json:"requests,omitempty"`
	// IDs of the runs that the retention removed from the bucket after it, at most 20.
	// +optional
	// +listType=atomic
	Removed []string `json:"removed,omitempty"`
	// Warnings of the copy, at most 20.
	// +optional
	// +listType=atomic
	Warnings []string `json:"warnings,omitempty"`
	// Progress of the copy; absent once it has ended.
	// +optional
	Progress *Progress `json:"progress,omitempty"`
	// How many copies have failed since the last one that succeeded.
	// +optional
	Failures int32 `json:"failures,omitempty"`
	// When a failed copy is tried again; absent otherwise.
	// +optional
	RetryTime *metav1.Time `json:"retryTime,omitempty"`
	// Why the copy failed, in a word; absent unless it did.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Why the copy failed, and what to do.
	// +optional
	Message string `json:"message,omitempty"`
	// The newest verification of the bucket.
	// +optional
	Verification *VerificationStatus `json:"verification,omitempty"`
}
