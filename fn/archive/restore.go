package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/progress"
	"threescale.dev/backup/fn/archive/internal/refill"
	"threescale.dev/backup/fn/archive/internal/tree"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// Existing says what [Run.Restore] does with a directory that is not empty. What belongs to the file system at the root
// of a volume (lost+found, .snapshot) does not count and is never touched.
type Existing = refill.Existing

// What becomes of a directory that is not empty.
const (
	Fail      = refill.Fail      // refused, unless all that it holds is the run; what an interrupted Restore of the run left is continued
	Overwrite = refill.Overwrite // entries that the run holds are replaced, others stay
	Mirror    = refill.Mirror    // likewise, and others are removed
	Skip      = refill.Skip      // it stays as it is, unless an interrupted Restore of the run left it
)

// NotEmptyError says that a directory holds what Restore would harm. Nothing was written.
type NotEmptyError = refill.NotEmptyError

// RestoreOptions says how to bring the file storage of a run into a directory.
type RestoreOptions struct {
	Existing   Existing
	Identities []age.Identity // to decrypt with
	Workers    int            // how many files at a time; 0: one for each CPU and one more
	Progress   func(Progress) // as in WriteOptions
}

// Restored is what Restore did.
type Restored = refill.Result

// Comparison is what a directory holds, compared with the file storage of a run.
type Comparison = refill.State

// Restore brings the file storage of the run into a directory: content, names, modes, mtimes, symlinks, and owners as
// far as this process may give them. Each file is written under a temporary name and gets its own when its digest is
// proven; files that are there with their content are not written. When Restore returns without an error all is on
// disk. After any error, or a crash, the same call can be made again and goes on. Errors that callers may tell apart:
// UsageError, LockedError, NotEmptyError, NoSpaceError, UnreadableError, IntegrityError, ErrNoIdentity, and ctx's.
func (r *Run) Restore(ctx context.Context, dir string, opts RestoreOptions) (*Restored, error) {
	if err := r.restorable(opts); err != nil {
		return nil, err
	}
	root, err := dirfd.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot restore run %q: %w", r.info.ID, err)
	}
	defer root.Close()
	if err := r.checkBeyond(root); err != nil {
		return nil, &UsageError{Err: fmt.Errorf("cannot restore run %q: %w", r.info.ID, err)}
	}
	lockWarning, err := lockTarget(root)
	if err != nil {
		return nil, fmt.Errorf("cannot restore run %q: %w", r.info.ID, err)
	}
	defer unlockTarget(root)
	target, err := r.target(ctx, root, opts)
	if err != nil {
		return nil, fmt.Errorf("cannot restore run %q: %w", r.info.ID, err)
	}
	restored, err := target.Refill(ctx, opts.Existing)
	if err != nil {
		return nil, fmt.Errorf("cannot restore run %q: %w", r.info.ID, explainTarget(root, err))
	}
	if lockWarning != "" {
		restored.Warnings = append(restored.Warnings, lockWarning)
	}
	if !r.isListed() {
		restored.Warnings = append(restored.Warnings, unverifiedWarning)
	}
	return restored, nil
}

const unverifiedWarning = "written by APIManagerBackup: there are no digests to verify the files by"

// restorable returns an error for what no restore can do.
func (r *Run) restorable(opts RestoreOptions) error {
	switch opts.Existing {
	case Fail, Overwrite, Mirror, Skip:
	default:
		return &UsageError{Err: fmt.Errorf("cannot restore run %q: unknown policy %q for existing files", r.info.ID, opts.Existing)}
	}
	if !r.HasFiles() {
		return &UsageError{Err: fmt.Errorf("cannot restore run %q: it holds no file storage", r.info.ID)}
	}
	return nil
}

// Compare compares a directory with the file storage of the run; no directory is the same as a run without one. It
// writes nothing. The directory's own mode and mtime are not compared (they are a volume's), nor is the group's access
// that a kubelet adds to the modes of a volume. Errors are as those of Restore.
func (r *Run) Compare(ctx context.Context, dir string, opts RestoreOptions) (Comparison, error) {
	root, err := dirfd.Open(dir)
	if err != nil {
		return Comparison{}, fmt.Errorf("cannot compare run %q: %w", r.info.ID, err)
	}
	defer root.Close()
	target, err := r.target(ctx, root, opts)
	if err != nil {
		return Comparison{}, fmt.Errorf("cannot compare run %q: %w", r.info.ID, err)
	}
	state, err := target.Compare(ctx)
	if err != nil {
		return Comparison{}, fmt.Errorf("cannot compare run %q: %w", r.info.ID, explainTarget(root, err))
	}
	return state, nil
}

// checkBeyond returns an error if a directory lies in the volume that the run is on.
func (r *Run) checkBeyond(root *dirfd.Dir) error {
	if r.volume == nil {
		return nil
	}
	return root.Beyond(r.volume.root)
}

func (t *runTree) target(ctx context.Context, root *dirfd.Dir, opts RestoreOptions) (*refill.Target, error) {
	o, err := t.refillOptions(ctx, root, opts)
	if err != nil {
		return nil, err
	}
	return refill.New(o), nil
}

// refillOptions says how the tree is brought into a directory.
func (t *runTree) refillOptions(ctx context.Context, root *dirfd.Dir, opts RestoreOptions) (refill.Options, error) {
	r := t.run
	fsync, err := isFUSE(root)
	if err != nil {
		return refill.Options{}, err
	}
	if opts.Workers <= 0 {
		opts.Workers = r.restoreWorkers()
	}
	var outside *dirfd.Dir
	if r.volume != nil {
		outside = r.volume.root
	}
	source := t.source(ctx, opts)
	entries := source.Entries
	source.Entries = func(ctx context.Context) (lists.Source, func(), error) {
		entries, done, err := entries(ctx)
		return withoutHeaders{entries}, done, err
	}
	return refill.Options{
		Source:   source,
		Root:     root,
		Outside:  outside,
		Workers:  opts.Workers,
		Batch:    r.stored.batch(),
		Fsync:    fsync,
		Room:     func(need dirfd.Room) error { return requireRoom(root, need) },
		Progress: &progress.Meter{Report: opts.Progress},
	}, nil
}

// restoreWorkers is how many files are restored at a time. One that is decrypted takes memory, so of those in a bucket
// there are fewer.
func (r *Run) restoreWorkers() int {
	workers := r.stored.workers()
	if r.volume == nil && r.info.Manifest.Encryption != nil {
		workers /= 2
	}
	return workers + 1
}

// withoutHeaders leaves out the headers of objects: files have none.
type withoutHeaders struct{ lists.Source }

func (s withoutHeaders) Next() (lists.Entry, error) {
	e, err := s.Source.Next()
	e.Xattrs = slices.DeleteFunc(e.Xattrs, func(x lists.Xattr) bool {
		return x.Name == tree.HeadersXattr || x.Name == tree.SealedHeadersXattr
	})
	return e, err
}

// source is the tree as what a directory or a bucket is filled from.
func (t *runTree) source(ctx context.Context, opts RestoreOptions) refill.Source {
	r := t.run
	var scanned *walk.List // of an unverified run, scanned once so that it stays the same
	return refill.Source{
		Name:   r.info.ID,
		Digest: r.info.ManifestSHA256,
		Plain:  t.isListed() && r.info.Manifest.Encryption == nil,
		Entries: func(ctx context.Context) (lists.Source, func(), error) {
			if t.isListed() {
				return t.openLists(ctx) // they prove themselves when they are read to the end, which comes before any writing
			}
			if scanned == nil && r.files != nil {
				found, err := r.scan(ctx)
				if err != nil {
					return nil, nil, err
				}
				scanned = found.List
			}
			if scanned == nil {
				return &lists.SliceSource{}, func() {}, nil
			}
			return scanned.Source(), func() {}, nil
		},
		Opener: func() refill.Opener {
			return &fileOpener{tree: t, files: t.storedFiles(ctx), identities: opts.Identities}
		},
	}
}

// fileOpener opens files of a run, for one goroutine.
type fileOpener struct {
	tree       *runTree
	files      storedFiles
	identities []age.Identity
}

func (o *fileOpener) Open(e *lists.Entry) (io.ReadCloser, error) {
	return o.tree.openFile(e, o.identities, o.files)
}

func (o *fileOpener) Close() { o.files.Close() }

// lockTarget keeps others from restoring into the same directory at the same time, until unlockTarget. It returns a
// warning where the file system has no locks.
func lockTarget(root *dirfd.Dir) (warning string, err error) {
	err = unix.Flock(root.FD, unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return "", &LockedError{Holder: "another restore"}
	case lockless(err), errors.Is(err, unix.EBADF): // NFS locks no directories
		return fmt.Sprintf("directory cannot be locked (%v): two restores at a time are not noticed", err), nil
	}
	return "", root.Fail("lock", "", err)
}

// unlockTarget lets others restore into the directory. Closing alone would not while a process that was just forked off
// has the directory open.
func unlockTarget(root *dirfd.Dir) {
	_ = unix.Flock(root.FD, unix.LOCK_UN) // an error leaves it locked for no longer than it is open
}

// explainTarget turns an error into one that callers can tell apart.
func explainTarget(root *dirfd.Dir, err error) error {
	if errors.Is(err, walk.ErrInside) {
		return &UsageError{Err: err}
	}
	return explainFull(root, err)
}
