package gitserver

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
)

// Kinds of objects, as pack files number them.
const (
	PackedCommit = 1
	PackedTree   = 2
	PackedBlob   = 3
)

// pktLine is a line of Git's protocol.
func pktLine(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

// EndlessReferences serves a repository over HTTP whose list of references never ends.
func EndlessReferences() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		fmt.Fprint(w, pktLine("# service=git-upload-pack\n"), "0000", pktLine(strings.Repeat("1", 40)+" refs/heads/main\x00agent=hostile\n"))
		var lines bytes.Buffer
		for number := 0; ; number++ {
			lines.WriteString(pktLine(fmt.Sprintf("%040x refs/heads/%s%d\n", number+1, strings.Repeat("r", 100), number)))
			if lines.Len() < 1<<16 {
				continue
			}
			if _, err := lines.WriteTo(w); err != nil {
				return // the client has gone
			}
		}
	})
}

// EndlessError answers everything with an error whose text never ends.
func EndlessError() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		text := bytes.Repeat([]byte("no "), 1<<14)
		for {
			if _, err := w.Write(text); err != nil {
				return
			}
		}
	})
}

// Silent takes each request and never answers.
func Silent() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// Bomb serves a repository over HTTP whose branch main is one object of so many bytes, all of them fill behind the beginning. What it sends is
// a thousandth of that.
func Bomb(kind byte, beginning string, fill byte, size int64) http.Handler {
	pack, name := packOf(kind, beginning, fill, size)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/info/refs") {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			fmt.Fprint(w, pktLine("# service=git-upload-pack\n"), "0000", pktLine(name+" refs/heads/main\x00agent=hostile shallow\n"), "0000")
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		fmt.Fprint(w, "0000", pktLine("NAK\n"))
		_, _ = w.Write(pack)
	})
}

// packOf makes a pack of one object, and its name.
func packOf(kind byte, beginning string, fill byte, size int64) ([]byte, string) {
	var pack bytes.Buffer
	pack.WriteString("PACK")
	_ = binary.Write(&pack, binary.BigEndian, [2]uint32{2, 1})
	left := uint64(size)
	first := kind<<4 | byte(left&15)
	for left >>= 4; left > 0; left >>= 7 {
		pack.WriteByte(first | 0x80)
		first = byte(left & 0x7f)
	}
	pack.WriteByte(first)
	name := sha1.New()
	fmt.Fprintf(name, "%s %d\x00", map[byte]string{PackedCommit: "commit", PackedTree: "tree", PackedBlob: "blob"}[kind], size)
	deflate(&pack, name, beginning, fill, size)
	sum := sha1.Sum(pack.Bytes())
	pack.Write(sum[:])
	return pack.Bytes(), hex.EncodeToString(name.Sum(nil))
}

// deflate writes the object's bytes.
func deflate(pack io.Writer, name hash.Hash, beginning string, fill byte, size int64) {
	compressed, _ := zlib.NewWriterLevel(pack, zlib.BestCompression)
	out := io.MultiWriter(compressed, name)
	_, _ = io.WriteString(out, beginning)
	block := bytes.Repeat([]byte{fill}, 1<<20)
	for left := size - int64(len(beginning)); left > 0; {
		n := min(left, int64(len(block)))
		_, _ = out.Write(block[:n])
		left -= n
	}
	_ = compressed.Close()
}
