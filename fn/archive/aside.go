package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
)

// Witness remembers, elsewhere than on the volume, that a run has begun. Whoever can write to a volume, and knows the
// ID that a run will have, can put anything there under that ID beforehand.
type Witness interface {
	// Begun reports whether the run was noted.
	Begun(ctx context.Context) (bool, error)
	// Begin notes the run. When it returns without an error, the note outlives this process.
	Begin(ctx context.Context) error
}

// begin makes sure that only what we wrote has the name of the run on the volume.
func (w *writer) begin(ctx context.Context) error {
	if w.opts.Witness != nil {
		begun, err := w.opts.Witness.Begun(ctx)
		if err == nil && !begun {
			err = w.setAside()
		}
		if err == nil && !begun {
			err = w.opts.Witness.Begin(ctx)
		}
		if err != nil {
			return err
		}
	}
	aside, err := w.volume.aside()
	w.tellAside(aside)
	return err
}

// tellAside warns of a few entries that were set aside: others can make any number of such names, of any bytes.
func (w *writer) tellAside(names []string) {
	const most = 5
	for _, name := range names[:min(len(names), most)] {
		w.warn(fmt.Sprintf("before run %q began, something had its name on the volume, and is kept as %s/%s: somebody put it there, or the report of that run was deleted; look at it, then remove it",
			asideRun(name), runsDir, lists.Escape(name)))
	}
	if len(names) > most {
		w.warn(fmt.Sprintf("%s has %d such entries in all, whose names begin with %s", runsDir, len(names), asidePrefix))
	}
}

// setAside takes the names of the run from entries that have them. An entry that may be a good run gets another name;
// the beginning of a run is hidden, and removed later.
func (w *writer) setAside() error {
	run, err := moveAway(w.runs, w.opts.Run, asidePrefix+w.opts.Run)
	if err != nil {
		return err
	}
	if run {
		if err := w.volume.pointLatest(""); err != nil {
			return err
		}
	}
	partial := false
	for _, at := range []struct {
		dir  *dirfd.Dir
		name string
	}{{w.runs, w.partial()}, {w.trees, w.storage.partial()}, {w.trees, w.databases.partial()}} {
		moved, err := moveAway(at.dir, at.name, removedPrefix+w.opts.Run)
		if err != nil {
			return err
		}
		partial = partial || moved
	}
	if partial {
		w.warn(fmt.Sprintf("before run %q began, the volume held the beginning of a run of that name, which is not used", w.opts.Run))
	}
	if !run && !partial {
		return nil
	}
	return errors.Join(w.runs.Sync(), w.trees.Sync())
}

// moveAway gives an entry the first of the names "new", "new.2", "new.3" and so on that is free. It reports whether
// there was such an entry.
func moveAway(dir *dirfd.Dir, name, newName string) (bool, error) {
	kind, err := dir.Kind(name)
	if err != nil || kind == 0 {
		return false, err
	}
	free := newName
	for n := 2; ; n++ {
		kind, err := dir.Kind(free)
		if err != nil {
			return false, err
		}
		if kind == 0 {
			return true, dir.Rename(name, dir, free)
		}
		free = newName + "." + strconv.Itoa(n)
	}
}

// aside returns the names of what was set aside, sorted.
func (v *Volume) aside() ([]string, error) {
	names, err := v.names(runsDir)
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, asidePrefix) }), err
}

// asideRun returns the ID of the run whose name an entry had before it was set aside.
func asideRun(name string) string {
	id := strings.TrimPrefix(name, asidePrefix)
	if run, number, ok := strings.Cut(id, "."); ok && number != "" && strings.Trim(number, "0123456789") == "" {
		return run
	}
	return id
}
