package v1alpha1

// Reasons of a ThreeScaleRestore: why a backup cannot be restored, or not by the
// pods that read and write it.
const (
	// ReasonRunNotFound: the volume holds no such run.
	// Do: `threescale-backup list`, then correct `restoreSource.run`.
	ReasonRunNotFound = "RunNotFound"
	// ReasonDecryptionFailed: no identity of `decryption.secretRef` reads the run, or
	// the Secret is missing.
	// Do: add the identity for the backup's recipient, under a key that ends in
	// `.agekey`.
	ReasonDecryptionFailed = "DecryptionFailed"
	// ReasonUnexpectedObject: the run holds what no 3scale backup holds.
	// Do: find out who can write to the volume; restore another run.
	ReasonUnexpectedObject = "UnexpectedObject"
	// ReasonUnsupportedText: a ConfigMap or the APIManager holds a control character
	// that Flux would lose.
	// Do: remove it, back up again.
	ReasonUnsupportedText = "UnsupportedText"
	// ReasonHandoverTooSmall: the objects are larger than 7 MiB.
	// Do: remove what is large from the installation, back up again.
	ReasonHandoverTooSmall = "HandoverTooSmall"
	// ReasonHandoverFailed: the objects could not be handed over to the controller, or
	// what was is gone or changed.
	// Do: look at the pod, and at who may write Secrets there; the backup is read
	// again.
	ReasonHandoverFailed = "HandoverFailed"
	// ReasonNotEmpty: the file storage holds other files.
	// Do: set `fileStorage.existing` to what shall become of them, or restore into
	// another namespace.
	ReasonNotEmpty = "NotEmpty"
)
