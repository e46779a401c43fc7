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
	volume *Volume  // nil: it is in a bucket
	held   *runLock // keeps the run from being removed

	runTree // the file storage
}

// runTree is an open tree of a run.
type runTree struct {
	run    *Run
	listed storedTree // without a name for an unverified run, or if the run has no such tree
	kept   *keptLists // of a run in a bucket

	// Of a run on a volume.
	tree  *dirfd.Dir // nil if it has no lists
	files *dirfd.Dir // nil if it has no files, or lacks their directory: a copy of a volume may lack an empty one
}

// OpenRun opens a run, or the newest one for [Latest]. Errors are ErrRunNotFound, VersionError, and IntegrityError for
// a run whose manifest or tree cannot be opened. Until it is closed, the run is not removed, where the file system has
// locks.
func (v *Volume) OpenRun(ctx context.Context, id string) (*Run, error) {
	info, err := v.find(ctx, id)
	if err != nil {
		return nil, err
	}
	r := newRun(v, info)
	r.volume = v
	if info.State == Complete {
		if r.held, err = v.hold(info.ID); err != nil {
			return nil, err
		}
	}
	if err := r.unreadable(id); err != nil {
		return nil, err
	}
	if info.State == Unverified {
		r.files, err = v.operatorFiles()
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	} else {
		err = r.open()
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
		return r.unread(r.info.err, Problem{Path: lists.Escape(runsDir + "/" + r.info.ID), Kind: Malformed})
	}
	return nil
}

// unread returns an error for what could not be read of the run: an IntegrityError with the problem, unless err says that
// nothing is known.
func (r *Run) unread(err error, p Problem) error {
	if notLooked(err) {
		return fmt.Errorf("cannot read %s of run %q: %w", p.Path, r.info.ID, err)
	}
	p.Got = err.Error()
	return r.damaged(p)
}

func newRun(m medium, info RunInfo) *Run {
	r := &Run{stored: m, info: info}
	r.runTree = r.treeOf(storageName)
	return r
}

// treeOf returns a tree of the run that is not open yet.
func (r *Run) treeOf(link string) runTree {
	t := runTree{run: r, listed: storedTree{link: link}, kept: &keptLists{}}
	if r.info.Manifest != nil {
		t.listed = r.info.Manifest.tree(link)
	}
	return t
}

// openDatabases opens the tree of the dumps, which the caller closes.
func (r *Run) openDatabases() (*runTree, error) {
	t := r.treeOf(databasesName)
	return &t, t.open()
}

// open opens the directories of a tree on a volume.
func (t *runTree) open() (err error) {
	v := t.run.volume
	if v == nil || !t.isListed() {
		return nil
	}
	path := t.listed.path()
	if t.tree, err = v.openTree(t.listed.name); err != nil {
		return t.run.unread(err, Problem{Path: path, Kind: Missing})
	}
	if t.files, err = openFiles(t.tree, t.listed); err != nil {
		problem := Problem{Path: path + "/" + lists.FilesDir, Kind: Missing}
		return errors.Join(t.run.unread(err, problem), t.tree.Close())
	}
	return nil
}

func (t *runTree) close() error { return errors.Join(t.files.Close(), t.tree.Close()) }

func (r *Run) damaged(p ...Problem) error {
	return &IntegrityError{Run: r.info.ID, Problems: p}
}

// Close releases the run. Files that were opened from it stay open.
func (r *Run) Close() error {
	return errors.Join(r.close(), r.held.release())
}

// Info returns what is known of the run.
func (r *Run) Info() RunInfo { return r.info }

// HasFiles reports whether the run holds the file storage.
func (r *Run) HasFiles() bool { return r.isListed() || r.files != nil }

// isListed reports whether the run has the tree, and lists with its digests.
func (t *runTree) isListed() bool { return t.listed.name != "" }

// treeLists returns the folder with the lists of the tree.
func (t *runTree) treeLists(ctx context.Context) lists.Folder {
	if t.run.volume == nil {
		return keptFolder{t.run.stored.folder(ctx, t.listed.path()), t.kept}
	}
	return t.tree
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
	if err := lists.Prove(r.treeLists(ctx), r.listed.digests); err != nil {
		return nil, nil, r.damagedLists(err)
	}
	return r.openLists(ctx)
}

// openLists opens the lists of a verified run, which prove themselves when they are read to the end.
func (t *runTree) openLists(ctx context.Context) (source lists.Source, done func(), err error) {
	ls, err := lists.Open(t.treeLists(ctx), t.listed.digests, nil)
	if err != nil {
		return nil, nil, t.damagedLists(err)
	}
	return &listSource{t, ls}, func() { _ = ls.Close() }, nil // it was only read
}

// damagedLists says that lists are damaged, unless they could not be looked at.
func (t *runTree) damagedLists(err error) error {
	return t.run.unread(err, Problem{Path: t.listed.path(), Kind: Malformed})
}

// listSource turns errors of a run's lists into IntegrityErrors.
type listSource struct {
	tree  *runTree
	lists *lists.Reader
}

func (s *listSource) Next() (lists.Entry, error) {
	e, err := s.lists.Next()
	if err != nil && !errors.Is(err, io.EOF) {
		err = s.tree.damagedLists(err)
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

// openFile opens a file that Entries yielded, for reading its plaintext. The reader returns an IntegrityError in place of
// io.EOF when what was read is not what was stored, or more or less of it: keep nothing of a file that was not read to
// io.EOF. Errors are ErrNoIdentity and IntegrityError.
func (t *runTree) openFile(e *Entry, identities []age.Identity, files storedFiles) (io.ReadCloser, error) {
	r := t.run
	if e.Kind != lists.File || !t.isListed() && t.files == nil || !lists.ValidPath(e.Path) {
		return nil, fmt.Errorf("cannot open %q of run %q: not a regular file", e.Path, r.info.ID)
	}
	if r.volume != nil && t.files == nil {
		return nil, r.damaged(Problem{Path: t.filePath(e.Path), Kind: Missing})
	}
	f, err := files.open(e)
	if err != nil {
		return nil, r.unread(err, Problem{Path: t.filePath(e.Path), Kind: Missing})
	}
	v, err := newVerifiedReader(t, f, *e, identities)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open %q of run %q: %w", e.Path, r.info.ID, err), f.Close())
	}
	return v, nil
}

// filePath is the path of a stored file in problems.
func (t *runTree) filePath(path string) string {
	if !t.isListed() {
		return lists.Escape(storageName + "/" + path)
	}
	return lists.Escape(t.listed.path() + "/" + lists.FilesDir + "/" + path)
}

// verifiedReader reads a file's plaintext and withholds io.EOF until it is proven.
type verifiedReader struct {
	tree *runTree
	want lists.Entry
	io.Closer
	stored io.Reader // of the bytes as they are stored, into hash
	failed error     // why the object store does not tell what it has
	plain  io.Reader
	hash   hash.Hash
	size   int64 // of the plaintext so far
	err    error // sticky
}

func newVerifiedReader(t *runTree, f io.ReadCloser, want lists.Entry, identities []age.Identity) (*verifiedReader, error) {
	v := &verifiedReader{tree: t, want: want, Closer: f, hash: sha256.New()}
	v.stored = io.TeeReader(watched{f, &v.failed}, v.hash)
	v.plain = v.stored
	if m := t.run.info.Manifest; m == nil || m.Encryption == nil {
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
	if got := dirfd.SumOf(v.hash); v.tree.isListed() && got != v.want.SHA256 {
		return v.broken("sha256:"+got, "sha256:"+v.want.SHA256)
	}
	return io.EOF
}

func (v *verifiedReader) broken(got, want string) error {
	if v.failed != nil {
		return fmt.Errorf("cannot read %s of run %q: %w", v.tree.filePath(v.want.Path), v.tree.run.info.ID, v.failed)
	}
	p := Problem{Path: v.tree.filePath(v.want.Path), Kind: Changed, Got: got, Want: want}
	return fmt.Errorf("cannot read file: %w", v.tree.run.damaged(p))
}
