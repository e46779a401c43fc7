package refill

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/parallel"
	"threescale.dev/backup/fn/archive/internal/progress"
)

// depth says what is compared besides the names, types and links of all entries.
type depth struct {
	content bool // of files
	meta    bool // modes and times
	xattrs  bool // extended attributes
	omitted bool // symlinks may be missing where the directory cannot hold any
}

// difference is an entry that differs between the run and the directory.
type difference struct{ path, why string }

func (d *difference) Error() string { return d.path + " " + d.why }

// compare returns the first difference that it finds, or nil.
func (t *Target) compare(ctx context.Context, depth depth) (*difference, error) {
	files := t.entries
	dirs := &dirfd.Stack{Root: t.Root}
	defer dirs.Close()
	if depth.content {
		t.Progress.Begin(progress.Verify, files.Files, files.Bytes)
	}
	err := parallel.Pipeline[lists.Entry]{
		Workers: t.Workers,
		Batch:   t.Batch,
		Produce: func(ctx context.Context, add func(lists.Entry, int64) error) error {
			return t.merge(ctx, func(p lists.Pair) error {
				if d := t.differ(p, depth); d != nil {
					return d
				}
				if depth.xattrs && p.Want != nil && p.Got != nil && p.Want.Kind != lists.Symlink {
					if parent, name, err := dirs.Parent(p.Want.Path); err != nil || !hasXattrs(parent, name, p.Want) {
						return &difference{p.Want.Path, "has other extended attributes than in the run"}
					}
				}
				if p.Want == nil || p.Got == nil || p.Want.Kind != lists.File || !depth.content {
					return nil
				}
				return add(*p.Want, p.Want.Size)
			})
		},
		Worker: func() (func(context.Context, *lists.Entry) error, func()) {
			c := t.newComparer()
			return func(ctx context.Context, e *lists.Entry) error {
				same, err := c.same(ctx, e)
				if err == nil && !same {
					err = &difference{e.Path, "has other content than in the run"}
				}
				return err
			}, c.close
		},
		Collect: func(entries []lists.Entry) error {
			for i := range entries {
				t.Progress.Add(1, entries[i].Size)
			}
			return nil
		},
	}.Run(ctx)
	if d, ok := errors.AsType[*difference](err); ok {
		return d, nil
	}
	return nil, err
}

// differ compares all but the content.
func (t *Target) differ(p lists.Pair, depth depth) *difference {
	want, got := p.Want, p.Got
	switch {
	case want == nil:
		return &difference{got.Path, "is not of the run"}
	case got == nil && want.Kind == lists.Symlink && depth.omitted:
		if holds, err := t.Root.HoldsSymlinks(); err == nil && !holds {
			t.refused.symlinks.Add(1)
			return nil
		}
		return &difference{want.Path, "of the run is missing"}
	case got == nil && !depth.content && want.Kind == lists.Symlink:
		return nil // the content was compared before
	case got == nil:
		return &difference{want.Path, "of the run is missing"}
	case got.Kind != want.Kind || got.Link != want.Link || got.Size != want.Size && want.Kind == lists.File:
		return &difference{want.Path, "is not what it is in the run"}
	case depth.meta && want.Path != "." && !sameMeta(want, got):
		return &difference{want.Path, "has another mode or time than in the run"}
	case depth.meta && want.Path != "." && (got.UID != want.UID || got.GID != want.GID):
		t.owners.kept.Add(1)
	}
	return nil
}

// groupBits are what a kubelet adds to the modes of a volume that it gives to a group.
const groupBits, groupDirBits = 0o660, 0o2770

// sameMeta compares modes and times. The mode of a symlink means nothing.
func sameMeta(want, got *lists.Entry) bool {
	if !want.ModTime.Equal(got.ModTime) {
		return false
	}
	added := uint32(groupBits)
	switch want.Kind {
	case lists.Symlink:
		return true
	case lists.Directory:
		added = groupDirBits
	}
	for _, mode := range []uint32{want.Mode, want.StatMode()} {
		if got.Mode == mode || got.Mode == mode|added {
			return true
		}
	}
	return false
}

// comparer compares the content of files, one at a time.
type comparer struct {
	plain  bool
	hasher *dirfd.Hasher
	opener Opener
}

func (t *Target) newComparer() *comparer {
	c := &comparer{plain: t.Source.Plain, hasher: dirfd.NewHasher(t.Root)}
	if !c.plain {
		c.opener = t.Source.Opener()
	}
	return c
}

func (c *comparer) close() {
	c.hasher.Close()
	if !c.plain {
		c.opener.Close()
	}
}

// same reports whether the directory has the content of a file of the run. A file that cannot be read does not.
func (c *comparer) same(ctx context.Context, want *lists.Entry) (bool, error) {
	if c.plain {
		digest, err := c.hasher.Digest(ctx, want.Path, want.Size)
		if err != nil {
			return false, c.excuse(ctx, err)
		}
		return digest == want.SHA256, nil
	}
	parent, name, err := c.hasher.Dirs.Parent(want.Path)
	if err != nil {
		return false, c.excuse(ctx, err)
	}
	got, err := parent.Open(name)
	if err != nil {
		return false, c.excuse(ctx, err)
	}
	defer got.Close()
	in, err := c.opener.Open(want)
	if err != nil {
		return false, err
	}
	defer in.Close()
	return sameBytes(ctx, in, got)
}

// excuse drops the error of a file that is there and cannot be read; one of the disk counts.
func (c *comparer) excuse(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, unix.EIO) {
		return err
	}
	return nil
}

func sameBytes(ctx context.Context, run io.Reader, got *os.File) (bool, error) {
	a, b := buffers.Get().(*[64 << 10]byte), buffers.Get().(*[64 << 10]byte) //nolint:forcetypeassert // of no other type
	defer buffers.Put(a)
	defer buffers.Put(b)
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n, runErr := io.ReadFull(run, a[:])
		m, gotErr := io.ReadFull(got, b[:])
		if runErr != nil && !errors.Is(runErr, io.EOF) && !errors.Is(runErr, io.ErrUnexpectedEOF) {
			return false, runErr
		}
		switch {
		case !bytes.Equal(a[:n], b[:m]):
			return false, nil
		case runErr != nil:
			return gotErr != nil, nil // the run's file has ended: so should the other
		case gotErr != nil:
			return false, nil // it ends too early
		}
	}
}
