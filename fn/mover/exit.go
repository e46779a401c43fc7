package mover

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
)

// failure is an error whose kind package archive does not tell.
type failure struct {
	kind kind
	err  error
}

func (e *failure) Error() string { return e.err.Error() }
func (e *failure) Unwrap() error { return e.err }

// kind is one way in which a run fails.
type kind struct {
	reason string
	exit   int
}

// The kinds of failure that are the mover's own.
var (
	// unreported: the run is on the volume but nobody was told.
	unreported = kind{v1alpha1.ReasonReportMissing, job.ExitTemporary}
	// undecryptable: a run cannot be decrypted with what was given.
	undecryptable = kind{v1alpha1.ReasonDecryptionFailed, job.ExitNoPermission}
	// unexpected: a run holds what no backup of 3scale holds.
	unexpected = kind{v1alpha1.ReasonUnexpectedObject, job.ExitIntegrity}
	// runReplaced: a run is not the one that its digest is known of.
	runReplaced = kind{v1alpha1.ReasonRunReplaced, job.ExitIntegrity}
	// handoverTooSmall: the objects take more hand-over Secrets than there are.
	handoverTooSmall = kind{v1alpha1.ReasonHandoverTooSmall, job.ExitUsage}
	// handoverFailed: a hand-over Secret could not be written.
	handoverFailed = kind{v1alpha1.ReasonHandoverFailed, job.ExitTemporary}
	// unreadable: this process may not read the backup volume, or the file storage.
	unreadable = kind{v1alpha1.ReasonUnreadable, job.ExitNoPermission}
)

func kindOf(err error) kind {
	var (
		own        *failure
		notEmpty   *archive.NotEmptyError
		usage      *archive.UsageError
		locked     *archive.LockedError
		noSpace    *archive.NoSpaceError
		cannotRead *archive.UnreadableError
		integrity  *archive.IntegrityError
		version    *archive.VersionError
	)
	switch {
	case errors.As(err, &own):
		return own.kind
	case errors.Is(err, archive.ErrRunNotFound):
		return kind{v1alpha1.ReasonRunNotFound, job.ExitUsage}
	case errors.Is(err, archive.ErrNoIdentity):
		return undecryptable
	case errors.As(err, &notEmpty):
		return kind{v1alpha1.ReasonNotEmpty, job.ExitCannotCreate}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return kind{v1alpha1.ReasonInterrupted, job.ExitTemporary}
	case errors.As(err, &usage):
		return kind{v1alpha1.ReasonUsage, job.ExitUsage}
	case errors.As(err, &version):
		return kind{v1alpha1.ReasonUnsupportedFormat, job.ExitUsage}
	case errors.As(err, &locked):
		return kind{v1alpha1.ReasonLocked, job.ExitTemporary}
	case errors.As(err, &noSpace):
		return kind{v1alpha1.ReasonNoSpace, job.ExitCannotCreate}
	case errors.As(err, &integrity):
		return kind{v1alpha1.ReasonIntegrity, job.ExitIntegrity}
	case errors.As(err, &cannotRead):
		return unreadable
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return kind{v1alpha1.ReasonVolumeNotWritable, job.ExitCannotCreate}
	}
	return kind{v1alpha1.ReasonIO, job.ExitIO}
}

// Reason returns the reason for an error of Backup, Inspect, Refill or Verify.
func Reason(err error) string { return kindOf(err).reason }

// ExitCode returns the exit code for an error of Backup, Inspect, Refill or
// Verify; 0 without one.
func ExitCode(err error) int {
	if err == nil {
		return job.ExitOK
	}
	return kindOf(err).exit
}
