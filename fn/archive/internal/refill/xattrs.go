package refill

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
)

// hasXattrs reports whether an entry of the directory has the extended attributes that it has in the run, and no other
// access control list.
func hasXattrs(dir *dirfd.Dir, name string, want *lists.Entry) bool {
	for _, x := range want.Xattrs {
		if !dir.HasXattr(name, x.Name, x.Value) {
			return false
		}
	}
	return len(foreignLists(dir, name, want, nil)) == 0
}

// foreignLists returns the names of the access control lists that an entry has and its source did not have: inherited
// ones, and those of an entry that was there before. Lists in lost count too: they could not be set. The root keeps the
// lists of its volume.
func foreignLists(dir *dirfd.Dir, name string, want *lists.Entry, lost []string) (foreign []string) {
	candidates := []string{lists.ACLAccess, lists.ACLDefault}
	switch {
	case want.Kind == lists.Symlink || want.Path == ".":
		return nil
	case want.Kind == lists.File:
		candidates = candidates[:1]
	}
	for _, list := range candidates {
		if (!want.HasXattr(list) || slices.Contains(lost, list)) && hasList(dir, name, list) {
			foreign = append(foreign, list)
		}
	}
	return foreign
}

// hasList reports whether an entry has an access control list that says more than a mode.
func hasList(dir *dirfd.Dir, name, list string) bool {
	const threeEntries = 4 + 3*8 // owner, group and others, behind the version
	size := dir.XattrSize(name, list)
	return size > threeEntries || size > 0 && list == lists.ACLDefault
}

// giveXattrs gives an entry the extended attributes of its source, and no other access control list. The entry has its
// mode already: where its list cannot be set, the mode gives nobody more than the list did. Warnings name attributes
// that cannot be set or removed; only a broken disk is an error.
func (t *Target) giveXattrs(dir *dirfd.Dir, name string, want *lists.Entry) error {
	var lost []string
	for _, x := range want.Xattrs {
		err := dir.SetXattr(name, x.Name, []byte(x.Value))
		if errors.Is(err, unix.EIO) {
			return err
		}
		if err != nil {
			lost = append(lost, x.Name)
		}
	}
	var kept []string
	for _, list := range foreignLists(dir, name, want, lost) {
		err := dir.RemoveXattr(name, list)
		switch {
		case mayNotRemove(err):
			kept = append(kept, list)
		case err != nil:
			return err
		}
	}
	t.refused.attributes(want.Path, lost, kept)
	return nil
}

// mayNotRemove reports whether an error says that a list stays, and no more.
func mayNotRemove(err error) bool {
	return dirfd.Unsupported(err) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EACCES)
}
