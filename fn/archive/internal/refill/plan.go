package refill

import (
	"context"
	"errors"
	"fmt"
	"io"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// special is the kind of an entry that no run holds: a FIFO, socket or device.
const special lists.Kind = "special"

// plan is what follows from comparing names, kinds and sizes.
type plan struct {
	empty     bool
	foreign   string       // an entry of the directory that the run does not have; empty: there is none
	blocked   string       // a directory where the run has something else; likewise
	leftovers []string     // temporary files and markers of interrupted tries
	firstFile *lists.Entry // of the run; nil: it has none
	bytes     uint64       // that are still to be written, in whole blocks
	inodes    uint64
}

// add notes an entry that is to be written.
func (p *plan) add(size int64) {
	const block = 4096 // what a file's size is rounded up to
	p.bytes += uint64((size + block - 1) / block * block)
	p.inodes++
}

// pair is an entry of the run, of the directory, or of both.
type pair struct {
	want *lists.Entry // nil: not in the run
	got  *lists.Entry // nil: not in the directory
}

// merge yields the entries of the run and of the directory side by side. What it yields is valid until the next.
func (t *Target) merge(ctx context.Context, yield func(pair) error) error {
	source, done, err := t.Source.Entries(ctx)
	if err != nil {
		return err
	}
	defer done()
	want, wantErr := source.Next()
	var got lists.Entry
	cursor := t.found.List.Cursor()
	more := cursor.Next(&got) != nil
	for wantErr == nil || more {
		if err := ctx.Err(); err != nil {
			return err
		}
		if wantErr != nil && !errors.Is(wantErr, io.EOF) {
			return wantErr
		}
		var order int
		switch {
		case wantErr != nil:
			order = 1
		case !more:
			order = -1
		default:
			order = lists.ComparePaths(want.Path, got.Path)
		}
		var p pair
		if order <= 0 {
			p.want = &want
		}
		if order >= 0 {
			p.got = &got
		} else if t.specials[want.Path] {
			p.got = &lists.Entry{Path: want.Path, Kind: special}
		}
		if err := yield(p); err != nil {
			return err
		}
		if order <= 0 {
			want, wantErr = source.Next()
		}
		if order >= 0 {
			more = cursor.Next(&got) != nil
		}
	}
	if !errors.Is(wantErr, io.EOF) {
		return wantErr
	}
	return nil
}

// makePlan compares without reading a file.
func (t *Target) makePlan(ctx context.Context) error {
	t.plan = plan{empty: true}
	specials := make(map[string]bool, len(t.specials))
	err := t.merge(ctx, func(p pair) error {
		if p.want == nil {
			t.addForeign(p.got)
			return nil
		}
		t.result.Entries.Add(p.want)
		if p.got != nil && p.got.Kind == special {
			specials[p.got.Path] = true
		}
		return t.addWanted(p)
	})
	if err != nil {
		return err
	}
	for path := range t.specials {
		t.plan.empty = false
		if !specials[path] {
			t.plan.foreign = path
		}
	}
	return nil
}

// addForeign notes an entry that the run does not have.
func (t *Target) addForeign(got *lists.Entry) {
	if got.Path == "." {
		return
	}
	if isLeftover(got) && len(t.plan.leftovers) < walk.MaxListed {
		t.plan.leftovers = append(t.plan.leftovers, got.Path)
		if t.marked || isMarkerToBe(got) {
			return
		}
	}
	t.plan.empty = false
	if t.plan.foreign == "" {
		t.plan.foreign = got.Path
	}
}

// addWanted notes an entry of the run.
func (t *Target) addWanted(p pair) error {
	if p.want.Path == "." {
		t.root = *p.want
		return nil
	}
	if p.want.Path == t.marker.name {
		return fmt.Errorf("the run holds an entry %q, which would mark the refill", p.want.Path)
	}
	if p.want.Kind == lists.File && t.plan.firstFile == nil {
		first := *p.want
		t.plan.firstFile = &first
	}
	if p.got == nil {
		t.plan.add(p.want.Size)
		return nil
	}
	t.plan.empty = false
	if p.got.Kind == lists.Directory && p.want.Kind != lists.Directory && t.plan.blocked == "" {
		t.plan.blocked = p.want.Path
	}
	if p.want.Kind == lists.File && !p.want.SameContent(p.got) {
		t.plan.add(max(0, p.want.Size-p.got.Size))
	}
	return nil
}

// isMarkerToBe reports whether a leftover may be of a try that was killed while it wrote its marker: no data was written
// then.
// Where data was, it has a marker beside it.
func isMarkerToBe(e *lists.Entry) bool {
	dir, name := dirfd.Split(e.Path)
	return dir == "." && temporaryName.MatchString(name)
}

// isLeftover reports whether a name is one that only an interrupted try leaves.
func isLeftover(e *lists.Entry) bool {
	dir, name := dirfd.Split(e.Path)
	return e.Kind == lists.File && (temporaryName.MatchString(name) || dir == "." && markerName.MatchString(name))
}
