package archive

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strconv"

	"filippo.io/age"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/seal"
)

// verifiedReader reads a file's plaintext and withholds io.EOF until it is proven.
type verifiedReader struct {
	run  *Run
	want lists.Entry
	io.Closer
	stored io.Reader // of the bytes as they are stored, into hash
	plain  io.Reader
	hash   hash.Hash
	size   int64 // of the plaintext so far
	err    error // sticky
}

func newVerifiedReader(r *Run, f *os.File, want lists.Entry, identities []age.Identity) (*verifiedReader, error) {
	v := &verifiedReader{run: r, want: want, Closer: f, hash: sha256.New()}
	v.stored = io.TeeReader(f, v.hash)
	v.plain = v.stored
	if r.info.Manifest == nil || r.info.Manifest.Encryption == nil {
		return v, nil
	}
	plain, err := seal.Open(bufio.NewReaderSize(v.stored, seal.Chunk), identities)
	if errors.Is(err, ErrNoIdentity) {
		return nil, err
	}
	if err != nil {
		return nil, v.broken(err.Error(), "an age stream")
	}
	v.plain = plain
	return v, nil
}

func (v *verifiedReader) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.plain.Read(p)
	v.size += int64(n)
	switch {
	case v.size > v.want.Size:
		n, err = 0, v.broken("more bytes", "size "+strconv.FormatInt(v.want.Size, 10))
	case errors.Is(err, io.EOF):
		err = v.prove()
	case err != nil:
		err = v.broken(err.Error(), "sha256:"+v.want.SHA256)
	}
	v.err = err
	return n, err
}

// prove returns io.EOF if all that was stored is what should be.
func (v *verifiedReader) prove() error {
	if _, err := io.Copy(io.Discard, v.stored); err != nil {
		return v.broken(err.Error(), "sha256:"+v.want.SHA256)
	}
	if v.size != v.want.Size {
		return v.broken("size "+strconv.FormatInt(v.size, 10), "size "+strconv.FormatInt(v.want.Size, 10))
	}
	if got := dirfd.SumOf(v.hash); v.run.tree != nil && got != v.want.SHA256 {
		return v.broken("sha256:"+got, "sha256:"+v.want.SHA256)
	}
	return io.EOF
}

func (v *verifiedReader) broken(got, want string) error {
	p := Problem{Path: v.run.filePath(v.want.Path), Kind: Changed, Got: got, Want: want}
	return fmt.Errorf("cannot read file: %w", v.run.damaged(p))
}
