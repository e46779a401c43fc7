package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"time"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/progress"
	"threescale.dev/backup/fn/archive/internal/seal"
	"threescale.dev/backup/fn/archive/internal/walk"
	"threescale.dev/backup/fn/recorded"
)

// ObjectFile is the file of one object in a run.
type ObjectFile struct {
	Path string // secrets/<name>, configmaps/<name> or apimanager/<name>; without .age also when it is encrypted
	Data []byte
}

// WriteOptions says what to back up.
type WriteOptions struct {
	Run         string            // ID: letters, digits, dots, underscores and hyphens
	Holder      string            // what this writer is called in another writer's LockedError
	Objects     []ObjectFile      // at least one, in any order
	Files       string            // directory of the file storage; empty: skipped
	FilesBucket *BucketOptions    // the file storage in place of Files: below the prefix, all objects
	Databases   string            // directory with a directory for each of Dumps, by its name, and nothing else; empty: none
	Dumps       []recorded.Dump   // for the manifest; none without Databases
	Source      Source            // for the manifest
	Cause       recorded.Cause    // for the manifest
	Recipients  []string          // age1..., to encrypt for; none: stored in plaintext
	Known       map[string]string // by run ID, digests of manifests: a run with another digest is not linked to; if any is known, nor is a run without
	Witness     Witness           // of this run; nil: what the volume holds of it is an earlier call's
	ProveLinks  bool              // read each stored file before linking to it, and copy damaged ones from the source
	Workers     int               // how many files at a time; 0: one for each CPU and one more
	Progress    func(Progress)    // called by one goroutine at a time, up to thousands of times a second; may be nil
	Now         func() time.Time  // the clock
}

// Progress is how far a call has come within a phase.
type Progress = progress.Progress

// The phases that callers may wait for.
const (
	PhaseFileStorage = progress.FileStorage
	PhaseSync        = progress.Sync
)

// Result is what a run became.
type Result struct {
	Manifest        *Manifest
	ManifestSHA256  string // digest of manifest.json, in 64 hex digits
	AlreadyComplete bool   // an earlier call had written it; it was verified
	TreeShared      bool   // all entries of the file storage were those of an earlier tree
}

// Write makes a run, or goes on with one that was interrupted. Errors that callers may tell apart: UsageError,
// LockedError, NoSpaceError, UnreadableError, IntegrityError (the run is there and damaged), VersionError, BucketError
// (of FilesBucket), and ctx's.
// After any of them earlier runs are as they were, and the same call can be made again.
func (v *Volume) Write(ctx context.Context, opts WriteOptions) (*Result, error) {
	w, err := newWriter(v, opts)
	if err != nil {
		return nil, &UsageError{Err: fmt.Errorf("cannot write run %q: %w", opts.Run, err)}
	}
	lock, err := v.lock(opts.Holder)
	if err != nil {
		return nil, explainFull(v.root, err)
	}
	defer lock.release()
	w.warn(lock.warning)
	result, err := w.write(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot write run %q: %w", opts.Run, explainFull(v.root, err))
	}
	return result, nil
}

// writer is one call of Write.
type writer struct {
	volume  *Volume
	opts    WriteOptions
	sealer  *seal.Sealer
	objects []ObjectFile // sorted

	runs, trees *dirfd.Dir
	storage     *treeWriter // the file storage
	databases   *treeWriter
	lost        walk.Lost // extended attributes that are not kept
	earlier     []RunInfo // runs of the volume, oldest first
	interrupted *Manifest // of an interrupted attempt, if it had written one
	manifest    Manifest
	digest      string // of manifest.json
	fsync       bool   // after each file, where one sync of the file system does not reach the disk
	warned      int    // bytes of warnings
	progress    *progress.Meter
}

func newWriter(v *Volume, opts WriteOptions) (*writer, error) {
	if err := validRunID(opts.Run); err != nil {
		return nil, err
	}
	sealer, err := seal.New(opts.Recipients)
	if err != nil {
		return nil, err
	}
	objects, err := sortObjects(opts.Objects, sealer)
	if err != nil {
		return nil, err
	}
	if opts.Files != "" && opts.FilesBucket != nil {
		return nil, errors.New("two places of the file storage: a directory and a bucket")
	}
	if (opts.Databases == "") != (len(opts.Dumps) == 0) {
		return nil, errors.New("dumps without a directory of them, or the other way round")
	}
	if err := validDumps(opts.Dumps); err != nil && opts.Databases != "" {
		return nil, err
	}
	if opts.Now == nil {
		return nil, errors.New("no clock")
	}
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0) + 1
	}
	w := &writer{volume: v, opts: opts, sealer: sealer, objects: objects, progress: &progress.Meter{Report: opts.Progress}}
	w.storage = &treeWriter{writer: w, link: storageName, dir: opts.Files}
	w.databases = &treeWriter{writer: w, link: databasesName, dir: opts.Databases}
	w.manifest = Manifest{
		FormatVersion: orderedVersion,
		Run:           opts.Run,
		Cause:         opts.Cause,
		StartTime:     opts.Now().UTC(),
		Source:        opts.Source,
		FileStorage:   Stored,
	}
	if sealer != nil {
		w.manifest.Encryption = &Encryption{Recipients: sealer.Names}
	}
	if opts.Files == "" && opts.FilesBucket == nil {
		w.manifest.FileStorage = Skipped
	}
	return w, nil
}

// storedPath is the path of an object in the directory of the run.
func storedPath(o ObjectFile, s *seal.Sealer) string {
	if s == nil {
		return o.Path
	}
	return o.Path + ageSuffix
}

// sortObjects checks the paths of objects and returns them in the order of the lists, which is that of the stored
// paths.
func sortObjects(objects []ObjectFile, s *seal.Sealer) ([]ObjectFile, error) {
	if len(objects) == 0 {
		return nil, errors.New("no objects")
	}
	sorted := slices.Clone(objects)
	slices.SortFunc(sorted, func(a, b ObjectFile) int { return lists.ComparePaths(storedPath(a, s), storedPath(b, s)) })
	for i, o := range sorted {
		if err := validObjectPath(o.Path); err != nil {
			return nil, err
		}
		if i > 0 && sorted[i-1].Path == o.Path {
			return nil, fmt.Errorf("object %q is given twice", o.Path)
		}
	}
	return sorted, nil
}

func validObjectPath(path string) error {
	dir, name, _ := strings.Cut(path, "/")
	if !fs.ValidPath(path) || !slices.Contains(objectDirs(), dir) || name == "" || strings.Contains(name, "/") {
		return fmt.Errorf("object path %q is not a file below secrets, configmaps or apimanager", path)
	}
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, ageSuffix) || strings.ContainsFunc(name, isControl) {
		return fmt.Errorf("object path %q begins with a dot, ends in %s or holds control characters", path, ageSuffix)
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
