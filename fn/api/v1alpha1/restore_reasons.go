package v1alpha1

// Reasons for which the mover's inspect and refill fail, besides those that a
// run's backup can fail for.
const (
	// ReasonRunNotFound: the volume holds no such run.
	ReasonRunNotFound = "RunNotFound"
	// ReasonUnsupportedFormat: a newer program wrote the run.
	ReasonUnsupportedFormat = "UnsupportedFormat"
	// ReasonDecryptionFailed: no age identity decrypts the run.
	ReasonDecryptionFailed = "DecryptionFailed"
	// ReasonUnexpectedObject: the run holds an object that no 3scale backup holds.
	ReasonUnexpectedObject = "UnexpectedObject"
	// ReasonHandoverTooSmall: the objects take more hand-over Secrets than there are.
	ReasonHandoverTooSmall = "HandoverTooSmall"
	// ReasonHandoverFailed: a hand-over Secret could not be written, or is gone or changed.
	ReasonHandoverFailed = "HandoverFailed"
	// ReasonNotEmpty: the file storage holds data that the refill must not touch.
	ReasonNotEmpty = "NotEmpty"
)
