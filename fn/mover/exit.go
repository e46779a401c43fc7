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

// failure is an error whose reason package archive does not tell.
type failure struct {
	reason string
	err    error
}

func (e *failure) Error() string { return e.err.Error() }
func (e *failure) Unwrap() error { return e.err }

// Reason returns the reason for an error of Backup, Inspect, Refill or Verify: one
// of [job.Failures].
func Reason(err error) string {
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
		return own.reason
	case errors.Is(err, archive.ErrRunNotFound):
		return v1alpha1.ReasonRunNotFound
	case errors.Is(err, archive.ErrNoIdentity):
		return v1alpha1.ReasonDecryptionFailed
	case errors.As(err, &notEmpty):
		return v1alpha1.ReasonNotEmpty
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return v1alpha1.ReasonInterrupted
	case errors.As(err, &usage):
		return v1alpha1.ReasonUsage
	case errors.As(err, &version):
		return v1alpha1.ReasonUnsupportedFormat
	case errors.As(err, &locked):
		return v1alpha1.ReasonLocked
	case errors.As(err, &noSpace):
		return v1alpha1.ReasonNoSpace
	case errors.As(err, &integrity):
		return v1alpha1.ReasonIntegrity
	case errors.As(err, &cannotRead):
		return v1alpha1.ReasonUnreadable
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return v1alpha1.ReasonVolumeNotWritable
	}
	return v1alpha1.ReasonIO
}

// ExitCode returns the exit code for an error of Backup, Inspect, Refill or
// Verify; 0 without one.
func ExitCode(err error) int {
	if err == nil {
		return job.ExitOK
	}
	return job.FailureOf(Reason(err)).ExitCode
}
