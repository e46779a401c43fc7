package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
)

// medium is where runs are stored, as far as a Volume and a Bucket differ. What lists, reads and verifies runs is
// written once, on top of it.
type medium interface {
	Store
	runMedium
	verifyMedium

	words() (preposition, noun string) // for messages
	workers() int                      // files at a time, as many as suit
}

// runMedium finds runs, and what belongs to one.
type runMedium interface {
	find(ctx context.Context, id string) (RunInfo, error)
	hold(id string) (*runLock, error)               // keeps a run from being removed, where that can be
	isThere(ctx context.Context, info RunInfo) bool // still, as far as this process may look
	folder(ctx context.Context, dir string) folder  // runs/<run> or trees/<tree>
	batch() int                                     // files that a worker takes at once; 0: as many as suit
}

// verifyMedium compares what is stored with its lists.
type verifyMedium interface {
	verifyRun(ctx context.Context, c *verifier) error // the objects, by the list of the run
	verifyTree(ctx context.Context, c *verifier, t storedTree) error
	checkOrder(ctx context.Context) (warnings []string, err error)
}

// folder holds lists and objects, by their relative paths. What is not there is fs.ErrNotExist.
type folder interface {
	lists.Folder
	ReadFile(path string, limit int64) ([]byte, error)
}

// storedFiles opens the files of a run as they are stored. It is for one goroutine.
type storedFiles interface {
	open(e *Entry) (io.ReadCloser, error)
	Close()
}

// notLooked reports whether an error says that nothing is known of what is stored, rather than that it is damaged. What a
// file server calls stale, it may have at the next try.
func notLooked(err error) bool {
	_, store := errors.AsType[*BucketError](err)
	return store || errors.Is(err, unix.ESTALE) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// watched notes the error of a reader that says nothing of what is stored.
type watched struct {
	io.Reader
	failed *error
}

func (w watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if notLooked(err) {
		*w.failed = err
	}
	return n, err
}

func (v *Volume) words() (preposition, noun string) { return "on", "volume" }

func (v *Volume) workers() int { return runtime.GOMAXPROCS(0) }

func (v *Volume) batch() int { return 0 }

func (v *Volume) folder(_ context.Context, dir string) folder { return volumeFolder{v.root, dir} }

// volumeFolder opens a directory of a volume each time.
type volumeFolder struct {
	root *dirfd.Dir
	dir  string
}

func (f volumeFolder) OpenHashed(name string) (*dirfd.HashedFile, error) {
	dir, err := f.root.Sub(f.dir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.OpenHashed(name)
}

func (f volumeFolder) ReadFile(path string, limit int64) ([]byte, error) {
	return f.root.ReadFile(f.dir+"/"+path, limit)
}

// storedFiles opens what is stored of the tree.
func (t *runTree) storedFiles(ctx context.Context) storedFiles {
	if b, ok := t.run.stored.(*Bucket); ok {
		return &bucketFiles{ctx, b}
	}
	return &volumeFiles{dirfd.Stack{Root: t.files}}
}

// volumeFiles opens files of a directory.
type volumeFiles struct{ dirs dirfd.Stack }

func (f *volumeFiles) open(e *Entry) (io.ReadCloser, error) {
	parent, name, err := f.dirs.Parent(e.Path)
	if err != nil {
		return nil, err
	}
	return parent.Open(name)
}

func (f *volumeFiles) Close() { f.dirs.Close() }

// findRun returns the run of an ID among those of a medium, or the newest one for Latest.
func findRun(m medium, runs []RunInfo, id string) (RunInfo, error) {
	var found *RunInfo
	for i, r := range runs {
		match := r.ID == id && r.State != Partial
		switch id {
		case Latest:
			match = r.State == Complete || r.State == Unverified && found == nil
		case UnverifiedRun:
			match = r.State == Unverified
		}
		if match {
			found = &runs[i]
		}
	}
	if found == nil {
		on, volume := m.words()
		return RunInfo{}, fmt.Errorf("cannot find run %q %s %s %q: %w; the newest are: %s", id, on, volume, m, ErrRunNotFound, named(runs))
	}
	return *found, nil
}

// decodeRun describes the run whose manifest was read, or why it was not.
func decodeRun(name string, data []byte, err error) RunInfo {
	var m *Manifest
	digest := dirfd.DigestOf(data)
	if err != nil {
		err = fmt.Errorf("cannot read manifest: %w", err)
	} else {
		m, err = decodeManifest(data)
	}
	if err == nil && m.Run != name {
		err = fmt.Errorf("manifest is that of run %q", m.Run)
	}
	if err == nil {
		return RunInfo{ID: name, State: Complete, Manifest: m, ManifestSHA256: digest}
	}
	state := Damaged
	if _, newer := errors.AsType[*VersionError](err); newer {
		state = Unsupported
	}
	return RunInfo{ID: name, State: state, Message: err.Error(), err: err}
}
