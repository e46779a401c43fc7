package v1alpha1

// Condition types of a ThreeScaleBackup. All are also set on the claim.
const (
	// ConditionPreflightPassed is True when a run can start as things are now.
	ConditionPreflightPassed = "PreflightPassed"
	// ConditionBackupCompleted is True when the newest finished run succeeded.
	ConditionBackupCompleted = "BackupCompleted"
	// ConditionWarning is True when something does not stop a backup but wants
	// attention. (The APIManager has a condition of the same name and meaning.)
	ConditionWarning = "Warning"
	// ConditionVerified is True when the newest verification found no damage, and
	// False while damage is known. Only a backup with spec.verify has it.
	ConditionVerified = "Verified"
)

// Reasons of Verified.
const (
	// ReasonVerified: all that was read is what was written.
	ReasonVerified = "Verified"
	// ReasonNotVerified: there was no verification yet.
	ReasonNotVerified = "NotVerified"
	// ReasonDamaged: runs on the volume are not what was written.
	ReasonDamaged = "Damaged"
	// ReasonVerificationFailed: the newest verification could not read the runs.
	ReasonVerificationFailed = "VerificationFailed"
)

// Reasons of PreflightPassed.
const (
	// ReasonPassed: every check passed.
	ReasonPassed = "Passed"
	// ReasonGathering: what the checks need has not been read yet.
	ReasonGathering = "Gathering"
	// ReasonCrossplaneTooOld: Crossplane does not hand over what the checks need.
	ReasonCrossplaneTooOld = "CrossplaneTooOld"
	// ReasonInternalError: the function cannot answer; the message says why, and
	// nothing is changed.
	ReasonInternalError = "InternalError"
	// ReasonNamespaceRefused: the composite does not prove which namespace it is for.
	ReasonNamespaceRefused = "NamespaceRefused"
	// ReasonInvalidSpec: a field of the spec cannot be used.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonNamespaceNotFound: the namespace does not exist or cannot be read.
	ReasonNamespaceNotFound = "NamespaceNotFound"
	// ReasonAPIManagerNotFound: the namespace has no (such) APIManager.
	ReasonAPIManagerNotFound = "APIManagerNotFound"
	// ReasonSeveralAPIManagers: the namespace has more than one, and none is named.
	ReasonSeveralAPIManagers = "SeveralAPIManagers"
	// ReasonInternalDatabases: a database runs inside the installation.
	ReasonInternalDatabases = "InternalDatabases"
	// ReasonInvalidReference: the APIManager refers to a Secret by a name that none can have.
	ReasonInvalidReference = "InvalidReference"
	// ReasonS3FileStorageUnsupported: the file storage is in S3, not in a volume.
	ReasonS3FileStorageUnsupported = "S3FileStorageUnsupported"
	// ReasonFileStorageNotFound: the PersistentVolumeClaim of the file storage is missing.
	ReasonFileStorageNotFound = "FileStorageNotFound"
	// ReasonFileStorageUnusable: its PersistentVolumeClaim cannot be mounted beside 3scale.
	ReasonFileStorageUnusable = "FileStorageUnusable"
	// ReasonSecretMissing: a Secret is missing that the installation cannot do without.
	ReasonSecretMissing = "SecretMissing"
	// ReasonConfigMapMissing: likewise a ConfigMap.
	ReasonConfigMapMissing = "ConfigMapMissing"
	// ReasonSecretsTooLarge: the Secrets together do not fit into one answer of the function.
	ReasonSecretsTooLarge = "SecretsTooLarge"
	// ReasonObjectsTooLarge: the APIManager, ConfigMaps and metadata do not fit into one Secret.
	ReasonObjectsTooLarge = "ObjectsTooLarge"
	// ReasonDestinationIsFileStorage: the backup would be written into what it backs up.
	ReasonDestinationIsFileStorage = "DestinationIsFileStorage"
	// ReasonDestinationTaken: the name of the backup's PersistentVolumeClaim is somebody else's.
	ReasonDestinationTaken = "DestinationTaken"
	// ReasonDestinationNotFound: the PersistentVolumeClaim named by claimName is missing.
	ReasonDestinationNotFound = "DestinationNotFound"
	// ReasonDestinationUnusable: it is being deleted, or its volume is lost.
	ReasonDestinationUnusable = "DestinationUnusable"
	// ReasonDestinationNotWritable: its access modes allow no writing.
	ReasonDestinationNotWritable = "DestinationNotWritable"
	// ReasonVolumeNotFound: the PersistentVolume named by volumeName is missing.
	ReasonVolumeNotFound = "VolumeNotFound"
	// ReasonVolumeNotAvailable: it is bound to, or was released by, another claim.
	ReasonVolumeNotAvailable = "VolumeNotAvailable"
	// ReasonVolumeTooSmall: its capacity is smaller than what the claim requests.
	ReasonVolumeTooSmall = "VolumeTooSmall"
)

// Reasons of BackupCompleted.
const (
	// ReasonCompleted: the newest finished run is on the volume, verified.
	ReasonCompleted = "Completed"
	// ReasonNotStarted: there was no run yet.
	ReasonNotStarted = "NotStarted"
	// ReasonTakingSnapshot: the first run copies Secrets and objects.
	ReasonTakingSnapshot = "TakingSnapshot"
	// ReasonRunning: the first run's Job is at work.
	ReasonRunning = "Running"
	// ReasonFailed: the newest run failed; the message tells why.
	ReasonFailed = "Failed"
	// ReasonReportMissing: the Job ended well but left no result.
	ReasonReportMissing = "ReportMissing"
	// ReasonBackupVolumeReplaced: the PersistentVolumeClaim that held the runs is gone.
	ReasonBackupVolumeReplaced = "BackupVolumeReplaced"
	// ReasonIntegrity: stored data do not match their digests.
	ReasonIntegrity = "Integrity"
	// ReasonNoSpace: the backup volume is full.
	ReasonNoSpace = "NoSpace"
	// ReasonVolumeNotWritable: the backup volume is read-only or forbids writing.
	ReasonVolumeNotWritable = "VolumeNotWritable"
	// ReasonUnreadable: a file of the file storage, or the volume that is
	// verified, may not be read.
	ReasonUnreadable = "Unreadable"
	// ReasonLocked: another writer holds the backup volume.
	ReasonLocked = "Locked"
	// ReasonInterrupted: the pod was told to stop.
	ReasonInterrupted = "Interrupted"
	// ReasonIO: reading or writing failed.
	ReasonIO = "IO"
	// ReasonUsage: the mover was called with options that it cannot use.
	ReasonUsage = "Usage"
)

// Reasons of Warning.
const (
	// ReasonNoWarnings: there are none.
	ReasonNoWarnings = "NoWarnings"
	// ReasonSuspended: spec.suspend keeps the schedule from starting runs.
	ReasonSuspended = "Suspended"
	// ReasonSlotsMissed: slots of the schedule passed without a run.
	ReasonSlotsMissed = "SlotsMissed"
	// ReasonEncryptionRemoved: the newest run is encrypted, and the next will not be.
	ReasonEncryptionRemoved = "EncryptionRemoved"
	// ReasonRetentionWaits: a restore reads the volume, so that no run is removed.
	ReasonRetentionWaits = "RetentionWaits"
	// ReasonReclaimPolicyDelete: deleting the PersistentVolumeClaim deletes the backups.
	ReasonReclaimPolicyDelete = "ReclaimPolicyDelete"
	// ReasonExpansionUnsupported: the volume cannot grow to what is requested.
	ReasonExpansionUnsupported = "ExpansionUnsupported"
	// ReasonDestinationChangeIgnored: the destination of an existing volume was edited.
	ReasonDestinationChangeIgnored = "DestinationChangeIgnored"
	// ReasonDeletionPolicyNotEffective: an adopted volume survives in spite of the policy.
	ReasonDeletionPolicyNotEffective = "DeletionPolicyNotEffective"
	// ReasonOptionalMissing: an optional Secret or ConfigMap is missing and not in the backup.
	ReasonOptionalMissing = "OptionalMissing"
	// ReasonDeprecatedField: the APIManager sets a field that its operator ignores.
	ReasonDeprecatedField = "DeprecatedField"
	// ReasonNotCopied: a referenced Secret is never copied (a service-account token).
	ReasonNotCopied = "NotCopied"
	// ReasonSourcesChanging: sources kept changing while the snapshot was taken.
	ReasonSourcesChanging = "SourcesChanging"
	// ReasonRunWarnings: the newest run reported warnings or skipped files.
	ReasonRunWarnings = "RunWarnings"
)
