package refill

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// owners gives entries to users and groups, as far as this process may.
type owners struct {
	uid    uint32
	groups map[uint32]bool // to which this process may give what is its own
	volume uint32          // the group of the directory
	mayNot atomic.Bool     // give to another user
	kept   atomic.Int64    // entries that have another owner than they had
}

func newOwners(volumeGroup uint32) *owners {
	o := &owners{uid: uint32(os.Geteuid()), groups: map[uint32]bool{uint32(os.Getegid()): true}, volume: volumeGroup}
	groups, _ := os.Getgroups() // without them, a group is given less often
	for _, g := range groups {
		o.groups[uint32(g)] = true
	}
	return o
}

// isOurs reports whether a user's entries are this process's to change.
func (o *owners) isOurs(uid uint32) bool { return uid == o.uid || o.uid == 0 }

// give gives an entry that belongs to uid and gid to its recorded owners, else to the volume's group. It returns the
// owners that the entry has then.
func (o *owners) give(dir int, name string, want *lists.Entry, uid, gid uint32) (newUID, newGID uint32, changed bool) {
	if uid == want.UID && gid == want.GID {
		return uid, gid, false
	}
	chown := func(uid, gid int) bool {
		return unix.Fchownat(dir, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW) == nil
	}
	if uid == want.UID || !o.mayNot.Load() {
		if chown(int(want.UID), int(want.GID)) {
			return want.UID, want.GID, true
		}
		if uid != want.UID {
			o.mayNot.Store(true)
		}
	}
	o.kept.Add(1)
	for _, group := range []uint32{want.GID, o.volume} {
		if group == gid {
			return uid, gid, false
		}
		if o.groups[group] && chown(-1, int(group)) {
			return uid, group, true
		}
	}
	return uid, gid, false
}

func (o *owners) warnings() []string {
	if n := o.kept.Load(); n > 0 {
		return []string{fmt.Sprintf("%d entries could not be given to the users and groups that they belonged to: they belong to user %d", n, o.uid)}
	}
	return nil
}

// refused counts what a volume cannot hold.
type refused struct {
	meta     atomic.Int64
	symlinks atomic.Int64

	mu   sync.Mutex
	lost walk.Lost // extended attributes
	kept walk.Lost // access control lists that the run has not
}

// attributes counts an entry if some extended attributes could not be set, or some access control lists not removed.
func (r *refused) attributes(path string, lost, kept []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost.Add(path, walk.NameSome(lost))
	r.kept.Add(path, walk.NameSome(kept))
}

// note counts an error of a file system that cannot hold a mode or a time, and drops it.
func (r *refused) note(err error) error {
	if dirfd.Unsupported(err) || errors.Is(err, unix.EINVAL) {
		r.meta.Add(1)
		return nil
	}
	return err
}

func (r *refused) warnings() []string {
	var out []string
	if n := r.symlinks.Load(); n > 0 {
		out = append(out, fmt.Sprintf("volume cannot hold symlinks: %d symlinks of the run were left out", n))
	}
	if n := r.meta.Load(); n > 0 {
		out = append(out, fmt.Sprintf("%d modes or times could not be set", n))
	}
	return slices.DeleteFunc(append(out,
		r.lost.Warning("extended attributes of %d files and directories could not be set, which gives nobody more rights: %s"),
		r.kept.Warning("access control lists of %d files and directories could not be removed, and may give more rights than the run does: %s"),
	), func(warning string) bool { return warning == "" })
}
