package database

import (
	"context"
	"fmt"

	"threescale.dev/backup/fn/recorded"
)

// Load writes a dump into a database. No other load writes to it meanwhile. A load that was interrupted can be made
// again. PostgreSQL takes all of a dump or nothing; a MySQL or Redis database that a load has not ended in has a mark that
// says so (Server.Loading). One that it has ended in has another mark (Server.Loaded) until Confirm: a load of the same
// attempt is then done without writing. Errors are Errors, or those of ctx.
func Load(ctx context.Context, o LoadOptions) (Loaded, error) {
	switch o.Connection.Kind {
	case recorded.Redis:
		return loadRedis(ctx, o)
	case recorded.PostgreSQL, recorded.MySQL:
		loaded, err := loadSQL(ctx, o)
		return loaded, sqlTask{o.Database, o.Connection}.failed(ctx, err)
	}
	return Loaded{}, unsupported(o.Database, o.Connection.Kind)
}

// Confirm removes the mark of a load that has ended, once its end is noted where the next try looks. It does nothing if
// there is no such mark. Errors are Errors, or those of ctx; it can be called again after one.
func Confirm(ctx context.Context, o LoadOptions) error {
	switch o.Connection.Kind {
	case recorded.Redis:
		return confirmRedis(ctx, o)
	case recorded.PostgreSQL, recorded.MySQL:
		return sqlTask{o.Database, o.Connection}.failed(ctx, confirmSQL(ctx, o))
	}
	return unsupported(o.Database, o.Connection.Kind)
}

// sqlSession is a session of ours that keeps other loads out of a database, until it is closed.
type sqlSession interface {
	// load has the client load the dump, and marks the database as loaded. isLoaded reports whether a table is the dump's.
	load(ctx context.Context, o LoadOptions, before sqlServer) (isLoaded func(table) bool, err error)
	// confirm removes the mark of a database that was looked at.
	confirm(ctx context.Context, marked sqlServer) error
	close(ctx context.Context)
}

// lockSQL begins a session. It waits for that of another load to end.
func lockSQL(ctx context.Context, o LoadOptions) (sqlSession, error) {
	if o.Connection.Kind == recorded.PostgreSQL {
		return lockPostgreSQL(ctx, o)
	}
	return lockMySQL(ctx, o)
}

func confirmSQL(ctx context.Context, o LoadOptions) error {
	session, err := lockSQL(ctx, o)
	if err != nil {
		return err
	}
	defer session.close(ctx)
	s, err := lookSQL(ctx, o.Connection)
	if err != nil || !o.owns(s.Server) {
		return err
	}
	return session.confirm(ctx, s)
}

// loadSQL loads a dump with the client of the server.
func loadSQL(ctx context.Context, o LoadOptions) (Loaded, error) {
	session, err := lockSQL(ctx, o)
	if err != nil {
		return Loaded{}, err
	}
	defer session.close(ctx)
	before, err := lookSQL(ctx, o.Connection)
	if err != nil {
		return Loaded{}, err
	}
	if err := Check(before.Server, o); err != nil {
		return Loaded{}, err
	}
	if o.isLoaded(before.Server) {
		return o.loadedBefore(before.Server), nil
	}
	isLoaded, err := session.load(ctx, o, before)
	if err != nil {
		return Loaded{}, err
	}
	if o.Progress != nil {
		o.Progress(o.Dump.Bytes)
	}
	after, err := lookSQL(ctx, o.Connection)
	if err != nil { // It is loaded all the same.
		problem, _ := judgeSQL(err)
		before.Empty, before.Loading, before.Loaded = false, "", o.loaded().String()
		return Loaded{before.Server, []string{fmt.Sprintf("it is loaded, and could not be looked at afterwards (%s): it may have tables that the dump does not have", problem)}}, nil
	}
	loaded := Loaded{Server: after.Server}
	for _, t := range after.tables {
		if !isLoaded(t) {
			loaded.Warnings = append(loaded.Warnings, fmt.Sprintf("the dump does not have table %q, which is as it was", t.name))
		}
	}
	return loaded, nil
}
