package refill

import (
	"cmp"
	"context"
	"fmt"

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

	dirfd.Room // for what is still to be written
}

// merge yields the entries of the run and of the directory side by side. What it yields is valid until the next.
func (t *Target) merge(ctx context.Context, yield func(lists.Pair) error) error {
	source, done, err := t.Source.Entries(ctx)
	if err != nil {
		return err
	}
	defer done()
	for p, err := range lists.Merge(source, t.found.List.Source()) {
		if err := cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		if p.Got == nil && t.specials[p.Want.Path] {
			p.Got = &lists.Entry{Path: p.Want.Path, Kind: special}
		}
		if err := yield(p); err != nil {
			return err
		}
	}
	return nil
}

// makePlan compares names, kinds and sizes, and reads no file.
func (t *Target) makePlan(ctx context.Context) error {
	t.plan = plan{empty: true}
	specials := make(map[string]bool, len(t.specials))
	err := t.merge(ctx, func(p lists.Pair) error {
		if p.Want == nil {
			t.addForeign(p.Got)
			return nil
		}
		t.entries.Add(p.Want)
		if p.Got != nil && p.Got.Kind == special {
			specials[p.Got.Path] = true
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

func (t *Target) addWanted(p lists.Pair) error {
	if p.Want.Path == "." {
		t.root = *p.Want
		return nil
	}
	if p.Want.Path == t.marker.name {
		return fmt.Errorf("the run holds an entry %q, which would mark the refill", p.Want.Path)
	}
	if p.Want.Kind == lists.File && t.plan.firstFile == nil {
		first := *p.Want
		t.plan.firstFile = &first
	}
	if p.Got == nil {
		t.plan.AddFile(p.Want.Size)
		return nil
	}
	t.plan.empty = false
	if p.Got.Kind == lists.Directory && p.Want.Kind != lists.Directory && t.plan.blocked == "" {
		t.plan.blocked = p.Want.Path
	}
	if p.Want.Kind == lists.File && !p.Want.SameContent(p.Got) {
		t.plan.AddFile(max(0, p.Want.Size-p.Got.Size))
	}
	return nil
}

// isMarkerToBe reports whether a leftover may be of a try that was killed while it wrote its marker: such a try wrote
// no data. Data has a marker beside it.
func isMarkerToBe(e *lists.Entry) bool {
	dir, name := dirfd.Split(e.Path)
	return dir == "." && temporaryName.MatchString(name)
}

// isLeftover reports whether only an interrupted try leaves an entry of that name.
func isLeftover(e *lists.Entry) bool {
	dir, name := dirfd.Split(e.Path)
	return e.Kind == lists.File && (temporaryName.MatchString(name) || dir == "." && markerName.MatchString(name))
}
