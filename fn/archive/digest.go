package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// digestOf returns the SHA-256 of data in hex.
func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// sumOf returns the SHA-256 that a hash has come to, in hex.
func sumOf(h hash.Hash) string {
	var buf [sha256.Size]byte
	return hex.EncodeToString(h.Sum(buf[:0]))
}

// treeName returns the name of a tree: what `sha256sum MTREE SHA256SUMS | sha256sum` prints.
func treeName(mtree, sums string) string {
	list := appendSum(nil, sum{SHA256: mtree, Path: mtreeName})
	return digestOf(appendSum(list, sum{SHA256: sums, Path: sumsName}))
}

var errTooLong = errors.New("larger than expected")

// readAtMost reads all of r and fails if that is more than limit bytes.
func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%w: more than %d bytes", errTooLong, limit)
	}
	return data, err
}
