package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"io/fs"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/refill"
	"threescale.dev/backup/fn/archive/internal/seal"
	"threescale.dev/backup/fn/archive/internal/tree"
)

func (f *fetcher) fetchTrees(ctx context.Context) error {
	for _, w := range f.w.both() {
		source := f.source.treeOf(w.link)
		t := &treeFetcher{fetcher: f, source: &source, w: w}
		if err := t.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// treeFetcher brings one tree of the run.
type treeFetcher struct {
	*fetcher

	source *runTree
	w      *treeWriter
}

// run makes the partial tree, unless the volume has an intact one of that name.
func (f *treeFetcher) run(ctx context.Context) error {
	if !f.source.isListed() {
		return f.w.trees.RemoveAll(ctx, f.w.partial())
	}
	intact, err := f.w.isIntact(ctx)
	if err != nil {
		return err
	}
	if intact {
		f.w.shared = true
		return f.w.trees.RemoveAll(ctx, f.w.partial())
	}
	into, err := f.w.trees.Ensure(f.w.partial())
	if err != nil {
		return err
	}
	defer into.Close()
	if err := into.RemoveMatching(ctx, func(name string) bool { return !lists.IsOfTree(name) }); err != nil {
		return err
	}
	if err := f.fetchLists(ctx, into); err != nil {
		return err
	}
	files, err := into.Ensure(lists.FilesDir)
	if err != nil {
		return err
	}
	defer files.Close()
	if err := f.link(ctx, into, files); err != nil {
		return err
	}
	return f.fill(ctx, into, files)
}

// fetchLists brings the lists of the tree, and proves them.
func (f *treeFetcher) fetchLists(ctx context.Context, into *dirfd.Dir) error {
	digests := f.source.listed.digests
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.fetchList(gctx, into, lists.SumsName, digests.Files) })
	g.Go(func() error { return f.fetchList(gctx, into, lists.MTREEName, digests.MTREE) })
	if err := g.Wait(); err != nil {
		return err
	}
	xattrs, err := lists.XattrsDigest(into)
	if err != nil {
		return err
	}
	if xattrs == "" {
		err = into.Remove(lists.XattrsName)
	} else {
		err = f.fetchList(ctx, into, lists.XattrsName, xattrs)
	}
	if err != nil {
		return err
	}
	if err := lists.Prove(into, digests); err != nil {
		return f.source.damagedLists(err)
	}
	return nil
}

// fetchList brings one list, unless an interrupted call did.
func (f *treeFetcher) fetchList(ctx context.Context, into *dirfd.Dir, name, digest string) error {
	if into.Prove(name, digest) == nil {
		return nil
	}
	size, err := f.bucket.size(ctx, f.source.listed.path()+"/"+name)
	if err != nil {
		return err
	}
	var need dirfd.Room
	need.AddFile(max(0, size))
	if err := requireRoom(f.w.volume.root, need); err != nil {
		return err
	}
	in, err := f.source.treeLists(ctx).OpenHashed(name)
	if err != nil {
		return f.source.damagedLists(err)
	}
	defer in.Close()
	if err := into.Remove(name); err != nil {
		return err
	}
	out, err := into.Create(name)
	if err != nil {
		return err
	}
	from := &failing{Reader: io.LimitReader(in, max(0, size)+1)} // what is longer has another digest
	n, err := io.Copy(out, from)
	if err = errors.Join(err, out.Close()); from.err != nil {
		return f.source.damagedLists(from.err)
	}
	if err != nil {
		return err
	}
	f.count(n)
	if err := in.Prove(name, digest); err != nil {
		return f.source.damagedLists(err)
	}
	return nil
}

// failing tells the errors of a reader from those of a writer.
type failing struct {
	io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

// link links what the newest tree of the volume has of the files. They are proven when the tree is filled.
func (f *treeFetcher) link(ctx context.Context, into, files *dirfd.Dir) error {
	newest := newestOf(f.w.earlier, f.w.opts.Run)
	if newest == nil {
		return nil
	}
	newestTree := newest.Manifest.tree(f.w.link)
	if newestTree.name == "" {
		return nil
	}
	from, err := f.w.trees.Sub(newestTree.name)
	if err != nil {
		return nil // then there is nothing to link
	}
	defer from.Close()
	old, err := lists.Open(from, newestTree.digests, nil)
	if err != nil {
		return nil // likewise
	}
	defer old.Close()
	oldFiles, err := from.Sub(lists.FilesDir)
	if err != nil {
		return nil // likewise
	}
	defer oldFiles.Close()
	l := &linker{old: lists.NewSeeker(old), from: dirfd.Stack{Root: oldFiles}, to: dirfd.Stack{Root: files}}
	defer l.from.Close()
	defer l.to.Close()
	return f.each(ctx, into, l.one)
}

// each calls a function for each entry of the tree, as it is listed.
func (f *treeFetcher) each(ctx context.Context, into *dirfd.Dir, do func(*lists.Entry)) error {
	listed, err := lists.Open(into, f.source.listed.digests, nil)
	if err != nil {
		return err
	}
	defer listed.Close()
	for {
		e, err := listed.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		do(&e)
	}
}

// linker links files of one tree into another. What it cannot link is fetched.
type linker struct {
	old      *lists.Seeker
	from, to dirfd.Stack
}

func (l *linker) one(e *lists.Entry) {
	if e.Path == "." || e.Kind == lists.Symlink {
		return
	}
	parent, name, err := l.to.Parent(e.Path)
	if err != nil {
		return
	}
	if e.Kind == lists.Directory {
		_ = unix.Mkdirat(parent.FD, name, 0o700) // what fills the tree finds out
		return
	}
	was, err := l.old.Find(e.Path)
	if err != nil || was == nil || was.SHA256 != e.SHA256 || !was.ModTime.Equal(e.ModTime) || tree.StoredMode(was) != tree.StoredMode(e) {
		return
	}
	if from, oldName, err := l.from.Parent(e.Path); err == nil {
		_ = unix.Linkat(from.FD, oldName, parent.FD, name, 0) // likewise
	}
}

// fill makes the files be what the lists say: as a restore does, but with what is stored.
func (f *treeFetcher) fill(ctx context.Context, into, files *dirfd.Dir) error {
	run := f.source.run
	sealer, err := sealerOf(run.info.Manifest)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(files.FD, &st); err != nil {
		return err
	}
	target := refill.New(refill.Options{
		Source: refill.Source{
			Name:   f.w.opts.Run,
			Digest: run.info.ManifestSHA256,
			Plain:  true, // what is stored has the listed digests
			Entries: func(context.Context) (lists.Source, func(), error) {
				listed, err := lists.Open(into, f.source.listed.digests, nil)
				if err != nil {
					return nil, nil, err
				}
				return &storedEntries{listed, sealer, st.Uid, st.Gid}, func() { _ = listed.Close() }, nil // it was only read
			},
			Opener: func() refill.Opener { return &storedOpener{f.source, f.source.storedFiles(ctx)} },
		},
		Root:     files,
		Workers:  f.opts.Workers,
		Batch:    f.bucket.batch(),
		Fsync:    f.w.fsync,
		Room:     func(need dirfd.Room) error { return requireRoom(f.w.volume.root, need) },
		Progress: f.w.progress,
	})
	filled, err := target.Refill(ctx, refill.Mirror)
	if err != nil {
		return err
	}
	f.result.Files += filled.WrittenFiles
	f.result.Bytes += filled.WrittenBytes
	f.result.Warnings = append(f.result.Warnings, filled.Warnings...)
	return nil
}

// storedEntries yields the entries of a tree as they are stored on a volume.
type storedEntries struct {
	lists.Source
	sealer   *seal.Sealer
	uid, gid uint32 // of what is made there
}

func (s *storedEntries) Next() (lists.Entry, error) {
	e, err := s.Source.Next()
	e.UID, e.GID, e.Xattrs = s.uid, s.gid, nil
	switch e.Kind {
	case lists.File:
		e.Size = s.sealer.StoredSize(e.Size)
		e.Mode = tree.StoredMode(&e)
	case lists.Directory:
		e.Mode = tree.StoredMode(&e)
	}
	return e, err
}

// storedOpener opens blobs as they are stored.
type storedOpener struct {
	tree  *runTree
	files storedFiles
}

func (o *storedOpener) Open(e *lists.Entry) (io.ReadCloser, error) {
	in, err := o.files.open(e)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, o.tree.run.damaged(Problem{Path: o.tree.filePath(e.Path), Kind: Missing, Got: "no " + blobPath(e.SHA256)})
	}
	if err != nil {
		return nil, err
	}
	const room = 1 << 20 // for the header of an age stream: see storedSizes
	return &storedReader{ReadCloser: in, tree: o.tree, want: *e, left: e.Size + e.Size/1024 + room, hash: sha256.New()}, nil
}

func (o *storedOpener) Close() { o.files.Close() }

// storedReader withholds io.EOF until the digest is proven.
type storedReader struct {
	io.ReadCloser
	tree *runTree
	want lists.Entry
	left int64 // bytes that it may have yet
	hash hash.Hash
}

func (r *storedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.hash.Write(p[:n])
	if r.left -= int64(n); r.left < 0 {
		return 0, r.tree.run.damaged(Problem{Path: r.tree.filePath(r.want.Path), Kind: Changed, Got: "more bytes", Want: "sha256:" + r.want.SHA256})
	}
	if errors.Is(err, io.EOF) {
		if got := dirfd.SumOf(r.hash); got != r.want.SHA256 {
			err = r.tree.run.damaged(digestProblem(r.tree.filePath(r.want.Path), got, r.want.SHA256))
		}
	}
	return n, err
}
