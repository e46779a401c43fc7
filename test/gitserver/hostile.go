package gitserver

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1" //nolint:gosec // Git names objects by it
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
)

// EndlessReferences is a Git server over HTTP that never ends to say which
// references it has. Each is valid, and none is asked for.
func EndlessReferences() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		advertise(w)
		for n := 0; r.Context().Err() == nil; n++ {
			// The protocol's longest line is 65,520 bytes.
			if _, err := io.WriteString(w, packetLine(fmt.Sprintf("%040x refs/heads/%s%d\n", n+1, strings.Repeat("x", 60_000), n))); err != nil {
				return
			}
		}
	})
}

// Bomb is a Git server over HTTP whose one branch has one commit with one file, of
// that many zeros, which is small in a pack.
func Bomb(branch, file string, size int64) (http.Handler, error) {
	pack, commit, err := bomb(file, size)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/info/refs") {
			advertise(w)
			_, _ = io.WriteString(w, packetLine(fmt.Sprintf("%s refs/heads/%s\x00shallow ofs-delta agent=hostile\n", commit, branch))+"0000")
			return
		}
		asked, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			return
		}
		w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		if bytes.Contains(asked, []byte("deepen")) {
			_, _ = io.WriteString(w, packetLine("shallow "+commit+"\n")+"0000")
		}
		_, _ = io.WriteString(w, packetLine("NAK\n"))
		_, _ = w.Write(pack)
	}), nil
}

// advertise begins the answer to the first request of a fetch.
func advertise(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
	_, _ = io.WriteString(w, packetLine("# service=git-upload-pack\n")+"0000")
}

func packetLine(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

// Types of objects in a pack.
const (
	typeCommit = 1
	typeTree   = 2
	typeBlob   = 3
)

func bomb(file string, size int64) (pack []byte, commit string, err error) {
	var out bytes.Buffer
	sum := sha1.New() //nolint:gosec // see above
	w := io.MultiWriter(&out, sum)
	if err := binary.Write(w, binary.BigEndian, []uint32{0x5041434b, 2, 3}); err != nil { // "PACK"
		return nil, "", err
	}
	blob, err := add(w, typeBlob, "blob", size, io.LimitReader(zeros{}, size))
	if err != nil {
		return nil, "", err
	}
	tree := append([]byte("100644 "+file+"\x00"), blob...)
	treeName, err := add(w, typeTree, "tree", int64(len(tree)), bytes.NewReader(tree))
	if err != nil {
		return nil, "", err
	}
	text := fmt.Sprintf("tree %x\nauthor A <a@example.com> 1700000000 +0000\ncommitter A <a@example.com> 1700000000 +0000\n\nA file\n", treeName)
	name, err := add(w, typeCommit, "commit", int64(len(text)), strings.NewReader(text))
	if err != nil {
		return nil, "", err
	}
	return append(out.Bytes(), sum.Sum(nil)...), hex.EncodeToString(name), nil
}

// add writes an object into a pack and returns its name.
func add(pack io.Writer, number byte, kind string, size int64, content io.Reader) ([]byte, error) {
	header := []byte{number<<4 | byte(size&15)}
	for rest := size >> 4; rest > 0; rest >>= 7 {
		header[len(header)-1] |= 0x80
		header = append(header, byte(rest&0x7f))
	}
	if _, err := pack.Write(header); err != nil {
		return nil, err
	}
	var sum hash.Hash = sha1.New() //nolint:gosec // see above
	fmt.Fprintf(sum, "%s %d\x00", kind, size)
	z := zlib.NewWriter(pack)
	if _, err := io.Copy(io.MultiWriter(z, sum), content); err != nil {
		return nil, err
	}
	return sum.Sum(nil), z.Close()
}

// zeros is as long as it is read.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
