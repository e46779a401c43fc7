package refill

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
)

const namePrefix = ".threescale-refill-"

var (
	markerName    = regexp.MustCompile(`^\.threescale-refill-[A-Za-z0-9][A-Za-z0-9._-]*$`)
	temporaryName = regexp.MustCompile(`^\.threescale-refill-[0-9a-f]{16}-[0-9]+\.tmp$`)
)

// marker is a file at the root of a directory, there from before the first file of a run is written until all of it is
// on disk. It tells files of an interrupted refill from data of somebody else.
type marker struct {
	name    string
	content string
}

func newMarker(s Source) marker {
	digest := s.Digest
	if digest != "" {
		digest = " sha256:" + digest
	}
	return marker{
		name:    namePrefix + s.Name,
		content: fmt.Sprintf("The refill of this volume from backup run %s%s is under way, or was interrupted: it goes on when it is tried again.\n", s.Name, digest),
	}
}

// MarkerName is the name of the marker where a run is brought into a bucket.
func MarkerName(s Source) string { return newMarker(s).name }

// IsMarkerName reports whether it is the name of a marker, of whatever run.
func IsMarkerName(name string) bool { return markerName.MatchString(name) }

// MarkerContent is what it holds.
func MarkerContent(s Source) string { return newMarker(s).content }

// isAt reports whether the marker of this very run is there.
func (m marker) isAt(root *dirfd.Dir) (bool, error) {
	const limit = 4 << 10
	data, err := root.ReadFile(m.name, limit)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, dirfd.ErrNotRegular), errors.Is(err, unix.ELOOP):
		return false, nil
	case err != nil:
		return false, err
	}
	return string(data) == m.content, nil
}

// put makes the marker durable.
func (m marker) put(root *dirfd.Dir) error {
	there, err := m.isAt(root)
	if err != nil {
		return err
	}
	if !there {
		temporary := newTemporary()(0)
		err := root.WriteFile(temporary, []byte(m.content), false)
		if err == nil {
			err = root.SyncFile(temporary)
		}
		if errors.Is(err, unix.EINVAL) {
			err = nil // a file system that cannot sync a single file
		}
		if err == nil {
			err = root.Rename(temporary, root, m.name)
		}
		if err != nil {
			return errors.Join(err, root.Remove(temporary))
		}
	}
	return root.Sync()
}

func (m marker) remove(root *dirfd.Dir) error {
	if err := root.Remove(m.name); err != nil {
		return err
	}
	return root.Sync()
}

// newTemporary returns a function that names the temporary files of one try, by worker: no run holds such a name.
func newTemporary() func(worker int) string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // it never fails
	prefix := namePrefix + hex.EncodeToString(random[:])
	return func(worker int) string { return fmt.Sprintf("%s-%d.tmp", prefix, worker) }
}
