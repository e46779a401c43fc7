package v1alpha1

// The comment of a reason has one form, from which `make generate` writes the tables of
// the README beside it: what the reason means and, from a line that begins with "Do:",
// what to do. For a reason that a ThreeScaleRestore can have too, both follow once more,
// from a line that begins with "In a restore:". The comment of the block names the
// conditions.

// Condition types of a ThreeScaleBackup. All are also set on the claim.
const (
	// ConditionPreflightPassed is True when a run can start as things are now.
	ConditionPreflightPassed = "PreflightPassed"
	// ConditionBackupCompleted is True when the newest finished run succeeded.
	ConditionBackupCompleted = "BackupCompleted"
	// ConditionVerified is True when the newest verification found no damage, and
	// False while damage is known. Only a backup with spec.verify has it.
	ConditionVerified = "Verified"
	// ConditionOffsiteCopied is True when the newest successful run is in the bucket.
	// Only a backup with spec.offsite has it.
	ConditionOffsiteCopied = "OffsiteCopied"
	// ConditionOffsiteVerified is Verified of the bucket. Only a backup with
	// spec.offsite.verify has it.
	ConditionOffsiteVerified = "OffsiteVerified"
	// ConditionWarning is True when something does not stop a backup but wants
	// attention. (The APIManager has a condition of the same name and meaning.)
	ConditionWarning = "Warning"
)

// Reasons of PreflightPassed and BackupCompleted.
const (
	// ReasonInternalError: the function cannot answer; nothing is changed.
	// Do: follow the message. If it reports a bug, please report it with the stack in
	// the log: `kubectl -n crossplane-system logs -l
	// pkg.crossplane.io/function --prefix --tail=-1`.
	ReasonInternalError = "InternalError"
	// ReasonNamespaceRefused: the composite does not prove which namespace it is for.
	// Do: apply a ThreeScaleBackup in the namespace of the installation, and not a
	// composite by hand. Where the message names two namespaces, delete the composite
	// and apply the claim again.
	ReasonNamespaceRefused = "NamespaceRefused"
)

// Reasons of PreflightPassed.
const (
	// ReasonPassed: every check passed.
	// Do: nothing.
	ReasonPassed = "Passed"
	// ReasonGathering: what the checks need has not been read yet.
	// Do: wait; Crossplane asks again at once. If it stays, follow the
	// message.
	ReasonGathering = "Gathering"
	// ReasonCrossplaneTooOld: Crossplane does not hand over what the checks need.
	// Do: install Crossplane 2.0 or later.
	ReasonCrossplaneTooOld = "CrossplaneTooOld"
	// ReasonInvalidSpec: a field of the spec, or the image in the Composition, cannot
	// be used.
	// Do: correct the field that the message names, or set `input.image` in the
	// Composition.
	// In a restore: a field has a value that its schema admits but that cannot be used.
	// Do: correct the field that the message names.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonJobRefused: `spec.job` asks for something that reaches beyond its own
	// namespace, or breaks Pod Security, and the Composition does not allow it.
	// Do: leave out the field that the message names, or ask whoever installed the
	// Composition to allow it in the field of `input.allow` that it names.
	// In a restore: `spec.job` asks for something that reaches beyond its own
	// namespace, or breaks Pod Security, and the controller itself would make the pod,
	// since the restore names no account.
	// Do: leave out the field that the message names, or name a ServiceAccount that
	// may make Jobs in `serviceAccountName`.
	ReasonJobRefused = "JobRefused"
	// ReasonInvalidDatabases: a database of `spec.databases` cannot be dumped: its Secret
	// has no connection that can be used, it is an Oracle database, it is Zync's own, or its
	// image has no valid name.
	// Do: correct the Secret or the field that the message names, or leave out the
	// database.
	ReasonInvalidDatabases = "InvalidDatabases"
	// ReasonDatabaseImageRefused: the Composition does not allow an image of
	// `spec.databases`.
	// Do: name another image, or ask whoever installed the Composition to allow it in
	// `input.allow.databaseImages`.
	// In a restore: the controller itself would run an image of `spec.databases`, since the
	// restore names no account, and its flag `--allow-database-images` does not name it.
	// Do: name a ServiceAccount that may make Jobs in `serviceAccountName`, or ask an
	// administrator to allow the image.
	ReasonDatabaseImageRefused = "DatabaseImageRefused"
	// ReasonNamespaceNotFound: the namespace is not there.
	// Do: create it again; nothing where it is being deleted.
	ReasonNamespaceNotFound = "NamespaceNotFound"
	// ReasonAPIManagerNotFound: the namespace has no APIManager, or none of that name.
	// Do: correct `spec.apiManagerName`, or apply the ThreeScaleBackup in the
	// namespace of the installation.
	ReasonAPIManagerNotFound = "APIManagerNotFound"
	// ReasonSeveralAPIManagers: the namespace has more than one APIManager, and none
	// is named.
	// Do: name one in `spec.apiManagerName`.
	ReasonSeveralAPIManagers = "SeveralAPIManagers"
	// ReasonInternalDatabases: a database runs inside the installation, and would go
	// with it.
	// Do: move it out of the cluster, and set the field of the APIManager's
	// `spec.externalComponents` that the message names.
	ReasonInternalDatabases = "InternalDatabases"
	// ReasonInvalidReference: the APIManager refers to a Secret by a name that is
	// invalid, or too long for the name of a file.
	// Do: correct the field of the APIManager that the message names; give a Secret
	// whose name is too long a shorter one.
	ReasonInvalidReference = "InvalidReference"
	// ReasonFileStorageNotFound: PersistentVolumeClaim `system-storage` of the file
	// storage is missing.
	// Do: wait until the operator has made it. For an installation without one, set
	// `spec.fileStorage: Skip`.
	ReasonFileStorageNotFound = "FileStorageNotFound"
	// ReasonFileStorageUnusable: the PersistentVolumeClaim of the file storage is
	// being deleted, has lost its volume, or may be mounted by one pod only; or the
	// APIManager or its Secret does not say which bucket the files are in.
	// Do: correct what the message names of a bucket. Copy the files of a volume
	// elsewhere first. Then make it anew, in the last case with the
	// access mode ReadWriteOnce or ReadWriteMany in place of ReadWriteOncePod, and copy
	// the files back. Meanwhile `spec.fileStorage: Skip` backs up all else.
	// In a restore: the PersistentVolumeClaim of the file storage has lost its volume
	// or is being deleted; or with `fileStorage.bucketSecret: Omit` the Secret is missing that
	// leads to the bucket.
	// Do: follow the message. If it has lost its volume, create that PersistentVolume
	// again for the same disk; delete the PersistentVolumeClaim only if nobody needs the
	// files.
	ReasonFileStorageUnusable = "FileStorageUnusable"
	// ReasonSecretMissing: a Secret is missing that the installation cannot do
	// without.
	// Do: create those that the message lists, or correct the field of the APIManager
	// that names them.
	ReasonSecretMissing = "SecretMissing"
	// ReasonConfigMapMissing: a ConfigMap is missing that the installation cannot do
	// without.
	// Do: create those that the message lists.
	ReasonConfigMapMissing = "ConfigMapMissing"
	// ReasonSecretsTooLarge: the Secrets together do not fit into one answer of the
	// function (2.5 MiB as base64).
	// Do: remove what the installation does not need from the largest of them.
	ReasonSecretsTooLarge = "SecretsTooLarge"
	// ReasonObjectsTooLarge: the APIManager, the ConfigMaps, and labels and
	// annotations of the Secrets do not fit into one Secret (1000 KiB).
	// Do: shorten what is large among them, mostly annotations.
	ReasonObjectsTooLarge = "ObjectsTooLarge"
	// ReasonDestinationIsFileStorage: the backup would be written into what it backs
	// up.
	// Do: name another PersistentVolumeClaim or PersistentVolume in
	// `spec.backupDestination`, or another bucket in `spec.offsite`.
	ReasonDestinationIsFileStorage = "DestinationIsFileStorage"
	// ReasonDestinationTaken: the name of the backup's PersistentVolumeClaim is
	// somebody else's.
	// Do: rename the ThreeScaleBackup, or use that PersistentVolumeClaim with
	// `claimName`. If it is that of an earlier ThreeScaleBackup of this name, wait: it
	// is adopted once the earlier one is gone.
	ReasonDestinationTaken = "DestinationTaken"
	// ReasonDestinationNotFound: the PersistentVolumeClaim named by `claimName` is
	// missing.
	// Do: create it, or correct `claimName`.
	ReasonDestinationNotFound = "DestinationNotFound"
	// ReasonDestinationUnusable: the backup's PersistentVolumeClaim is being deleted,
	// or has lost its volume.
	// Do: to keep the runs, have the volume retained before the PersistentVolumeClaim
	// is gone (`kubectl patch pv NAME -p
	// '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'`) and name it in
	// `volumeName`. If the PersistentVolumeClaim has lost its volume, delete it, or name
	// another.
	ReasonDestinationUnusable = "DestinationUnusable"
	// ReasonDestinationNotWritable: the access modes of the backup's
	// PersistentVolumeClaim or PersistentVolume allow no writing.
	// Do: name one that has ReadWriteOnce, ReadWriteMany or ReadWriteOncePod.
	ReasonDestinationNotWritable = "DestinationNotWritable"
	// ReasonVolumeNotFound: the PersistentVolume named by `volumeName` is missing.
	// Do: create it, or correct `volumeName`.
	ReasonVolumeNotFound = "VolumeNotFound"
	// ReasonVolumeNotAvailable: the PersistentVolume named by `volumeName` is bound to
	// another PersistentVolumeClaim, was released by one, or is being deleted.
	// Do: free a released one with the command in the message, if it may be used; else
	// name another.
	ReasonVolumeNotAvailable = "VolumeNotAvailable"
	// ReasonVolumeTooSmall: the PersistentVolume named by `volumeName` is smaller than
	// what is requested.
	// Do: lower `resources.requests` or leave it out, or name a larger one.
	// In a restore: the run does not fit on the PersistentVolumeClaim of the file
	// storage.
	// Do: raise `spec.resources.requests.storage` of the PersistentVolumeClaim, if its
	// StorageClass can expand volumes.
	ReasonVolumeTooSmall = "VolumeTooSmall"
)

// Reasons of BackupCompleted.
const (
	// ReasonCompleted: the newest finished run is on the volume, verified.
	// Do: nothing.
	ReasonCompleted = "Completed"
	// ReasonNotStarted: there was no run yet.
	// Do: look at PreflightPassed; with a schedule that is not suspended, the first
	// run is due at `status.nextRunTime`.
	ReasonNotStarted = "NotStarted"
	// ReasonTakingSnapshot: the first run copies Secrets and objects.
	// Do: wait; if the message says that the run waits, look at PreflightPassed.
	ReasonTakingSnapshot = "TakingSnapshot"
	// ReasonRunning: the first run's Job is at work.
	// Do: wait; if `status.progress` does not move, look at the Job and its pod with
	// the command in the message.
	ReasonRunning = "Running"
	// ReasonFailed: the newest run failed and its pod left no result, or it ran out of
	// time.
	// Do: look at the Job and its pod with the command in the message; raise
	// `spec.job.activeDeadlineSeconds` if the time was too short.
	// In a restore: a pod failed and left no result, or the API server refused a call.
	// Do: follow the message; look at `kubectl -n 3scale describe job,pod -l
	// backup.threescale.dev/restore=dr`. It is tried again.
	ReasonFailed = "Failed"
	// ReasonReportMissing: the pod ended well but left no result, or none that can be
	// read.
	// Do: look at the Job's log, and whether something keeps its pod from the API
	// server (a NetworkPolicy) or writes to the report, a ConfigMap.
	// In a restore: a pod ended well but left no result.
	// Do: look at its log, and set `MOVER_IMAGE` of the controller to an image of the
	// controller's version; the restore tries again by itself.
	ReasonReportMissing = "ReportMissing"
	// ReasonBackupVolumeReplaced: the PersistentVolumeClaim that held the runs is gone,
	// and a new one has its name.
	// Do: start a run on the new one with a new `spec.trigger`. If the
	// PersistentVolume of the former one was retained, it still holds the runs.
	ReasonBackupVolumeReplaced = "BackupVolumeReplaced"
	// ReasonIntegrity: what was stored is not what was written.
	// Do: check the storage of the backup volume, and the other runs with
	// `threescale-backup verify --all`.
	// In a restore: a stored file is not what was written, or is no longer in the bucket;
	// nothing is committed.
	// Do: restore another run (`restoreSource.run`), and check the storage of the backup
	// volume, or the bucket.
	ReasonIntegrity = "Integrity"
	// ReasonNoSpace: the backup volume is full.
	// Do: raise `resources.requests` if the StorageClass can expand volumes. Else make a
	// new ThreeScaleBackup with a larger volume and keep the old one, or move files
	// that belong to no backup off the volume. Delete nothing in `runs/` and `trees/` by
	// hand. The message says what the retention would free.
	// In a restore: the file storage is full before the run is on it.
	// Do: make its PersistentVolumeClaim larger, or move other files off it.
	ReasonNoSpace = "NoSpace"
	// ReasonVolumeNotWritable: the backup volume is read-only, or the pod's user may
	// not write to it.
	// Do: make it writable, or set `spec.job.podSecurityContext` to a user and group
	// that may write.
	// In a restore: the pod's user may not write to the file storage, or it is
	// read-only.
	// Do: make it writable, or set `spec.job.podSecurityContext` to a user and group
	// that may write.
	ReasonVolumeNotWritable = "VolumeNotWritable"
	// ReasonUnreadable: the pod's user may not read a file of the file storage.
	// Do: let it read the files that the message names, or set
	// `spec.job.podSecurityContext` to a user and group that may.
	// In a restore: the pod's user may not read a volume.
	// Do: set `spec.job.podSecurityContext` to a user, or to `supplementalGroups`, that
	// may read it.
	ReasonUnreadable = "Unreadable"
	// ReasonLocked: another writer holds the backup volume.
	// Do: wait until the other backup to this volume has ended; give each
	// ThreeScaleBackup a volume, or a slot, of its own.
	// In a restore: another process holds the volume, or another load a database.
	// Do: wait; it is tried again.
	ReasonLocked = "Locked"
	// ReasonInterrupted: the pod was told to stop at each of its tries.
	// Do: find out why with the command in the message: perhaps a node shut down, or
	// somebody deletes pods.
	// In a restore: the pod was told to stop.
	// Do: wait; it is tried again.
	ReasonInterrupted = "Interrupted"
	// ReasonIO: reading or writing failed at each try.
	// Do: look at the storage of the volume that the message names, and at the Job's
	// events.
	// In a restore: reading or writing failed.
	// Do: look at the Job's events, and at the storage; it is tried again.
	ReasonIO = "IO"
	// ReasonDatabaseUnreachable: a database does not answer, its host is unknown, or it
	// ended the connection.
	// Do: look whether it is up, and whether a NetworkPolicy keeps the pod from it; correct
	// the address in its Secret.
	// In a restore: a database does not answer, its host is unknown, or it ended the
	// connection.
	// Do: look whether it is up, and whether a NetworkPolicy keeps the pod from it; it is
	// tried again.
	ReasonDatabaseUnreachable = "DatabaseUnreachable"
	// ReasonDatabaseUntrusted: the certificate of a database is not that of the authority
	// in its Secret, has expired, or is that of another host; or it does not encrypt.
	// Do: correct the authority, the mode or the address in its Secret, or the certificate
	// of the database.
	// In a restore: the certificate of a database is not that of the authority in its
	// Secret, has expired, or is that of another host; or it does not encrypt.
	// Do: correct the authority, the mode or the address in its Secret, or the certificate
	// of the database.
	ReasonDatabaseUntrusted = "DatabaseUntrusted"
	// ReasonDatabaseDenied: a database refuses the login, or its user lacks a right that
	// the message names.
	// Do: correct the login in its Secret, or grant the rights that examples/README.md
	// lists.
	// In a restore: a database refuses the login, or its user lacks a right that the
	// message names.
	// Do: correct the login in its Secret, or grant the rights that
	// examples/restore/README.md lists.
	ReasonDatabaseDenied = "DatabaseDenied"
	// ReasonDatabaseUnsupported: a database is none that can be dumped.
	// Do: follow the message, or leave it out of `spec.databases`.
	// In a restore: a database cannot take the dump, such as a server that is older than
	// the one that was dumped.
	// Do: follow the message; mostly name a database on a newer server in the Secret.
	ReasonDatabaseUnsupported = "DatabaseUnsupported"
	// ReasonDatabaseClientMissing: an image of `spec.databases` has no client, or one that
	// is older than the server.
	// Do: name an image with the client that the message names, of the server's own major
	// version.
	// In a restore: an image of `spec.databases` has no client, or one that is older than
	// the server.
	// Do: name an image with the client that the message names, of the server's own major
	// version.
	ReasonDatabaseClientMissing = "DatabaseClientMissing"
	// ReasonDatabaseFull: a dump does not fit on the backup volume.
	// Do: raise `resources.requests` if the StorageClass can expand volumes: while a run is
	// made, the volume holds its dumps twice.
	// In a restore: there is no space for a dump on the node, or on the server.
	// Do: make room where the message says; it is tried again.
	ReasonDatabaseFull = "DatabaseFull"
	// ReasonDatabaseFailed: the client of a database failed at each try.
	// Do: follow what it says in the message, and look at the log of the container that is
	// called as the database.
	// In a restore: the client of a database failed.
	// Do: follow what it says in the message, and look at the log of the container that is
	// called as the database; it is tried again.
	ReasonDatabaseFailed = "DatabaseFailed"
	// ReasonUsage: the function and the mover are of versions that do not fit together.
	// Do: set `input.image` of the Composition to the image of the function that is
	// installed.
	// In a restore: the controller and the mover are of versions that do not fit together.
	// Do: set `MOVER_IMAGE` of the controller to an image of the controller's version.
	ReasonUsage = "Usage"
	// ReasonUnsupportedFormat: a newer version wrote the run.
	// Do: install the newer version of the function again, and set `input.image` of
	// the Composition to it.
	// In a restore: a newer version wrote the run.
	// Do: update the controller and its `MOVER_IMAGE`.
	ReasonUnsupportedFormat = "UnsupportedFormat"
)

// Reasons of Verified and OffsiteVerified.
const (
	// ReasonVerified: all that was read is what was written.
	// Do: nothing.
	ReasonVerified = "Verified"
	// ReasonNotVerified: no verification has ended yet.
	// Do: wait; the first is due at `status.verification.schedule.nextSlot`.
	ReasonNotVerified = "NotVerified"
	// ReasonDamaged: runs on the volume, or in the bucket, are not what was written.
	// Do: restore only runs that the message does not name. On the volume: check the
	// storage; the next run stores afresh what is damaged. In the bucket: follow
	// ThreeScaleBackupOffsiteDamaged in manifests/monitoring/README.md; never delete a
	// whole run.
	ReasonDamaged = "Damaged"
	// ReasonVerificationFailed: the newest verification could not read the runs to the
	// end.
	// Do: follow the message; look at the Job and its pod with the command in it.
	// The next slot of `spec.verify.schedule` tries again.
	ReasonVerificationFailed = "VerificationFailed"
)

// Reasons of OffsiteCopied.
const (
	// ReasonCopied: the newest successful run is in the bucket.
	// Do: nothing.
	ReasonCopied = "Copied"
	// ReasonCopyPending: the newest successful run is not in the bucket yet.
	// Do: wait; if `status.offsite.progress` does not move, look at the Job and its pod
	// with the command in the message.
	ReasonCopyPending = "CopyPending"
	// ReasonOffsiteRemoved: spec.offsite was removed, so that no run is copied any more.
	// Do: nothing; what is in the bucket stays there.
	ReasonOffsiteRemoved = "OffsiteRemoved"
	// ReasonCopyFailed: the newest copy failed and its pod left no result, or it ran out
	// of time.
	// Do: look at the Job and its pod with the command in the message. It is tried again,
	// and goes on where it ended.
	ReasonCopyFailed = "CopyFailed"
	// ReasonBucketSecretMissing: a Secret of the bucket is missing, or lacks its keys.
	// Runs go on; they are copied once it is there.
	// Do: create it with the keys that the message names, or correct `secretRef`.
	// In a restore: a Secret of the bucket is missing, or lacks its keys.
	// Do: create it with the keys that the message names, or correct `secretRef`.
	ReasonBucketSecretMissing = "BucketSecretMissing"
	// ReasonInvalidOffsite: a field of `spec.offsite` cannot be used. Runs go on, and are
	// copied once it can.
	// Do: correct the field that the message names.
	ReasonInvalidOffsite = "InvalidOffsite"
	// ReasonBucketNotFound: there is no bucket of that name.
	// Do: create it, or correct `endpoint`, `region` or `bucketName`.
	// In a restore: there is no bucket of that name.
	// Do: correct `endpoint`, `region` or `bucketName` in `restoreSource.bucket`.
	ReasonBucketNotFound = "BucketNotFound"
	// ReasonBucketDenied: the object store refuses the credentials, or they lack a right
	// that the message names.
	// Do: correct the Secret of `secretRef`, or grant the rights that
	// examples/README.md lists.
	// In a restore: the object store refuses the credentials, or they may not list and
	// read.
	// Do: correct the Secret of `secretRef`, or grant the rights that
	// examples/restore/README.md lists.
	ReasonBucketDenied = "BucketDenied"
	// ReasonBucketClockSkew: the clocks of the node and of the object store differ too
	// much.
	// Do: set the clock that is wrong.
	// In a restore: the clocks of the node and of the object store differ too much.
	// Do: set the clock that is wrong; it is tried again.
	ReasonBucketClockSkew = "BucketClockSkew"
	// ReasonBucketUntrusted: the certificate of the object store is not that of a known
	// authority, has expired, or is that of another host.
	// Do: name a Secret with the authority's certificate in `certSecretRef`, or correct
	// `endpoint`.
	// In a restore: the certificate of the object store is not that of a known authority,
	// has expired, or is that of another host.
	// Do: name a Secret with the authority's certificate in `certSecretRef`, or correct
	// `endpoint`.
	ReasonBucketUntrusted = "BucketUntrusted"
	// ReasonBucketUnreachable: the object store does not answer, or ends connections.
	// Do: look whether it is up, and whether a NetworkPolicy or a proxy is in the way; it
	// is tried again.
	// In a restore: the object store does not answer, or ends connections.
	// Do: look whether it is up, and whether a NetworkPolicy or a proxy is in the way; it
	// is tried again.
	ReasonBucketUnreachable = "BucketUnreachable"
	// ReasonBucketFull: a quota of the object store is reached.
	// Do: raise it, or let `spec.offsite.retention` keep less; it is tried again.
	ReasonBucketFull = "BucketFull"
	// ReasonBucketIncompatible: the object store lacks what is needed, such as
	// conditional requests, or object lock in a bucket that was made without it.
	// Do: follow the message: leave out `objectLock` or make a bucket with it, or set
	// `checksums: None`.
	// In a restore: the object store refuses requests as they are made.
	// Do: set `checksums: None` in `restoreSource.bucket`, then ask the restore again.
	ReasonBucketIncompatible = "BucketIncompatible"
	// ReasonBucketRefused: the Composition does not allow copies to this bucket, or tokens
	// for this security token service.
	// Do: name another, or ask whoever installed the Composition to allow it in the field
	// of `input.allow` that the message names.
	// In a restore: a token of the pods' ServiceAccount would go to a security token
	// service that is not one of AWS', and the controller itself would make the pod,
	// since the restore names no account.
	// Do: use `secretRef`, or name a ServiceAccount that may make Jobs in
	// `serviceAccountName`.
	ReasonBucketRefused = "BucketRefused"
	// ReasonBucketOwned: the prefix holds the runs of another ThreeScaleBackup, or those
	// from another PersistentVolumeClaim. One that was made anew has another UID.
	// Do: name another `prefix`, and leave the old one as it is until nobody needs its
	// runs. Two owners must not share one: each would take the other's runs for its own.
	ReasonBucketOwned = "BucketOwned"
)

// Reasons of Warning.
const (
	// ReasonNoWarnings: there are none.
	// Do: nothing.
	ReasonNoWarnings = "NoWarnings"
	// ReasonSuspended: `spec.suspend` keeps the schedule from starting runs.
	// Do: set it to false when runs should start again; `spec.trigger` starts one
	// meanwhile.
	ReasonSuspended = "Suspended"
	// ReasonSlotsMissed: slots of the schedule passed without a run.
	// Do: find out what happened since `status.schedule.firstMissedSlot`: Crossplane
	// was down, PreflightPassed was False, runs take longer than the time between two
	// slots, or `spec.startingDeadlineSeconds` is short. The warning ends when a
	// run starts on time.
	ReasonSlotsMissed = "SlotsMissed"
	// ReasonEncryptionRemoved: the newest run is encrypted, and the next will be
	// stored readable.
	// Do: set `spec.encryption` again, unless you meant to remove it. The warning
	// ends with the next run.
	ReasonEncryptionRemoved = "EncryptionRemoved"
	// ReasonUnencryptedDatabases: runs hold databases, and are stored readable.
	// Do: set `spec.encryption`: whoever reads the volume or the bucket reads all that the
	// databases hold.
	ReasonUnencryptedDatabases = "UnencryptedDatabases"
	// ReasonRetentionWaits: a ThreeScaleRestore reads the volume, so that no run is
	// removed.
	// Do: wait until the restore is done. Fix one that is stalled, or delete the
	// ThreeScaleRestore; that deletes no backup.
	ReasonRetentionWaits = "RetentionWaits"
	// ReasonReclaimPolicyDelete: deleting the PersistentVolumeClaim, or the namespace,
	// deletes the backups.
	// Do: have the volume retained with the command in the message.
	ReasonReclaimPolicyDelete = "ReclaimPolicyDelete"
	// ReasonExpansionUnsupported: the volume does not grow to what is requested: its
	// StorageClass does not allow it, or its PersistentVolumeClaim is not bound yet.
	// Do: wait if it is not bound yet. Otherwise set `allowVolumeExpansion: true` in the
	// StorageClass if its driver can expand volumes; else request the size that the
	// volume has, or make a new ThreeScaleBackup with a larger volume.
	ReasonExpansionUnsupported = "ExpansionUnsupported"
	// ReasonDestinationChangeIgnored: the destination was edited in a way that the
	// existing volume cannot follow.
	// Do: take the edit back; for another destination make a new ThreeScaleBackup.
	ReasonDestinationChangeIgnored = "DestinationChangeIgnored"
	// ReasonDeletionPolicyNotEffective: the volume of an earlier ThreeScaleBackup of
	// this name stays in spite of `deletionPolicy: Delete`.
	// Do: nothing, or set `deletionPolicy: Orphan`. To delete the volume and all its
	// runs, delete its PersistentVolumeClaim by hand after the ThreeScaleBackup.
	ReasonDeletionPolicyNotEffective = "DeletionPolicyNotEffective"
	// ReasonOptionalMissing: optional Secrets or ConfigMaps are missing, and so not in
	// the backup.
	// Do: nothing, unless the installation should have those that the message lists:
	// then create them.
	ReasonOptionalMissing = "OptionalMissing"
	// ReasonDeprecatedField: the APIManager sets a field that its operator ignores.
	// Do: remove the field that the message names.
	ReasonDeprecatedField = "DeprecatedField"
	// ReasonBucketOnCluster: the bucket of spec.offsite is on this cluster, so that it
	// shares the cluster's fate.
	// Do: name a bucket elsewhere, or nothing if this one is copied elsewhere.
	ReasonBucketOnCluster = "BucketOnCluster"
	// ReasonCopyWarnings: the newest copy to the bucket has warnings.
	// Do: follow the message; `status.offsite.warnings` has up to 20 of them.
	ReasonCopyWarnings = "CopyWarnings"
	// ReasonNotCopied: the APIManager refers to a service-account token, which is
	// never copied.
	// Do: nothing here; after a restore, make a new token of that name.
	ReasonNotCopied = "NotCopied"
	// ReasonSourcesChanging: Secrets, ConfigMaps or the APIManager kept changing while
	// they were copied, so that the run holds versions of different moments.
	// Do: find out who writes them all the time (`kubectl -n 3scale get secrets -w`),
	// then start another run with a new `spec.trigger`.
	ReasonSourcesChanging = "SourcesChanging"
	// ReasonRunWarnings: the newest run has warnings, or lacks files that it could not
	// hold.
	// Do: follow the message; `status.lastRun` has up to 20 of each, the run's
	// `manifest.json` all.
	ReasonRunWarnings = "RunWarnings"
)
