package v1alpha1

// Labels and annotations of composed objects.
const (
	// LabelBackup holds the name of the ThreeScaleBackup (shortened to a label value).
	LabelBackup = Group + "/backup"
	// LabelRestore holds the name of the ThreeScaleRestore (shortened to a label value).
	LabelRestore = Group + "/restore"
	// LabelRun holds the ID of the run that an object belongs to.
	LabelRun = Group + "/run"
	// LabelReads holds the name of the PersistentVolumeClaim whose runs a Job of a
	// ThreeScaleRestore reads (shortened to a label value).
	LabelReads = Group + "/reads"
	// LabelVerification holds the ID of the verification that an object belongs to.
	LabelVerification = Group + "/verification"
	// LabelCopy holds the ID of the copy to a bucket that an object belongs to.
	LabelCopy = Group + "/copy"
	// LabelAttempt counts the snapshots that a run took, from 1.
	LabelAttempt = Group + "/attempt"
	// LabelSource holds the name of the Secret that a copy was made of
	// (shortened to a label value).
	LabelSource = Group + "/source"
	// LabelSnapshot is SnapshotInconsistent on a Job whose sources kept changing.
	LabelSnapshot = Group + "/snapshot"
	// SnapshotInconsistent: the Job stores objects of different moments.
	SnapshotInconsistent = "inconsistent"

	// AnnotationSourceName holds the full name of the Secret that a copy was made of.
	AnnotationSourceName = Group + "/source-name"
	// AnnotationSourceResourceVersion holds the resourceVersion that was copied.
	AnnotationSourceResourceVersion = Group + "/source-resource-version"
	// AnnotationCause holds what started the run, as JSON (recorded.Cause).
	AnnotationCause = Group + "/cause"
	// AnnotationReaders holds, on the report of a run, the names of the ThreeScaleRestores
	// that read the volume. While there are any, no run is removed.
	AnnotationReaders = Group + "/readers"
	// AnnotationHandled holds what was handled when a run or a verification started, as
	// JSON (job.Handled), in case the status is lost.
	AnnotationHandled = Group + "/handled"
	// AnnotationCopying holds what a copy to a bucket is about, as JSON (job.Copying).
	AnnotationCopying = Group + "/copying"
	// AnnotationBucket holds where the bucket is that a verification reads, as
	// status.offsite.location does.
	AnnotationBucket = Group + "/bucket"
	// AnnotationVolume holds the UID of the PersistentVolumeClaim that a run is
	// on, once it has succeeded.
	AnnotationVolume = Group + "/volume"
	// AnnotationFileStorage holds, on a Job that fills the System file storage, the
	// UID of its PersistentVolumeClaim.
	AnnotationFileStorage = Group + "/file-storage"
)
