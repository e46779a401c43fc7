package v1alpha1

import (
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ThreeScaleRestore restores a 3scale installation into its namespace from a
// backup volume: it fills the System file storage and commits the APIManager,
// its Secrets and ConfigMaps, encrypted, to the Git repository that Flux applies.
// A restore that has completed does nothing more, until its spec changes or
// the annotation reconcile.fluxcd.io/forceAt asks for another.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Completed",type=boolean,JSONPath=`.status.completed`
// +kubebuilder:printcolumn:name="Run",type=string,JSONPath=`.status.restoredRun`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type ThreeScaleRestore struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What to restore, from where, and to which repository.
	// +required
	Spec ThreeScaleRestoreSpec `json:"spec"`
	// State of the restore.
	// +kubebuilder:default:={"observedGeneration":-1}
	// +optional
	Status ThreeScaleRestoreStatus `json:"status,omitzero"`
}

// ThreeScaleRestoreList is a list of ThreeScaleRestore.
//
// +kubebuilder:object:root=true
type ThreeScaleRestoreList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ThreeScaleRestore `json:"items"`
}

// ThreeScaleRestoreSpec says what to restore, from where, and to which repository.
type ThreeScaleRestoreSpec struct {
	// Where the backup is.
	// +required
	RestoreSource RestoreSource `json:"restoreSource"`

	// The keys of an encrypted backup. Needed only for one.
	// +optional
	Decryption *Decryption `json:"decryption,omitempty"`

	// The Flux GitRepository that the restored objects are committed to. One of
	// another namespace must name this namespace in its annotation
	// backup.threescale.dev/writers.
	// +required
	SourceRef GitRepositoryReference `json:"sourceRef"`

	// How to check out, commit and push, with the fields of an
	// ImageUpdateAutomation. Without it, a commit is pushed to the branch that the
	// GitRepository follows.
	// +optional
	Git Git `json:"git,omitempty,omitzero"`

	// Folder in the repository; base/<name> and overlays/<name> are written below
	// it, <name> being that of the restore.
	// +optional
	// +kubebuilder:default="./"
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !self.split('/').exists(e, e == '..' || e == '.git')",message="path is relative to the root of the repository, without .. and .git"
	Path string `json:"path,omitempty"`

	// Recipients for whom SOPS encrypts the Secrets and ConfigMap system. Without it,
	// the repository's .sops.yaml names them; with neither, nothing is restored.
	// +optional
	Encryption *Encryption `json:"encryption,omitempty"`

	// The Flux Kustomization that applies the overlay: the restore then completes
	// when it has applied the commit and the APIManager is available. Without it,
	// the restore completes when the commit is pushed.
	// +optional
	KustomizationRef *NamespacedReference `json:"kustomizationRef,omitempty"`

	// Name of the ServiceAccount as which the restore reads and writes in its
	// namespace. Without it, that of --default-service-account, or the controller's
	// own.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// How the restored installation differs from the one that was backed up.
	// +optional
	Target Target `json:"target,omitempty,omitzero"`

	// Whether the Secrets that hold the databases' URLs are restored
	// (system-database, system-redis, backend-redis, and zync where the APIManager
	// says that Zync's database is external). Omit leaves them to you, as
	// APIManagerRestore does with the first three. Of zync you give DATABASE_URL and
	// ZYNC_DATABASE_PASSWORD; the operator draws the other keys.
	// +optional
	// +kubebuilder:default=Restore
	DatabaseSecrets DatabaseSecretsPolicy `json:"databaseSecrets,omitempty"`

	// How the System file storage is filled: the PersistentVolumeClaim, or the bucket that
	// the APIManager names.
	// +optional
	FileStorage RestoreFileStorage `json:"fileStorage,omitempty,omitzero"`

	// What becomes of the databases that the run holds. They are loaded before anything is
	// committed, so that the operator finds them full.
	// +optional
	Databases RestoreDatabases `json:"databases,omitempty,omitzero"`

	// Ends after the plan (status.plan), and writes nothing to the repository, the
	// file storage or a database; false by default.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`

	// What happens once Flux has applied the commit. Needs kustomizationRef.
	// +optional
	PostRestore PostRestore `json:"postRestore,omitempty,omitzero"`

	// Configures the pods that read and write the volumes.
	// +optional
	Job JobSettings `json:"job,omitempty,omitzero"`

	// How often a restore that waits looks again if nothing wakes it before, as a
	// duration such as 10m; 10s at least.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=24
	// +kubebuilder:validation:Pattern="^([0-9]{1,5}(\\.[0-9]{1,5})?(ms|s|m|h))+$"
	Interval metav1.Duration `json:"interval,omitempty"`

	// Time between a failure and the next try, as a duration such as 1m; the
	// interval by default, and 1s at least. It doubles with each failure, up to the
	// interval or a minute.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=24
	// +kubebuilder:validation:Pattern="^([0-9]{1,5}(\\.[0-9]{1,5})?(ms|s|m|h))+$"
	RetryInterval *metav1.Duration `json:"retryInterval,omitempty"`

	// How long the restore waits before it is stalled, as a duration such as 1h: first
	// for the Kustomization, then for sidekiq and the APIManager. If they become ready
	// later, it goes on by itself.
	// +optional
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=24
	// +kubebuilder:validation:Pattern="^([0-9]{1,5}(\\.[0-9]{1,5})?(ms|s|m|h))+$"
	Timeout metav1.Duration `json:"timeout,omitempty"`

	// Stops the restore where it is, until it is false again; false by default. A pod
	// that is running finishes its work.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// RestoreSource says where the backup is: on one of the volumes, or in a bucket.
//
// +kubebuilder:validation:XValidation:rule="[has(self.persistentVolumeClaim), has(self.persistentVolume), has(self.backupRef), has(self.bucket)].filter(set, set).size() == 1",message="set one of persistentVolumeClaim, persistentVolume, backupRef and bucket"
type RestoreSource struct {
	// The PersistentVolumeClaim of the backup, also of one that APIManagerBackup
	// wrote.
	// +optional
	PersistentVolumeClaim *RestorePVC `json:"persistentVolumeClaim,omitempty"`

	// A PersistentVolume that outlived its namespace or its cluster; a
	// PersistentVolumeClaim bound to it is made, named after the restore, with
	// -source at its end.
	// +optional
	PersistentVolume *RestoreVolume `json:"persistentVolume,omitempty"`

	// A ThreeScaleBackup of this namespace, whose volume is read.
	// +optional
	BackupRef *meta.LocalObjectReference `json:"backupRef,omitempty"`

	// A bucket that spec.offsite of a ThreeScaleBackup copied runs to. Its prefix must be
	// given.
	// +optional
	// +kubebuilder:validation:XValidation:rule="has(self.prefix)",message="set prefix: <namespace>/<name> of the ThreeScaleBackup, unless it set another"
	Bucket *Bucket `json:"bucket,omitempty"`

	// ID of the run to restore, as in status.runs of the ThreeScaleBackup, or latest:
	// with backupRef the newest of its successful runs (status.lastRun), else the
	// newest on the volume.
	// +optional
	// +kubebuilder:default=latest
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Run string `json:"run,omitempty"`

	// What the SHA-256 of the run's manifest.json must be, in hex, as
	// status.manifests of the ThreeScaleBackup has it: a run that was replaced on its
	// volume is not restored. With backupRef it is known from there; otherwise, where
	// it is absent, nothing is compared, and the plan says so.
	// +optional
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	ManifestSHA256 string `json:"manifestSHA256,omitempty"`
}

// RestorePVC is a PersistentVolumeClaim of the namespace, in the form that
// APIManagerRestore has.
type RestorePVC struct {
	// The PersistentVolumeClaim of this namespace that claimName names. It is always
	// mounted read-only. With readOnly, the kubelet does not give the volume to the
	// pod's group either, as it does on OpenShift.
	// +required
	ClaimSource corev1.PersistentVolumeClaimVolumeSource `json:"claimSource"`
}

// RestoreVolume is a PersistentVolume.
type RestoreVolume struct {
	// Name of the PersistentVolume.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	VolumeName string `json:"volumeName"`
}

// Decryption names the keys of an encrypted backup.
type Decryption struct {
	// A Secret of this namespace. Those of its keys that end in .agekey hold age
	// identities, as for Flux.
	// +required
	SecretRef meta.LocalObjectReference `json:"secretRef"`
}

// GitRepositoryReference names a GitRepository of Flux.
type GitRepositoryReference struct {
	// Kind of the source: only GitRepository.
	// +optional
	// +kubebuilder:validation:Enum=GitRepository
	// +kubebuilder:default=GitRepository
	Kind string `json:"kind,omitempty"`

	NamespacedReference `json:",inline"`
}

// NamespacedReference names an object; its namespace is that of the restore
// where it is empty.
type NamespacedReference struct {
	// Name of the object that is referred to.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Namespace of the object that is referred to; that of the restore by default.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
}

// Target says how the restored installation differs from the one that was backed
// up.
type Target struct {
	// Domain that replaces the former one wherever the backed-up objects hold it;
	// none by default.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	WildcardDomain string `json:"wildcardDomain,omitempty"`
	// Name of the StorageClass of the file storage, where its PersistentVolumeClaim
	// is made anew, and of the search index, where the APIManager names a class for
	// it; by default those of the backup.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	StorageClass string `json:"storageClass,omitempty"`
	// For a rehearsal beside a living installation: Secret system-smtp is committed
	// with empty values, so that the copy sends no mail; false by default.
	// status.plan.warnings says what else a copy does. With false again, the restore
	// commits the Secret as it was backed up.
	// +optional
	Quiet bool `json:"quiet,omitempty"`
}

// PostRestore says what is done once Flux has applied the commit.
type PostRestore struct {
	// Has Zync make the Routes of all domains again, before the APIManager is waited
	// for; true by default. A Job does it, made from the pod template of sidekiq, as
	// soon as sidekiq is ready. Nothing is done where spec.zync.enabled of the
	// APIManager is false. With false, the APIManager becomes available only once
	// somebody else has made the Routes.
	// +optional
	// +kubebuilder:default=true
	ResyncZyncDomains *bool `json:"resyncZyncDomains,omitempty"`
}

// ResyncsZyncDomains reports whether Zync has to make the Routes again: true by default.
func (r *ThreeScaleRestore) ResyncsZyncDomains() bool {
	wanted := r.Spec.PostRestore.ResyncZyncDomains
	return wanted == nil || *wanted
}

// GetConditions implements the getter of Flux' conditions.
func (r *ThreeScaleRestore) GetConditions() []metav1.Condition { return r.Status.Conditions }

// SetConditions implements the setter of Flux' conditions.
func (r *ThreeScaleRestore) SetConditions(conditions []metav1.Condition) {
	r.Status.Conditions = conditions
}

// GetRequeueAfter returns how soon a restore that succeeded is looked at again.
func (r *ThreeScaleRestore) GetRequeueAfter() time.Duration { return r.Spec.Interval.Duration }

// LeastRetryInterval is the shortest time between a failure and the next try, whatever
// the spec says.
const LeastRetryInterval = time.Second

// GetRetryInterval returns how soon a restore that failed tries again.
func (r *ThreeScaleRestore) GetRetryInterval() time.Duration {
	interval := r.Spec.Interval.Duration
	if r.Spec.RetryInterval != nil {
		interval = r.Spec.RetryInterval.Duration
	}
	return max(interval, LeastRetryInterval)
}

// GetTimeout returns how long a restore waits for others before it is stalled.
func (r *ThreeScaleRestore) GetTimeout() time.Duration { return r.Spec.Timeout.Duration }

// GetLastHandledForceRequestStatus implements Flux' force requests.
func (r *ThreeScaleRestore) GetLastHandledForceRequestStatus() *string {
	return &r.Status.LastHandledForceAt
}

// GetLastHandledReconcileRequest implements Flux' requests to reconcile.
func (r *ThreeScaleRestore) GetLastHandledReconcileRequest() string {
	return r.Status.GetLastHandledReconcileRequest()
}
