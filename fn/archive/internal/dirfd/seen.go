package dirfd

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	maxFailures = 10_000 // unreadable files that are not tried again under their other names
	maxDoubts   = 1000   // files that are read again
)

// Seen remembers the digests of files with several hard links, so that each is read once, whatever its names. It keeps
// about 50 bytes for a file until it was asked for under all of them.
type Seen struct {
	Last bool // what is read from now on is not asked for again

	mu      sync.Mutex
	digests seenFiles
	failed  map[inode]error
	files   int64
	bytes   int64
	doubts  int
}

type inode struct{ dev, ino uint64 }

// seenFiles are files of one file system: those of another share none with them, and are not remembered. A map would take
// three times as much.
type seenFiles struct {
	dev     uint64
	buckets [][]seenFile // by a hash of the number
	count   int
}

type seenFile struct {
	ino    [2]uint32 // in halves, so that there is nothing between two files
	left   uint32    // names that were not asked for yet
	digest [sha256.Size]byte
}

// at returns the bucket of a file, and its place there; -1 if there is none.
func (f *seenFiles) at(key inode) (bucket *[]seenFile, place int) {
	const bits, spread = 14, 0x9e3779b97f4a7c15
	if f.buckets == nil {
		f.dev, f.buckets = key.dev, make([][]seenFile, 1<<bits)
	}
	bucket = &f.buckets[key.ino*spread>>(64-bits)]
	ino := [2]uint32{uint32(key.ino), uint32(key.ino >> 32)}
	return bucket, slices.IndexFunc(*bucket, func(file seenFile) bool { return file.ino == ino && f.dev == key.dev })
}

// add remembers a file.
func (f *seenFiles) add(key inode, left uint32, digest []byte) {
	bucket, place := f.at(key)
	if place >= 0 || f.dev != key.dev {
		return
	}
	file := seenFile{ino: [2]uint32{uint32(key.ino), uint32(key.ino >> 32)}, left: left}
	copy(file.digest[:], digest)
	if entries := *bucket; len(entries) == cap(entries) {
		const room = 8 // of so many, one is to come
		*bucket = append(make([]seenFile, 0, len(entries)+max(1, len(entries)/room)), entries...)
	}
	*bucket = append(*bucket, file)
	f.count++
}

// ask returns the digest of a file, and forgets it once all its names were asked for.
func (f *seenFiles) ask(key inode) (digest [sha256.Size]byte, known bool) {
	bucket, place := f.at(key)
	if place < 0 {
		return digest, false
	}
	file := &(*bucket)[place]
	digest = file.digest
	if file.left--; file.left == 0 {
		last := len(*bucket) - 1
		(*bucket)[place] = (*bucket)[last]
		*bucket = (*bucket)[:last]
		f.count--
	}
	return digest, true
}

// NewSeen returns one that has seen nothing.
func NewSeen() *Seen {
	return &Seen{failed: make(map[inode]error)}
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
	sum, known := s.digests.ask(key)
	if !known {
		return "", nil, false
	}
	return hex.EncodeToString(sum[:]), nil, true
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
	if sum, err := hex.DecodeString(digest); err == nil {
		s.digests.add(key, uint32(min(st.Nlink-1, 1<<31)), sum)
	}
}
