package archive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/refill"
	"threescale.dev/backup/fn/archive/internal/walk"
	"threescale.dev/backup/fn/recorded"
)

// maxDumps bounds the dumps of a run.
const maxDumps = 16

// Dumps returns the databases that the run holds.
func (r *Run) Dumps() []recorded.Dump {
	if r.info.Manifest == nil || r.info.Manifest.Databases == nil {
		return nil
	}
	return r.info.Manifest.Databases.Dumps
}

// ExtractOptions says what to extract.
type ExtractOptions struct {
	Databases  []string // names of dumps; empty: all
	Identities []age.Identity
	Workers    int            // as in RestoreOptions
	Progress   func(Progress) // likewise
}

// ExtractDatabases writes dumps into an empty directory, each into one of its name, decrypted and proven. After any
// error, or a crash, the same call can be made again and goes on. The files belong to this process. Errors are those of
// Restore.
func (r *Run) ExtractDatabases(ctx context.Context, dir string, opts ExtractOptions) error {
	if err := r.extract(ctx, dir, opts); err != nil {
		return fmt.Errorf("cannot extract databases of run %q: %w", r.info.ID, err)
	}
	return nil
}

func (r *Run) extract(ctx context.Context, dir string, opts ExtractOptions) error {
	wanted, err := r.wantedDumps(opts.Databases)
	if err != nil {
		return &UsageError{Err: err}
	}
	root, err := dirfd.Open(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := r.checkBeyond(root); err != nil {
		return &UsageError{Err: err}
	}
	if _, err := lockTarget(root); err != nil {
		return err
	}
	defer unlockTarget(root)
	t, err := r.openDatabases()
	if err != nil {
		return err
	}
	defer t.close()
	o, err := t.refillOptions(ctx, root, RestoreOptions{Identities: opts.Identities, Workers: opts.Workers, Progress: opts.Progress})
	if err != nil {
		return err
	}
	if o.Source.Entries, err = t.extracted(root, wanted); err != nil {
		return err
	}
	_, err = refill.New(o).Refill(ctx, Fail)
	return explainTarget(root, err)
}

// wantedDumps returns the names of the given dumps, or of all.
func (r *Run) wantedDumps(names []string) (map[string]bool, error) {
	has := make(map[string]bool)
	for _, d := range r.Dumps() {
		has[d.Name] = true
	}
	if len(has) == 0 {
		return nil, errors.New("it holds no databases")
	}
	if len(names) == 0 {
		return has, nil
	}
	wanted := make(map[string]bool)
	for _, name := range names {
		if !has[name] {
			return nil, fmt.Errorf("it holds no database %q, but: %s", name, strings.Join(slices.Sorted(maps.Keys(has)), ", "))
		}
		wanted[name] = true
	}
	return wanted, nil
}

// extracted returns a function that opens the entries of some dumps, as they are to be in a directory.
func (t *runTree) extracted(root *dirfd.Dir, wanted map[string]bool) (func(context.Context) (lists.Source, func(), error), error) {
	var st unix.Stat_t
	if err := unix.Fstat(root.FD, &st); err != nil {
		return nil, root.Fail("fstat", "", err)
	}
	gid := uint32(os.Getegid())
	if st.Mode&unix.S_ISGID != 0 {
		gid = st.Gid
	}
	return func(ctx context.Context) (lists.Source, func(), error) {
		source, done, err := t.openLists(ctx)
		return &extractedEntries{source, t, wanted, walk.StatEntry(".", &st), uint32(os.Geteuid()), gid}, done, err
	}, nil
}

// extractedEntries yields the entries of some dumps.
type extractedEntries struct {
	lists.Source
	tree     *runTree
	wanted   map[string]bool
	root     lists.Entry // the directory that they are for, which stays as it is
	uid, gid uint32      // of what this process makes there
}

func (s *extractedEntries) Next() (lists.Entry, error) {
	for {
		e, err := s.Source.Next()
		switch {
		case err != nil:
			return e, err
		case e.Path == ".":
			return s.root, nil
		case !s.wanted[dumpOf(e.Path)]:
			continue
		case e.Kind == lists.Symlink: // which what loads the dump might follow
			return e, s.tree.run.damaged(Problem{Path: s.tree.filePath(e.Path), Kind: Malformed, Got: "type link"})
		}
		walk.Strip(&e)
		e.UID, e.GID, e.Xattrs = s.uid, s.gid, nil
		return e, nil
	}
}

// dumpOf returns the name of the dump that an entry is of.
func dumpOf(path string) string {
	name, _, _ := strings.Cut(path, "/")
	return name
}

// checkDumps returns an error unless the scanned directory has just the dumps that it should have, of what dumps are
// made of.
func (t *treeWriter) checkDumps() error {
	if t.scanned.SkippedCount > 0 {
		s := t.scanned.Skipped[0]
		return fmt.Errorf("cannot store dumps of databases: %s is a %s", s.Path, s.Type)
	}
	missing := make(map[string]bool)
	for _, d := range t.opts.Dumps {
		missing[d.Name] = true
	}
	for e := range t.scanned.List.All() {
		switch {
		case e.Path == ".":
		case e.Kind == lists.Symlink:
			return fmt.Errorf("cannot store dumps of databases: %s is a symlink", lists.Escape(e.Path))
		case strings.Contains(e.Path, "/"):
		case !missing[e.Path] || e.Kind != lists.Directory:
			return fmt.Errorf("cannot store dumps of databases: %s is not the directory of a dump", lists.Escape(e.Path))
		default:
			delete(missing, e.Path)
		}
	}
	for _, d := range t.opts.Dumps {
		if missing[d.Name] {
			return fmt.Errorf("cannot store dumps of databases: there is no directory %q", d.Name)
		}
	}
	return nil
}

func (d *Databases) validate() error {
	t := storedTree{name: d.Tree, digests: d.Digests, totals: d.Totals}
	if err := t.validate(); err != nil {
		return err
	}
	if d.Totals.Symlinks != 0 {
		return fmt.Errorf("%d symlinks", d.Totals.Symlinks)
	}
	return validDumps(d.Dumps)
}

func validDumps(dumps []recorded.Dump) error {
	if len(dumps) == 0 || len(dumps) > maxDumps {
		return fmt.Errorf("%d dumps, which are not 1 to %d", len(dumps), maxDumps)
	}
	seen := make(map[string]bool)
	for i := range dumps {
		if err := validDump(&dumps[i]); err != nil {
			return fmt.Errorf("dump %q: %w", dumps[i].Name, err)
		}
		if seen[dumps[i].Name] {
			return fmt.Errorf("dump %q is there twice", dumps[i].Name)
		}
		seen[dumps[i].Name] = true
	}
	return nil
}

// validDump checks what readers rely on. What the texts mean is not this package's.
func validDump(d *recorded.Dump) error {
	const maxName, maxText = 64, 256
	odd := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }
	if d.Name == "" || len(d.Name) > maxName || strings.ContainsFunc(d.Name, odd) {
		return fmt.Errorf("its name is not 1 to %d lower-case letters, digits and hyphens", maxName)
	}
	for _, text := range []string{string(d.Kind), d.ServerVersion, d.Tool} {
		if len(text) > maxText || strings.ContainsFunc(text, isControl) {
			return fmt.Errorf("%q is not a line of at most %d bytes", text, maxText)
		}
	}
	if d.Kind == "" || d.Bytes < 0 || d.Keys < 0 {
		return errors.New("it has no kind, or a figure below zero")
	}
	if d.StartTime.Location() != time.UTC || d.CompletionTime.Location() != time.UTC {
		return errors.New("its times are not in UTC")
	}
	return nil
}
