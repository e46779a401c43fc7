package mover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

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

// Dump dumps one database into the scratch directory of a run, without what an earlier try left there. A failure is
// reported as that of the run, and leaves no dump behind: they are not encrypted yet. Of a run that is on the volume
// already it dumps nothing. The error is as that of Backup.
func Dump(ctx context.Context, o job.DumpOptions, env Env) (job.Dumped, error) {
	result := job.Dumped{Run: o.Run, Database: o.Database}
	err := step(ctx, env, o.Run, func(progress func(v1alpha1.Progress)) error {
		marked, err := isMarked(o.Scratch)
		if marked {
			return nil
		}
		if err == nil {
			result.Dump, err = dump(ctx, o, env, progress)
		}
		if err != nil {
			return errors.Join(notDumped(o.Database, err), clearDumps(o.Scratch))
		}
		return nil
	})
	return result, err
}

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

// takeDumps returns the dumps in a scratch directory, in the order in which they were made, and leaves only them there.
// All of what is there must be whole dumps.
func takeDumps(dir string) ([]recorded.Dump, error) {
	found, err := names(dir)
	if err != nil {
		return nil, err
	}
	var dumps []recorded.Dump
	for _, name := range threescale.Databases() {
		data, described := string(name), string(name)+dumpSuffix
		if !slices.Contains(found, data) && !slices.Contains(found, described) {
			continue
		}
		found = slices.DeleteFunc(found, func(entry string) bool { return entry == data || entry == described })
		made, err := readDump(dir, name)
		if err == nil {
			err = os.Remove(filepath.Join(dir, described))
		}
		if err != nil {
			return nil, fmt.Errorf("cannot store the dump of database %q: %w", name, err)
		}
		dumps = append(dumps, made)
	}
	switch {
	case len(found) > 0:
		return nil, fmt.Errorf("cannot store the dumps of databases: their directory holds %q, which is of none", found[0])
	case len(dumps) == 0:
		return nil, errors.New("cannot store the dumps of databases: there are none; something has removed them")
	}
	return dumps, nil
}

// readDump returns one dump, whose files must be as many bytes as were dumped.
func readDump(dir string, name threescale.Database) (made recorded.Dump, err error) {
	text, err := os.ReadFile(filepath.Join(dir, string(name)+dumpSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return made, errors.New("it is not whole: the dump did not come to its end")
	}
	if err == nil {
		err = json.Unmarshal(text, &made)
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
