package archive

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	gomtree "github.com/vbatts/go-mtree"

	"threescale.dev/backup/fn/archive/internal/lists"
)

// needProgram skips a test of somebody else's program where it is not installed. CI installs it.
func needProgram(t *testing.T, name, debian string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		skip(t, name+" is not installed (Debian: "+debian+")")
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
	assert.Len(t, got, n)
}

// readEntries reads an MTREE.
func readEntries(t *testing.T, data string) func(func(lists.Entry, error) bool) {
	t.Helper()
	r, err := lists.NewMTREEReader(strings.NewReader(data))
	require.NoError(t, err)
	return func(yield func(lists.Entry, error) bool) {
		for {
			e, err := r.Next()
			if errors.Is(err, io.EOF) || !yield(e, err) || err != nil {
				return
			}
		}
	}
}
