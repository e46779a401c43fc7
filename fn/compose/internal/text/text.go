// Package text has the words of Compose: what its conditions and events say. Each
// is a format of package fmt; who decides names the word and fills it in.
package text

import (
	"fmt"
	"slices"
	"strings"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// Finding is one thing that stops a run, or wants attention.
type Finding struct{ Reason, Message string }

// Findingf returns a Finding in a list, as checks return it.
func Findingf(reason, format string, args ...any) []Finding {
	return []Finding{{reason, fmt.Sprintf(format, args...)}}
}

// Findings are one for each message; "" is none.
func Findings(reason string, messages ...string) []Finding {
	var out []Finding
	for _, message := range messages {
		if message != "" {
			out = append(out, Finding{reason, message})
		}
	}
	return out
}

// Listed returns a Finding that names all in a list, behind args; none of an empty list.
func Listed(reason, format string, names []string, args ...any) []Finding {
	if len(names) == 0 {
		return nil
	}
	return Findingf(reason, format, append(args, strings.Join(names, ", "))...)
}

// Joined are the messages of findings as one, each once.
func Joined(findings []Finding) string {
	messages := make([]string, 0, len(findings))
	for _, f := range findings {
		messages = append(messages, f.Message)
	}
	return strings.Join(slices.Compact(messages), ". ")
}

// Of a composite for which nothing can be decided.
const (
	NoCrossplane  = "this Crossplane hands no objects over to functions (required_resources): upgrade it to 2.0 or later; until then no backup can be made, and nothing is changed"
	NoNamespace   = "composite %q has no namespace and does not come from a claim: apply a " + v1alpha1.KindBackup + " in the namespace of the installation instead"
	TwoNamespaces = "composite %q names namespace %q in spec.claimRef and %q in its label crossplane.io/claim-namespace: delete it and apply the claim again"
	NoRunTooOld   = "No run starts before Crossplane is upgraded"
	NoRunRefused  = "No run starts before the namespace is proven"
	NoRunBroken   = "No run starts before this is fixed"
	Gathering     = "Reading the installation; if this stays, Crossplane does not hand over what is asked for: upgrade it to 2.0 or later"
	DropsInUse    = "refusing to drop %s %q, which is in use: this is a bug, please report it"
)

// Of the spec and the Composition's input.
const (
	NoImage       = "The Composition's input has no image; set input.image to the image of this function"
	InvalidField  = "Spec.%s: %s"
	InvalidInput  = "The Composition's input does not decode: %s; ask whoever installed it to correct it"
	JobField      = "spec.job.%s %s; %s"
	JobCorrect    = "correct it, or leave it out"
	JobLeave      = "leave it out, or ask whoever installed the Composition to allow it (input.allow.%s)"
	TooLong       = "%d bytes are more than the %d allowed"
	Negative      = "%d is negative"
	KeepsNothing  = "would keep nothing; leave it out to keep everything"
	NoVerifySlots = "is empty; set one, or leave spec.verify out"
	NoRecipient   = "is empty; name at least one recipient, or leave spec.encryption out"
	NotAlone      = "claimName names an existing PersistentVolumeClaim and goes with no other field"
	NoSize        = "resources.requests is %s; request more than zero"
	NoWriting     = "accessModes allow no writing; add ReadWriteOnce or ReadWriteMany"
	NoDestination = "set resources.requests, volumeName or claimName"
)

// Of spec.offsite.
const (
	EndpointInvalid     = "endpoint is %q; give a host, with a port if it is not the usual one, and without https://"
	BucketNameInvalid   = "bucketName is %q, which no bucket is called"
	PrefixInvalid       = "prefix is %q; give letters, digits, dots, dashes and underscores between single slashes; a segment cannot be . or .. alone"
	TwoIdentities       = "set secretRef or webIdentity, not both"
	NoIdentity          = "set secretRef or webIdentity"
	NoRole              = "webIdentity.roleARN is empty"
	NoSecretName        = "secretRef, certSecretRef and proxySecretRef need a name each, or are left out"
	LockModeInvalid     = "mode is %q; set " + string(v1alpha1.LockGovernance) + " or " + string(v1alpha1.LockCompliance)
	LockDaysInvalid     = "days is %d; set at least 1"
	NoBucketVerifySlots = "is empty; set one, or leave spec.offsite.verify out"
	BucketRefused       = "%s. Name another bucket, or ask whoever installed the Composition to allow this one. Runs go on, and are copied then"
	BucketSecretMissing = "Secret %q (%s of spec.offsite.bucket) was not found in namespace %q; create it with %s. Runs go on, and are copied then"
	BucketSecretLacks   = "Secret %q (%s of spec.offsite.bucket) in namespace %q lacks keys; it needs %s. Runs go on, and are copied then"
	BucketOnCluster     = "The object store %q of spec.offsite is on this cluster, and is lost with it; name one elsewhere, or copy its bucket elsewhere"
)

// Of spec.databases.
const (
	NoDatabase        = "names none; name one, or leave it out"
	ImageInvalid      = "is %q, which no image is called; give a registry, a path, and a tag or a digest"
	ImageRefused      = "%s. Name another one, or ask whoever installed the Composition to allow this one"
	ZyncIsOff         = "this installation has no Zync (spec.zync.enabled of the APIManager); leave it out"
	ZyncIsInternal    = "this database runs inside the installation, which makes it anew; leave it out, or move it out (spec.externalComponents.zync.database of the APIManager)"
	ConnectionInvalid = "%s; correct the Secret"
	IsOracle          = "Secret %q names an Oracle database, which cannot be dumped; leave it out, and back it up with the means of Oracle"
	DatabasesReadable = "Runs hold databases and are stored readable: set spec.encryption, unless whoever reads the volume or the bucket may read all that the databases hold"
)

// Of a copy to the bucket.
const (
	CopyStarted    = "Copy of run %s to %s started"
	Copied         = "Run %s is in the bucket, at %s"
	CopyRemoved    = "Retention removed %s from the bucket"
	NothingToCopy  = "No run has succeeded yet that could be copied"
	CopyWaits      = "Run %s is not in the bucket yet; its copy waits for what else is at work"
	CopyLost       = "Run %s is not in the bucket, and was on a volume that has been replaced; the next run is copied"
	CopyGoes       = "Run %s is copied by Job %q; if status.offsite.progress does not move, look at: " + lookAtCopy
	CopyFailed     = "Run %s is not in the bucket: %s. It is tried again, and goes on where it ended; runs go on"
	CopyAdvised    = "%s; %s"
	CopySilently   = "its Job failed (%s: %s); look at: " + lookAtCopies
	CopyDeadline   = "its Job was not done within spec.job.activeDeadlineSeconds"
	CopyNoResult   = "its Job ended well but left no result in ConfigMap %q; look at: " + lookAtCopies
	CopyOther      = "the copy reports another manifest.json than that of the run on the volume; compare both with threescale-backup verify"
	CopyWarned     = "The newest copy to the bucket: %s"
	OffsiteRemoved = "Spec.offsite is not set: no run is copied; what is in a bucket stays there"
	OwnedAdvice    = "name another spec.offsite.bucket.prefix if this volume takes the place of that one, since a volume has a new identity once its PersistentVolumeClaim is made anew"
	lookAtCopy     = lookAtCopies + "=%s"
	lookAtCopies   = "kubectl -n %s describe job,pod -l " + v1alpha1.LabelCopy
)

// Of the installation.
const (
	NamespaceNotFound   = "Namespace %q was not found"
	APIManagerNotFound  = "APIManager %q was not found in namespace %q; correct spec.apiManagerName"
	NoAPIManager        = "Namespace %q has no APIManager; create the " + v1alpha1.KindBackup + " in the namespace of the installation"
	SeveralAPIManagers  = "Namespace %q has %d APIManagers (%s); name one in spec.apiManagerName"
	NameTooLong         = "%s names Secret %q: its name has %d characters, and one that is stored in a file can have %d; give the Secret a shorter name"
	FileBucketUnknown   = "The bucket of the file storage cannot be read: %v"
	BucketIsSource      = "Spec.offsite.bucket is bucket %q of the file storage, all of which is backed up, copies of backups too; name another bucket in spec.offsite.bucket"
	FileStorageNotFound = "PersistentVolumeClaim %q of the file storage was not found; if this installation has none, set spec.fileStorage to " + string(v1alpha1.FileStorageSkip)
	FileStorageDeleted  = "PersistentVolumeClaim %q of the file storage is being deleted"
	FileStorageLost     = "PersistentVolumeClaim %q of the file storage has lost its volume"
	FileStorageOnePod   = "PersistentVolumeClaim %q allows one pod only (ReadWriteOncePod), which is the installation's own"
	SecretsMissing      = "Namespace %q lacks Secrets that the installation needs: %s; create them, or correct what names them"
	ConfigMapsMissing   = "Namespace %q lacks ConfigMaps that the installation needs: %s; create them"
	NamedBy             = "%s (named by %s)"
	ConfigMap           = "ConfigMap %s"
	SecretsTooLarge     = "The Secrets to copy are %s together, more than the %s that fit into one answer of a composition function; remove what the installation does not need from the largest of them"
	ObjectsTooLarge     = "The APIManager, the ConfigMaps and the Secrets' metadata are %s together, more than the %s that one Secret holds"
	OptionalMissing     = "Optional Secrets and ConfigMaps are missing and not in the backup: %s"
	TokensNotCopied     = "Service-account tokens are never copied: %s"
	DestinationIsSource = "PersistentVolumeClaim %q is the file storage that is to be backed up; name another one"
	VolumeIsSource      = "PersistentVolume %q holds the file storage that is to be backed up; name another one"
)

// Of the volume that runs are written to.
const (
	DestinationNotFound    = "PersistentVolumeClaim %q was not found in namespace %q; create it, or correct claimName"
	DestinationDeleted     = "PersistentVolumeClaim %q is being deleted; its data are gone with it unless its volume is retained"
	DestinationLost        = "PersistentVolumeClaim %q has lost its volume"
	DestinationNotWritable = "PersistentVolumeClaim %q has no access mode that allows writing"
	DestinationOfOther     = "PersistentVolumeClaim %q exists and is not of this backup; rename the backup, or use it with claimName"
	DestinationStillOwned  = "PersistentVolumeClaim %q still belongs to %s %q; it is adopted once that is gone"
	VolumeNotFound         = "PersistentVolume %q was not found; create it, or correct volumeName"
	VolumeNotWritable      = "PersistentVolume %q has no access mode that allows writing"
	VolumeTooSmall         = "PersistentVolume %q has %s and %s are requested; request less, or name a larger one"
	VolumeDeleted          = "PersistentVolume %q is being deleted"
	VolumeReleased         = "PersistentVolume %q was released by %s; if it may be used, run: kubectl patch pv %s --type=json -p '[{\"op\":\"replace\",\"path\":\"/spec/claimRef\",\"value\":{\"namespace\":%q,\"name\":%q}}]'"
	VolumeBound            = "PersistentVolume %q is bound to %s; name another one"
	PVC                    = "PersistentVolumeClaim %q"
	PVCElsewhere           = "a PersistentVolumeClaim of another namespace" // which its author may not know
	OwnedByNamespace       = "PersistentVolumeClaim %q stays when this backup is deleted, in spite of deletionPolicy " + string(v1alpha1.DeletionDelete) + ": it is owned by its Namespace too, as an earlier backup of this name had it"
	EditIgnored            = "%s has no effect: PersistentVolumeClaim %q exists (%s) and is kept, with the backups on it; for another destination make a new " + v1alpha1.KindBackup
	IsComposed             = "composed"
	IsBound                = "bound to %s"
	IsOfClass              = "class %s"
	HasOtherModes          = "other access modes"
	CannotShrink           = "PersistentVolumeClaim %q has %s and cannot shrink to %s"
	GrowsOnceBound         = "PersistentVolumeClaim %q grows to %s once it is bound"
	CannotExpand           = "PersistentVolumeClaim %q stays at %s: its StorageClass does not allow expansion to %s"
	ReclaimDelete          = "Deleting PersistentVolumeClaim %q, or its namespace, deletes the backups, since the reclaim policy of the volume is Delete; to keep them, run once it is bound: kubectl patch pv \"$(kubectl -n %s get pvc %s -o jsonpath='{.spec.volumeName}')\" -p '{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}'"
)

// Of a run.
const (
	RunStarted     = "Run %s started"
	RunWaits       = "Run %s waits: see " + v1alpha1.ConditionPreflightPassed
	RunCopies      = "Run %s copies Secrets and objects"
	RunInJob       = "Run %s is in Job %q; if status.progress does not move, look at: " + lookAtRun
	RunCompleted   = "Run %s is on PersistentVolumeClaim %q, verified"
	RunFailed      = "Run %s: %s"
	RunFailedEvent = "Run %s failed: %s"
	RunsRemoved    = "Retention removed %s and freed %d bytes"
	NotStarted     = "No run has started"
	NotYetStarted  = "No run has started; the first is due at status.nextRunTime"
	VolumeReplaced = "PersistentVolumeClaim %q is not the one that holds the earlier runs; start a run with a new spec.trigger"

	lookAtRun = "kubectl -n %s describe job,pod -l " + v1alpha1.LabelRun + "=%s"
	LookAtRun = "look at: " + lookAtRun
	again     = "; then start another run with a new spec.trigger"

	ReportUnreadable = "%s; start another run with spec.trigger"
	ResultMissing    = "Job %q ended well but left no result in ConfigMap %q; look at its log, then start another run with spec.trigger"
	DeadlineExceeded = "Job %q was not done within spec.job.activeDeadlineSeconds; raise it, or %s" + again
	FailedAsTold     = "%s; %s" + again
	FailedSilently   = "Job %q failed (%s: %s); %s" + again

	Inconsistent   = "Sources changed in each of %d attempts to copy them at one moment; the backup holds versions of different moments"
	ClockAhead     = "the clock of the node that run %s was written on is ahead by %s" + clockOff
	ClockBehind    = "the clock of the node that run %s was written on is behind by %s" + clockOff
	clockOff       = " at least, and so is the date of the run; correct the clock; the order of runs does not depend on it"
	NotInRun       = "Not in the newest run: %s"
	Suspended      = "No scheduled run starts while spec.suspend is true; spec.trigger still starts one"
	SlotsMissed    = "%d slots of the schedule passed without a run: see what happened since status.schedule.firstMissedSlot, and spec.startingDeadlineSeconds"
	Unencrypted    = "Run %s is encrypted, and the next will be stored readable: set spec.encryption again unless that is meant"
	RetentionWaits = "No run is removed while " + v1alpha1.KindRestore + " %q reads the volume"
)

// Of a verification.
const (
	VerificationStarted = "Verification %s started"
	Verified            = "The newest verification read %d runs and found them as they were written"
	NotVerified         = "No verification has ended yet"
	Damaged             = "The newest verification that read all found damage in %s: %s. Check the storage of the volume; the next run stores afresh what is damaged. Until then restore a run that is not damaged"
	VerificationFailed  = "The newest verification failed: %s; look at: kubectl -n %s describe job,pod -l " + v1alpha1.LabelVerification

	BucketVerified = "The newest verification read %d runs in the bucket and found them as they were written"
	BucketDamaged  = "The newest verification that read all found damage in the bucket, in %s: %s. If these runs are still on the volume, delete the damaged objects, never a whole run: the next copy sends again what is missing. If they are not, delete nothing. Until then restore a run that is not damaged"

	FailedAndDamaged     = "%s. %s"
	VerificationAsTold   = "%s (%s)"
	VerificationSilently = "Job %q failed (%s: %s)"
	VerificationNoResult = "Job %q ended well but left no result in ConfigMap %q"
)

// Of the conditions as such.
const (
	Passed     = "A backup can be taken as things are now"
	NoWarnings = "Nothing wants attention"
)

// Reasons of events that no condition has.
const (
	ReasonRunStarted          = "BackupStarted"
	ReasonRunsRemoved         = "RunsRemoved"
	ReasonVerificationStarted = "VerificationStarted"
	ReasonCopyStarted         = "CopyStarted"
)

// Event on the composite and on its claim.
type Event struct {
	Warning bool
	Reason  string
	Message string
}
