package archive

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
)

// blobSet is a set of stored files, by their digests and sizes: 20 bytes each and about a tenth more, whatever their
// number. It knows a digest by its first 18 bytes, of which no two files are alike.
type blobSet struct {
	buckets [][]blobEntry // by the first two bytes of a digest
	count   int64
}

type blobEntry struct {
	digest [16]byte // from the third byte on
	size   uint32   // of the file, its lowest bits
}

func blobEntryOf(digest string, size int64) (bucket uint16, e blobEntry) {
	var sum [32]byte
	_, _ = hex.Decode(sum[:], []byte(digest)) // it was checked when it was read
	copy(e.digest[:], sum[2:])
	e.size = uint32(size)
	return binary.BigEndian.Uint16(sum[:]), e
}

func (s *blobSet) has(digest string, size int64) bool {
	if s.buckets == nil {
		return false
	}
	bucket, want := blobEntryOf(digest, size)
	return slices.Contains(s.buckets[bucket], want)
}

// find returns the lowest bits of the size of the file of a digest; false if there is none.
func (s *blobSet) find(digest string) (size uint32, ok bool) {
	if s.buckets == nil {
		return 0, false
	}
	bucket, want := blobEntryOf(digest, 0)
	for _, e := range s.buckets[bucket] {
		if e.digest == want.digest {
			return e.size, true
		}
	}
	return 0, false
}

// add adds a file, and reports whether it is new.
func (s *blobSet) add(digest string, size int64) bool {
	if s.has(digest, size) {
		return false
	}
	if s.buckets == nil {
		s.buckets = make([][]blobEntry, 1<<16)
	}
	bucket, e := blobEntryOf(digest, size)
	entries := s.buckets[bucket]
	if len(entries) == cap(entries) {
		const room = 8
		grown := make([]blobEntry, len(entries), len(entries)+max(1, len(entries)/room))
		copy(grown, entries)
		entries = grown
	}
	s.buckets[bucket] = append(entries, e)
	s.count++
	return true
}
