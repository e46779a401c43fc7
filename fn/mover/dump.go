package mover

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/database"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
)

// dumpSuffix ends the name of a file that describes a dump. It is beside the dump and written last: a dump without it
// is not whole.
const dumpSuffix = ".json"

// Dump dumps one database into its own scratch directory, without what an earlier try left there. A failure leaves no dump
// behind: they are not encrypted yet. It is reported as that of the run, unless there is a directory for failures: then it
// is handed on to Backup, which sees all dumps and removes them, and no database after it is dumped. Of a run that is on
// the volume already it dumps nothing. The error is as that of Backup.
func Dump(ctx context.Context, o job.DumpOptions, env Env) (job.Dumped, error) {
	result := job.Dumped{Run: o.Run, Database: o.Database}
	err := step(ctx, env, o.Run, func(progress func(v1alpha1.Progress)) error {
		marked, err := isMarked(o.Scratch)
		if err == nil && marked {
			return nil
		}
		if before := failureIn(o.Failures); err == nil && before != nil {
			result.Failure = before.Error()
			return nil //nolint:nilerr // it is in the result, and the last container fails for it
		}
		if err == nil {
			result.Dump, err = dump(ctx, o, env, progress)
		}
		if err == nil {
			return nil
		}
		err = errors.Join(notDumped(o.Database, err), clearDumps(o.Scratch))
		if o.Failures == "" || ctx.Err() != nil { // A pod that is told to stop runs no other container.
			return err
		}
		result.Failure = err.Error()
		return handOn(o, err)
	})
	return result, err
}

// handedOn is a failure as a file for those after the container that failed.
type handedOn struct {
	Reason  string           `json:"reason"`
	Message string           `json:"message"`
	Problem database.Problem `json:"problem,omitempty"` // of the database; "": it is another one
}

// failedBeforeError is an error of a container before this one, by its own words.
type failedBeforeError struct {
	message string
	err     *database.Error
}

func (e *failedBeforeError) Error() string { return e.message }
func (e *failedBeforeError) Unwrap() error { return e.err }

// handOn writes a failure for those after this container. If it cannot, this container fails.
func handOn(o job.DumpOptions, failed error) error {
	told := handedOn{Reason: Reason(failed), Message: failed.Error()}
	if own, ok := errors.AsType[*database.Error](failed); ok {
		told.Problem = own.Problem
	}
	text, err := json.Marshal(told)
	if err == nil {
		err = os.WriteFile(filepath.Join(o.Failures, o.Database+dumpSuffix), text, 0o660)
	}
	if err != nil {
		return failed
	}
	return nil
}

// failureIn returns the failure of a container before, as it says; nil if none has failed. An image of a user's may have
// written it, or anything else: all of that makes the run fail.
func failureIn(dir string) error {
	if dir == "" {
		return nil
	}
	found, err := names(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(found) == 0 {
		return nil
	}
	told := handedOn{}
	if err == nil {
		err = readJSON(filepath.Join(dir, found[0]), &told)
	}
	if err != nil {
		return fmt.Errorf("a database could not be dumped, and why cannot be read: %w", err)
	}
	return &failure{cmp.Or(told.Reason, v1alpha1.ReasonDatabaseFailed), &failedBeforeError{cmp.Or(told.Message, "a database could not be dumped"), &database.Error{Problem: cmp.Or(told.Problem, database.Failed), Err: errors.New("it could not be dumped")}}}
}

// readJSON reads a small file that a container before this one has written, which may have run an image of a user's: no
// link, which would lead elsewhere, and no pipe, which would never end.
func readJSON(path string, into any) error {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return errNoFile
	}
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it was only read
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errNoFile
	}
	const most = 1 << 20
	return json.NewDecoder(io.LimitReader(file, most)).Decode(into)
}

var errNoFile = errors.New("it is no file")

// notDumped says of which database an error is.
func notDumped(name string, err error) error {
	if is[*database.Error](err) { // its text begins with the name
		return fmt.Errorf("cannot dump database %w", err)
	}
	return fmt.Errorf("cannot dump database %s: %w", name, err)
}

func dump(ctx context.Context, o job.DumpOptions, env Env, progress func(v1alpha1.Progress)) (*recorded.Dump, error) {
	name := threescale.Database(o.Database)
	connection, err := readConnection(o.Connections, name, o.Encrypted)
	if err != nil {
		return nil, err
	}
	into := filepath.Join(o.Scratch, o.Database)
	described := into + dumpSuffix
	if err := os.Remove(described); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot remove what an earlier try left: %w", err)
	}
	phase := job.DumpingPhase(o.Database)
	progress(v1alpha1.Progress{Phase: phase})
	made, err := database.Dump(ctx, database.DumpOptions{
		Database: name, Connection: connection, Into: into, Private: o.Private, Now: env.Now,
		Progress: func(bytes int64) { progress(v1alpha1.Progress{Phase: phase, BytesDone: bytes}) },
	})
	if err != nil {
		return nil, concealConnection(connection, err)
	}
	text, err := json.Marshal(made)
	if err == nil {
		err = os.WriteFile(described, text, 0o660)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot describe the dump: %w", err)
	}
	return &made, nil
}

// readConnection reads how to reach a database from what its container mounts of its Secret.
func readConnection(dir string, name threescale.Database, encrypted bool) (threescale.Connection, error) {
	if !slices.Contains(threescale.Databases(), name) {
		return threescale.Connection{}, &archive.UsageError{Err: errors.New("it is none of those that can be dumped")}
	}
	data, err := readSecret(filepath.Join(dir, string(name)), string(name))
	if err != nil {
		return threescale.Connection{}, err
	}
	connection, err := threescale.ReadConnection(name, data, encrypted)
	if err != nil {
		return threescale.Connection{}, &database.Error{Problem: database.Unsupported, Database: name, Err: err}
	}
	return connection, nil
}

// dumpsOf returns the dumps that a run is to hold. Those of a run that is on the volume already are not looked at, and
// there are none: the name of the mark stands for them. If that run is gone by then, archive finds no such dump and
// writes no run without databases, and the next pod dumps.
func dumpsOf(scratch string) ([]recorded.Dump, error) {
	switch marked, err := isMarked(scratch); {
	case err != nil:
		return nil, fmt.Errorf("cannot store the dumps of databases: %w", err)
	case marked:
		return []recorded.Dump{{Name: completeMark, Kind: completeMark}}, nil
	}
	return takeDumps(scratch)
}

// takeDumps returns the dumps in the scratch directory of a run, in the order in which they were made, and leaves only them
// there. All of what is there must be whole dumps, each with what describes it in a directory of its own: <database>.
func takeDumps(dir string) ([]recorded.Dump, error) {
	found, err := names(dir)
	if err != nil {
		return nil, err
	}
	if err := failureIn(filepath.Join(dir, job.FailuresFolder)); err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(entry string) bool { return entry == job.FailuresFolder })
	var dumps []recorded.Dump
	for _, name := range threescale.Databases() {
		if !slices.Contains(found, string(name)) {
			continue
		}
		found = slices.DeleteFunc(found, func(entry string) bool { return entry == string(name) })
		made, err := takeDump(dir, name)
		if err != nil {
			return nil, fmt.Errorf("cannot store the dump of database %q: %w", name, err)
		}
		dumps = append(dumps, made)
	}
	err = os.RemoveAll(filepath.Join(dir, job.FailuresFolder))
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot store the dumps of databases: %w", err)
	case len(found) > 0:
		return nil, fmt.Errorf("cannot store the dumps of databases: their directory holds %q, which is of none", found[0])
	case len(dumps) == 0:
		return nil, errors.New("cannot store the dumps of databases: there are none; something has removed them")
	}
	return dumps, nil
}

// takeDump returns one dump, and leaves only its files in its directory.
func takeDump(dir string, name threescale.Database) (made recorded.Dump, err error) {
	own := filepath.Join(dir, string(name))
	if made, err = readDump(own, name); err != nil {
		return made, err
	}
	found, err := names(own)
	if err != nil {
		return made, err
	}
	if len(found) != 2 { // the dump, and what describes it
		return made, fmt.Errorf("its directory holds %q, and has to hold a dump alone", found)
	}
	beside := filepath.Join(dir, "."+string(name))
	for _, do := range []func() error{
		func() error { return os.Rename(filepath.Join(own, string(name)), beside) },
		func() error { return os.RemoveAll(own) },
		func() error { return os.Rename(beside, own) },
	} {
		if err := do(); err != nil {
			return made, err
		}
	}
	return made, nil
}

// readDump returns one dump, whose files must be as many bytes as were dumped.
func readDump(dir string, name threescale.Database) (made recorded.Dump, err error) {
	err = readJSON(filepath.Join(dir, string(name)+dumpSuffix), &made)
	if errors.Is(err, fs.ErrNotExist) {
		return made, errors.New("it is not whole: the dump did not come to its end")
	}
	if err != nil {
		return made, fmt.Errorf("what describes it cannot be read: %w", err)
	}
	if made.Name != string(name) {
		return made, fmt.Errorf("what describes it is of database %q", made.Name)
	}
	bytes, err := bytesBelow(filepath.Join(dir, string(name)))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return made, errors.New("its files are gone: something has removed them")
	case err != nil:
		return made, err
	case bytes != made.Bytes:
		return made, fmt.Errorf("it is not whole: its files are %d bytes and not %d", bytes, made.Bytes)
	}
	return made, nil
}

// bytesBelow returns the size of all regular files of a directory.
func bytesBelow(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	return bytes, err
}

// clearDumps removes all dumps of a scratch directory, which may itself be a mount.
func clearDumps(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, entry.Name())))
	}
	if err != nil {
		return fmt.Errorf("cannot remove the dumps of databases from the scratch directory: %w", err)
	}
	return nil
}
