package mover

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/database"
)

// failure is an error whose reason package archive does not tell.
type failure struct {
	reason string
	err    error
}

func (e *failure) Error() string { return e.err.Error() }
func (e *failure) Unwrap() error { return e.err }

// Reason returns the reason for an error of Backup, Prepare, Dump, Inspect, Refill, Verify or Copy: one of [job.Failures].
func Reason(err error) string {
	if own, ok := errors.AsType[*failure](err); ok {
		return own.reason
	}
	bucket, isBucket := errors.AsType[*archive.BucketError](err)
	base, isDatabase := errors.AsType[*database.Error](err)
	switch {
	case errors.Is(err, context.Canceled): // whatever that made fail
		return v1alpha1.ReasonInterrupted
	case isBucket: // also one that took too long to answer
		return bucketReason(bucket.Problem)
	case isDatabase: // likewise
		return databaseReason(base.Problem)
	case errors.Is(err, archive.ErrOwned):
		return v1alpha1.ReasonBucketOwned
	case errors.Is(err, archive.ErrTakenOver): // by a copy that may not go on to its end
		return v1alpha1.ReasonInterrupted
	case errors.Is(err, archive.ErrRunNotFound):
		return v1alpha1.ReasonRunNotFound
	case errors.Is(err, archive.ErrNoIdentity):
		return v1alpha1.ReasonDecryptionFailed
	case is[*archive.NotEmptyError](err):
		return v1alpha1.ReasonNotEmpty
	case errors.Is(err, context.DeadlineExceeded):
		return v1alpha1.ReasonInterrupted
	case is[*archive.UsageError](err):
		return v1alpha1.ReasonUsage
	case is[*archive.VersionError](err):
		return v1alpha1.ReasonUnsupportedFormat
	case is[*archive.LockedError](err):
		return v1alpha1.ReasonLocked
	case is[*archive.NoSpaceError](err):
		return v1alpha1.ReasonNoSpace
	case is[*archive.IntegrityError](err):
		return v1alpha1.ReasonIntegrity
	case is[*archive.UnreadableError](err) && !passes(err):
		return v1alpha1.ReasonUnreadable
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return v1alpha1.ReasonVolumeNotWritable
	}
	return v1alpha1.ReasonIO
}

// passes reports whether files may be readable at the next try, which nobody has to give a right for: a disk or a file server
// has failed, or has lost them for now.
func passes(err error) bool {
	return !errors.Is(err, fs.ErrPermission) && (errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ESTALE))
}

// bucketReason returns the reason for what an object store did not do.
func bucketReason(problem archive.BucketProblem) string {
	switch problem {
	case archive.BucketNotFound:
		return v1alpha1.ReasonBucketNotFound
	case archive.BucketDenied:
		return v1alpha1.ReasonBucketDenied
	case archive.BucketClockSkew:
		return v1alpha1.ReasonBucketClockSkew
	case archive.BucketUntrusted:
		return v1alpha1.ReasonBucketUntrusted
	case archive.BucketFull:
		return v1alpha1.ReasonBucketFull
	case archive.BucketIncompatible:
		return v1alpha1.ReasonBucketIncompatible
	}
	return v1alpha1.ReasonBucketUnreachable // and a problem that is not known here: it is tried again
}

// databaseReason returns the reason for what a database did not do.
func databaseReason(problem database.Problem) string {
	switch problem {
	case database.Unreachable:
		return v1alpha1.ReasonDatabaseUnreachable
	case database.Untrusted:
		return v1alpha1.ReasonDatabaseUntrusted
	case database.Denied:
		return v1alpha1.ReasonDatabaseDenied
	case database.Unsupported:
		return v1alpha1.ReasonDatabaseUnsupported
	case database.ClientMissing:
		return v1alpha1.ReasonDatabaseClientMissing
	case database.NotEmpty:
		return v1alpha1.ReasonDatabaseNotEmpty
	case database.Full:
		return v1alpha1.ReasonDatabaseFull
	case database.Locked:
		return v1alpha1.ReasonLocked
	case database.Failed:
	}
	return v1alpha1.ReasonDatabaseFailed // and a problem that is not known here: it is tried again
}

// is reports whether an error is one of a type, or wraps one.
func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

// ExitCode returns the exit code for an error of Backup, Prepare, Dump, Inspect, Refill, Verify or Copy; 0 without one.
func ExitCode(err error) int {
	if err == nil {
		return job.ExitOK
	}
	return job.FailureOf(Reason(err)).ExitCode
}
