package archive

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Bounds of the skipped entries, warnings and unreadable entries that are told one by one.
const (
	maxListed      = 1000
	maxListedBytes = 1 << 20
)

// scanOptions says how to scan.
type scanOptions struct {
	Workers  int
	Source   bool        // leave out what at the root of a volume is not data
	Outside  *dir        // must not be below the root; may be nil
	Progress func(int64) // called now and then with the number of entries so far, by one goroutine at a time
}

// scanned is what a scan found.
type scanned struct {
	list         *list
	skipped      []SkippedEntry // sorted, at most maxListed
	skippedCount int64
	unreadable   []UnreadableEntry // sorted, at most maxListed
}

// scanner lists directories in parallel.
type scanner struct {
	root    *dir
	opts    scanOptions
	outside unix.Stat_t

	mu      sync.Mutex
	wake    *sync.Cond
	todo    []scanTask // a stack, so that what is listed next is near what was listed last
	pending int        // directories not listed yet
	stopped bool
	found   scanned
	entries int64

	skippedBytes int
}

type scanTask struct {
	path string
	node *node
}

// scan lists all entries below root: one lstat each, nothing opened but directories, no symlink followed.
// It fails only if the root cannot be read or ctx ends; other directories are told as unreadable.
func scan(ctx context.Context, root *dir, opts scanOptions) (*scanned, error) {
	var st unix.Stat_t
	if err := unix.Fstat(root.fd, &st); err != nil {
		return nil, root.fail("fstat", "", err)
	}
	s := &scanner{root: root, opts: opts, pending: 1}
	if opts.Outside != nil {
		if err := unix.Fstat(opts.Outside.fd, &s.outside); err != nil {
			return nil, opts.Outside.fail("fstat", "", err)
		}
	}
	if sameInode(&st, &s.outside) {
		return nil, errInside
	}
	s.wake = sync.NewCond(&s.mu)
	top := &node{}
	s.todo = []scanTask{{".", top}}
	s.found.list = &list{root: statEntry(".", &st), top: top, count: counts{dirs: 1}}
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, s.stop)
	defer stop()
	for range max(1, opts.Workers) {
		g.Go(func() error { return s.work(ctx) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(s.found.skipped, func(a, b SkippedEntry) int { return cmp.Compare(a.Path, b.Path) })
	slices.SortFunc(s.found.unreadable, func(a, b UnreadableEntry) int { return comparePaths(a.Path, b.Path) })
	return &s.found, nil
}

// stop makes all workers return.
func (s *scanner) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.wake.Broadcast()
}

// work lists directories until none is left.
func (s *scanner) work(ctx context.Context) error {
	dirs := &dirStack{root: s.root, flags: unix.O_RDONLY}
	defer dirs.close()
	l := &lister{dirs: dirs, source: s.opts.Source, outside: &s.outside, buf: make([]byte, 32<<10)}
	for {
		task, ok := s.take()
		if !ok {
			return ctx.Err()
		}
		err := l.read(task.path)
		if errors.Is(err, errInside) {
			return err
		}
		s.done(task, l, err)
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

// done records a listed directory and queues those in it.
func (s *scanner) done(task scanTask, l *lister, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending--
	defer func() {
		if s.pending == 0 || len(s.todo) > 0 {
			s.wake.Broadcast()
		}
	}()
	if err != nil {
		s.refuse(task, err)
		return
	}
	task.node.data = slices.Clone(l.data)
	task.node.dirs = make([]*node, len(l.subdirs))
	for i := len(l.subdirs) - 1; i >= 0; i-- {
		task.node.dirs[i] = &node{}
		s.todo = append(s.todo, scanTask{joinPath(task.path, l.subdirs[i]), task.node.dirs[i]})
	}
	s.pending += len(l.subdirs)
	s.found.list.count.merge(l.count)
	s.skip(l.skipped)
	s.entries += l.count.files + l.count.dirs + l.count.symlinks
	if s.opts.Progress != nil {
		s.opts.Progress(s.entries)
	}
}

// skip records what is not backed up, as far as there is room in a manifest.
func (s *scanner) skip(entries []SkippedEntry) {
	s.found.skippedCount += int64(len(entries))
	for _, e := range entries {
		if len(s.found.skipped) == maxListed || s.skippedBytes+len(e.Path) > maxListedBytes {
			return
		}
		s.found.skipped = append(s.found.skipped, e)
		s.skippedBytes += len(e.Path)
	}
}

// refuse records a directory that could not be listed.
func (s *scanner) refuse(task scanTask, err error) {
	if vanished(err) && task.path != "." {
		task.node.gone = true
		s.found.list.count.dirs--
		return
	}
	if len(s.found.unreadable) < maxListed {
		s.found.unreadable = append(s.found.unreadable, UnreadableEntry{Path: task.path, Err: err})
	}
}

// vanished tells if an error means that an entry is no longer there, or no longer what it was.
func vanished(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ESTALE)
}

// errInside says that the volume is part of what is to be backed up.
var errInside = errors.New("the volume lies in the file storage")

func sameInode(a, b *unix.Stat_t) bool { return a.Dev == b.Dev && a.Ino == b.Ino }

// lister reads one directory at a time. Its fields other than the first four hold the result of the last read.
type lister struct {
	dirs    *dirStack
	source  bool
	outside *unix.Stat_t
	buf     []byte

	data    []byte
	subdirs []string
	skipped []SkippedEntry
	count   counts
}

func (l *lister) read(path string) error {
	l.data, l.subdirs, l.skipped, l.count = l.data[:0], l.subdirs[:0], nil, counts{}
	fd, err := l.dirs.open(path)
	if err != nil {
		return err
	}
	names, err := readNames(fd, l.buf)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if l.source && path == "." && notData(name) {
			continue
		}
		if err := l.add(fd, path, name); err != nil && !vanished(err) {
			return err
		}
	}
	return nil
}

// notData tells if an entry at the root of a volume belongs to its file system.
func notData(name string) bool { return name == "lost+found" || name == ".snapshot" }

func (l *lister) add(fd int, parent, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	e := statEntry("", &st)
	switch e.Kind {
	case "":
		path := visPath(joinPath(parent, name))
		l.skipped = append(l.skipped, SkippedEntry{Path: path, Type: specialType(st.Mode)})
		return nil
	case Symlink:
		target, err := readlinkat(fd, name)
		if errors.Is(err, unix.EINVAL) {
			return unix.ENOENT // it is no symlink any more
		}
		if err != nil {
			return err
		}
		e.Link = target
	case Directory:
		if sameInode(&st, l.outside) {
			return errInside
		}
		l.subdirs = append(l.subdirs, strings.Clone(name))
	}
	l.count.add(&e)
	l.data = appendRecord(l.data, name, &e)
	return nil
}

// statEntry turns a stat into an entry, with no kind if it is none of ours.
func statEntry(path string, st *unix.Stat_t) Entry {
	e := Entry{Path: path, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid}
	e.ModTime = time.Unix(st.Mtim.Unix()).UTC()
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		e.Kind, e.Size = File, st.Size
	case unix.S_IFDIR:
		e.Kind = Directory
	case unix.S_IFLNK:
		e.Kind = Symlink
	}
	return e
}

// specialType names the type of what is not backed up.
func specialType(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return "fifo"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFCHR:
		return "char"
	case unix.S_IFBLK:
		return "block"
	}
	return "unknown"
}
