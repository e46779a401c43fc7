package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/progress"
	"threescale.dev/backup/fn/archive/internal/tree"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// treeWriter makes one tree of a run. Its methods are steps of Write, in this order: scan, findPrevious, store,
// storeStamps, place, confirm, placeStamps.
type treeWriter struct {
	*writer

	link string // the run's, see treeLinks
	dir  string // what to store; empty: the run has no such tree

	source   *dirfd.Dir
	bucket   *fileBucket   // in place of source
	inBucket *tree.Objects // of the bucket
	scanned  *walk.Found   // nil without a directory or bucket
	stamper  walk.Stamper
	stamps   *lists.StampsWriter // nil: those of the volume stay
	restamp  bool                // some stamps of the previous tree were not known
	previous *tree.Previous      // nil: nothing to link from
	shared   bool                // the tree is the previous one
	intact   bool                // the tree is an older one, and proven
	rebuild  bool                // the previous tree has all files, and lacks something else
}

// stored is what the manifest says of the tree so far.
func (t *treeWriter) stored() storedTree { return t.manifest.tree(t.link) }

// isDumps reports whether the tree is that of the dumps. They are made anew for each run, so only names and content of
// their entries count.
func (t *treeWriter) isDumps() bool { return t.link == databasesName }

// partial is the name of the tree while it is built. No run has a name with the suffix that tells both trees apart.
func (t *treeWriter) partial() string {
	if t.isDumps() {
		return t.writer.partial() + "+" + databasesName
	}
	return t.writer.partial()
}

func (t *treeWriter) close() error {
	err := errors.Join(t.source.Close(), t.bucket.Close())
	if t.previous != nil {
		err = errors.Join(err, t.previous.Dir.Close())
	}
	return err
}

func (t *treeWriter) scan(ctx context.Context) error {
	if !t.isDumps() && t.opts.FilesBucket != nil {
		return t.scanBucket(ctx)
	}
	if t.dir == "" {
		return nil
	}
	var err error
	if t.isDumps() { // no file of an earlier attempt is known to be the same
		if err = t.trees.RemoveAll(ctx, t.partial()); err != nil {
			return err
		}
	}
	if t.source, err = dirfd.Open(t.dir); err != nil {
		return t.unreadable([]walk.Unreadable{{Path: ".", Err: err}})
	}
	t.progress.Begin(progress.Scan, 0, 0)
	if !t.isDumps() { // what was made a moment ago is read anyway
		if t.stamper, err = walk.NewStamper(t.source, t.opts.Now()); err != nil {
			return err
		}
	}
	t.scanned, err = walk.Scan(ctx, t.source, walk.Options{
		Workers:  t.opts.Workers,
		Source:   true,
		Bare:     t.isDumps(),
		Stamps:   t.stamper,
		Keep:     t.keep(),
		Outside:  t.volume.root,
		Progress: t.progress.Add,
	})
	if errors.Is(err, walk.ErrInside) {
		return &UsageError{Err: err}
	}
	if err != nil {
		return err
	}
	if len(t.scanned.Unreadable) > 0 {
		return t.unreadable(t.scanned.Unreadable)
	}
	if t.isDumps() {
		return t.checkDumps()
	}
	for _, e := range t.scanned.Skipped {
		t.manifest.Skipped = append(t.manifest.Skipped, SkippedEntry(e))
	}
	t.manifest.SkippedCount = t.scanned.SkippedCount
	t.lost.Merge(t.scanned.Lost)
	return nil
}

func (t *treeWriter) unreadable(entries []walk.Unreadable) error {
	if t.isDumps() {
		return fmt.Errorf("cannot read dumps of databases: %s: %w", lists.Escape(entries[0].Path), entries[0].Err)
	}
	return &UnreadableError{Entries: entries}
}

// keep says which extended attributes are kept. The list of them is not encrypted, so an encrypted run has none of the
// values that users chose.
func (t *treeWriter) keep() walk.Attributes {
	switch {
	case t.isDumps():
		return walk.NoAttributes
	case t.sealer != nil:
		return walk.AccessLists
	}
	return walk.AllAttributes
}

// store stores the tree, or takes over the one that has all of it already.
func (t *treeWriter) store(ctx context.Context) error {
	if t.scanned == nil || t.shared {
		return errors.Join(t.trees.RemoveAll(ctx, t.partial()), t.checkSpace(t.toCome()...))
	}
	into, err := t.trees.Ensure(t.partial())
	if err != nil {
		return err
	}
	defer into.Close()
	opts := t.treeOptions(t.previous)
	opts.Into = into
	if !t.isDumps() || opts.Contents != nil {
		opts.Stamps = t.newStamps()
	}
	return t.build(ctx, opts)
}

// toCome returns what is stored after this tree.
func (t *treeWriter) toCome() []*walk.List {
	if dumps := t.databases; t != dumps && dumps.scanned != nil && !dumps.shared {
		return []*walk.List{dumps.scanned.List}
	}
	return nil
}

// treeOptions says how the tree is built, and compared with a previous one.
func (t *treeWriter) treeOptions(previous *tree.Previous) tree.Options {
	opts := tree.Options{
		Source:   t.source,
		Objects:  t.inBucket,
		Entries:  t.scanned.List,
		Bare:     t.isDumps(),
		Previous: previous,
		Sealer:   t.sealer,
		Contents: t.contents(),
		Stamper:  t.stamper,
		Keep:     t.keep(),
		Workers:  t.opts.Workers,
		Fsync:    t.fsync,
		Warn:     t.warn,
		Progress: t.progress,
	}
	if t.inBucket != nil { // the time of one is spent on the way
		opts.Workers, opts.Batch = fileBucketWorkers, 1
	}
	return opts
}

// contents tells which encrypted dumps are unchanged. Whoever can make its key has the Secrets of the run, and with them
// the databases.
func (t *treeWriter) contents() *tree.Contents {
	if t.sealer == nil || !t.isDumps() {
		return nil
	}
	key, known := sha256.New(), false
	for _, o := range t.objects {
		if strings.HasPrefix(o.Path, "secrets/") {
			known = true
			fmt.Fprintf(key, "%s %d\n%s", o.Path, len(o.Data), o.Data)
		}
	}
	if !known {
		return nil
	}
	return tree.NewContents(key.Sum(nil))
}

// build builds the tree and puts the result into the manifest.
func (t *treeWriter) build(ctx context.Context, opts tree.Options) (err error) {
	b, err := tree.Resume(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if t.opts.ProveLinks {
		if _, err := tree.Prove(ctx, opts); err != nil {
			return err
		}
	}
	if err := t.checkSpace(append(t.toCome(), b.Entries)...); err != nil {
		return err
	}
	result, err := b.Build(ctx)
	if err != nil {
		return bucketError(err)
	}
	if len(result.Unreadable) > 0 {
		return t.unreadable(result.Unreadable)
	}
	if t.isDumps() && (result.Stored.Files != t.scanned.List.Count.Files || result.Stored.Bytes != t.scanned.List.Count.Bytes) {
		return errors.New("cannot store dumps of databases: files changed meanwhile")
	}
	t.lost.Merge(result.Lost)
	t.setTree(result.Digests, totalsOf(result.Stored, result.Linked), result.LinksOmitted)
	if t.opts.ProveLinks {
		t.intact, err = t.isIntact(ctx)
	}
	return err
}

func totalsOf(all, linked walk.Counts) TreeTotals {
	return TreeTotals{
		Files: all.Files, Bytes: all.Bytes, Directories: all.Dirs, Symlinks: all.Symlinks,
		LinkedFiles: linked.Files, LinkedBytes: linked.Bytes,
	}
}

// setTree puts the tree into the manifest.
func (t *treeWriter) setTree(digests lists.Digests, totals TreeTotals, linksOmitted bool) {
	name := lists.TreeName(digests.MTREE, digests.Files)
	if t.isDumps() {
		t.manifest.FormatVersion = formatVersion
		t.manifest.Databases = &Databases{Dumps: t.opts.Dumps, Tree: name, Digests: digests, Totals: totals}
		return
	}
	t.manifest.Tree, t.manifest.Digests.TreeDigests = name, digests
	t.manifest.Totals.TreeTotals, t.manifest.LinksOmitted = totals, linksOmitted
}

// isIntact reports whether there already is an intact tree with the name of the new one, older than the previous tree.
// Somebody may be reading it, so it is not replaced without need.
func (t *treeWriter) isIntact(ctx context.Context) (bool, error) {
	stored := t.stored()
	if t.previous != nil && t.previous.Name == stored.name {
		return false, nil // it was found wanting, else it would be shared
	}
	if kind, err := t.trees.Kind(stored.name); kind == 0 || err != nil {
		return false, err
	}
	c := &verifier{
		stored:   t.volume,
		opts:     VerifyOptions{Workers: t.opts.Workers},
		info:     RunInfo{ID: t.opts.Run, Manifest: &t.manifest},
		progress: &progress.Meter{},
		report:   newReport(RunInfo{}, 1),
	}
	err := t.volume.verifyTree(ctx, c, stored)
	return c.report.ProblemCount == 0, err
}

// place gives the partial tree its name, and with it all that is in it, unless the tree is shared.
func (t *treeWriter) place(ctx context.Context) error {
	name := t.stored().name
	switch {
	case name == "":
		return nil
	case !t.shared:
		return t.placeTree(ctx, name)
	}
	// Where there are no locks, another writer may have removed it since it was found.
	if kind, err := t.trees.Kind(name); kind == 0 {
		return errors.Join(fmt.Errorf("tree %s, which was to be shared, was removed by another writer", name), err)
	}
	return nil
}

// placeTree gives the partial tree its name, unless a good tree has it already. With ProveLinks, a tree that is not
// proven to be intact is replaced by the new one, whose files are: that mends the runs that share a damaged tree.
func (t *treeWriter) placeTree(ctx context.Context, name string) error {
	kind, err := t.trees.Kind(name)
	if err != nil {
		return err
	}
	switch {
	case kind == 0:
		err = t.trees.Rename(t.partial(), t.trees, name)
	case t.opts.ProveLinks && !t.intact || t.rebuild || t.check() != nil:
		err = t.replaceTree(ctx, name)
	default:
		err = t.trees.RemoveAll(ctx, t.partial())
	}
	return errors.Join(err, t.trees.Sync())
}
