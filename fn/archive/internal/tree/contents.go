package tree

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// Contents tells whether an encrypted file holds a given plaintext, which nobody can without its key: a digest of the
// plaintext itself would let anybody try what it might be. It makes the stamps of a tree. Nil tells nothing.
type Contents struct{ key []byte }

// NewContents takes a key that nobody else can guess.
func NewContents(key []byte) *Contents { return &Contents{key} }

// stamp binds the digest of what is stored to that of its plaintext.
func (c *Contents) stamp(stored, plain string) uint64 {
	mac := hmac.New(sha256.New, c.key)
	mac.Write([]byte(stored + " " + plain))
	return max(1, binary.LittleEndian.Uint64(mac.Sum(nil)))
}
