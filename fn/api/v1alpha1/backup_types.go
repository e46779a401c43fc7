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

	// +required
	Spec ThreeScaleBackupSpec `json:"spec"`
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
	// APIManagerName names the APIManager to back up. Without it, the namespace
	// must have exactly one.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	APIManagerName string `json:"apiManagerName,omitempty"`

	// BackupDestination says where the backup is stored.
	// +required
	BackupDestination BackupDestination `json:"backupDestination"`

	// Trigger starts a run whenever it has a value other than the last one
	// handled (status.lastHandledTrigger). Any text of at most 253 bytes.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Trigger string `json:"trigger,omitempty"`

	// Schedule is a cron expression with five fields, or a descriptor such as
	// @daily. Its first run starts at its first slot. Without it, the backup is
	// one run, and one more for each trigger.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Schedule string `json:"schedule,omitempty"`

	// TimeZone is the IANA name of the time zone of the schedules, and of the
	// hours, days, weeks, months and years of the retention; UTC by default. An
	// hour that a change of the clock leaves out starts its runs when it would
	// have begun; one that comes twice starts them once, except for schedules of
	// every hour.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	TimeZone string `json:"timeZone,omitempty"`

	// StartingDeadlineSeconds says how late the newest missed slot may still
	// start, be it a run's or a verification's; without it, at any time. Less than
	// 30 counts as 30. Earlier missed slots are only reported.
	// +optional
	// +kubebuilder:validation:Minimum=0
	StartingDeadlineSeconds *int64 `json:"startingDeadlineSeconds,omitempty"`

	// Suspend stops new scheduled runs and verifications. One in flight goes on,
	// and a trigger still starts a run. Slots that pass meanwhile are not made up for.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// Retention says which of this installation's runs are kept on the volume.
	// The others go after a run that verified. Without it, all are kept.
	// +optional
	Retention *Retention `json:"retention,omitempty"`

	// Verify reads stored runs again on a schedule and compares every digest.
	// +optional
	Verify *Verify `json:"verify,omitempty"`

	// Encryption encrypts everything that is stored. Without it, Secrets are
	// stored readable, as APIManagerBackup stores them.
	// +optional
	Encryption *Encryption `json:"encryption,omitempty"`

	// FileStorage says whether the System file storage is backed up. Skip is
	// for installations that keep it in S3.
	// +optional
	// +kubebuilder:default=Backup
	FileStorage FileStoragePolicy `json:"fileStorage,omitempty"`

	// SecretCopies says whether the copies of the latest run's Secrets stay in
	// the namespace (Latest) or go once the run is on the volume (None).
	// +optional
	// +kubebuilder:default=Latest
	SecretCopies SecretCopiesPolicy `json:"secretCopies,omitempty"`

	// DeletionPolicy says what becomes of the composed PersistentVolumeClaim
	// when this object is deleted: Orphan keeps it, Delete deletes it.
	// +optional
	// +kubebuilder:default=Orphan
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// Job configures the pod that copies the data. A change takes effect with
	// the next run.
	// +optional
	Job JobSettings `json:"job,omitempty,omitzero"`
}

// BackupDestination says where the backup is stored.
type BackupDestination struct {
	// PersistentVolumeClaim stores the backup on a volume.
	// +required
	PersistentVolumeClaim BackupVolume `json:"persistentVolumeClaim"`
}

// BackupVolume describes the volume of a backup. Its first fields are those
// of APIManagerBackup.
//
// +kubebuilder:validation:XValidation:rule="has(self.claimName) || has(self.volumeName) || has(self.resources)",message="set resources.requests, volumeName or claimName"
// +kubebuilder:validation:XValidation:rule="!has(self.claimName) || !(has(self.volumeName) || has(self.resources) || has(self.storageClass) || has(self.accessModes))",message="claimName names an existing PersistentVolumeClaim and goes with no other field"
type BackupVolume struct {
	// Resources requests the size of the volume.
	// +optional
	Resources *BackupVolumeResources `json:"resources,omitempty"`

	// VolumeName binds to this existing PersistentVolume; size, class and
	// access modes then come from it.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	VolumeName string `json:"volumeName,omitempty"`

	// StorageClass of the volume; the cluster's default without it.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	StorageClass *string `json:"storageClass,omitempty"`

	// AccessModes of the volume; ReadWriteOnce by default.
	// +optional
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:Enum=ReadWriteOnce;ReadWriteMany;ReadWriteOncePod
	AccessModes []corev1.PersistentVolumeAccessMode `json:"accessModes,omitempty"`

	// ClaimName uses this existing PersistentVolumeClaim; none is composed.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ClaimName string `json:"claimName,omitempty"`
}

// BackupVolumeResources requests the size of the volume.
type BackupVolumeResources struct {
	// Requests is the size, directly and not in a map, as APIManagerBackup has it.
	// +required
	Requests resource.Quantity `json:"requests"`
}

// Retention says how many runs are kept, by the rules that restic has: each
// rule keeps the newest run of each of its periods that has one, for so many of
// the newest periods. A run goes when no rule keeps it. The newest run stays.
//
// +kubebuilder:validation:XValidation:rule="(has(self.keepLast) ? self.keepLast : 0) + (has(self.keepHourly) ? self.keepHourly : 0) + (has(self.keepDaily) ? self.keepDaily : 0) + (has(self.keepWeekly) ? self.keepWeekly : 0) + (has(self.keepMonthly) ? self.keepMonthly : 0) + (has(self.keepYearly) ? self.keepYearly : 0) > 0",message="would keep nothing; leave it out to keep everything"
type Retention struct {
	// KeepLast keeps the newest runs.
	// +optional
	// +kubebuilder:validation:Minimum=0
	KeepLast int32 `json:"keepLast,omitempty"`
	// KeepHourly keeps the newest run of an hour.
	// +optional
	// +kubebuilder:validation:Minimum=0
	KeepHourly int32 `json:"keepHourly,omitempty"`
	// KeepDaily keeps the newest run of a day.
	// +optional
	// +kubebuilder:validation:Minimum=0
	KeepDaily int32 `json:"keepDaily,omitempty"`
	// KeepWeekly keeps the newest run of a week.
	// +optional
	// +kubebuilder:validation:Minimum=0
	KeepWeekly int32 `json:"keepWeekly,omitempty"`
	// KeepMonthly keeps the newest run of a month.
	// +optional
	// +kubebuilder:validation:Minimum=0
	KeepMonthly int32 `json:"keepMonthly,omitempty"`
	// KeepYearly keeps the newest run of a year.
	// +optional
	// +kubebuilder:validation:Minimum=0
	KeepYearly int32 `json:"keepYearly,omitempty"`
}

// Verify reads stored runs again.
type Verify struct {
	// Schedule is a cron expression with five fields, or a descriptor, in spec.timeZone.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Schedule string `json:"schedule"`
	// LatestOnly reads only the newest run. Without it all are read; what they
	// share is read once.
	// +optional
	LatestOnly bool `json:"latestOnly,omitempty"`
}

// Encryption encrypts what is stored.
type Encryption struct {
	// Age encrypts with age (age-encryption.org).
	// +required
	Age AgeEncryption `json:"age"`
}

// AgeEncryption names who can decrypt.
type AgeEncryption struct {
	// Recipients are age X25519 recipients (age1...).
	// +required
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=253
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

// JobSettings configures the pod that copies the data.
type JobSettings struct {
	// ActiveDeadlineSeconds bounds a run, retries included; 21600 (6 h) by default.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ActiveDeadlineSeconds *int64 `json:"activeDeadlineSeconds,omitempty"`
	// BackoffLimit bounds the retries of a run; 3 by default.
	// +optional
	// +kubebuilder:validation:Minimum=0
	BackoffLimit *int32 `json:"backoffLimit,omitempty"`
	// Resources of the container.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
	// NodeSelector of the pod.
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// Tolerations of the pod.
	// +optional
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// Affinity of the pod.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`
	// ImagePullSecrets of the pod.
	// +optional
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
	// PodSecurityContext replaces fields of the pod's security context, for
	// example runAsUser where the files belong to another user.
	// +optional
	PodSecurityContext *corev1.PodSecurityContext `json:"podSecurityContext,omitempty"`
	// PriorityClassName of the pod.
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`
}
