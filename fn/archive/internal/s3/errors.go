package s3

import "errors"

// Problem is why an object store did not do what it was asked for.
type Problem string

// Why an object store fails.
const (
	NotFound     Problem = "NotFound"     // no such bucket
	Denied       Problem = "Denied"       // wrong or expired credentials, or a right is missing
	ClockSkew    Problem = "ClockSkew"    // the clock of this machine or of the object store is wrong
	Untrusted    Problem = "Untrusted"    // its certificate is not that of a known authority, or of another host
	Unreachable  Problem = "Unreachable"  // no connection, or one that ended, or 5xx for too long
	Full         Problem = "Full"         // a quota
	Incompatible Problem = "Incompatible" // it does not support what is needed, such as object lock or conditional requests
)

// Error says that an object store did not do what it was asked for. It holds no credentials.
type Error struct {
	Problem Problem
	Err     error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// ErrDigest is returned (wrapped) when what was to be written does not have the digest that it was said to have.
var ErrDigest = errors.New("content does not have the digest it was recorded with")
