package walk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
)

// Bounds of what is reported one by one: skipped entries, unreadable ones, or warnings.
const (
	MaxListed      = 1000
	MaxListedBytes = 1 << 20
)

// Options says how to scan.
type Options struct {
	Workers  int
	Source   bool                       // leave out entries at the root that belong to the volume's file system
	Bare     bool                       // as Strip leaves them
	Stamps   Stamper                    // of the files; the zero value: none are wanted
	Keep     Attributes                 // of directories; those of files are not looked at
	Outside  *dirfd.Dir                 // must not be below the root; may be nil
	Progress func(entries, bytes int64) // gets the number of entries that were listed since the last call, and 0 bytes; one goroutine at a time calls it
}

// Skipped is an entry that is neither file, directory nor symlink.
type Skipped struct {
	Path string // escaped as in MTREE
	Type string // fifo, socket, char, block or unknown
}

// Unreadable is an entry that could not be read.
type Unreadable struct {
	Path string
	Err  error
}

// UnreadableError lists the files and directories that could not be read.
type UnreadableError struct {
	Entries []Unreadable // in the order of the lists, not all if there are many
}

func (e *UnreadableError) Error() string {
	const named = 10
	var b strings.Builder
	fmt.Fprintf(&b, "cannot read %d entries of the file storage:", len(e.Entries))
	for i, entry := range e.Entries {
		if i == named {
			fmt.Fprintf(&b, " and %d more", len(e.Entries)-named)
			break
		}
		fmt.Fprintf(&b, " %q (%v)", entry.Path, entry.Err)
	}
	return b.String()
}

// Unwrap returns the cause of each entry.
func (e *UnreadableError) Unwrap() []error {
	errs := make([]error, 0, len(e.Entries))
	for _, entry := range e.Entries {
		errs = append(errs, entry.Err)
	}
	return errs
}

// Found is what a scan found.
type Found struct {
	List         *List
	Skipped      []Skipped // sorted, at most MaxListed
	SkippedCount int64
	Lost         Lost         // extended attributes of directories
	Unreadable   []Unreadable // sorted, at most MaxListed
}

// scanner lists directories in parallel.
type scanner struct {
	root    *dirfd.Dir
	opts    Options
	outside unix.Stat_t

	mu      sync.Mutex
	wake    *sync.Cond
	todo    []scanTask // a stack, so that what is listed next is near what was listed last
	pending int        // directories not listed yet
	stopped bool
	found   Found

	skippedBytes int
}

type scanTask struct {
	path string
	node *node
}

// Scan lists all entries below root: one lstat each, nothing opened but directories, no symlink followed. It fails only
// if the root cannot be read or ctx ends; other directories are reported as unreadable.
func Scan(ctx context.Context, root *dirfd.Dir, opts Options) (*Found, error) {
	root, err := root.Sub(".") // what was listed of a descriptor is not listed again
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var st unix.Stat_t
	if err := unix.Fstat(root.FD, &st); err != nil {
		return nil, root.Fail("fstat", "", err)
	}
	s := &scanner{root: root, opts: opts, pending: 1}
	if opts.Outside != nil {
		if err := unix.Fstat(opts.Outside.FD, &s.outside); err != nil {
			return nil, opts.Outside.Fail("fstat", "", err)
		}
	}
	if dirfd.SameFile(&st, &s.outside) {
		return nil, ErrInside
	}
	s.wake = sync.NewCond(&s.mu)
	top := &node{}
	s.todo = []scanTask{{".", top}}
	s.found.List = &List{root: StatEntry(".", &st), top: top, Count: Counts{Dirs: 1}}
	if opts.Bare {
		Strip(&s.found.List.root)
	}
	g, ctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(ctx, s.stop)()
	for range max(1, opts.Workers) {
		g.Go(func() error { return s.work(ctx) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(s.found.Skipped, func(a, b Skipped) int { return cmp.Compare(a.Path, b.Path) })
	slices.SortFunc(s.found.Unreadable, func(a, b Unreadable) int { return lists.ComparePaths(a.Path, b.Path) })
	return &s.found, nil
}

func (s *scanner) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.wake.Broadcast()
}

func (s *scanner) work(ctx context.Context) error {
	dirs := &dirfd.Stack{Root: s.root, Readable: true}
	defer dirs.Close()
	l := &lister{dirs: dirs, source: s.opts.Source, bare: s.opts.Bare, outside: &s.outside, stamps: s.opts.Stamps, xattrs: XattrReader{Keep: s.opts.Keep}, buf: make([]byte, 32<<10)}
	for {
		task, ok := s.take()
		if !ok {
			return ctx.Err()
		}
		err := l.read(task.path)
		if errors.Is(err, ErrInside) {
			return err
		}
		gone := err != nil && task.path != "." && Gone(s.root, task.path, err)
		s.done(task, l, err, gone)
	}
}

// take waits for a directory to list.
func (s *scanner) take() (scanTask, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.todo) == 0 && s.pending > 0 && !s.stopped {
		s.wake.Wait()
	}
	if s.pending == 0 || s.stopped {
		return scanTask{}, false
	}
	task := s.todo[len(s.todo)-1]
	s.todo = s.todo[:len(s.todo)-1]
	return task, true
}

// done records a listed directory and queues those in it, or that it could not be listed, perhaps since it is gone.
func (s *scanner) done(task scanTask, l *lister, err error, gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending--
	defer func() {
		if s.pending == 0 || len(s.todo) > 0 {
			s.wake.Broadcast()
		}
	}()
	switch {
	case gone:
		task.node.gone = true
		s.found.List.Count.Dirs--
		return
	case err != nil:
		s.refuse(task.path, err)
		return
	}
	task.node.data, task.node.more = l.records()
	task.node.dirs = make([]*node, len(l.subdirs))
	for i, name := range slices.Backward(l.subdirs) {
		task.node.dirs[i] = &node{}
		s.todo = append(s.todo, scanTask{lists.JoinPath(task.path, name), task.node.dirs[i]})
	}
	s.pending += len(l.subdirs)
	s.found.Lost.Add(task.path, l.own.Lost)
	if len(l.own.Kept) > 0 || l.own.Most != allModes {
		if s.found.List.xattrs == nil {
			s.found.List.xattrs = make(map[string]Xattrs)
		}
		s.found.List.xattrs[task.path] = l.own
	}
	s.found.List.Count.merge(l.count)
	s.skip(l.skipped)
	if s.opts.Progress != nil {
		s.opts.Progress(l.count.Total(), 0)
	}
}

// skip records entries that are not backed up, as many as a manifest has room for.
func (s *scanner) skip(entries []Skipped) {
	s.found.SkippedCount += int64(len(entries))
	for _, e := range entries {
		if len(s.found.Skipped) == MaxListed || s.skippedBytes+len(e.Path) > MaxListedBytes {
			return
		}
		s.found.Skipped = append(s.found.Skipped, e)
		s.skippedBytes += len(e.Path)
	}
}

// refuse records a directory that could not be listed.
func (s *scanner) refuse(path string, err error) {
	if len(s.found.Unreadable) < MaxListed {
		s.found.Unreadable = append(s.found.Unreadable, Unreadable{Path: path, Err: err})
	}
}

// Vanished reports whether an error means that an entry is gone, or is something else now.
func Vanished(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// Gone reports whether an entry below root vanished that could not be read. A file server calls what is gone stale, and
// what it has lost for now, too: so what is stale is looked for again.
func Gone(root *dirfd.Dir, path string, err error) bool {
	if !errors.Is(err, unix.ESTALE) {
		return Vanished(err)
	}
	dirs := dirfd.Stack{Root: root}
	defer dirs.Close()
	parent, name, err := dirs.Parent(path)
	if err == nil {
		_, err = dirfd.LstatAt(parent.FD, name)
	}
	return Vanished(err)
}

// ErrInside says that the volume is part of what is to be backed up.
var ErrInside = errors.New("the volume lies in the file storage")
