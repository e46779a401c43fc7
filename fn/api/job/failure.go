package job

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// Exit codes of the mover, after sysexits(3).
const (
	// ExitOK: the run is on the volume, and reported.
	ExitOK = 0
	// ExitUsage: options that cannot be used.
	ExitUsage = 64
	// ExitIntegrity: stored data do not match their digests.
	ExitIntegrity = 65
	// ExitCannotCreate: the volume is full, read-only or not empty, or the bucket is full or
	// another volume's.
	ExitCannotCreate = 73
	// ExitIO: reading or writing failed, or the object store does not answer; a retry may
	// help.
	ExitIO = 74
	// ExitTemporary: interrupted, locked, or the report could not be written.
	ExitTemporary = 75
	// ExitNoPermission: a file of the file storage cannot be read, no age identity
	// decrypts the run, or the object store refuses the mover or is not trusted.
	ExitNoPermission = 77
	// ExitConfig: an installation in a cluster lacks something. Jobs do not use this code.
	ExitConfig = 78
)

// Retry says when another try may help.
type Retry string

const (
	// RetryAtOnce means that the Job starts another pod, as often as its backoffLimit allows.
	RetryAtOnce Retry = "AtOnce"
	// RetryLater means that another pod would fail too, so the Job fails. The cause is
	// something that nobody watches and somebody may fix: a restore tries again now and
	// then.
	RetryLater Retry = "Later"
	// RetryOnRequest means that it fails until somebody fixes the cause, and asks again.
	RetryOnRequest Retry = "OnRequest"
)

// Failure describes one way in which the mover fails. The exit code, the Job's
// podFailurePolicy, what a restore does next, the messages and the documents follow
// from it.
type Failure struct {
	Reason   string // one of package v1alpha1
	ExitCode int
	Retry    Retry
	// BackupAdvice and RestoreAdvice say what to do, in the messages of a backup and of a
	// restore; "" where the mover's own message is enough, or what to do depends on more
	// than the reason.
	BackupAdvice, RestoreAdvice string
	// FileBucketAdvice is that of both where the bucket is that of the file storage.
	FileBucketAdvice string
}

// Failures returns the ways in which the mover fails, by exit code and reason.
func Failures() []Failure {
	return slices.SortedFunc(slices.Values(slices.Concat(ownFailures(), bucketFailures(), databaseFailures())), func(a, b Failure) int {
		return cmp.Or(cmp.Compare(a.ExitCode, b.ExitCode), strings.Compare(a.Reason, b.Reason))
	})
}

// ownFailures are those that no bucket is needed for.
func ownFailures() []Failure {
	return []Failure{
		{
			Reason: v1alpha1.ReasonHandoverTooSmall, ExitCode: ExitUsage, Retry: RetryOnRequest,
			RestoreAdvice: `restore the run with the command line, which takes four times as much, as "Restore without a cluster" in examples/restore/README.md shows`,
		},
		{Reason: v1alpha1.ReasonRunNotFound, ExitCode: ExitUsage, Retry: RetryOnRequest},
		{Reason: v1alpha1.ReasonUnsupportedFormat, ExitCode: ExitUsage, Retry: RetryOnRequest},
		{Reason: v1alpha1.ReasonUsage, ExitCode: ExitUsage, Retry: RetryOnRequest},
		{
			Reason: v1alpha1.ReasonIntegrity, ExitCode: ExitIntegrity, Retry: RetryOnRequest,
			BackupAdvice: "the storage of the backup volume changed or lost data: check it, and verify the other runs",
		},
		{Reason: v1alpha1.ReasonRunReplaced, ExitCode: ExitIntegrity, Retry: RetryOnRequest},
		{Reason: v1alpha1.ReasonUnexpectedObject, ExitCode: ExitIntegrity, Retry: RetryOnRequest},
		{
			Reason: v1alpha1.ReasonNoSpace, ExitCode: ExitCannotCreate, Retry: RetryOnRequest,
			BackupAdvice: "raise resources.requests if the StorageClass can expand volumes, or move files that belong to no backup off the volume",
		},
		{Reason: v1alpha1.ReasonNotEmpty, ExitCode: ExitCannotCreate, Retry: RetryOnRequest},
		{
			Reason: v1alpha1.ReasonVolumeNotWritable, ExitCode: ExitCannotCreate, Retry: RetryLater,
			BackupAdvice:  "make the backup volume writable, or set spec.job.podSecurityContext to a user and group that may write",
			RestoreAdvice: "make the volume writable, or set spec.job.podSecurityContext to supplementalGroups or a user that may write",
		},
		{Reason: v1alpha1.ReasonIO, ExitCode: ExitIO, Retry: RetryAtOnce},
		{Reason: v1alpha1.ReasonHandoverFailed, ExitCode: ExitTemporary, Retry: RetryAtOnce},
		{Reason: v1alpha1.ReasonInterrupted, ExitCode: ExitTemporary, Retry: RetryAtOnce},
		{
			Reason: v1alpha1.ReasonLocked, ExitCode: ExitTemporary, Retry: RetryAtOnce,
			BackupAdvice: "wait until the other backup to this volume has ended",
		},
		{Reason: v1alpha1.ReasonReportMissing, ExitCode: ExitTemporary, Retry: RetryAtOnce},
		{Reason: v1alpha1.ReasonDecryptionFailed, ExitCode: ExitNoPermission, Retry: RetryOnRequest},
		{
			Reason: v1alpha1.ReasonUnreadable, ExitCode: ExitNoPermission, Retry: RetryLater,
			BackupAdvice:  "let the pod's user read it, or set spec.job.podSecurityContext to a user and group that may",
			RestoreAdvice: "let the pod's user read the volume, or set spec.job.podSecurityContext to supplementalGroups or a user that may",
		},
	}
}

// bucketFailures are those of an object store. Somebody may correct a Secret, grant a
// right, make a bucket or set a clock without telling anyone, hence RetryLater; what only
// another spec helps against waits for that.
func bucketFailures() []Failure {
	const (
		clock     = "set the clock that is wrong: the node's, or the object store's"
		reachable = "look whether the object store is up, and whether a NetworkPolicy or a proxy is in the way"
		denied    = "correct the Secret of secretRef or the role of webIdentity in %s, or grant the rights that %s lists"
		authority = "name a Secret with the certificate of the object store's authority in certSecretRef of %s, or correct its endpoint"
		notFound  = "make the bucket, or correct endpoint, region or bucketName in %s"

		filesDenied    = "correct the keys or the role in the Secret of the file storage, or grant the rights that examples/README.md#files-in-s3 lists"
		filesUntrusted = "give the object store of the files a certificate of a public authority, or correct AWS_HOSTNAME in the Secret of the file storage"
		filesNotFound  = "make the bucket of the files, or correct AWS_BUCKET, AWS_REGION or AWS_HOSTNAME in the Secret of the file storage"
		filesFull      = "raise the quota of the bucket of the files"

		backup, backupDocs   = "spec.offsite.bucket", "examples/README.md"
		restore, restoreDocs = "restoreSource.bucket", "examples/restore/README.md"
	)
	return []Failure{
		{
			Reason: v1alpha1.ReasonBucketIncompatible, ExitCode: ExitUsage, Retry: RetryOnRequest,
			BackupAdvice:  "leave out spec.offsite.objectLock or name a bucket that was made with object lock, or set checksums: None",
			RestoreAdvice: "set checksums: None in " + restore,
		},
		{
			Reason: v1alpha1.ReasonBucketNotFound, ExitCode: ExitUsage, Retry: RetryLater,
			BackupAdvice: fmt.Sprintf(notFound, backup), RestoreAdvice: fmt.Sprintf(notFound, restore), FileBucketAdvice: filesNotFound,
		},
		{
			Reason: v1alpha1.ReasonBucketFull, ExitCode: ExitCannotCreate, Retry: RetryLater,
			BackupAdvice: "raise the quota of the object store, or let spec.offsite.retention keep less", FileBucketAdvice: filesFull,
		},
		{
			Reason: v1alpha1.ReasonBucketOwned, ExitCode: ExitCannotCreate, Retry: RetryOnRequest,
			BackupAdvice: "name another prefix in spec.offsite.bucket: each ThreeScaleBackup, with its PersistentVolumeClaim, needs one of its own",
		},
		{
			Reason: v1alpha1.ReasonBucketUnreachable, ExitCode: ExitIO, Retry: RetryAtOnce,
			BackupAdvice: reachable, RestoreAdvice: reachable, FileBucketAdvice: reachable,
		},
		{
			Reason: v1alpha1.ReasonBucketClockSkew, ExitCode: ExitNoPermission, Retry: RetryLater,
			BackupAdvice: clock, RestoreAdvice: clock, FileBucketAdvice: clock,
		},
		{
			Reason: v1alpha1.ReasonBucketDenied, ExitCode: ExitNoPermission, Retry: RetryLater,
			BackupAdvice: fmt.Sprintf(denied, backup, backupDocs), RestoreAdvice: fmt.Sprintf(denied, restore, restoreDocs), FileBucketAdvice: filesDenied,
		},
		{
			Reason: v1alpha1.ReasonBucketUntrusted, ExitCode: ExitNoPermission, Retry: RetryLater,
			BackupAdvice: fmt.Sprintf(authority, backup), RestoreAdvice: fmt.Sprintf(authority, restore), FileBucketAdvice: filesUntrusted,
		},
	}
}

// databaseFailures are those of a database that is dumped or loaded. Somebody may correct
// a Secret or grant a right without telling anyone, hence RetryLater; what only another
// spec or another server helps against waits for a request.
func databaseFailures() []Failure {
	const (
		reachable = "look whether the database is up, and whether a NetworkPolicy keeps the pod from it"
		trusted   = "correct the authority, the mode or the address in its Secret, or the certificate of the database"
		denied    = "correct the login in its Secret, or grant the rights that examples/README.md#rights-of-the-users lists"
		client    = "name an image with the client of the server's own major version in %s"
		look      = "look at the log of the container that is called as the database"
	)
	return []Failure{
		{
			Reason: v1alpha1.ReasonDatabaseClientMissing, ExitCode: ExitUsage, Retry: RetryOnRequest,
			BackupAdvice: fmt.Sprintf(client, "spec.databases"), RestoreAdvice: fmt.Sprintf(client, "spec.databases"),
		},
		{Reason: v1alpha1.ReasonDatabaseUnsupported, ExitCode: ExitUsage, Retry: RetryOnRequest}, // Its messages say what to do.
		{
			Reason: v1alpha1.ReasonDatabaseFull, ExitCode: ExitCannotCreate, Retry: RetryLater,
			BackupAdvice: "raise resources.requests if the StorageClass can expand volumes: while a run is made, the volume holds its dumps twice",
		},
		{
			Reason: v1alpha1.ReasonDatabaseNotEmpty, ExitCode: ExitCannotCreate, Retry: RetryOnRequest,
			RestoreAdvice: "if it holds the data that you want, set databases.policy to Skip; else name an empty database in its Secret, or set Replace, which replaces all that it holds",
		},
		{Reason: v1alpha1.ReasonDatabaseFailed, ExitCode: ExitIO, Retry: RetryAtOnce, BackupAdvice: look, RestoreAdvice: look},
		{Reason: v1alpha1.ReasonDatabaseUnreachable, ExitCode: ExitIO, Retry: RetryAtOnce, BackupAdvice: reachable, RestoreAdvice: reachable},
		{Reason: v1alpha1.ReasonDatabaseDenied, ExitCode: ExitNoPermission, Retry: RetryLater, BackupAdvice: denied, RestoreAdvice: denied},
		{Reason: v1alpha1.ReasonDatabaseUntrusted, ExitCode: ExitNoPermission, Retry: RetryLater, BackupAdvice: trusted, RestoreAdvice: trusted},
	}
}

// FailureOf returns what is known of a reason. Reports are untrusted and may hold any
// text as a reason: one that is not in the table is tried again.
func FailureOf(reason string) Failure {
	for _, f := range Failures() {
		if f.Reason == reason {
			return f
		}
	}
	return Failure{Reason: reason, ExitCode: ExitIO, Retry: RetryAtOnce}
}

// FinalExitCodes are those after which another pod would fail too, sorted.
func FinalExitCodes() []int32 {
	var codes []int32
	for _, f := range Failures() {
		if f.Retry != RetryAtOnce {
			codes = append(codes, int32(f.ExitCode))
		}
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}
