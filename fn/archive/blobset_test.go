package archive

import (
	"encoding/hex"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestBlobSet: a set knows digests with their sizes, in the memory that is promised.
func TestBlobSet(t *testing.T) {
	const number = 300_000
	random := rand.NewChaCha8([32]byte{1})
	var sum [32]byte
	next := func() string {
		_, _ = random.Read(sum[:])
		return hex.EncodeToString(sum[:])
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := &blobSet{}
	assert.False(t, s.has(next(), 0), "an empty one has none")
	for range number {
		assert.True(t, s.add(next(), 1))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	assert.Less(t, int64(after.HeapAlloc-before.HeapAlloc), int64(12<<20))
	last := hex.EncodeToString(sum[:])
	assert.True(t, s.has(last, 1))
	assert.False(t, s.has(last, 2), "of another size")
	assert.False(t, s.add(last, 1), "twice")
	assert.True(t, s.add(last, 2))
	assert.False(t, s.has(next(), 1))
}

// FuzzBlobDigest: whatever others put below blobs, what counts as a blob is named as blobs are.
func FuzzBlobDigest(f *testing.F) {
	f.Add("blobs/ab/ab" + strings.Repeat("0", 62))
	f.Add("blobs/ab/" + strings.Repeat("0", 64))
	f.Add("blobs/")
	f.Add("")
	f.Fuzz(func(t *testing.T, path string) {
		digest, ok := blobDigest(path)
		if ok {
			assert.Equal(t, path, blobPath(digest))
			assert.Len(t, digest, 64)
		}
	})
}

// FuzzRunOf: likewise for what others put below runs.
func FuzzRunOf(f *testing.F) {
	for _, path := range []string{"runs/r1/manifest.json", "runs/r1/secrets/a.json.age", "runs/r1", "runs/../x", "runs/r1/secrets/a/b", ""} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		id, ok := runOf(path)
		if ok {
			assert.NoError(t, validRunID(id))
			assert.Equal(t, id, strings.Split(strings.TrimPrefix(path, "runs/"), "/")[0])
		}
	})
}

// FuzzDecodeRun: a manifest that somebody put into a bucket makes a run of its own name, or a damaged one.
func FuzzDecodeRun(f *testing.F) {
	f.Add([]byte(`{"formatVersion": 4}`))
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		info := decodeRun("r1", data, nil)
		if info.State == Complete {
			assert.Equal(t, "r1", info.Manifest.Run)
			return
		}
		assert.NotEmpty(t, info.Message)
		assert.Nil(t, info.Manifest)
	})
}
