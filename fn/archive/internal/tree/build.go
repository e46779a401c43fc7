// Package tree builds the trees of an archive and compares them with a scan. See Resume and Compare.
package tree

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/parallel"
	"threescale.dev/backup/fn/archive/internal/progress"
	"threescale.dev/backup/fn/archive/internal/seal"
	"threescale.dev/backup/fn/archive/internal/walk"
)

const maxUnreadable = 100 // unreadable files after which the rest is not tried

// item is one entry on its way into a tree.
type item struct {
	entry   lists.Entry
	flags   walk.Flags
	digest  string // of a file that is stored already
	gone    bool   // vanished since it was scanned
	linked  bool
	warning string
	err     error // why it cannot be read
}

// Options says what a tree is built from, and where.
type Options struct {
	Source   *dirfd.Dir   // root of the file storage
	Objects  *Objects     // the file storage in place of Source; nil: it is a directory
	Entries  *walk.List   // what of it is to be stored; Compare has marked what the previous tree has
	Bare     bool         // the entries are as walk.Strip leaves them
	Into     *dirfd.Dir   // the partial tree, empty or as an interrupted attempt left it
	Previous *Previous    // nil: there is no tree to link from
	Sealer   *seal.Sealer // nil: files are stored in plaintext
	Contents *Contents    // makes the stamps; nil: Stamper does
	Stamper  walk.Stamper // of the source
	Keep     walk.Attributes
	Stamps   *lists.StampsWriter
	Workers  int  // files at a time
	Batch    int  // files that a worker takes at once; 0: as many as suit
	Fsync    bool // after each file, where one sync of the file system does not reach the disk
	Warn     func(message string)
	Progress *progress.Meter
}

// Previous is the tree that unchanged files are linked from.
type Previous struct {
	Name    string // of the tree, for messages
	Dir     *dirfd.Dir
	Digests lists.Digests
	Stamps  func() *lists.StampsReader // opens its list of stamps

	LinksOmitted bool // it was stored where there are no symlinks
}

func (p *Previous) open() (*lists.Reader, error) {
	return lists.Open(p.Dir, p.Digests, p.Stamps())
}

// Result is what was built.
type Result struct {
	Digests      lists.Digests
	Stored       walk.Counts
	Linked       walk.Counts
	Lost         walk.Lost         // extended attributes of files
	LinksOmitted bool              // the volume cannot hold symlinks: they are in MTREE only
	Unreadable   []walk.Unreadable // not empty: the tree is not complete, and has no digests
}

// Builder builds one tree.
type Builder struct {
	Options
	files    *dirfd.Dir
	oldFiles *dirfd.Dir  // files of the previous tree; nil without one
	symlinks bool        // the volume has them
	made     dirfd.Stack // of files, for one goroutine at a time

	syncer   *dirfd.Syncer
	lists    *lists.Writer
	journal  *journalWriter
	unlinked int64  // unchanged files that had to be copied
	gone     int64  // entries that were scanned, and were not there when they were read
	missed   string // the path of the first
	result   Result
}

// Resume opens a partial tree, keeps of it what agrees with its journal and with the entries, and removes the rest.
func Resume(ctx context.Context, opts Options) (*Builder, error) {
	b := &Builder{Options: opts}
	err := b.open()
	if err == nil {
		err = b.resume(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// open opens the directories and finds out what the volume can hold.
func (b *Builder) open() (err error) {
	if b.files, err = b.Into.Ensure(lists.FilesDir); err != nil {
		return err
	}
	b.made = dirfd.Stack{Root: b.files}
	if b.symlinks, err = b.Into.HoldsSymlinks(); err != nil {
		return err
	}
	hardLinks, err := b.Into.HoldsHardLinks() // also without a tree to link from: it removes what a killed attempt left
	if err != nil || b.Previous == nil {
		return err
	}
	if !hardLinks {
		b.Warn("volume cannot hold hard links: unchanged files are stored once for each run")
		b.Entries.Clear(walk.SameFile | walk.Proven | walk.Doubtful)
	}
	b.oldFiles, err = b.Previous.Dir.Sub(lists.FilesDir)
	return err
}

// Close releases what the builder opened, which is not what it was given.
func (b *Builder) Close() error {
	b.made.Close()
	return errors.Join(b.files.Close(), b.oldFiles.Close())
}

// Build completes the tree. The result names the entries of the source that could not be read.
func (b *Builder) Build(ctx context.Context) (*Result, error) {
	if err := b.fill(ctx); err != nil {
		return nil, err
	}
	if len(b.result.Unreadable) > 0 {
		return &b.result, nil
	}
	if err := b.finishDirs(ctx); err != nil {
		return nil, err
	}
	return b.finish(ctx)
}

// fill writes the entries, the lists and the journal.
func (b *Builder) fill(ctx context.Context) (err error) {
	if b.lists, err = lists.NewWriter(b.Into, b.Fsync); err != nil {
		return err
	}
	if b.journal, err = createJournal(b.Into, journalNewName, b.Sealer); err != nil {
		return errors.Join(err, b.lists.Close())
	}
	b.syncer = dirfd.NewSyncer(b.Into)
	count := b.Entries.Count
	b.Progress.Begin(progress.FileStorage, count.Files, count.Bytes)
	err = parallel.Pipeline[item]{
		Workers: b.Workers,
		Batch:   b.Batch,
		Produce: b.produce,
		Worker:  b.worker,
		Collect: b.collect,
	}.Run(ctx)
	if errors.Is(err, errEnough) {
		err = nil
	}
	return errors.Join(err, b.syncer.Close(), b.lists.Close(), b.journal.close())
}

// errEnough ends the building of a tree that will not be complete.
var errEnough = errors.New("enough unreadable files")

func (b *Builder) collect(items []item) error {
	files, bytes := int64(0), int64(0)
	for i := range items {
		it := &items[i]
		if it.entry.Kind == lists.File {
			files, bytes = files+1, bytes+it.entry.Size
		}
		if err := b.record(it); err != nil {
			return err
		}
	}
	b.Progress.Add(files, bytes)
	b.syncer.Wrote(files, bytes)
	return b.journal.out.Flush()
}

func (b *Builder) record(it *item) error {
	if it.warning != "" {
		b.Warn(it.warning)
	}
	switch {
	case it.err != nil:
		b.result.Unreadable = append(b.result.Unreadable, walk.Unreadable{Path: it.entry.Path, Err: it.err})
		if len(b.result.Unreadable) >= maxUnreadable {
			return errEnough
		}
		return nil
	case it.gone:
		b.gone, b.missed = b.gone+1, cmp.Or(b.missed, it.entry.Path)
		return nil
	}
	b.result.Stored.Add(&it.entry)
	if it.linked {
		b.result.Linked.Add(&it.entry)
	} else if it.flags&walk.SameFile != 0 && it.flags&walk.Kept == 0 {
		b.unlinked++
	}
	if err := b.lists.Add(&it.entry); err != nil {
		return err
	}
	if it.entry.Kind != lists.File {
		return nil
	}
	b.Stamps.Add(it.entry.Stamp, it.entry.Lost)
	b.result.Lost.Add(it.entry.Path, it.entry.Lost)
	if it.flags&walk.Kept != 0 {
		return nil
	}
	return b.journal.add(&it.entry)
}

// finishDirs gives the directories their modes and times, once nothing more is made in them.
func (b *Builder) finishDirs(ctx context.Context) error {
	for e := range b.Entries.All() {
		if e.Kind != lists.Directory {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		parent, name := dirfd.Split(e.Path)
		fd, err := b.made.Open(parent)
		if err != nil {
			return err
		}
		err = tolerate(unix.Fchmodat(fd, name, StoredMode(e), 0))
		if err == nil {
			err = setTime(fd, name, e)
		}
		if err != nil {
			return b.made.Wrap("set mode and time of", e.Path, err)
		}
	}
	return nil
}

// finish completes the lists and warns of what the tree lacks.
func (b *Builder) finish(ctx context.Context) (*Result, error) {
	var err error
	if b.result.Digests, err = b.lists.Finish(); err != nil {
		return nil, err
	}
	if err := b.Into.RemoveMatching(ctx, isJournal); err != nil {
		return nil, err
	}
	if b.Objects != nil && b.gone > 0 { // which a bucket that has lost them says of them, too
		b.Warn(fmt.Sprintf("%d objects were listed and not there when they were read, so this run is without them; the first is %s", b.gone, lists.Escape(b.missed)))
	}
	if b.unlinked > 0 {
		b.Warn(fmt.Sprintf("%d unchanged files could not be linked to the earlier tree and were copied", b.unlinked))
	}
	if b.result.Stored.Symlinks > 0 && !b.symlinks {
		b.result.LinksOmitted = true
		b.Warn(fmt.Sprintf("volume cannot hold symlinks: %d symlinks of the file storage are in MTREE only", b.result.Stored.Symlinks))
	}
	return &b.result, nil
}
