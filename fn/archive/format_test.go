package archive

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	gomtree "github.com/vbatts/go-mtree"
)

// needProgram skips a test of somebody else's program where it is not installed. CI installs it.
func needProgram(t *testing.T, name, debian string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed (Debian: %s)", name, debian)
	}
}

func TestSumsAreCoreutils(t *testing.T) {
	needProgram(t, "sha256sum", "coreutils")
	f := newFixture(t)
	for _, name := range oddNames() {
		f.add(name, name)
		f.add("d/"+name, name)
	}
	result := f.write("r1")
	tree := f.path("trees", result.Manifest.Tree)
	shell(t, tree, "sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS")
	shell(t, f.path("runs", "r1"), "sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS")
	assert.Equal(t, result.Manifest.Tree+"  -\n", shell(t, tree, "sh", "-c", "sha256sum MTREE SHA256SUMS | sha256sum"), "the name of a tree can be checked by hand")

	files := shell(t, tree, "sh", "-c", "find MTREE files -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum")
	assert.ElementsMatch(t, strings.Split(files, "\n"), strings.Split(f.read("trees", result.Manifest.Tree, "SHA256SUMS"), "\n"), "every line is as coreutils writes it")
	assert.Equal(t, shell(t, f.path("runs", "r1"), "sh", "-c", "sha256sum */*.json"), f.read("runs", "r1", "SHA256SUMS"))
}

// typical fills the file storage with one entry of each kind and the odd names.
func typical(f *fixture) {
	f.t.Helper()
	f.addSome()
	for _, name := range oddNames() {
		f.add("odd/"+name+"/file", name)
	}
	require.NoError(f.t, os.Symlink("a target\n#=\\", filepath.Join(f.files, "link")))
	require.NoError(f.t, os.Chmod(filepath.Join(f.files, "tenant-002/empty"), 0o600))
	f.touch(".")
}

func TestMTREEIsReadByNetBSD(t *testing.T) {
	needProgram(t, "mtree", "mtree-netbsd")
	f := newFixture(t)
	typical(f)
	for _, name := range []string{"*", "[brackets]?"} {
		require.NoError(t, os.RemoveAll(filepath.Join(f.files, "odd", name))) // it takes them for patterns, escaped or not
	}
	result := f.write("r1")
	tree := f.path("trees", result.Manifest.Tree)
	assert.Empty(t, shell(t, tree, "mtree", "-f", "MTREE", "-p", "files"))
	require.NoError(t, os.Chmod(filepath.Join(tree, "files/tenant-002/empty"), 0o644))
	out, err := exec.Command("mtree", "-f", filepath.Join(tree, "MTREE"), "-p", filepath.Join(tree, "files")).CombinedOutput()
	require.Error(t, err, "it does compare")
	assert.Contains(t, string(out), "tenant-002/empty")
}

func TestMTREEIsReadByBSDTar(t *testing.T) {
	needProgram(t, "bsdtar", "libarchive-tools")
	f := newFixture(t)
	typical(f)
	result := f.write("r1")
	tree := f.path("trees", result.Manifest.Tree)
	tar := filepath.Join(t.TempDir(), "files.tar")
	shell(t, filepath.Join(tree, "files"), "bsdtar", "-cf", tar, "--format=pax", "@../MTREE")
	again := t.TempDir()
	shell(t, again, "tar", "-xpf", tar)
	find := []string{"find", ".", "-printf", `%p %y %m %s %l\0`}
	assert.Equal(t, shell(t, f.files, find[0], find[1:]...), shell(t, again, find[0], find[1:]...))
}

func TestMTREEIsReadByGoMTREE(t *testing.T) {
	f := newFixture(t)
	typical(f)
	result := f.write("r1")
	data := f.read("trees", result.Manifest.Tree, "MTREE")
	spec, err := gomtree.ParseSpec(strings.NewReader(data))
	require.NoError(t, err)
	got := make(map[string]map[string]string)
	for _, e := range spec.Entries {
		if e.Type != gomtree.RelativeType && e.Type != gomtree.FullType {
			continue
		}
		path, err := e.Path()
		require.NoError(t, err)
		keys := make(map[string]string)
		for _, k := range e.Keywords {
			keys[string(k.Keyword())] = k.Value()
		}
		got[path] = keys
	}
	n := 0
	for e, err := range readEntries(t, data) {
		require.NoError(t, err)
		n++
		keys := got[e.Path]
		require.NotNil(t, keys, "%q", e.Path)
		assert.Equal(t, string(e.Kind), keys["type"])
		if e.Kind == File {
			assert.Equal(t, itoa(int(e.Size)), keys["size"])
		}
	}
	assert.Equal(t, n, len(got))
}

// readEntries reads an MTREE.
func readEntries(t *testing.T, data string) func(func(Entry, error) bool) {
	t.Helper()
	r, err := newMTREEReader(strings.NewReader(data))
	require.NoError(t, err)
	return func(yield func(Entry, error) bool) {
		for {
			e, err := r.next()
			if errors.Is(err, io.EOF) || !yield(e, err) || err != nil {
				return
			}
		}
	}
}

func TestComparePaths(t *testing.T) {
	sorted := []string{".", "\x01", "a", "a/b", "a/b/c", "a/b\x01", "a/b.c", "a/c", "a\x01", "a b", "a-b/c", "a.b", "aa", "b", "\xff"}
	for i, a := range sorted {
		for j, b := range sorted {
			got := comparePaths(a, b)
			assert.Equal(t, i < j, got < 0, "%q %q", a, b)
			assert.Equal(t, i == j, got == 0, "%q %q", a, b)
		}
	}
}

func TestParseMTREE(t *testing.T) {
	const good = "./a\\040b type=file mode=0644 uid=1 gid=2 size=3 time=4.000000005"
	e, err := parseMTREE([]byte(good))
	require.NoError(t, err)
	assert.Equal(t, Entry{Path: "a b", Kind: File, Mode: 0o644, UID: 1, GID: 2, Size: 3, ModTime: time.Unix(4, 5).UTC()}, e)
	cases := map[string]struct{ reason, line string }{
		"Empty":         {"A line has an entry", ""},
		"NoDot":         {"Paths begin with ./", strings.TrimPrefix(good, "./")},
		"Absolute":      {"Paths are relative", strings.Replace(good, "./a", "/a", 1)},
		"Parent":        {"Paths stay below the root", strings.Replace(good, "./a", "./../a", 1)},
		"Dot":           {"The root has one name", strings.Replace(good, `./a\040b`, "./.", 1)},
		"DoubleSlash":   {"Elements are not empty", strings.Replace(good, "./a", ".//a", 1)},
		"NoEscape":      {"A path has one form", strings.Replace(good, `\040`, `\s`, 1)},
		"NeedlessOctal": {"A path has one form", strings.Replace(good, "./a", `./\141`, 1)},
		"HighOctal":     {"An escape is one byte", strings.Replace(good, `\040`, `\777`, 1)},
		"NoSize":        {"A file has a size", strings.Replace(good, " size=3", "", 1)},
		"NegativeSize":  {"A size is a number of bytes", strings.Replace(good, "size=3", "size=-3", 1)},
		"HugeSize":      {"A size fits", strings.Replace(good, "size=3", "size=99999999999999999999", 1)},
		"LeadingZero":   {"A number has one form", strings.Replace(good, "size=3", "size=03", 1)},
		"ModeTooBig":    {"A mode has four digits", strings.Replace(good, "mode=0644", "mode=010000", 1)},
		"Repeated":      {"A keyword comes once", good + " size=3"},
		"Unknown":       {"All keywords are known", good + " flags=none"},
		"OtherOrder":    {"Keywords come in one order", strings.Replace(good, "uid=1 gid=2", "gid=2 uid=1", 1)},
		"LinkOfFile":    {"A file has no target", good + " link=x"},
		"SizeOfDir":     {"A directory has no size", strings.Replace(good, "file", "dir", 1)},
		"Device":        {"Devices are not backed up", strings.Replace(good, "file", "char", 1)},
		"Nanoseconds":   {"A second has nine digits", strings.Replace(good, ".000000005", ".5", 1)},
		"TrailingSpace": {"A line has one form", good + " "},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := parseMTREE([]byte(tc.line))
			assert.Error(t, err, tc.reason)
		})
	}
}

func TestReadMTREE(t *testing.T) {
	line := func(path, kind string) string {
		e := Entry{Path: path, Kind: Kind(kind), ModTime: epoch()}
		return string(appendMTREE(nil, &e)) + "\n"
	}
	root := mtreeHeader + line(".", "dir")
	cases := map[string]struct {
		reason string
		data   string
		ok     bool
	}{
		"Good":          {"A sorted walk is what we write", root + line("a", "dir") + line("a/b", "file") + line("a.b", "file"), true},
		"NoHeader":      {"The header tells the format", line(".", "dir"), false},
		"NoRoot":        {"The root comes first", mtreeHeader + line("a", "file"), false},
		"OnlyHeader":    {"There is a root", mtreeHeader, false},
		"RootIsFile":    {"The root is a directory", mtreeHeader + line(".", "file"), false},
		"OutOfOrder":    {"Merging relies on the order", root + line("b", "file") + line("a", "file"), false},
		"Twice":         {"A path comes once", root + line("a", "file") + line("a", "file"), false},
		"BelowFile":     {"Nothing is below a file", root + line("a", "file") + line("a/b", "file"), false},
		"BelowLink":     {"Nothing is below a symlink, or a restore would follow it", root + line("a", "link") + line("a/b", "file"), false},
		"NoParent":      {"Directories come before what is in them", root + line("a/b", "file"), false},
		"TornLastLine":  {"A line ends", strings.TrimSuffix(root+line("a", "file"), "\n"), false},
		"LineTooLong":   {"A line is bounded", root + line(strings.Repeat("x", maxLine), "file"), false},
		"CarriageAfter": {"A line ends in a line feed alone", strings.ReplaceAll(root, "\n", "\r\n"), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := newMTREEReader(strings.NewReader(tc.data))
			for err == nil {
				_, err = r.next()
			}
			assert.Equal(t, tc.ok, errors.Is(err, io.EOF), "%s: %v", tc.reason, err)
		})
	}
}

func TestReadSums(t *testing.T) {
	digest := strings.Repeat("0123456789abcdef", 4)
	cases := map[string]struct {
		reason string
		data   string
		ok     bool
	}{
		"Good":        {"Plain and escaped lines", digest + "  a\n\\" + digest + "  b\\n\\\\\\r\n", true},
		"Empty":       {"A list may be empty", "", true},
		"UpperCase":   {"A digest has one form", strings.ToUpper(digest) + "  a\n", false},
		"Binary":      {"The text marker is what we write", digest + " *a\n", false},
		"OneSpace":    {"There are two spaces", digest + " a\n", false},
		"Short":       {"A SHA-256 has 64 digits", digest[1:] + "  ab\n", false},
		"NoPath":      {"There is a path", digest + "  \n", false},
		"Absolute":    {"Paths are relative", digest + "  /etc/passwd\n", false},
		"Parent":      {"Paths stay below the directory", digest + "  a/../../b\n", false},
		"NotEscaped":  {"A backslash needs an escape", digest + `  a\b` + "\n", false},
		"OverEscaped": {"An escape needs a reason", `\` + digest + "  ab\n", false},
		"BadEscape":   {"Only three characters are escaped", `\` + digest + `  a\tb` + "\n", false},
		"OutOfOrder":  {"Merging relies on the order", digest + "  b\n" + digest + "  a\n", false},
		"Twice":       {"A path comes once", digest + "  a\n" + digest + "  a\n", false},
		"Torn":        {"A line ends", digest + "  a", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := newSumsReader(strings.NewReader(tc.data))
			var err error
			for err == nil {
				_, err = r.next()
			}
			assert.Equal(t, tc.ok, errors.Is(err, io.EOF), "%s: %v", tc.reason, err)
		})
	}
}

func TestListRoundTrip(t *testing.T) {
	f := newFixture(t)
	typical(f)
	root, err := openRoot(f.files)
	require.NoError(t, err)
	defer root.close()
	found, err := scan(t.Context(), root, scanOptions{Workers: 3})
	require.NoError(t, err)
	var buffer bytes.Buffer
	buffer.WriteString(mtreeHeader)
	var entries []Entry
	var e Entry
	for c := found.list.cursor(); c.next(&e) != nil; {
		entries = append(entries, e)
		buffer.Write(append(appendMTREE(nil, &e), '\n'))
	}
	assert.Equal(t, found.list.count.total(), int64(len(entries)))
	i := 0
	for again, err := range readEntries(t, buffer.String()) {
		require.NoError(t, err)
		assert.Equal(t, entries[i], again)
		i++
	}
	assert.Equal(t, len(entries), i)
}
