// Package database dumps the databases of an installation, and loads them again: SQL databases with the clients of
// PostgreSQL and MySQL, Redis by itself. It is the only importer of the drivers.
package database

import (
	"time"

	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
)

// Error says what is wrong with a database. Its text holds no secret, and nothing of what the database stores.
type Error struct {
	Problem  Problem
	Database threescale.Database
	Err      error
	// Written says that Load has begun to write to the database. What PostgreSQL was sent is undone.
	Written bool
}

// Problem tells apart what somebody has to do.
type Problem string

// Problems with a database.
const (
	Unreachable   Problem = "Unreachable"   // unknown host, no answer, a connection that ended in the middle
	Untrusted     Problem = "Untrusted"     // TLS: unknown authority, expired, another name, none where it is required
	Denied        Problem = "Denied"        // wrong login, or a right that is missing
	Unsupported   Problem = "Unsupported"   // Oracle; a URL that cannot be used; a server that cannot take the dump
	ClientMissing Problem = "ClientMissing" // the image has no client, or an older one than the server
	NotEmpty      Problem = "NotEmpty"      // a target that must be empty
	Locked        Problem = "Locked"        // another load into it goes on
	Full          Problem = "Full"          // no space in the scratch directory, or on the server
	Failed        Problem = "Failed"        // what the client says
)

func (e *Error) Error() string { return string(e.Database) + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Server is what is known of a database without reading what it stores.
type Server struct {
	Kind    recorded.DatabaseKind
	Version string // such as 15.18, 8.0.36, or 10.11.19-MariaDB
	Empty   bool   // no table, or no key
	Bytes   int64  // about what it stores; 0: not known
	// Loading is the run whose load into this database began and has not ended; "": none.
	Loading string
	// Loaded is what tells the load that has ended in this database, and that Confirm was not called for; "": none.
	Loaded string
}

// DumpOptions says what to dump.
type DumpOptions struct {
	Database   threescale.Database
	Connection threescale.Connection
	Into       string                                   // directory of this dump; made, and emptied before
	Private    string                                   // directory for files with the login, removed after; on tmpfs where there is one
	Client     func(name string) (path string, e error) // finds a client program; nil: exec.LookPath
	Now        func() time.Time
	Progress   func(bytes int64) // what was written until now; about once a second; may be nil
}

// Policy says what to do with a database.
type Policy string

// Policies of loading.
const (
	IfEmpty Policy = "IfEmpty" // an empty one, or one whose load of the same run was interrupted
	Replace Policy = "Replace" // whatever it holds
)

// LoadOptions says what to load.
type LoadOptions struct {
	Database   threescale.Database
	Connection threescale.Connection
	Run        string        // whose load this is
	Attempt    string        // on whose behalf: of a restore; "": of nobody who would ask again
	Dump       recorded.Dump // what the manifest says of it
	From       string        // its directory
	Private    string        // as in DumpOptions
	Client     func(name string) (path string, e error)
	Policy     Policy
	Progress   func(bytes int64)
	// LockPatience is how long to wait for another load into the database to end; 0: half a minute.
	LockPatience time.Duration
}

// Loaded is what became of a database.
type Loaded struct {
	Server   Server
	Warnings []string // such as tables that the dump does not have, and that are still there
}
