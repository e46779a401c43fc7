package dirfd

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"golang.org/x/sys/unix"
)

const hashBuffer = 64 << 10

// Hasher computes the digests of stored files below a directory. It is for one goroutine.
type Hasher struct {
	Seen *Seen // what other hashers of the volume have read; nil: nothing
	Cold bool  // drop the pages that the kernel has of a file, where it can, so that the disk is read

	Dirs *Stack // of the directory
	hash hash.Hash
	buf  []byte
}

// Prove returns the digest of a regular file of at most size bytes, which should be want. If Seen knows another digest,
// Prove reads the file all the same: on some file systems two files may have one inode number.
func (h *Hasher) Prove(ctx context.Context, path string, size int64, want string) (string, error) {
	digest, err := h.Digest(ctx, path, size)
	if err != nil || digest == want || h.Seen == nil || !h.Seen.doubt() {
		return digest, err
	}
	trusting := h.Seen
	h.Seen = nil
	defer func() { h.Seen = trusting }()
	return h.Digest(ctx, path, size)
}

// NewHasher returns a hasher for the files below root.
func NewHasher(root *Dir) *Hasher {
	return &Hasher{Dirs: &Stack{Root: root}, hash: sha256.New()}
}

// Close releases the hasher, not the root.
func (h *Hasher) Close() { h.Dirs.Close() }

// Digest returns the digest of a regular file of at most size bytes.
func (h *Hasher) Digest(ctx context.Context, path string, size int64) (string, error) {
	parent, name := Split(path)
	fd, err := h.Dirs.Open(parent)
	if err != nil {
		return "", err
	}
	if h.Seen == nil {
		digest, _, err := h.open(ctx, fd, name, path, size)
		return digest, err
	}
	if digest, err, known := h.Seen.find(fd, name); known {
		return digest, err
	}
	digest, st, err := h.open(ctx, fd, name, path, size)
	if ctx.Err() == nil {
		h.Seen.note(&st, digest, err)
	}
	return digest, err
}

// open opens and reads a file of an open directory. The result describes the file even with an error, if it was opened.
func (h *Hasher) open(ctx context.Context, fd int, name, path string, size int64) (string, unix.Stat_t, error) {
	in, st, err := openRegular(fd, name, unix.O_RDONLY, 0)
	if err != nil {
		return "", st, h.Dirs.Wrap("open", path, err)
	}
	defer unix.Close(in)
	if h.Cold {
		_ = unix.Fadvise(in, 0, 0, unix.FADV_DONTNEED) // a file system that has no such thing reads as it can
	}
	h.hash.Reset()
	digest, err := h.read(ctx, in, path, size)
	return digest, st, err
}

func (h *Hasher) read(ctx context.Context, in int, path string, size int64) (string, error) {
	if h.buf == nil {
		h.buf = make([]byte, hashBuffer)
	}
	for total := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := Retry(func() (int, error) { return unix.Read(in, h.buf) })
		if err != nil {
			return "", h.Dirs.Wrap("read", path, err)
		}
		if total += int64(n); total > size {
			return "", h.Dirs.Wrap("read", path, fmt.Errorf("%w: more than %d bytes", errTooLong, size))
		}
		if n == 0 {
			return SumOf(h.hash), nil
		}
		h.hash.Write(h.buf[:n])
	}
}

// Digest returns the digest of a regular file of the directory.
func (d *Dir) Digest(name string) (string, error) {
	f, err := d.Open(name)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	return SumOf(h), errors.Join(err, f.Close())
}

// Prove returns an error if a file of the directory does not have the digest.
func (d *Dir) Prove(name, want string) error {
	got, err := d.Digest(name)
	return cmp.Or(err, differs(name, got, want))
}

func differs(name, got, want string) error {
	if got == want {
		return nil
	}
	return fmt.Errorf("%s: got sha256:%s, want sha256:%s", name, got, want)
}

// HashedFile is a file whose digest is computed while it is read.
type HashedFile struct {
	io.Reader
	io.Closer
	hash hash.Hash
}

// OpenHashed opens a regular file of the directory.
func (d *Dir) OpenHashed(name string) (*HashedFile, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	return NewHashed(f), nil
}

// NewHashed computes the digest of a file that is open elsewhere than in a directory.
func NewHashed(f io.ReadCloser) *HashedFile {
	h := sha256.New()
	return &HashedFile{io.TeeReader(f, h), f, h}
}

// Close closes the file. Nil is closed.
func (h *HashedFile) Close() error {
	if h == nil {
		return nil
	}
	return h.Closer.Close()
}

// Sum returns the digest of what was read so far.
func (h *HashedFile) Sum() string { return SumOf(h.hash) }

// Prove returns an error if what was read so far does not have the digest. The name is for the error.
func (h *HashedFile) Prove(name, want string) error { return differs(name, SumOf(h.hash), want) }

// DigestOf returns the SHA-256 of data in hex.
func DigestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// SumOf returns the SHA-256 that a hash has come to, in hex.
func SumOf(h hash.Hash) string {
	var buf [sha256.Size]byte
	return hex.EncodeToString(h.Sum(buf[:0]))
}

var errTooLong = errors.New("larger than expected")

// ReadAtMost reads all of r and fails if that is more than limit bytes.
func ReadAtMost(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%w: more than %d bytes", errTooLong, limit)
	}
	return data, err
}

// WriteAll writes all of p to a descriptor.
func WriteAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := Retry(func() (int, error) { return unix.Write(fd, p) })
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}
