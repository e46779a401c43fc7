package archive

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

const temporaryPrefix = ".new-" // of links and files that are renamed in place of others

// linkless tells if an error says that the file system has no symlinks or hard links.
func linkless(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS)
}

// foreignNames returns the names of the operator's view that are not links of ours.
func (v *Volume) foreignNames() ([]string, error) {
	var foreign []string
	for _, name := range viewNames() {
		kind, err := v.root.kind(name)
		if err != nil {
			return nil, err
		}
		if kind == 0 {
			continue
		}
		if target, err := v.root.readlink(name); err != nil || target != viewTarget(name) {
			foreign = append(foreign, name)
		}
	}
	return foreign, nil
}

func viewTarget(name string) string { return latestLink + "/" + name }

// pointLatest makes the links at the root those of the newest complete run but the given one, and durable.
func (v *Volume) pointLatest(except string) error {
	run, err := v.newest(except)
	if err != nil {
		return err
	}
	if run == nil {
		return v.removeLinks()
	}
	linked, err := v.replaceLink(runsDir+"/"+run.ID, latestLink)
	if err != nil {
		return fmt.Errorf("cannot point latest to run %q: %w", run.ID, err)
	}
	if !linked {
		if err := v.replaceFile([]byte(run.ID+"\n"), latestFile); err != nil {
			return fmt.Errorf("cannot point latest to run %q: %w", run.ID, err)
		}
		return v.root.sync()
	}
	if err := errors.Join(v.root.remove(latestFile), v.updateView(run.Manifest)); err != nil {
		return fmt.Errorf("cannot point latest to run %q: %w", run.ID, err)
	}
	return v.root.sync()
}

// newest returns the newest complete run but the given one, or nil.
func (v *Volume) newest(except string) (*RunInfo, error) {
	runs, err := v.ownRuns()
	if err != nil {
		return nil, err
	}
	sortRuns(runs)
	for i := len(runs) - 1; i >= 0; i-- {
		if runs[i].State == Complete && runs[i].ID != except {
			return &runs[i], nil
		}
	}
	return nil, nil
}

// updateView makes the links that APIManagerRestore reads, or removes those that would mislead it.
func (v *Volume) updateView(m *Manifest) error {
	foreign, err := v.foreignNames()
	if err != nil || len(foreign) > 0 {
		return err
	}
	for _, name := range viewNames() {
		if m.Encryption != nil || name == storageName && m.FileStorage == Skipped {
			err = v.root.remove(name)
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
	errs := []error{v.root.remove(latestFile)}
	for _, name := range viewNames() {
		if target, err := v.root.readlink(name); err == nil && target == viewTarget(name) {
			errs = append(errs, v.root.remove(name))
		}
	}
	if _, err := v.root.readlink(latestLink); err == nil {
		errs = append(errs, v.root.remove(latestLink))
	}
	return errors.Join(append(errs, v.root.sync())...)
}

// replaceLink puts a symlink in place of what has the name. It returns false where the volume cannot hold symlinks.
func (v *Volume) replaceLink(target, name string) (bool, error) {
	if old, err := v.root.readlink(name); err == nil && old == target {
		return true, nil
	}
	temporary := temporaryPrefix + name
	if err := v.root.remove(temporary); err != nil {
		return false, err
	}
	err := v.root.symlink(target, temporary)
	if linkless(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, v.root.rename(temporary, v.root, name)
}

// replaceFile puts a file in place of what has the name.
func (v *Volume) replaceFile(data []byte, name string) error {
	old, err := v.root.readFile(name, maxManifest)
	if err == nil && string(old) == string(data) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	temporary := temporaryPrefix + name
	if err := v.root.remove(temporary); err != nil {
		return err
	}
	if err := v.root.writeDurable(temporary, data); err != nil {
		return err
	}
	return v.root.rename(temporary, v.root, name)
}
