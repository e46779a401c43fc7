package dirfd

import "golang.org/x/sync/errgroup"

// How much is written between two syncs of a Syncer.
const (
	syncFiles = 2000
	syncBytes = 32 << 20
)

// Syncer syncs a file system in the background while much is written to it, so that the disk is at work meanwhile and the
// sync at the end finds little left to do.
type Syncer struct {
	dir          *Dir
	files, bytes int64 // written since the last sync began
	running      errgroup.Group
}

// NewSyncer returns a syncer of the file system that the directory is on.
func NewSyncer(dir *Dir) *Syncer {
	s := &Syncer{dir: dir}
	s.running.SetLimit(1)
	return s
}

// Wrote begins a sync if enough was written since the last one began, and that has ended. It is for one goroutine at a time.
func (s *Syncer) Wrote(files, bytes int64) {
	s.files, s.bytes = s.files+files, s.bytes+bytes
	if (s.files >= syncFiles || s.bytes >= syncBytes) && s.running.TryGo(s.dir.SyncFS) {
		s.files, s.bytes = 0, 0
	}
}

// Close waits for the last sync, and returns the error of the first that failed: the kernel tells a descriptor only once of
// what it could not write, so the sync at the end would not know.
func (s *Syncer) Close() error { return s.running.Wait() }
