package publish

import "threescale.dev/backup/fn/publish/internal/failure"

// Error says why nothing was published.
type Error = failure.Error

// Reason is why something could not be published: a stable word for a condition.
type Reason = failure.Reason

// Reasons.
const (
	InvalidInput          = failure.InvalidInput
	AuthenticationFailed  = failure.AuthenticationFailed
	HostKeyRejected       = failure.HostKeyRejected
	CertificateRejected   = failure.CertificateRejected
	RepositoryNotFound    = failure.RepositoryNotFound
	BranchNotFound        = failure.BranchNotFound
	BranchNotOurs         = failure.BranchNotOurs
	PathRefused           = failure.PathRefused
	PushRejected          = failure.PushRejected
	UnsupportedRepository = failure.UnsupportedRepository
	TooLarge              = failure.TooLarge
	WorkTreeDirty         = failure.WorkTreeDirty
	RaceLost              = failure.RaceLost
	Unreachable           = failure.Unreachable
	Timeout               = failure.Timeout
	Internal              = failure.Internal
)

func fail(reason Reason, format string, args ...any) *Error {
	return failure.New(reason, format, args...)
}
