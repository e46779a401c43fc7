package archive

import (
	"errors"
	"fmt"

	"threescale.dev/backup/fn/archive/internal/seal"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// ErrRunNotFound is returned (wrapped) when a volume holds no run of the given ID, or none at all for [Latest].
var ErrRunNotFound = errors.New("no such run")

// ErrNoIdentity is returned (wrapped) when an encrypted run is read with identities none of which can decrypt it.
var ErrNoIdentity = seal.ErrNoIdentity

// UsageError says that a call can never succeed as it was made: a malformed run ID, recipient or object path.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// LockedError says that another writer holds the volume. Trying again later can succeed.
type LockedError struct {
	Holder string // what the other writer called itself; may be empty
}

func (e *LockedError) Error() string {
	if e.Holder == "" {
		return "cannot lock volume: somebody is writing to it"
	}
	return fmt.Sprintf("cannot lock volume: %q is writing to it", e.Holder)
}

// InUseError says that a run is not removed because somebody reads it. Trying again later can succeed.
type InUseError struct{ Run string }

func (e *InUseError) Error() string {
	return fmt.Sprintf("run %q is being read", e.Run)
}

// NoSpaceError says that the volume is too small, found out beforehand or when a write failed.
type NoSpaceError struct {
	NeededBytes     uint64 // what is still to be written, rounded up to blocks; 0 when a write failed
	AvailableBytes  uint64
	NeededInodes    uint64
	AvailableInodes uint64
	Err             error // the failed write's error; nil when found out beforehand
}

func (e *NoSpaceError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("volume is full (%d bytes available): %v", e.AvailableBytes, e.Err)
	}
	if e.NeededBytes <= e.AvailableBytes {
		return fmt.Sprintf("volume has too few inodes: %d needed, %d available", e.NeededInodes, e.AvailableInodes)
	}
	return fmt.Sprintf("volume is too small: %d bytes needed, %d available", e.NeededBytes, e.AvailableBytes)
}
func (e *NoSpaceError) Unwrap() error { return e.Err }

// UnreadableError lists the regular files and directories of the file storage that could not be read.
type UnreadableError = walk.UnreadableError

// IntegrityError says that what is stored is not what was written.
type IntegrityError struct {
	Run      string
	Problems []Problem // never empty
}

func (e *IntegrityError) Error() string {
	if len(e.Problems) == 1 {
		return fmt.Sprintf("run %q is damaged: %s", e.Run, e.Problems[0])
	}
	return fmt.Sprintf("run %q is damaged: %s and %d more problems", e.Run, e.Problems[0], len(e.Problems)-1)
}

// VersionError says that the format of a manifest is newer than this package.
type VersionError struct {
	Version int

	sequence int64 // of the run
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("manifest has format version %d, which is newer than %d: use a newer version of threescale-backup", e.Version, formatVersion)
}

// ProblemKind is what is wrong with one path.
type ProblemKind string

// What can be wrong.
const (
	Missing    ProblemKind = "missing"    // a listed entry is not stored
	Additional ProblemKind = "additional" // a stored entry is not listed
	Changed    ProblemKind = "changed"    // an entry is stored, but not as it is listed
	Malformed  ProblemKind = "malformed"  // a list or an object cannot be read as what it should be
)

// Problem is one mismatch between what is listed and what is stored.
type Problem struct {
	Path string      `json:"path"` // relative to the volume, escaped as in MTREE
	Kind ProblemKind `json:"kind"`
	Got  string      `json:"got,omitempty"`  // such as "sha256:<64 hex>", "size 12", "type link", or an error's text
	Want string      `json:"want,omitempty"` // likewise
}

func (p Problem) String() string {
	s := p.Path + " is " + string(p.Kind)
	if p.Got != "" {
		s += ", got " + p.Got
	}
	if p.Want != "" {
		s += ", want " + p.Want
	}
	return s
}
