package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// hasher computes the digests of stored files below a directory. It is for one goroutine.
type hasher struct {
	dirs *dirStack
	hash hash.Hash
	buf  []byte
}

func newHasher(root *dir) *hasher {
	return &hasher{dirs: &dirStack{root: root, flags: unix.O_PATH}, hash: sha256.New(), buf: make([]byte, copyBuffer)}
}

func (h *hasher) close() { h.dirs.close() }

// digest returns the digest of a regular file of at most size bytes.
func (h *hasher) digest(ctx context.Context, path string, size int64) (string, error) {
	parent, name := splitPath(path)
	fd, err := h.dirs.open(parent)
	if err != nil {
		return "", err
	}
	in, err := retry(func() (int, error) { return unix.Openat(fd, name, openFileFlags, 0) })
	if err != nil {
		return "", h.dirs.wrap("open", path, err)
	}
	defer unix.Close(in)
	var st unix.Stat_t
	if err = unix.Fstat(in, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errNotRegular
	}
	if err != nil {
		return "", h.dirs.wrap("read", path, err)
	}
	h.hash.Reset()
	return h.read(ctx, in, path, size)
}

func (h *hasher) read(ctx context.Context, in int, path string, size int64) (string, error) {
	for total := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := retry(func() (int, error) { return unix.Read(in, h.buf) })
		if err != nil {
			return "", h.dirs.wrap("read", path, err)
		}
		if total += int64(n); total > size {
			return "", h.dirs.wrap("read", path, fmt.Errorf("%w: more than %d bytes", errTooLong, size))
		}
		if n == 0 {
			return sumOf(h.hash), nil
		}
		h.hash.Write(h.buf[:n])
	}
}

// digest returns the digest of a regular file of the directory.
func (d *dir) digest(name string) (string, error) {
	f, err := d.open(name)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	return sumOf(h), errors.Join(err, f.Close())
}

// overwrite replaces the first bytes of a regular file of the directory.
func (d *dir) overwrite(name string, data []byte) error {
	fd, err := retry(func() (int, error) { return unix.Openat(d.fd, name, unix.O_WRONLY|openFileFlags, 0) })
	if err != nil {
		return d.fail("open", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.WriteAt(data, 0)
	return errors.Join(err, f.Close())
}
