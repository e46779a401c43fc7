package dirfd

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	maxFailures = 10_000 // unreadable files that are not tried again under their other names
	maxDoubts   = 1000   // files that are read again
)

// Seen remembers the digests of files with several hard links, so that each is read once, whatever its names. It keeps
// about 70 bytes for a file until it was asked for under all of them.
type Seen struct {
	Last bool // what is read from now on is not asked for again

	mu      sync.Mutex
	digests map[inode]seenFile
	failed  map[inode]error
	files   int64
	bytes   int64
	doubts  int
}

type inode struct{ dev, ino uint64 }

type seenFile struct {
	digest [sha256.Size]byte
	left   uint32 // names that were not asked for yet
}

// NewSeen returns one that has seen nothing.
func NewSeen() *Seen {
	return &Seen{digests: make(map[inode]seenFile), failed: make(map[inode]error)}
}

// Read returns how many files were read to their end, and their bytes.
func (s *Seen) Read() (files, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files, s.bytes
}

// find returns what is known of a file in an open directory.
func (s *Seen) find(dir int, name string) (digest string, err error, known bool) { //nolint:revive // the error is what is known
	st, err := LstatAt(dir, name)
	if err != nil || st.Nlink < 2 {
		return "", nil, false
	}
	key := inode{st.Dev, st.Ino}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err, ok := s.failed[key]; ok {
		return "", err, true
	}
	file, ok := s.digests[key]
	if !ok {
		return "", nil, false
	}
	if file.left--; file.left == 0 {
		delete(s.digests, key)
	} else {
		s.digests[key] = file
	}
	return hex.EncodeToString(file.digest[:]), nil, true
}

// doubt reports whether a file may be read again.
func (s *Seen) doubt() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doubts++
	return s.doubts <= maxDoubts
}

// note remembers what reading a file came to.
func (s *Seen) note(st *unix.Stat_t, digest string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := inode{st.Dev, st.Ino}
	if err != nil {
		if st.Nlink > 1 && len(s.failed) < maxFailures {
			s.failed[key] = err
		}
		return
	}
	s.files++
	s.bytes += st.Size
	if st.Nlink < 2 || s.Last {
		return
	}
	file := seenFile{left: uint32(min(st.Nlink-1, 1<<31))}
	if _, err := hex.Decode(file.digest[:], []byte(digest)); err == nil {
		s.digests[key] = file
	}
}
