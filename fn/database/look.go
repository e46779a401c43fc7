package database

import (
	"context"
	"errors"
	"fmt"

	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
)

// Look connects to a database and finds out what it is.
func Look(ctx context.Context, d threescale.Database, c threescale.Connection) (Server, error) {
	switch c.Kind {
	case recorded.Redis:
		return lookRedis(ctx, d, c)
	case recorded.PostgreSQL, recorded.MySQL:
		s, err := lookSQL(ctx, c)
		return s.Server, sqlTask{d, c}.failed(ctx, err)
	}
	return Server{}, unsupported(d, c.Kind)
}

// unsupported says that a kind of database can be neither dumped nor loaded.
func unsupported(d threescale.Database, kind recorded.DatabaseKind) error {
	return &Error{Problem: Unsupported, Database: d, Err: fmt.Errorf("it is a database of %s: back it up with the tools of its vendor, and leave it out here", kind)}
}

// Check says whether a load can be made into a server: nil, or an Error with Unsupported or NotEmpty.
func Check(s Server, o LoadOptions) error {
	err := checkKind(o.Dump, s)
	if err == nil && o.Dump.Kind == recorded.Redis {
		err = checkRedis(s, o)
	} else if err == nil {
		err = checkEmpty(s, o)
	}
	if judged, ok := errors.AsType[*judgedError](err); ok {
		return &Error{Problem: judged.problem, Database: o.Database, Err: judged.err}
	}
	return err
}

// checkKind says whether a server takes the statements of a dump.
func checkKind(dump recorded.Dump, s Server) error {
	if dump.Kind != s.Kind {
		return &judgedError{Unsupported, fmt.Errorf("the dump is of %s, and the server is %s", dump.Kind, s.Kind)}
	}
	if dump.Kind == recorded.Redis { // Its payloads have versions of their own.
		return nil
	}
	from, to := parseVersion(dump.ServerVersion), parseVersion(s.Version)
	switch {
	case from.mariaDB != to.mariaDB:
		return &judgedError{Unsupported, fmt.Errorf("the dump is of %s, and the server is %s: their statements differ", from.name(dump.Kind), to.name(s.Kind))}
	case to.olderThan(from, dump.Kind):
		return &judgedError{Unsupported, fmt.Errorf("the dump is of version %s, and the server of the older version %s: use a server as new as the one that was dumped", dump.ServerVersion, s.Version)}
	}
	return nil
}

// checkEmpty says whether a SQL database may be written to.
func checkEmpty(s Server, o LoadOptions) error {
	switch {
	case mayWrite(s, o), s.Empty && s.Loading == "" && s.Loaded == "":
		return nil
	case s.Loading != "" || s.Loaded != "":
		return unfinished(s)
	}
	return &judgedError{NotEmpty, errors.New("it has tables: let the restore replace them, or name an empty database")}
}

// mayWrite reports whether a database may be written to although it holds something. What this attempt has loaded is not
// loaded again.
func mayWrite(s Server, o LoadOptions) bool {
	return o.Policy == Replace || o.GoesOn(s)
}

// unfinished says that a load of others has ended in the middle, or before they knew of its end.
func unfinished(s Server) error {
	if s.Loaded != "" {
		return &judgedError{NotEmpty, fmt.Errorf("another restore has loaded run %q into it, and has not noted that: finish that restore, or let this one replace what is there", parseMark(s.Loaded).run)}
	}
	return &judgedError{NotEmpty, fmt.Errorf("the load of run %q into it has not ended: restore that run again, or let this one replace what is there", s.Loading)}
}
