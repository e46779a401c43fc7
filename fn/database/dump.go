package database

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
)

// Dump writes a dump: pg_dump -Fd into the directory, dump.sql of mysqldump, or keys.resp of Redis. Errors are Errors, or
// those of ctx. After one, the directory is removed.
func Dump(ctx context.Context, o DumpOptions) (recorded.Dump, error) {
	switch o.Connection.Kind {
	case recorded.Redis:
		return dumpRedis(ctx, o)
	case recorded.PostgreSQL, recorded.MySQL:
		dump, err := dumpSQL(ctx, o)
		if err != nil { // A half dump would take the space of the next try.
			err = errors.Join(err, os.RemoveAll(o.Into))
		}
		return dump, sqlTask{o.Database, o.Connection}.failed(ctx, err)
	}
	return recorded.Dump{}, unsupported(o.Database, o.Connection.Kind)
}

// dumpSQL dumps a SQL database with the client of its server.
func dumpSQL(ctx context.Context, o DumpOptions) (recorded.Dump, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	start := o.Now().UTC()
	s, err := lookSQL(ctx, o.Connection)
	if err != nil {
		return recorded.Dump{}, err
	}
	if err := s.proveSchema(o.Database); err != nil {
		return recorded.Dump{}, err
	}
	if err := os.RemoveAll(o.Into); err != nil {
		return recorded.Dump{}, err
	}
	if err := os.MkdirAll(o.Into, 0o770); err != nil {
		return recorded.Dump{}, err
	}
	stop := watch(o.Progress, func() int64 { return size(o.Into) })
	defer stop()
	dump := dumpMySQL
	if o.Connection.Kind == recorded.PostgreSQL {
		dump = dumpPostgreSQL
	}
	tool, err := dump(ctx, o, s)
	if err != nil {
		return recorded.Dump{}, err
	}
	return recorded.Dump{
		Name: string(o.Database), Kind: o.Connection.Kind, ServerVersion: s.Version, Tool: tool,
		StartTime: start, CompletionTime: o.Now().UTC(), Bytes: size(o.Into),
	}, nil
}

// proveSchema refuses a database that cannot be the one that is meant, whose dump would take the place of good ones.
func (s sqlServer) proveSchema(d threescale.Database) error {
	if s.Empty {
		return &judgedError{Unsupported, errors.New("it has no table: check the name of the database in the URL")}
	}
	if s.Loading != "" {
		return &judgedError{Unsupported, fmt.Errorf("the load of run %q into it has not ended: finish that restore first; if the database is to stay as it is, DROP TABLE %s", s.Loading, loadingTable)}
	}
	const ofSystem = "accounts"
	if d == threescale.SystemDatabase && !s.has(ofSystem) {
		return &judgedError{Unsupported, fmt.Errorf("it has no table %q, as that of System has: check the name of the database in the URL", ofSystem)}
	}
	return nil
}

// size returns the bytes of the files in a directory, as far as it can be read.
func size(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil //nolint:nilerr // It may have been renamed since; this is for progress, and at the end all is there.
		}
		if info, err := entry.Info(); err == nil {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}

// watch calls progress once a second with what measure returns, until stop is called. progress may be nil.
func watch(progress func(bytes int64), measure func() int64) (stop func()) {
	if progress == nil {
		return func() {}
	}
	ticker := time.NewTicker(time.Second)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				progress(measure()) // The last one is the whole.
				return
			case <-ticker.C:
				progress(measure())
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(end)
		<-ended
	}
}
