package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
)

const maxUnknownSize = 256 << 20 // what is hashed of a file whose size no list tells

// comparison compares what a list says with what a directory holds.
type comparison struct {
	*verifier
	root   *dir
	prefix string // of paths in problems
	want   entrySource
	lists  string                   // where want comes from, in problems
	count  func(path string) *int64 // what counts a file of that path; nil: nothing does

	modes int64 // entries whose modes are not those of the list
	times int64 // likewise
}

// check is one entry that is listed, stored, or both.
type check struct {
	want    *Entry // nil: not listed
	got     *Entry // nil: not stored
	problem *Problem
}

func (c *comparison) run(ctx context.Context) error {
	stored, err := scan(ctx, c.root, scanOptions{Workers: c.opts.Workers})
	if err != nil {
		return err
	}
	for _, s := range stored.skipped {
		c.report.add(Problem{Path: c.prefix + s.Path, Kind: Additional, Got: "type " + s.Type})
	}
	for _, u := range stored.unreadable {
		c.report.add(Problem{Path: c.prefix + visPath(u.Path), Kind: Malformed, Got: u.Err.Error()})
	}
	err = pipeline[check]{
		workers: c.opts.Workers,
		produce: func(_ context.Context, emit func([]check) error) error {
			return c.pair(stored.list.cursor(), batcher[check]{emit: emit})
		},
		worker:  c.worker,
		collect: c.collect,
	}.run(ctx)
	c.tellMetadata()
	if err == nil {
		err = ctx.Err() // which a worker may have taken for a problem
	}
	return err
}

// pair merges what is listed with what is stored.
func (c *comparison) pair(stored *cursor, out batcher[check]) error {
	want, wantErr := c.want.next()
	var got Entry
	more := stored.next(&got) != nil
	for wantErr == nil || more {
		order := 0
		switch {
		case wantErr != nil:
			order = 1
		case !more:
			order = -1
		default:
			order = comparePaths(want.Path, got.Path)
		}
		if order > 0 && wantErr != nil && !errors.Is(wantErr, io.EOF) {
			break // the list is of no use from here on: what is stored cannot be told from what is additional
		}
		item := check{}
		if order <= 0 {
			listed := want
			item.want = &listed
			want, wantErr = c.want.next()
		}
		if order >= 0 {
			present := got
			item.got = &present
			more = stored.next(&got) != nil
		}
		if err := out.add(item, sizeOf(item.got)); err != nil {
			return err
		}
	}
	if err := out.flush(); err != nil || errors.Is(wantErr, io.EOF) {
		return err
	}
	return out.emit([]check{{problem: &Problem{Path: c.lists, Kind: Malformed, Got: wantErr.Error()}}})
}

func sizeOf(e *Entry) int64 {
	if e == nil {
		return 0
	}
	return e.Size
}

// worker looks for what is wrong with each entry.
func (c *comparison) worker() (work func(context.Context, []check) error, done func()) {
	h := newHasher(c.root)
	return func(ctx context.Context, items []check) error {
		for i := range items {
			if err := ctx.Err(); err != nil {
				return err
			}
			if items[i].problem == nil {
				items[i].problem = c.judge(ctx, h, &items[i])
			}
		}
		return nil
	}, h.close
}

func (c *comparison) judge(ctx context.Context, h *hasher, item *check) *Problem {
	want, got := item.want, item.got
	switch {
	case want == nil:
		return &Problem{Path: c.prefix + visPath(got.Path), Kind: Additional, Got: "type " + string(got.Kind)}
	case got == nil:
		if want.Kind == Symlink && c.info.Manifest.LinksOmitted {
			return nil
		}
		return &Problem{Path: c.prefix + visPath(want.Path), Kind: Missing, Want: "type " + string(want.Kind)}
	}
	changed := Problem{Path: c.prefix + visPath(want.Path), Kind: Changed}
	switch {
	case got.Kind != want.Kind:
		changed.Got, changed.Want = "type "+string(got.Kind), "type "+string(want.Kind)
	case want.Kind == Symlink && got.Link != want.Link:
		changed.Got, changed.Want = "link "+visPath(got.Link), "link "+visPath(want.Link)
	case want.Kind == File:
		changed.Got, changed.Want = c.judgeFile(ctx, h, want, got)
	}
	if changed.Want == "" {
		return nil
	}
	return &changed
}

// judgeFile returns empty strings for a file that is as it should be.
func (c *comparison) judgeFile(ctx context.Context, h *hasher, want, got *Entry) (is, should string) {
	least, most := c.storedSizes(want)
	if got.Size < least || got.Size > most {
		return "size " + strconv.FormatInt(got.Size, 10), sizeRange(least, most)
	}
	digest, err := h.digest(ctx, want.Path, got.Size)
	if err != nil {
		return err.Error(), "sha256:" + want.SHA256
	}
	if digest != want.SHA256 {
		return "sha256:" + digest, "sha256:" + want.SHA256
	}
	return "", ""
}

// storedSizes bounds the size that an entry is stored with. That of an age stream depends on its recipients, so the
// bound is rough: it is there to not read for ever. The digest proves the rest.
func (c *comparison) storedSizes(want *Entry) (least, most int64) {
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

// collect takes the judged entries in order.
func (c *comparison) collect(items []check) error {
	for i := range items {
		item := &items[i]
		if item.problem != nil {
			c.report.add(*item.problem)
		}
		if item.want == nil || item.got == nil {
			continue
		}
		c.noteMetadata(item.want, item.got)
		if n := c.count(item.got.Path); n != nil && item.got.Kind == File {
			*n++
			c.report.Bytes += item.got.Size
			c.progress.add(1, item.got.Size)
		}
	}
	return nil
}

// noteMetadata counts what storage may change and a restore does not read from it.
func (c *comparison) noteMetadata(want, got *Entry) {
	if want.ModTime.IsZero() || want.Kind != got.Kind {
		return
	}
	if want.Kind != Symlink && got.Mode != storedMode(want) {
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
}
