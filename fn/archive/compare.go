package archive

import (
	"context"
	"fmt"
	"strconv"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/parallel"
	"threescale.dev/backup/fn/archive/internal/tree"
	"threescale.dev/backup/fn/archive/internal/walk"
)

const maxUnknownSize = 256 << 20 // what is hashed of a file whose size no list tells

// comparison compares what a list says with what a directory holds.
type comparison struct {
	*verifier
	root   *dirfd.Dir // nil: there is none, since it would hold no file
	prefix string     // of paths in problems
	want   lists.Source
	lists  string                   // where want comes from, in problems
	where  string                   // what is compared, in warnings
	count  func(path string) *int64 // what counts a file of that path; nil: nothing does

	modes, times int64 // entries whose modes, or times, are not those of the list

	// What a copy of a volume may lack, since tools for object stores know neither symlinks nor directories without
	// files. That is no damage: a restore makes both from the lists.
	symlinks, dirs int64
	followed       int64 // symlinks in whose place there is a file or a directory, as a tool leaves that follows them
}

// check is one entry that is listed, stored, or both.
type check struct {
	want    *lists.Entry // nil: not listed
	got     *lists.Entry // nil: not stored
	problem *Problem
}

func (c *comparison) run(ctx context.Context) error {
	stored, err := c.scan(ctx)
	if err != nil {
		return err
	}
	err = parallel.Pipeline[check]{
		Workers: c.opts.Workers,
		Produce: func(_ context.Context, add func(check, int64) error) error { return c.pair(stored, add) },
		Worker:  c.worker,
		Collect: c.collect,
	}.Run(ctx)
	c.tellMetadata()
	if err == nil {
		err = ctx.Err() // which a worker may have taken for a problem
	}
	return err
}

// scan lists what is stored, and reports at once what no list can hold.
func (c *comparison) scan(ctx context.Context) (lists.Source, error) {
	if c.root == nil {
		return &lists.SliceSource{}, nil
	}
	stored, err := walk.Scan(ctx, c.root, walk.Options{Workers: c.opts.Workers})
	if err != nil {
		return nil, err
	}
	for _, s := range stored.Skipped {
		c.report.add(Problem{Path: c.prefix + s.Path, Kind: Additional, Got: "type " + s.Type})
	}
	for _, u := range stored.Unreadable {
		if err := c.blame(u.Err, Problem{Path: c.prefix + lists.Escape(u.Path), Kind: Malformed}); err != nil {
			return nil, err
		}
	}
	return stored.List.Source(), nil
}

// pair puts listed and stored entries side by side.
func (c *comparison) pair(stored lists.Source, add func(check, int64) error) error {
	followed := "" // the last directory that stands in the place of a symlink: what is below it is not the run's
	for p, err := range lists.Merge(c.want, stored) {
		if notLooked(err) {
			return err
		}
		if err != nil { // without the rest of the list, nothing says whether what is stored is additional
			return add(check{problem: &Problem{Path: c.lists, Kind: Malformed, Got: err.Error()}}, 0)
		}
		item, size := check{}, int64(0)
		if p.Want != nil {
			item.want = new(*p.Want)
		} else if followed != "" && lists.Below(p.Got.Path, followed) {
			continue
		}
		if p.Got != nil {
			item.got, size = new(*p.Got), p.Got.Size
		}
		if p.Want != nil && p.Got != nil && isFollowed(p.Want, p.Got) {
			followed = p.Got.Path
		}
		if err := add(item, size); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) worker() (work func(context.Context, *check) error, done func()) {
	h := dirfd.NewHasher(c.root)
	h.Seen, h.Cold = c.seen, true
	return func(ctx context.Context, item *check) (err error) {
		if item.problem == nil {
			item.problem, err = c.judge(ctx, h, item)
		}
		return err
	}, h.Close
}

// judge returns what is wrong with an entry. An error says that nothing is known of it.
func (c *comparison) judge(ctx context.Context, h *dirfd.Hasher, item *check) (*Problem, error) {
	want, got := item.want, item.got
	switch {
	case want == nil:
		return &Problem{Path: c.prefix + lists.Escape(got.Path), Kind: Additional, Got: "type " + string(got.Kind)}, nil
	case got == nil && want.Kind != lists.File, got != nil && isFollowed(want, got):
		return nil, nil // see noteLacking
	case got == nil:
		return &Problem{Path: c.prefix + lists.Escape(want.Path), Kind: Missing, Want: "type " + string(want.Kind)}, nil
	}
	changed := Problem{Path: c.prefix + lists.Escape(want.Path), Kind: Changed}
	switch {
	case got.Kind != want.Kind:
		changed.Got, changed.Want = "type "+string(got.Kind), "type "+string(want.Kind)
	case want.Kind == lists.Symlink && got.Link != want.Link:
		changed.Got, changed.Want = "link "+lists.Escape(got.Link), "link "+lists.Escape(want.Link)
	case want.Kind == lists.File:
		var err error
		if changed.Got, changed.Want, err = c.judgeFile(ctx, h, want, got); err != nil {
			return nil, err
		}
	}
	if changed.Want == "" {
		return nil, nil
	}
	return &changed, nil
}

// isFollowed reports whether something else is stored in the place of a symlink: a tool that follows symlinks has
// stored their targets.
func isFollowed(want, got *lists.Entry) bool {
	return want.Kind == lists.Symlink && got.Kind != lists.Symlink
}

// judgeFile returns empty strings for a good file.
func (c *comparison) judgeFile(ctx context.Context, h *dirfd.Hasher, want, got *lists.Entry) (is, should string, err error) {
	least, most := c.storedSizes(want)
	if got.Size < least || got.Size > most {
		return "size " + strconv.FormatInt(got.Size, 10), sizeRange(least, most), nil
	}
	digest, err := h.Prove(ctx, want.Path, got.Size, want.SHA256)
	if notLooked(err) || err == nil && digest == want.SHA256 {
		return "", "", err
	}
	is, should = "sha256:"+digest, "sha256:"+want.SHA256
	if err != nil {
		is = err.Error()
	}
	return is, should, nil
}

// storedSizes bounds the size that an entry is stored with. That of an age stream depends on its recipients, so the
// bound is rough: it only keeps a read from going on for ever. The digest proves the rest.
func (c *verifier) storedSizes(want *lists.Entry) (least, most int64) {
	if want.Size < 0 {
		return 0, maxUnknownSize
	}
	if c.info.Manifest.Encryption == nil {
		return want.Size, want.Size
	}
	const maxHeader = 1 << 20
	return want.Size, want.Size + want.Size/1024 + maxHeader
}

func sizeRange(least, most int64) string {
	if least == most {
		return "size " + strconv.FormatInt(least, 10)
	}
	return fmt.Sprintf("size %d to %d", least, most)
}

func (c *comparison) collect(items []check) error {
	for i := range items {
		item := &items[i]
		if item.problem != nil {
			c.report.add(*item.problem)
		}
		if item.want == nil || item.got == nil {
			c.noteLacking(item)
			continue
		}
		if isFollowed(item.want, item.got) {
			c.followed++
			continue
		}
		c.noteMetadata(item.want, item.got)
		if n := c.count(item.got.Path); n != nil && item.got.Kind == lists.File {
			*n++
			c.report.Bytes += item.got.Size
			c.progress.Add(1, item.got.Size)
		}
	}
	return nil
}

// noteLacking counts an entry that is listed and not stored. The manifest tells of symlinks that the volume never had.
func (c *comparison) noteLacking(item *check) {
	if item.want == nil || item.want.Kind == lists.Symlink && c.info.Manifest.LinksOmitted {
		return
	}
	switch item.want.Kind {
	case lists.Symlink:
		c.symlinks++
	case lists.Directory:
		c.dirs++
	}
}

// noteMetadata counts modes and times that differ: storage may change them, and a restore takes them from the lists.
func (c *comparison) noteMetadata(want, got *lists.Entry) {
	if want.ModTime.IsZero() || want.Kind != got.Kind {
		return
	}
	if want.Kind != lists.Symlink && got.Mode != tree.StoredMode(want) {
		c.modes++
	}
	if !got.ModTime.Equal(want.ModTime) {
		c.times++
	}
}

func (c *comparison) tellMetadata() {
	tell := func(n int64, what string) {
		if n > 0 {
			c.report.Warnings = append(c.report.Warnings, fmt.Sprintf("stored %s of %d entries are not those of MTREE", what, n))
		}
	}
	tell(c.modes, "modes")
	tell(c.times, "times")
	if c.symlinks+c.dirs+c.followed == 0 {
		return
	}
	text := fmt.Sprintf("%s lacks %d symlinks and %d directories", c.where, c.symlinks, c.dirs)
	if c.followed > 0 {
		text += fmt.Sprintf(", and has something else in the place of %d symlinks", c.followed)
	}
	c.report.Warnings = append(c.report.Warnings, text+", as after a copy by a tool that does not know them: a restore makes them from the lists")
}
