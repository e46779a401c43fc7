package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ThreeScaleBackup backs up the 3scale installation of its namespace: the
// APIManager, its Secrets and ConfigMaps, and the System file storage.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Completed",type=boolean,JSONPath=`.status.completed`
// +kubebuilder:printcolumn:name="Last success",type=date,JSONPath=`.status.lastSuccessfulTime`
// +kubebuilder:printcolumn:name="Next run",type=string,JSONPath=`.status.nextRunTime`
// +kubebuilder:printcolumn:name="Bytes",type=integer,JSONPath=`.status.lastRun.bytes`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="BackupCompleted")].reason`
type ThreeScaleBackup struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What to back up, where to, and when.
	// +required
	Spec ThreeScaleBackupSpec `json:"spec"`
	// What is known about the runs.
	// +optional
	Status ThreeScaleBackupStatus `json:"status,omitzero"`
}

// ThreeScaleBackupList is a list of ThreeScaleBackup.
//
// +kubebuilder:object:root=true
type ThreeScaleBackupList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ThreeScaleBackup `json:"items"`
}

// ThreeScaleBackupSpec says what to back up, where to, and when.
type ThreeScaleBackupSpec struct {
	// Name of the APIManager to back up. Needed only where the namespace has
	// several.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	APIManagerName string `json:"apiManagerName,omitempty"`

	// Where the backup is stored.
	// +required
	BackupDestination BackupDestination `json:"backupDestination"`

	// Any text of at most 253 bytes. A value that differs from
	// status.lastHandledTrigger starts a run, in addition to those of the schedule.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Trigger string `json:"trigger,omitempty"`

	// Cron expression with five fields, such as "0 2 * * *", or a descriptor such as
	// @daily. The first run starts at the first slot. Without a schedule, one run
	// starts at once, and another with each new trigger.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Schedule string `json:"schedule,omitempty"`

	// IANA name of the time zone of the schedules, and of the hours, days, weeks,
	// months and years of the retention, such as Europe/Berlin; UTC by default. Runs
	// of an hour that clocks skip in spring start at the change. Those of an hour that
	// comes twice start once, unless the schedule is of every hour.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	TimeZone string `json:"timeZone,omitempty"`

	// How many seconds after its slot a missed run or verification may still start;
	// without it, at any time. Less than 30 counts as 30. Only the newest missed slot
	// is made up for; earlier ones are reported.
	// +optional
	// +kubebuilder:validation:Minimum=0
	StartingDeadlineSeconds *int64 `json:"startingDeadlineSeconds,omitempty"`

	// Stops new scheduled runs and verifications; false by default. One in progress
	// goes on, and a trigger still starts a run. Slots that pass meanwhile are not
	// made up for.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// Which of this installation's runs stay on the volume. The others are removed
	// after a run that verified. Without it, all stay. Each rule keeps the newest run
	// of a period, for the given number of newest periods that have runs, as restic
	// forget does. A run that no rule keeps is removed. The newest run always stays,
	// and so do the newest one with the file storage and that with each database.
	// +optional
	Retention *Retention `json:"retention,omitempty"`

	// Reads stored runs again on a schedule and compares every digest; the condition
	// Verified has the result. Without it, a run is verified when it is written and
	// when it is restored.
	// +optional
	Verify *Verify `json:"verify,omitempty"`

	// Copies each successful run to a bucket too; the condition OffsiteCopied has the
	// result. A copy that fails is tried again, and never undoes a run.
	// +optional
	Offsite *Offsite `json:"offsite,omitempty"`

	// Encrypts everything that is stored from the next run on. Without it, Secrets
	// are stored readable, as APIManagerBackup stores them.
	// +optional
	Encryption *Encryption `json:"encryption,omitempty"`

	// Whether the System file storage is backed up: Backup, from its volume or from its
	// bucket in S3, or Skip.
	// +optional
	// +kubebuilder:default=Backup
	FileStorage FileStoragePolicy `json:"fileStorage,omitempty"`

	// Databases of the installation that each run holds too. They are dumped one after
	// the other, and the file storage is read after them: Backend's Redis, System's
	// Redis, Zync's database, System's database, the files. What comes later may know
	// more than what comes earlier, and never less. The dump of a SQL database is of one
	// moment; of a Redis database, each key is as it was when it was read. A dump brings
	// back the moment at which it was made and no other: point-in-time recovery takes the
	// database's own means. Without it, a run holds no database.
	// +optional
	Databases *Databases `json:"databases,omitempty"`

	// Whether the copies of the latest run's Secrets stay in the namespace: Latest
	// keeps them, None removes them once the run is on the volume.
	// +optional
	// +kubebuilder:default=Latest
	SecretCopies SecretCopiesPolicy `json:"secretCopies,omitempty"`

	// What becomes of the PersistentVolumeClaim that was made for the backup when
	// this object is deleted: Orphan keeps it, Delete deletes it, with all runs if
	// the volume's reclaim policy is Delete.
	// +optional
	// +kubebuilder:default=Orphan
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// Configures the pods that copy and verify the data. A change takes effect with
	// the next run.
	// +optional
	Job JobSettings `json:"job,omitempty,omitzero"`
}

// BackupDestination says where the backup is stored.
type BackupDestination struct {
	// The volume that the backup is stored on: a new one (resources), an existing
	// PersistentVolume (volumeName), or an existing PersistentVolumeClaim
	// (claimName). Once it is there it can only grow: other changes are ignored,
	// with a warning.
	// +required
	PersistentVolumeClaim BackupVolume `json:"persistentVolumeClaim"`
}

// BackupVolume describes the volume of a backup. Its first fields are those
// of APIManagerBackup.
//
// +kubebuilder:validation:XValidation:rule="has(self.claimName) || has(self.volumeName) || has(self.resources)",message="set resources.requests, volumeName or claimName"
// +kubebuilder:validation:XValidation:rule="!has(self.claimName) || !(has(self.volumeName) || has(self.resources) || has(self.storageClass) || has(self.accessModes))",message="claimName names an existing PersistentVolumeClaim and goes with no other field"
type BackupVolume struct {
	// Size of the volume.
	// +optional
	Resources *BackupVolumeResources `json:"resources,omitempty"`

	// Name of an existing PersistentVolume to bind to; size, class and access modes
	// then come from it.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	VolumeName string `json:"volumeName,omitempty"`

	// Name of the volume's StorageClass; by default the cluster's.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	StorageClass *string `json:"storageClass,omitempty"`

	// Access modes of the volume; ReadWriteOnce by default.
	// +optional
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:Enum=ReadWriteOnce;ReadWriteMany;ReadWriteOncePod
	AccessModes []corev1.PersistentVolumeAccessMode `json:"accessModes,omitempty"`

	// Name of an existing PersistentVolumeClaim of the namespace to use; none is
	// made.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ClaimName string `json:"claimName,omitempty"`
}

// BackupVolumeResources requests the size of the volume.
type BackupVolumeResources struct {
	// The size, such as 10Gi: a quantity and not a map, as in APIManagerBackup. A
	// larger value later expands the volume, if its StorageClass allows that.
	// +required
	Requests resource.Quantity `json:"requests"`
}

// Retention says how many runs are kept, by the rules of restic forget: each keeps
// the newest run of a period, for the given number of newest periods that have
// runs. A run that no rule keeps is removed. The newest run always stays.
//
// +kubebuilder:validation:XValidation:rule="(has(self.keepLast) ? self.keepLast : 0) + (has(self.keepHourly) ? self.keepHourly : 0) + (has(self.keepDaily) ? self.keepDaily : 0) + (has(self.keepWeekly) ? self.keepWeekly : 0) + (has(self.keepMonthly) ? self.keepMonthly : 0) + (has(self.keepYearly) ? self.keepYearly : 0) > 0",message="set a rule to more than 0; leave retention out to keep everything"
type Retention struct {
	// How many of the newest runs are kept.
	// +optional
	// +kubebuilder:validation:Minimum=0
	KeepLast int32 `json:"keepLast,omitempty"`
	// For how many hours the newest run of the hour is kept. Hours without a run do
	// not count.
	// +optional
	// +kubebuilder:validation:Minimum=0
	KeepHourly int32 `json:"keepHourly,omitempty"`
	// For how many days the newest run of the day is kept. Days without a run do not
	// count.
	// +optional
	// +kubebuilder:validation:Minimum=0
	KeepDaily int32 `json:"keepDaily,omitempty"`
	// For how many weeks the newest run of the week (Monday to Sunday) is kept.
	// Weeks without a run do not count.
	// +optional
	// +kubebuilder:validation:Minimum=0
	KeepWeekly int32 `json:"keepWeekly,omitempty"`
	// For how many months the newest run of the month is kept. Months without a run
	// do not count.
	// +optional
	// +kubebuilder:validation:Minimum=0
	KeepMonthly int32 `json:"keepMonthly,omitempty"`
	// For how many years the newest run of the year is kept. Years without a run do
	// not count.
	// +optional
	// +kubebuilder:validation:Minimum=0
	KeepYearly int32 `json:"keepYearly,omitempty"`
}

// Verify reads stored runs again.
type Verify struct {
	// Cron expression with five fields, or a descriptor such as @weekly, in
	// spec.timeZone.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Schedule string `json:"schedule"`
	// Reads only the newest run; false by default. Otherwise all are read; what they
	// share is read once.
	// +optional
	LatestOnly bool `json:"latestOnly,omitempty"`
}

// Encryption encrypts what is stored.
type Encryption struct {
	// Encrypts with age (age-encryption.org).
	// +required
	Age AgeEncryption `json:"age"`
}

// AgeEncryption names who can decrypt.
type AgeEncryption struct {
	// Public keys of those who can decrypt: age recipients (age1...), in a backup
	// either all X25519 or all hybrid, which resist quantum computers (age1pq1...).
	// The private keys are needed only to restore.
	// +required
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=4096
	Recipients []string `json:"recipients"`
}

// FileStoragePolicy says whether the System file storage is backed up.
// +kubebuilder:validation:Enum=Backup;Skip
type FileStoragePolicy string

// Policies for the System file storage.
const (
	FileStorageBackup FileStoragePolicy = "Backup"
	FileStorageSkip   FileStoragePolicy = "Skip"
)

// SecretCopiesPolicy says whether copies of Secrets stay in the namespace.
// +kubebuilder:validation:Enum=Latest;None
type SecretCopiesPolicy string

// Policies for the copies of Secrets.
const (
	SecretCopiesLatest SecretCopiesPolicy = "Latest"
	SecretCopiesNone   SecretCopiesPolicy = "None"
)

// DeletionPolicy says what becomes of the composed PersistentVolumeClaim.
// +kubebuilder:validation:Enum=Orphan;Delete
type DeletionPolicy string

// Deletion policies.
const (
	DeletionOrphan DeletionPolicy = "Orphan"
	DeletionDelete DeletionPolicy = "Delete"
)

// JobSettings configures the pod that copies the data. What reaches beyond the
// namespace, or breaks Pod Security "restricted", has to be allowed: in a
// ThreeScaleBackup by the input of its Composition, in a ThreeScaleRestore by the
// rights of its ServiceAccount.
type JobSettings struct {
	// How long the Job may take in all, in seconds, retries included; 21600 (6
	// hours) by default.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ActiveDeadlineSeconds *int64 `json:"activeDeadlineSeconds,omitempty"`
	// How often a pod that failed is tried again; 3 by default. Pods that the
	// cluster evicted do not count.
	// +optional
	// +kubebuilder:validation:Minimum=0
	BackoffLimit *int32 `json:"backoffLimit,omitempty"`
	// CPU, memory and scratch space of the container, as requests and limits; none
	// by default. Other resources have to be allowed.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
	// Labels of the nodes that the pods may run on.
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// Taints of nodes that the pods tolerate; each has to be allowed.
	// +optional
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// Affinity of the pods to nodes, and to other pods of the namespace; other
	// namespaces have to be allowed. Where only one node can mount the file storage,
	// the pods also have to run on the node of the pods that mount it.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`
	// Secrets of this namespace with the login for the pods' image.
	// +optional
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
	// Replaces fields of the pods' security context, for example runAsUser where the
	// files belong to another user. By default it meets Pod Security "restricted",
	// with user and group 65532 unless OpenShift assigns them; what does not meet it
	// has to be allowed.
	// +optional
	PodSecurityContext *corev1.PodSecurityContext `json:"podSecurityContext,omitempty"`
	// Name of the pods' PriorityClass, which has to be allowed; by default the
	// cluster's.
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`
}
