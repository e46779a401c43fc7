package v1alpha1

// Reasons of a ThreeScaleRestore's conditions Ready, Reconciling and Stalled,
// beside those of Flux (Progressing, ProgressingWithRetry, Succeeded).
const (
	// ReasonRestored: the restore has done all of it.
	ReasonRestored = "Restored"
	// ReasonPlanned: a dry run has ended; status.plan holds what a restore would do.
	ReasonPlanned = "Planned"
	// ReasonSourceNotFound: the backup's volume or ThreeScaleBackup is missing.
	ReasonSourceNotFound = "SourceNotFound"
	// ReasonSourceUnusable: the backup's volume cannot be mounted.
	ReasonSourceUnusable = "SourceUnusable"
	// ReasonRepositoryNotFound: the GitRepository is missing.
	ReasonRepositoryNotFound = "RepositoryNotFound"
	// ReasonRepositorySuspended: Flux does not look at the GitRepository.
	ReasonRepositorySuspended = "RepositorySuspended"
	// ReasonRepositoryUnusable: a commit would not reach what Flux applies.
	ReasonRepositoryUnusable = "RepositoryUnusable"
	// ReasonAccessDenied: the repository's owner does not let the namespace write there.
	ReasonAccessDenied = "AccessDenied"
	// ReasonNoRecipients: nobody is known for whom Secrets could be encrypted.
	ReasonNoRecipients = "NoRecipients"
	// ReasonEncryptionRefused: the repository's rules would not encrypt Secrets as Flux needs them.
	ReasonEncryptionRefused = "EncryptionRefused"
	// ReasonAPIManagerExists: the namespace has an installation that the restore would change.
	ReasonAPIManagerExists = "APIManagerExists"
	// ReasonObjectConflict: an object of the restore belongs to somebody else.
	ReasonObjectConflict = "ObjectConflict"
	// ReasonVersionRefused: the 3scale operator would refuse the backup's version.
	ReasonVersionRefused = "VersionRefused"
	// ReasonFolderTaken: the folders in the repository are somebody else's.
	ReasonFolderTaken = "FolderTaken"
	// ReasonGitFailed: the repository could not be read or written; it is tried again.
	ReasonGitFailed = "GitFailed"
	// ReasonPushRejected: the Git server refuses the commit.
	ReasonPushRejected = "PushRejected"
	// ReasonKustomizationNotFound: the Kustomization is missing.
	ReasonKustomizationNotFound = "KustomizationNotFound"
	// ReasonKustomizationUnusable: it does not apply the overlay, or cannot decrypt it.
	ReasonKustomizationUnusable = "KustomizationUnusable"
	// ReasonNotApplied: the Kustomization did not apply the commit in time.
	ReasonNotApplied = "NotApplied"
	// ReasonNotAvailable: the APIManager did not become available in time.
	ReasonNotAvailable = "NotAvailable"
	// ReasonResyncFailed: Zync could not be told to make the routes again.
	ReasonResyncFailed = "ResyncFailed"
)
