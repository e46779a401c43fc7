package lists

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/dirfd"
)

func FuzzParseMTREE(f *testing.F) {
	f.Add([]byte(". type=dir mode=0755 uid=0 gid=0 time=1700000000.000000001"))
	f.Add([]byte("./a\\040b type=file mode=0644 uid=1 gid=2 size=3 time=-4.000000005"))
	f.Add([]byte("./l type=link mode=0777 uid=1 gid=2 time=4.000000000 link=../x\\134"))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := ParseMTREE(line)
		if err != nil {
			return
		}
		assert.Equal(t, string(line), string(AppendMTREE(nil, &e)))
		assert.True(t, ValidPath(e.Path), "%q", e.Path)
	})
}

func FuzzMTREERoundTrip(f *testing.F) {
	f.Add("a b/c\n", "../target", uint32(0o644), int64(12), int64(1700000000), int64(5))
	f.Add("\xff", "", uint32(0o7777), int64(0), int64(-1), int64(999_999_999))
	f.Fuzz(func(t *testing.T, path, link string, mode uint32, size, sec, nsec int64) {
		if !ValidPath(path) || strings.Contains(link, "\x00") {
			return
		}
		e := Entry{Path: path, Kind: File, Mode: mode & 0o7777, UID: mode, GID: mode / 2, Size: size & (1<<62 - 1)}
		e.ModTime = time.Unix(sec>>8, nsec&(1<<29-1)).UTC()
		if link != "" {
			e.Kind, e.Link, e.Size = Symlink, link, 0
		}
		again, err := ParseMTREE(AppendMTREE(nil, &e))
		require.NoError(t, err)
		assert.True(t, again.ModTime.Equal(e.ModTime))
		again.ModTime = e.ModTime
		assert.Equal(t, e, again)
	})
}

func FuzzReadMTREE(f *testing.F) {
	f.Add([]byte(MTREEHeader + ". type=dir mode=0755 uid=0 gid=0 time=1.000000000\n./a type=file mode=0644 uid=0 gid=0 size=1 time=1.000000000\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := NewMTREEReader(bytes.NewReader(data))
		kinds := make(map[string]Kind)
		for err == nil {
			var e Entry
			if e, err = r.Next(); err != nil {
				break
			}
			if e.Path != "." {
				parent, _ := dirfd.Split(e.Path)
				assert.Equal(t, Directory, kinds[parent], "%q has a directory above it", e.Path)
			}
			assert.NotContains(t, kinds, e.Path)
			kinds[e.Path] = e.Kind
		}
	})
}

func FuzzParseSum(f *testing.F) {
	digest := strings.Repeat("0123456789abcdef", 4)
	f.Add([]byte(digest + "  a"))
	f.Add([]byte("\\" + digest + "  a\\n\\r\\\\b"))
	f.Fuzz(func(t *testing.T, line []byte) {
		s, err := parseSum(line)
		if err != nil {
			return
		}
		assert.Equal(t, string(line)+"\n", string(AppendSum(nil, s)))
		assert.True(t, ValidPath(s.Path), "%q", s.Path)
	})
}

func FuzzSumRoundTrip(f *testing.F) {
	f.Add("files/a\nb\\c\rd")
	f.Add("-")
	f.Fuzz(func(t *testing.T, path string) {
		if !ValidPath(path) || path == "." {
			return
		}
		want := Sum{SHA256: dirfd.DigestOf([]byte(path)), Path: path}
		line := AppendSum(nil, want)
		got, err := parseSum(line[:len(line)-1])
		require.NoError(t, err)
		assert.Equal(t, want, got)
		if next, err := NewSumsReader(bytes.NewReader(line)).Next(); assert.NoError(t, err) {
			assert.Equal(t, want, next, "a path is one line")
		}
	})
}

// FuzzReadStamps: what is no stamp is none, and what was written is read.
func FuzzReadStamps(f *testing.F) {
	tree := strings.Repeat("0", 64)
	f.Add([]byte(stampsHeader+tree+"\n0000000000000001\n00000000000000ff user.a\n"), uint64(1), "user.a b")
	f.Add([]byte(stampsHeader+tree+"\nx\n-1\n"+strings.Repeat("f", 17)+"\n"), uint64(0), "")
	f.Add([]byte(stampsHeader+"other\n"), ^uint64(0), "\n\xff")
	path := filepath.Join(f.TempDir(), "stamps")
	f.Fuzz(func(t *testing.T, data []byte, stamp uint64, lost string) {
		dir, err := dirfd.Open(filepath.Dir(path))
		require.NoError(t, err)
		defer dir.Close()
		require.NoError(t, os.WriteFile(path, data, 0o600))
		s := OpenStamps(dir, "stamps", tree)
		assert.Equal(t, bytes.HasPrefix(data, []byte(stampsHeader+tree+"\n")), s != nil, "it is of the tree")
		for range bytes.Count(data, []byte("\n")) + 2 {
			s.Next()
		}
		s.Close()

		w := NewStampsWriter(dir, "stamps")
		w.Add(stamp, lost)
		require.NoError(t, w.Finish(tree))
		s = OpenStamps(dir, "stamps", tree)
		defer s.Close()
		gotStamp, gotLost := s.Next()
		assert.Equal(t, stamp, gotStamp)
		assert.Equal(t, lost, gotLost)
	})
}
