package v1alpha1

// Reasons of a ThreeScaleRestore: of its conditions Ready, Reconciling and Stalled.
const (
	// ReasonProgressing: a pod or Flux is at work; the message says what the restore waits for.
	// Do: wait.
	ReasonProgressing = "Progressing"
	// ReasonProgressingWithRetry: (of `Reconciling`) it failed and is tried again.
	// Do: look at the reason of `Ready`.
	ReasonProgressingWithRetry = "ProgressingWithRetry"
	// ReasonRestored: the restore is complete.
	// Do: nothing.
	ReasonRestored = "Restored"
	// ReasonPlanned: a dry run has ended.
	// Do: read `status.plan`; without `dryRun` it is carried out.
	ReasonPlanned = "Planned"
	// ReasonSourceNotFound: no such PersistentVolumeClaim, PersistentVolume or
	// ThreeScaleBackup, or it has no volume yet.
	// Do: correct `restoreSource`.
	ReasonSourceNotFound = "SourceNotFound"
	// ReasonSourceUnusable: the volume is bound elsewhere, `Released`, lost or being
	// deleted, or it is the file storage itself.
	// Do: free it with the command in the message, or name another.
	ReasonSourceUnusable = "SourceUnusable"
	// ReasonRunReplaced: the run on the volume or in the bucket is not the one that was
	// written: its manifest has another digest than is known of it. Nothing is restored.
	// Do: find out who can write to it; restore another run (`restoreSource.run`), or
	// correct `restoreSource.manifestSHA256`.
	ReasonRunReplaced = "RunReplaced"
	// ReasonRunUnproven: databases or files in S3 shall be written to where the run says,
	// and nothing proves that this run is the one that was written.
	// Do: set `restoreSource.manifestSHA256`, as `status.manifests` of the ThreeScaleBackup
	// has it, or name the ThreeScaleBackup in `restoreSource.backupRef`. If only databases
	// are written, `databaseSecrets: Omit` does too, with Secrets that lead to them. For files
	// `fileStorage.bucketSecret: Omit` is not enough: the run names the Secret.
	ReasonRunUnproven = "RunUnproven"
	// ReasonRepositoryNotFound: Flux does not have the GitRepository, or the restore
	// may not read it.
	// Do: create it, or correct `sourceRef`.
	ReasonRepositoryNotFound = "RepositoryNotFound"
	// ReasonRepositorySuspended: Flux does not look at the GitRepository.
	// Do: resume it with the command in the message.
	ReasonRepositorySuspended = "RepositorySuspended"
	// ReasonRepositoryUnusable: Flux would not see the commit: the GitRepository follows a
	// tag, ignores the path, checks out other folders, or wants a signature. Or its URL is
	// malformed, or its newest commits do not show whether this restore was done before.
	// Do: change the GitRepository or `path`, or add `git.commit.signingKey`. If the
	// commits do not show it, force the restore with the two annotations in the message.
	ReasonRepositoryUnusable = "RepositoryUnusable"
	// ReasonAccessDenied: the repository's owner allows this namespace no commit, or not
	// this branch, refspec or push option. Or the controller refuses names of other
	// namespaces, or to log in to the server as itself.
	// Do: follow the message: have the owner set the annotation that it names, take the
	// branch that it names, or name a GitRepository and a Kustomization of the restore's
	// own namespace. Where the login is missing, give the GitRepository a `secretRef`.
	ReasonAccessDenied = "AccessDenied"
	// ReasonNoRecipients: neither `.sops.yaml` nor the restore says whom to encrypt
	// for.
	// Do: add a rule to `.sops.yaml` that matches the path in the message, or name the
	// recipients in `spec.encryption` of the restore.
	ReasonNoRecipients = "NoRecipients"
	// ReasonEncryptionRefused: a rule of `.sops.yaml` needs a key service, or encrypts
	// too little or too much; or a recipient cannot be used.
	// Do: correct the rule or the recipient that the message names.
	ReasonEncryptionRefused = "EncryptionRefused"
	// ReasonAPIManagerExists: an APIManager is there and differs, belongs to somebody
	// else, or is being deleted.
	// Do: restore into another namespace, or wait until the APIManager is gone. To delete
	// it also deletes the file storage and the ConfigMaps, unless the operator is stopped
	// first and `--cascade=orphan` is given, as the message says.
	ReasonAPIManagerExists = "APIManagerExists"
	// ReasonObjectConflict: an object belongs to somebody else, is immutable, or is being
	// deleted; or a Job, ConfigMap or Secret has a name that the restore needs.
	// Do: follow the message, and that of the object in `status.plan.objects`.
	ReasonObjectConflict = "ObjectConflict"
	// ReasonVersionRefused: the operator of 3scale upgrades by one minor version at a
	// time, and never goes back.
	// Do: install the operator that the message names, restore, then upgrade.
	ReasonVersionRefused = "VersionRefused"
	// ReasonFolderTaken: `base/<name>` or `overlays/<name>` was written by hand, or by
	// a restore of the same name of another namespace.
	// Do: rename the restore, or choose another `path`.
	ReasonFolderTaken = "FolderTaken"
	// ReasonGitFailed: login, host key, certificate, branch, signing key or network
	// failed; or the push branch holds somebody else's commits.
	// Do: follow the message.
	ReasonGitFailed = "GitFailed"
	// ReasonPushRejected: the server refused the commit: a protected branch, a hook, a
	// rule.
	// Do: push to another branch, sign, or have the rule changed; the message quotes
	// the server.
	ReasonPushRejected = "PushRejected"
	// ReasonLimitExceeded: reading the repository or the backup, or making the commit,
	// took more memory or time than the controller gives one restore.
	// Do: follow the message; it is tried again.
	ReasonLimitExceeded = "LimitExceeded"
	// ReasonKustomizationNotFound: the Kustomization is missing, or the restore may
	// not read it.
	// Do: create it, or correct `kustomizationRef`.
	ReasonKustomizationNotFound = "KustomizationNotFound"
	// ReasonKustomizationUnusable: the Kustomization is suspended, is of another
	// repository, path or namespace, or does not decrypt.
	// Do: correct the field that the message names, or `kustomizationRef`.
	ReasonKustomizationUnusable = "KustomizationUnusable"
	// ReasonNotApplied: the Kustomization did not apply the commit within `timeout`,
	// or somebody changes what it applied.
	// Do: look at `flux -n 3scale get kustomization 3scale`. If the commit was pushed to
	// another branch, merge that branch. The restore goes on by itself.
	ReasonNotApplied = "NotApplied"
	// ReasonNotAvailable: the APIManager did not become available within `timeout`.
	// Do: follow the operator's conditions in the message, and look at the operator's
	// log. The restore goes on by itself. To have Zync make the Routes once more, ask
	// the restore again.
	ReasonNotAvailable = "NotAvailable"
	// ReasonResyncFailed: sidekiq was not ready within `timeout`, or the Job that has
	// Zync make the Routes again failed.
	// Do: look at the Job's log and at what the message quotes; the Job is tried again
	// until `timeout` has passed.
	ReasonResyncFailed = "ResyncFailed"
	// ReasonRightsMissing: the restore may not do what its last steps need.
	// Do: grant what the message names to the account that it names.
	ReasonRightsMissing = "RightsMissing"
)

// Reasons of a ThreeScaleRestore: why a backup cannot be restored, or not by the
// pods that read and write it.
const (
	// ReasonRunNotFound: the volume or the bucket holds no such run, or the retention of
	// the copies removed it from the bucket while it was restored.
	// Do: correct `restoreSource.run`: `status.runs` of the ThreeScaleBackup and
	// `threescale-backup list` have the runs. Of a bucket, correct `prefix`.
	ReasonRunNotFound = "RunNotFound"
	// ReasonDecryptionFailed: no identity of `decryption.secretRef` reads the run, or
	// the Secret is missing.
	// Do: add the identity for the backup's recipient, under a key that ends in
	// `.agekey`.
	ReasonDecryptionFailed = "DecryptionFailed"
	// ReasonUnexpectedObject: the run holds what no 3scale backup holds.
	// Do: find out who can write to the volume or the bucket; restore another run.
	ReasonUnexpectedObject = "UnexpectedObject"
	// ReasonUnsupportedText: a ConfigMap or the APIManager holds a control character
	// that Flux would lose.
	// Do: if the installation still runs, remove it there, back up again, and restore
	// that run. If it is lost, restore an earlier run, or restore this one as
	// "Restore by hand" in examples/restore/README.md shows.
	ReasonUnsupportedText = "UnsupportedText"
	// ReasonHandoverTooSmall: the objects are larger than 7 MiB.
	// Do: restore the run with the command line, which takes four times as much, as
	// "Restore without a cluster" in examples/restore/README.md shows.
	ReasonHandoverTooSmall = "HandoverTooSmall"
	// ReasonHandoverFailed: the objects could not be handed over to the controller, or
	// were deleted or changed after that.
	// Do: look at the pod, and find out who may write Secrets in the namespace. The
	// restore reads the backup again by itself.
	ReasonHandoverFailed = "HandoverFailed"
	// ReasonNotEmpty: the file storage holds other files.
	// Do: set `fileStorage.existing`, or restore into another namespace, in S3 with another
	// bucket. `Overwrite` replaces files that the run has too; `Mirror` also deletes all
	// others; `Skip` restores no files.
	ReasonNotEmpty = "NotEmpty"
	// ReasonFileStorageOfOthers: the files are in S3, `fileStorage.existing` would replace or
	// delete some that are in the bucket, and the restored Secret leads to the bucket of the
	// installation that was backed up. With another namespace or domain than the restored one
	// has, that may still run.
	// Do: set `fileStorage.existing: Skip`, which leaves them alone; or set
	// `fileStorage.bucketSecret: Omit`, and make a Secret that leads to a bucket of this
	// namespace.
	ReasonFileStorageOfOthers = "FileStorageOfOthers"
	// ReasonDatabaseNotEmpty: a database that shall be loaded holds something.
	// Do: name an empty one in its Secret, or set `databases.policy: Replace`, which
	// replaces all that it holds.
	ReasonDatabaseNotEmpty = "DatabaseNotEmpty"
	// ReasonDatabaseOfOthers: a database holds data, `databases.policy: Replace` would take
	// them, and the restored Secret leads to the database of the installation that was backed
	// up. With another namespace or domain than the restored one has, that may still run.
	// Do: set `databaseSecrets: Omit`, and make Secrets that lead to databases of this
	// namespace.
	ReasonDatabaseOfOthers = "DatabaseOfOthers"
)
