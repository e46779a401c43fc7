package mover

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"filippo.io/age"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/database"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
)

// Extract writes the dumps of a run into a directory, proven and decrypted, and what its Secrets say of connections. A
// failure is reported as that of the load; the error is as that of Refill.
func Extract(ctx context.Context, o job.ExtractOptions, env Env) (job.LoadResult, error) {
	return loading(ctx, env, o.Run, func(_ *job.LoadResult, progress func(v1alpha1.Progress)) error {
		identities, err := readIdentities(o.Identities)
		if err != nil {
			return err
		}
		if o.Tools != "" {
			if err := copySelf(o.Tools); err != nil {
				return err
			}
		}
		return withStore(ctx, env, o.Volume, o.BucketOptions, func(store archive.Store) error {
			return extractFrom(ctx, store, o, identities, progress)
		})
	})
}

// loading does a part of a load, and reports what is loaded until now, and a failure.
func loading(ctx context.Context, env Env, run string, work func(*job.LoadResult, func(v1alpha1.Progress)) error) (job.LoadResult, error) {
	result := job.LoadResult{Run: run}
	progress := startProgress(ctx, env)
	err := work(&result, progress.set)
	progress.stop()
	result.CompletionTime = env.Now().UTC()
	if err != nil {
		result.Reason, result.Message = Reason(err), err.Error()
	}
	result = result.Bounded()
	return result, report(ctx, env.Reporter, run, job.KeyLoad, result, err)
}

func extractFrom(ctx context.Context, store archive.Store, o job.ExtractOptions, identities []age.Identity, progress func(v1alpha1.Progress)) error {
	run, err := store.OpenRun(ctx, o.Run)
	if err != nil {
		return err
	}
	defer run.Close() //nolint:errcheck // it was only read
	info := run.Info()
	if err := checkManifest(info, o.ManifestSHA256); err != nil {
		return err
	}
	if o.Connections != "" {
		objects, err := run.Objects(ctx, identities...)
		if err != nil {
			return explainDecryption(err, info.Manifest, identities)
		}
		if err := writeConnections(o.Connections, o.Database, connectionsOf("", objects)); err != nil {
			return err
		}
	}
	if err := errors.Join(os.RemoveAll(o.Scratch), os.MkdirAll(o.Scratch, 0o770)); err != nil {
		return fmt.Errorf("cannot make the scratch directory: %w", err)
	}
	err = run.ExtractDatabases(ctx, o.Scratch, archive.ExtractOptions{Databases: o.Database, Identities: identities, Progress: PassOn(progress)})
	if is[*archive.NoSpaceError](err) {
		return &failure{v1alpha1.ReasonDatabaseFull, fmt.Errorf("cannot extract the dumps: %w; name a larger volume in spec.databases.scratch", err)}
	}
	if err != nil {
		return explainDecryption(err, info.Manifest, identities)
	}
	for _, dump := range run.Dumps() {
		if !slices.Contains(o.Database, dump.Name) {
			continue
		}
		if err := writeJSON(filepath.Join(o.Scratch, dump.Name+dumpSuffix), dump); err != nil {
			return err
		}
	}
	return nil
}

// writeConnections writes the connections of databases as if their Secrets were mounted. The group may read them: the
// image of a database's client may have another user.
func writeConnections(dir string, databases []string, from connections) error {
	for _, name := range databases {
		data, err := from.secret(threescale.Database(name))
		if err != nil {
			return &database.Error{Problem: database.Unsupported, Database: threescale.Database(name), Err: err}
		}
		err = os.MkdirAll(filepath.Join(dir, name), 0o770)
		for key, value := range data {
			err = cmp.Or(err, os.WriteFile(filepath.Join(dir, name, key), value, 0o440))
		}
		if err != nil {
			return fmt.Errorf("cannot write the connection to database %q: %w", name, err)
		}
	}
	return nil
}

func writeJSON(name string, value any) error {
	text, err := json.Marshal(value)
	if err == nil {
		err = os.WriteFile(name, text, 0o660)
	}
	if err != nil {
		return fmt.Errorf("cannot write into the scratch directory: %w", err)
	}
	return nil
}

// Load loads databases from the dumps in a directory, one after the other, and reports each. The result has what was
// loaded into this directory before, and is complete when all that shall be loaded are. The error is as that of Refill;
// what was loaded before it stays loaded.
func Load(ctx context.Context, o job.LoadOptions, env Env) (job.LoadResult, error) {
	return loading(ctx, env, o.Run, func(result *job.LoadResult, progress func(v1alpha1.Progress)) (err error) {
		defer func() {
			if err != nil || result.Completed { // nothing reads the dumps any more, and they are not encrypted
				err = errors.Join(err, clearDumps(o.Scratch))
			}
		}()
		if result.Databases, err = readLoaded(o.Scratch); err != nil {
			return err
		}
		if err := proveApart(o); err != nil {
			return err
		}
		for _, name := range o.Database {
			if err := loadOne(ctx, o, env, threescale.Database(name), result, progress); err != nil {
				return err
			}
		}
		for _, name := range o.Whole {
			if !slices.ContainsFunc(result.Databases, func(d job.LoadedDatabase) bool { return d.Name == name }) {
				return &archive.UsageError{Err: fmt.Errorf("database %q was to be loaded by another container, and is not", name)}
			}
		}
		result.Completed = len(o.Whole) > 0
		return nil
	})
}

// loadOne loads one database, and notes that before it removes the mark: a pod that ends in between leaves no doubt whether
// the database is loaded.
func loadOne(ctx context.Context, o job.LoadOptions, env Env, name threescale.Database, result *job.LoadResult, progress func(v1alpha1.Progress)) error {
	l, err := newLoader(o, name, progress)
	if err != nil {
		return err
	}
	loaded := l.loadedBefore()
	if !slices.Contains(o.Loaded, string(name)) {
		if loaded, err = l.load(ctx); err != nil {
			return err
		}
	}
	result.Databases = append(result.Databases, loaded)
	if err := tellLoaded(ctx, o, env, *result, loaded); err != nil {
		return err
	}
	if err := database.Confirm(ctx, l.LoadOptions); err != nil {
		return fmt.Errorf("%w; it is loaded, and what marks the load stays in it until the next try", concealConnection(l.Connection, err))
	}
	return nil
}

// proveApart refuses two databases that are one: the load of the second would replace the first.
func proveApart(o job.LoadOptions) error {
	seen := map[threescale.Database]threescale.Connection{}
	for _, text := range o.Database {
		name := threescale.Database(text)
		connection, err := readConnection(o.Connections, name, slices.Contains(o.Encrypted, text))
		if err != nil {
			return err
		}
		for other, known := range seen {
			if connection.SameDatabase(known) {
				return sameDatabase(name, other)
			}
		}
		seen[name] = connection
	}
	return nil
}

func sameDatabase(name, other threescale.Database) error {
	return &database.Error{
		Problem: database.Unsupported, Database: name,
		Err: fmt.Errorf("its Secret leads to the same database as that of %s, which it would replace: name another one, as by another index; this try has written nothing to it", other),
	}
}

// tellLoaded notes that a database is loaded, before the next one is begun: what is loaded is not empty any more.
func tellLoaded(ctx context.Context, o job.LoadOptions, env Env, result job.LoadResult, loaded job.LoadedDatabase) error {
	err := report(ctx, env.Reporter, o.Run, job.KeyLoad, result.Bounded(), nil)
	return cmp.Or(err, writeJSON(filepath.Join(o.Scratch, loaded.Name+loadedSuffix), loaded))
}

// loadedSuffix ends the name of a file that says that a database is loaded.
const loadedSuffix = ".loaded.json"

// readLoaded returns the databases that are loaded, in the order in which they were dumped.
func readLoaded(dir string) ([]job.LoadedDatabase, error) {
	var out []job.LoadedDatabase
	for _, name := range threescale.Databases() {
		loaded := job.LoadedDatabase{}
		err := readJSON(filepath.Join(dir, string(name)+loadedSuffix), &loaded)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read what is loaded: %s: %w", name, err)
		}
		out = append(out, loaded)
	}
	return out, nil
}

// loader loads one database.
type loader struct {
	database.LoadOptions
	begun func() // tells that the load has begun
}

func newLoader(o job.LoadOptions, name threescale.Database, progress func(v1alpha1.Progress)) (loader, error) {
	connection, err := readConnection(o.Connections, name, slices.Contains(o.Encrypted, string(name)))
	if err != nil {
		return loader{}, err
	}
	dump, err := readDump(o.Scratch, name)
	if err != nil {
		return loader{}, fmt.Errorf("cannot load database %q: %w", name, err)
	}
	told := func(bytes int64) {
		progress(v1alpha1.Progress{Phase: job.LoadingPhase(string(name)), BytesDone: bytes, BytesTotal: dump.Bytes})
	}
	return loader{database.LoadOptions{
		Database: name, Connection: connection, Run: o.Run, Attempt: o.Attempt, Dump: dump, From: filepath.Join(o.Scratch, string(name)), Private: o.Private,
		Policy: database.Policy(o.Policy), Progress: told,
	}, func() { told(0) }}, nil
}

func (l loader) load(ctx context.Context) (job.LoadedDatabase, error) {
	l.begun()
	loaded, err := database.Load(ctx, l.LoadOptions)
	if err != nil {
		return job.LoadedDatabase{}, fmt.Errorf("%w; %s", concealConnection(l.Connection, err), leftBehind(l.Dump.Kind, err))
	}
	out := l.loadedBefore()
	out.ServerVersion, out.Warnings = loaded.Server.Version, loaded.Warnings
	return out, nil
}

// loadedBefore is what is known of a database that an earlier try has loaded.
func (l loader) loadedBefore() job.LoadedDatabase {
	return job.LoadedDatabase{Name: string(l.Database), Kind: l.Dump.Kind, Bytes: l.Dump.Bytes}
}

// leftBehind says what a load that failed left in a database.
func leftBehind(kind recorded.DatabaseKind, err error) string {
	if own, ok := errors.AsType[*database.Error](err); ok && !own.Written { // An earlier try may have.
		return "this try has written nothing to it"
	}
	if kind == recorded.PostgreSQL {
		return "it is as it was before, unless the connection ended while all of it was committed, which the next try finds out"
	}
	return "it may hold a part of the dump, and the same restore goes on with it"
}
