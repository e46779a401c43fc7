package archive

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"runtime"
	"strconv"

	"filippo.io/age"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/seal"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// File is the kind of a regular file, in an [Entry].
const File = lists.File

// Entry is one entry of the file storage, as its source had it. It has no digest for an unverified run.
type Entry = lists.Entry

// Run is an open run. Its methods may be called by any number of goroutines.
type Run struct {
	stored medium
	info   RunInfo

	// Of a run on a volume.
	volume *Volume    // nil: it is in a bucket
	held   *runLock   // keeps the run from being removed
	tree   *dirfd.Dir // nil for an unverified run, or without a file storage
	files  *dirfd.Dir // nil without a file storage, or without its directory: a copy of a volume may lack an empty one
}

// OpenRun opens a run, or the newest one for [Latest]. Errors are ErrRunNotFound, VersionError, and IntegrityError for
// a run whose manifest or tree cannot be opened. Until it is closed, the run is not removed, where the file system has
// locks.
func (v *Volume) OpenRun(ctx context.Context, id string) (*Run, error) {
	info, err := v.find(ctx, id)
	if err != nil {
		return nil, err
	}
	r := &Run{stored: v, volume: v, info: info}
	if info.State == Complete {
		if r.held, err = v.hold(info.ID); err != nil {
			return nil, err
		}
	}
	if err := r.unreadable(id); err != nil {
		return nil, err
	}
	switch {
	case info.State == Unverified:
		r.files, err = v.operatorFiles()
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	case info.Manifest.Tree != "":
		err = r.openTree()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open run %q: %w", id, err), r.held.release())
	}
	return r, nil
}

// unreadable returns an error for a run whose manifest cannot be read. The ID is what was asked for.
func (r *Run) unreadable(id string) error {
	switch r.info.State {
	case Unsupported:
		return fmt.Errorf("cannot open run %q: %w", id, r.info.err)
	case Damaged:
		return r.damaged(Problem{Path: lists.Escape(runsDir + "/" + r.info.ID), Kind: Malformed, Got: r.info.Message})
	}
	return nil
}

func (r *Run) openTree() (err error) {
	path := treesDir + "/" + r.info.Manifest.Tree
	if r.tree, err = r.volume.openTree(r.info.Manifest.Tree); err != nil {
		return r.damaged(Problem{Path: path, Kind: Missing, Got: err.Error()})
	}
	if r.files, err = openFiles(r.tree, r.info.Manifest); err != nil {
		problem := Problem{Path: path + "/" + lists.FilesDir, Kind: Missing, Got: err.Error()}
		return errors.Join(r.damaged(problem), r.tree.Close())
	}
	return nil
}

func (r *Run) damaged(p ...Problem) error {
	return &IntegrityError{Run: r.info.ID, Problems: p}
}

// Close releases the run. Files that were opened from it stay open.
func (r *Run) Close() error {
	return errors.Join(r.files.Close(), r.tree.Close(), r.held.release())
}

// Info returns what is known of the run.
func (r *Run) Info() RunInfo { return r.info }

// HasFiles reports whether the run holds the file storage.
func (r *Run) HasFiles() bool { return r.isListed() || r.files != nil }

// isListed reports whether the run holds the file storage, and lists with its digests.
func (r *Run) isListed() bool { return r.info.Manifest != nil && r.info.Manifest.Tree != "" }

// treeLists returns the folder with the lists of the run's tree.
func (r *Run) treeLists(ctx context.Context) lists.Folder {
	if r.volume == nil {
		return r.stored.folder(ctx, treesDir+"/"+r.info.Manifest.Tree)
	}
	return r.tree
}

// Entries yields the entries of the file storage: directories before what is in them, the root first. Those of a
// verified run come from its lists, which are proven before the first is yielded; those of an unverified run are what
// is found. An error ends the sequence: an IntegrityError for damaged lists.
func (r *Run) Entries(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		source, done, err := r.entrySource(ctx)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		defer done()
		for {
			e, err := source.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err == nil {
				err = ctx.Err()
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// entrySource opens the lists, or scans where there are none.
func (r *Run) entrySource(ctx context.Context) (source lists.Source, done func(), err error) {
	if !r.HasFiles() {
		return &lists.SliceSource{}, func() {}, nil
	}
	if !r.isListed() {
		found, err := r.scan(ctx)
		if err != nil {
			return nil, nil, err
		}
		return found.List.Source(), func() {}, nil
	}
	if err := lists.Prove(r.treeLists(ctx), r.info.Manifest.Digests.lists()); err != nil {
		return nil, nil, r.damagedLists(err)
	}
	return r.openLists(ctx)
}

// openLists opens the lists of a verified run, which prove themselves when they are read to the end.
func (r *Run) openLists(ctx context.Context) (source lists.Source, done func(), err error) {
	ls, err := lists.Open(r.treeLists(ctx), r.info.Manifest.Digests.lists(), nil)
	if err != nil {
		return nil, nil, r.damagedLists(err)
	}
	return &listSource{r, ls}, func() { _ = ls.Close() }, nil // it was only read
}

// damagedLists says that lists are damaged, unless they could not be looked at.
func (r *Run) damagedLists(err error) error {
	if notLooked(err) {
		return fmt.Errorf("cannot read lists of run %q: %w", r.info.ID, err)
	}
	return r.damaged(Problem{Path: treesDir + "/" + r.info.Manifest.Tree, Kind: Malformed, Got: err.Error()})
}

// listSource turns errors of a run's lists into IntegrityErrors.
type listSource struct {
	run   *Run
	lists *lists.Reader
}

func (s *listSource) Next() (lists.Entry, error) {
	e, err := s.lists.Next()
	if err != nil && !errors.Is(err, io.EOF) {
		err = s.run.damagedLists(err)
	}
	return e, err
}

func (r *Run) scan(ctx context.Context) (*walk.Found, error) {
	found, err := walk.Scan(ctx, r.files, walk.Options{Workers: runtime.GOMAXPROCS(0)})
	if err == nil && len(found.Unreadable) > 0 {
		err = &UnreadableError{Entries: found.Unreadable}
	}
	return found, err
}

// open opens a file that Entries yielded, for reading its plaintext. The reader returns an IntegrityError in place of
// io.EOF when what was read is not what was stored, or more or less of it: keep nothing of a file that was not read to
// io.EOF. Errors are ErrNoIdentity and IntegrityError.
func (r *Run) open(e *Entry, identities []age.Identity, files storedFiles) (io.ReadCloser, error) {
	if e.Kind != lists.File || !r.HasFiles() || !lists.ValidPath(e.Path) {
		return nil, fmt.Errorf("cannot open %q of run %q: not a regular file", e.Path, r.info.ID)
	}
	if r.volume != nil && r.files == nil {
		return nil, r.damaged(Problem{Path: r.filePath(e.Path), Kind: Missing})
	}
	f, err := files.open(e)
	if notLooked(err) {
		return nil, fmt.Errorf("cannot open %q of run %q: %w", e.Path, r.info.ID, err)
	}
	if err != nil {
		return nil, r.damaged(Problem{Path: r.filePath(e.Path), Kind: Missing, Got: err.Error()})
	}
	v, err := newVerifiedReader(r, f, *e, identities)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open %q of run %q: %w", e.Path, r.info.ID, err), f.Close())
	}
	return v, nil
}

// filePath is the path of a stored file in problems.
func (r *Run) filePath(path string) string {
	if !r.isListed() {
		return lists.Escape(storageName + "/" + path)
	}
	return lists.Escape(treesDir + "/" + r.info.Manifest.Tree + "/" + lists.FilesDir + "/" + path)
}

// verifiedReader reads a file's plaintext and withholds io.EOF until it is proven.
type verifiedReader struct {
	run  *Run
	want lists.Entry
	io.Closer
	stored io.Reader // of the bytes as they are stored, into hash
	failed error     // why the object store does not tell what it has
	plain  io.Reader
	hash   hash.Hash
	size   int64 // of the plaintext so far
	err    error // sticky
}

func newVerifiedReader(r *Run, f io.ReadCloser, want lists.Entry, identities []age.Identity) (*verifiedReader, error) {
	v := &verifiedReader{run: r, want: want, Closer: f, hash: sha256.New()}
	v.stored = io.TeeReader(watched{f, &v.failed}, v.hash)
	v.plain = v.stored
	if r.info.Manifest == nil || r.info.Manifest.Encryption == nil {
		return v, nil
	}
	plain, err := seal.Open(bufio.NewReaderSize(v.stored, seal.Chunk), identities)
	if errors.Is(err, ErrNoIdentity) {
		return nil, err
	}
	if err != nil {
		return nil, v.broken(err.Error(), "an age stream")
	}
	v.plain = plain
	return v, nil
}

func (v *verifiedReader) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.plain.Read(p)
	v.size += int64(n)
	switch {
	case v.size > v.want.Size:
		n, err = 0, v.broken("more bytes", "size "+strconv.FormatInt(v.want.Size, 10))
	case errors.Is(err, io.EOF):
		err = v.prove()
	case err != nil:
		err = v.broken(err.Error(), "sha256:"+v.want.SHA256)
	}
	v.err = err
	return n, err
}

// prove returns io.EOF if the stored bytes are what they should be.
func (v *verifiedReader) prove() error {
	if _, err := io.Copy(io.Discard, v.stored); err != nil {
		return v.broken(err.Error(), "sha256:"+v.want.SHA256)
	}
	if v.size != v.want.Size {
		return v.broken("size "+strconv.FormatInt(v.size, 10), "size "+strconv.FormatInt(v.want.Size, 10))
	}
	if got := dirfd.SumOf(v.hash); v.run.isListed() && got != v.want.SHA256 {
		return v.broken("sha256:"+got, "sha256:"+v.want.SHA256)
	}
	return io.EOF
}

func (v *verifiedReader) broken(got, want string) error {
	if v.failed != nil {
		return fmt.Errorf("cannot read %s of run %q: %w", v.run.filePath(v.want.Path), v.run.info.ID, v.failed)
	}
	p := Problem{Path: v.run.filePath(v.want.Path), Kind: Changed, Got: got, Want: want}
	return fmt.Errorf("cannot read file: %w", v.run.damaged(p))
}
