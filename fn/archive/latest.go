package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
)

// foreignNames returns the names of our links at the root that something else has.
func (v *Volume) foreignNames() ([]string, error) {
	var foreign []string
	kind, err := v.root.Kind(latestLink)
	if err != nil {
		return nil, err
	}
	if kind != 0 && kind != unix.S_IFLNK {
		foreign = append(foreign, latestLink)
	}
	for _, name := range viewNames() {
		kind, err := v.root.Kind(name)
		if err != nil {
			return nil, err
		}
		if kind == 0 {
			continue
		}
		if target, err := v.root.Readlink(name); err != nil || target != viewTarget(name) {
			foreign = append(foreign, name)
		}
	}
	return foreign, nil
}

func viewTarget(name string) string { return latestLink + "/" + name }

// pointLatest durably makes the links at the root lead to the newest complete run other than the given one.
func (v *Volume) pointLatest(except string) error {
	runs, err := v.ownRuns()
	if err != nil {
		return err
	}
	return v.pointTo(newestOf(runs, except))
}

// pointTo is pointLatest for the run that is the newest; nil: there is none.
func (v *Volume) pointTo(run *RunInfo) error {
	if run == nil {
		return v.removeLinks()
	}
	linked, err := v.replaceLink(runsDir+"/"+run.ID, latestLink)
	switch {
	case err != nil:
	case linked:
		err = errors.Join(v.root.Remove(latestFile), v.updateView(run.Manifest))
	default:
		err = v.replaceFile([]byte(run.ID+"\n"), latestFile)
	}
	if err != nil {
		return fmt.Errorf("cannot point latest to run %q: %w", run.ID, err)
	}
	return v.root.Sync()
}

// Pointed returns the run that the link latest leads to, whatever its state, or nil. It differs from [Latest] if that
// run was damaged since, or if a writer ended just before it set the link.
func (v *Volume) Pointed(_ context.Context) (*RunInfo, error) {
	id := v.pointer()
	if validRunID(id) == nil { // as in find
		if run := v.readRun(id); run.State == Complete {
			return &run, nil
		}
	}
	runs, err := v.ownRuns()
	i := slices.IndexFunc(runs, func(r RunInfo) bool { return r.ID == id && r.State != Partial })
	if i < 0 {
		return nil, err
	}
	return &runs[i], err
}

// pointer returns the ID that the link latest leads to, or that the file LATEST holds; empty without either.
func (v *Volume) pointer() string {
	target, _ := v.root.Readlink(latestLink) // empty with an error
	if id, ok := strings.CutPrefix(target, runsDir+"/"); ok {
		return id
	}
	data, _ := v.root.ReadFile(latestFile, maxHolder) // likewise
	return strings.TrimSuffix(string(data), "\n")
}

// newestOf returns the newest complete run other than the given one, or nil.
func newestOf(runs []RunInfo, except string) (newest *RunInfo) {
	for i := range runs {
		run := &runs[i]
		if run.State == Complete && run.ID != except && (newest == nil || compareRuns(*newest, *run) < 0) {
			newest = run
		}
	}
	return newest
}

// updateView makes the links that APIManagerRestore reads, or removes those that would mislead it.
func (v *Volume) updateView(m *Manifest) error {
	foreign, err := v.foreignNames()
	if err != nil || len(foreign) > 0 {
		return err
	}
	for _, name := range viewNames() {
		if m.Encryption != nil || name == storageName && m.FileStorage == Skipped {
			err = v.root.Remove(name)
		} else {
			_, err = v.replaceLink(viewTarget(name), name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// removeLinks removes all links of ours at the root of a volume without a complete run.
func (v *Volume) removeLinks() error {
	errs := []error{v.root.Remove(latestFile)}
	for _, name := range viewNames() {
		if target, err := v.root.Readlink(name); err == nil && target == viewTarget(name) {
			errs = append(errs, v.root.Remove(name))
		}
	}
	if _, err := v.root.Readlink(latestLink); err == nil {
		errs = append(errs, v.root.Remove(latestLink))
	}
	return errors.Join(append(errs, v.root.Sync())...)
}

// replaceLink puts a symlink in place of another. It returns false where the volume cannot hold symlinks, and where
// something else has the name.
func (v *Volume) replaceLink(target, name string) (bool, error) {
	kind, err := v.root.Kind(name)
	if err != nil || kind != 0 && kind != unix.S_IFLNK {
		return false, err
	}
	if old, err := v.root.Readlink(name); err == nil && old == target {
		return true, nil
	}
	temporary := dirfd.TemporaryPrefix + name
	if err := v.root.Remove(temporary); err != nil {
		return false, err
	}
	err = v.root.Symlink(target, temporary)
	if dirfd.Unsupported(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, v.root.Rename(temporary, v.root, name)
}

// replaceFile puts a file in place of another.
func (v *Volume) replaceFile(data []byte, name string) error {
	old, err := v.root.ReadFile(name, maxManifest)
	if err == nil && string(old) == string(data) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	temporary := dirfd.TemporaryPrefix + name
	if err := v.root.Remove(temporary); err != nil {
		return err
	}
	if err := v.root.WriteFile(temporary, data, true); err != nil {
		return err
	}
	return v.root.Rename(temporary, v.root, name)
}
