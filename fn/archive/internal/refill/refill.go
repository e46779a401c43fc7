// Package refill makes a directory hold the entries of a run: see Target.Refill. Each file is written under a temporary
// name and gets its own when its digest is proven, so that a file is always whole; a marker at the root tells the next
// try that what it finds is of an interrupted one. Nothing that is in the directory is followed out of it.
package refill

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/progress"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// Existing says what becomes of a directory that is not empty.
type Existing string

// The policies; package archive tells what each does.
const (
	Fail      Existing = "Fail"
	Overwrite Existing = "Overwrite"
	Mirror    Existing = "Mirror"
	Skip      Existing = "Skip"
)

// Source is the run that a directory is filled from.
type Source struct {
	Name    string                                              // of the marker: a run's ID
	Digest  string                                              // of its manifest; empty: unknown
	Entries func(context.Context) (lists.Source, func(), error) // the same ones at each call, proven
	Opener  func() Opener                                       // one for each goroutine
	Plain   bool                                                // the entries' digests are those of their plaintext
}

// Opener opens files of the run for reading their plaintext. A reader returns io.EOF only for what is proven.
type Opener interface {
	Open(e *lists.Entry) (io.ReadCloser, error)
	Close()
}

// Options says how to fill a directory.
type Options struct {
	Source   Source
	Root     *dirfd.Dir
	Outside  *dirfd.Dir             // must not be below the root
	Workers  int                    // files at a time
	Batch    int                    // files that a worker takes at once; 0: as many as suit
	Fsync    bool                   // after each file, where one sync of the file system does not reach the disk
	Room     func(dirfd.Room) error // fails if the directory's file system has not as much left
	Progress *progress.Meter
}

// Result is what filling did.
type Result struct {
	Skipped      bool     // the directory was not empty, and Skip left it as it was
	Files        int64    // regular files of the run; all of them are in the directory unless it was skipped
	Bytes        int64    // their sizes
	WrittenFiles int64    // files that were written; the others were there already
	WrittenBytes int64    // their sizes
	Removed      int64    // entries that Mirror removed, each with what was below it
	Warnings     []string // such as owners that could not be given back
}

// NotEmptyError says that a directory holds what filling it would harm.
type NotEmptyError struct {
	Dir  string
	Path string // of one such entry, relative to the directory, escaped as in MTREE
	Why  string
}

func (e *NotEmptyError) Error() string {
	return fmt.Sprintf("directory %q is not empty: %s %s", e.Dir, e.Path, e.Why)
}

// Target is a directory that a run is compared with, or brought into. It is for one call of Compare or Refill.
type Target struct {
	Options

	marker   marker
	found    *walk.Found
	specials map[string]bool // entries of the directory that are none of a run's kinds
	marked   bool            // an earlier try was interrupted
	plan     plan
	root     lists.Entry // of the run
	owners   *owners
	entries  walk.Counts // of the run
	written  walk.Counts
	result   Result
	refused  *refused
}

// New returns a target for the directory.
func New(opts Options) *Target {
	entries := opts.Source.Entries
	opts.Source.Entries = func(ctx context.Context) (lists.Source, func(), error) {
		source, done, err := entries(ctx)
		return narrowed{source}, done, err
	}
	return &Target{Options: opts, marker: newMarker(opts.Source), refused: &refused{}}
}

// narrowed narrows modes to what access control lists give: runs of older versions tell more of what has a list.
type narrowed struct{ lists.Source }

func (n narrowed) Next() (lists.Entry, error) {
	e, err := n.Source.Next()
	e.Mode = lists.Narrow(e.Mode, e.Xattrs)
	return e, err
}

// scan lists the directory and compares its names with those of the run.
func (t *Target) scan(ctx context.Context) (err error) {
	t.Progress.Begin(progress.Scan, 0, 0)
	var root unix.Stat_t
	if err := unix.Fstat(t.Root.FD, &root); err != nil {
		return t.Root.Fail("fstat", "", err)
	}
	t.owners = newOwners(root.Gid)
	if err := t.rescan(ctx); err != nil {
		return err
	}
	if t.marked, err = t.marker.isAt(t.Root); err != nil {
		return err
	}
	return t.makePlan(ctx)
}

func (t *Target) rescan(ctx context.Context) (err error) {
	t.found, err = walk.Scan(ctx, t.Root, walk.Options{Workers: t.Workers, Source: true, Outside: t.Outside})
	if err != nil {
		return err
	}
	if len(t.found.Unreadable) > 0 {
		return &walk.UnreadableError{Entries: t.found.Unreadable}
	}
	t.specials = make(map[string]bool, len(t.found.Skipped))
	for _, s := range t.found.Skipped {
		path, err := lists.Unescape(s.Path)
		if err != nil {
			return err
		}
		t.specials[path] = true
	}
	return nil
}

// State is what a directory holds.
type State struct {
	Empty       bool // nothing
	Same        bool // every entry of the run, and nothing else: its type, content, mode, mtime and link target
	Interrupted bool // what an interrupted refill of the run left: another one goes on with it
}

// Compare compares the directory with the run. It writes nothing. The directory's own mode and time are not looked at:
// they are those of a volume.
func (t *Target) Compare(ctx context.Context) (State, error) {
	if err := t.scan(ctx); err != nil {
		return State{}, err
	}
	state := State{Empty: t.plan.empty, Interrupted: t.marked}
	if t.marked || t.plan.foreign != "" {
		return state, nil
	}
	// What a look tells comes first: to compare content may be to read, or to download and decrypt, all of a run.
	differs, err := t.compare(ctx, depth{meta: true})
	if differs == nil && err == nil {
		differs, err = t.compare(ctx, depth{content: true, meta: true})
	}
	state.Same = differs == nil && err == nil
	return state, err
}

// Refill makes the directory hold the run. When it has returned without an error, all is on disk.
func (t *Target) Refill(ctx context.Context, existing Existing) (*Result, error) {
	if err := t.scan(ctx); err != nil {
		return nil, err
	}
	if existing == Skip && !t.plan.empty && !t.marked {
		t.result.Skipped = true
		return t.done(), nil
	}
	done, err := t.judge(ctx, existing)
	if err != nil {
		return nil, err
	}
	if done {
		err := t.finishRoot()
		return t.done(), err
	}
	if err := t.prepare(ctx); err != nil {
		return nil, err
	}
	if err := t.fill(ctx); err != nil {
		return nil, err
	}
	if existing == Mirror {
		if err := t.removeForeign(ctx); err != nil {
			return nil, err
		}
	}
	err = t.finish(ctx)
	return t.done(), err
}

// judge returns an error if the directory may not be written to, and true if there is nothing to write.
func (t *Target) judge(ctx context.Context, existing Existing) (done bool, err error) {
	careful := existing == Fail || existing == Skip
	switch {
	case careful && t.marked && t.plan.foreign != "":
		return false, t.notEmpty(t.plan.foreign, "is not of the run whose refill was interrupted here")
	case existing != Mirror && t.plan.blocked != "":
		return false, t.notEmpty(t.plan.blocked, "is a directory where the run has none")
	case !careful || t.marked || t.plan.empty:
		return false, nil
	}
	if t.plan.foreign != "" {
		return false, t.notEmpty(t.plan.foreign, "is not of the run")
	}
	differs, err := t.compare(ctx, depth{content: true, omitted: true})
	if err != nil {
		return false, err
	}
	if differs != nil {
		return false, t.notEmpty(differs.path, differs.why)
	}
	differs, err = t.compare(ctx, depth{meta: true, xattrs: true})
	return differs == nil, err
}

func (t *Target) notEmpty(path, why string) error {
	return &NotEmptyError{Dir: t.Root.Path, Path: lists.Escape(path), Why: why}
}

// prepare looks for reasons to fail before anything is written, and then writes the marker.
func (t *Target) prepare(ctx context.Context) error {
	if first := t.plan.firstFile; first != nil {
		opener := t.Source.Opener()
		defer opener.Close()
		in, err := opener.Open(first) // with keys that do not fit, nothing is to be written
		if err != nil {
			return err
		}
		if err := in.Close(); err != nil {
			return err
		}
	}
	if err := t.Room(t.plan.Room); err != nil {
		return err
	}
	t.owners, t.refused = newOwners(t.owners.volume), &refused{} // what comparing counted is counted again
	if err := t.marker.put(t.Root); err != nil {
		return err
	}
	return t.removeLeftovers(ctx)
}

// finish gives the directories their modes and times, makes all durable, and then removes the marker.
func (t *Target) finish(ctx context.Context) error {
	if err := t.finishDirs(ctx); err != nil {
		return err
	}
	t.Progress.Begin(progress.Sync, 0, 0)
	if err := t.Root.SyncFS(); err != nil {
		return err
	}
	if err := t.marker.remove(t.Root); err != nil {
		return err
	}
	return t.finishRoot()
}

// done completes the result.
func (t *Target) done() *Result {
	t.result.Files, t.result.Bytes = t.entries.Files, t.entries.Bytes
	t.result.WrittenFiles, t.result.WrittenBytes = t.written.Files, t.written.Bytes
	t.result.Warnings = append(t.owners.warnings(), t.refused.warnings()...)
	return &t.result
}
