package refill

import (
	"errors"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
)

// hasXattrs tells if an entry of the directory has the extended attributes that it has in the run.
func hasXattrs(dir *dirfd.Dir, name string, want *lists.Entry) bool {
	for _, x := range want.Xattrs {
		if !dir.HasXattr(name, x.Name, x.Value) {
			return false
		}
	}
	return true
}

// giveXattrs sets the extended attributes of an entry, which has its mode already: where its access control list cannot
// be set, the mode gives the group no more than the list did. What cannot be set is told; only a broken disk is an error.
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
	t.refused.lose(want.Path, lost)
	return nil
}
