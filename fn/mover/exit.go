package mover

import (
	"context"
	"errors"
	"fmt"
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

// decryptionError says that a run cannot be decrypted with what was given.
type decryptionError struct{ err error }

func (e *decryptionError) Error() string { return e.err.Error() }
func (e *decryptionError) Unwrap() error { return e.err }

// unexpectedError says that a run holds what no backup of 3scale holds.
type unexpectedError struct{ err error }

func (e *unexpectedError) Error() string { return e.err.Error() }
func (e *unexpectedError) Unwrap() error { return e.err }

// tooFewPartsError says that the objects take more hand-over Secrets than there are.
type tooFewPartsError struct{ need, have int }

func (e *tooFewPartsError) Error() string {
	return fmt.Sprintf("cannot hand the objects over: they take %d Secrets of %d bytes, and there are %d: give more", e.need, job.MaxHandoverBytes, e.have)
}

// handoverError says that a hand-over Secret could not be written.
type handoverError struct{ err error }

func (e *handoverError) Error() string { return e.err.Error() }
func (e *handoverError) Unwrap() error { return e.err }

// deniedError says that this process may not read the backup volume.
type deniedError struct{ err error }

func (e *deniedError) Error() string { return e.err.Error() }
func (e *deniedError) Unwrap() error { return e.err }

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
		denied     *deniedError
		integrity  *archive.IntegrityError
		version    *archive.VersionError
		unreported *reportError
	)
	if k, ok := restoreKindOf(err); ok {
		return k
	}
	switch {
	case errors.As(err, &unreported):
		return kind{v1alpha1.ReasonReportMissing, job.ExitTemporary}
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
	case errors.As(err, &unreadable), errors.As(err, &denied):
		return kind{v1alpha1.ReasonUnreadable, job.ExitNoPermission}
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return kind{v1alpha1.ReasonVolumeNotWritable, job.ExitCannotCreate}
	}
	return kind{v1alpha1.ReasonIO, job.ExitIO}
}

// restoreKindOf knows the ways in which only Inspect and Refill fail.
func restoreKindOf(err error) (kind, bool) {
	var (
		decryption *decryptionError
		unexpected *unexpectedError
		tooFew     *tooFewPartsError
		handover   *handoverError
		notEmpty   *archive.NotEmptyError
	)
	switch {
	case errors.Is(err, archive.ErrRunNotFound):
		return kind{v1alpha1.ReasonRunNotFound, job.ExitUsage}, true
	case errors.As(err, &decryption), errors.Is(err, archive.ErrNoIdentity):
		return kind{v1alpha1.ReasonDecryptionFailed, job.ExitNoPermission}, true
	case errors.As(err, &unexpected):
		return kind{v1alpha1.ReasonUnexpectedObject, job.ExitIntegrity}, true
	case errors.As(err, &tooFew):
		return kind{v1alpha1.ReasonHandoverTooSmall, job.ExitUsage}, true
	case errors.As(err, &handover):
		return kind{v1alpha1.ReasonHandoverFailed, job.ExitTemporary}, true
	case errors.As(err, &notEmpty):
		return kind{v1alpha1.ReasonNotEmpty, job.ExitCannotCreate}, true
	}
	return kind{}, false
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
