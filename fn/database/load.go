package database

import (
	"context"
	"fmt"

	"threescale.dev/backup/fn/recorded"
)

// Load writes a dump into a database. A load that was interrupted can be made again. PostgreSQL takes all of a dump or
// nothing; a MySQL database that a load has not ended in has a table that says so (Server.Loading). Errors are Errors, or
// those of ctx.
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

// loadSQL loads a dump with the client of the server.
func loadSQL(ctx context.Context, o LoadOptions) (Loaded, error) {
	before, err := lookSQL(ctx, o.Connection)
	if err != nil {
		return Loaded{}, err
	}
	if err := Check(o.Database, o.Dump, before.Server, o.Policy, o.Run); err != nil {
		return Loaded{}, err
	}
	load := loadMySQL
	if o.Connection.Kind == recorded.PostgreSQL {
		load = loadPostgreSQL
	}
	isLoaded, err := load(ctx, o, before)
	if err != nil {
		return Loaded{}, err
	}
	if o.Progress != nil {
		o.Progress(o.Dump.Bytes)
	}
	after, err := lookSQL(ctx, o.Connection)
	if err != nil { // It is loaded all the same.
		problem, _ := judgeSQL(err)
		before.Empty, before.Loading = false, ""
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
