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

// reportError says that the run is on the volume but nobody was told.
type reportError struct{ err error }

func (e *reportError) Error() string { return e.err.Error() }
func (e *reportError) Unwrap() error { return e.err }

// kind is one way in which a run fails.
type kind struct {
	reason string
	exit   int
}

func kindOf(err error) kind {
	var (
		usage      *archive.UsageError
		locked     *archive.LockedError
		noSpace    *archive.NoSpaceError
		unreadable *archive.UnreadableError
		integrity  *archive.IntegrityError
		version    *archive.VersionError
		unreported *reportError
	)
	switch {
	case errors.As(err, &unreported):
		return kind{v1alpha1.ReasonReportMissing, job.ExitTemporary}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return kind{v1alpha1.ReasonInterrupted, job.ExitTemporary}
	case errors.As(err, &usage), errors.As(err, &version):
		return kind{v1alpha1.ReasonUsage, job.ExitUsage}
	case errors.As(err, &locked):
		return kind{v1alpha1.ReasonLocked, job.ExitTemporary}
	case errors.As(err, &noSpace):
		return kind{v1alpha1.ReasonNoSpace, job.ExitCannotCreate}
	case errors.As(err, &integrity):
		return kind{v1alpha1.ReasonIntegrity, job.ExitIntegrity}
	case errors.As(err, &unreadable):
		return kind{v1alpha1.ReasonUnreadable, job.ExitNoPermission}
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return kind{v1alpha1.ReasonVolumeNotWritable, job.ExitCannotCreate}
	}
	return kind{v1alpha1.ReasonIO, job.ExitIO}
}

// Reason returns the reason of BackupCompleted for an error of Backup.
func Reason(err error) string { return kindOf(err).reason }

// ExitCode returns the exit code for an error of Backup; 0 without one.
func ExitCode(err error) int {
	if err == nil {
		return job.ExitOK
	}
	return kindOf(err).exit
}
