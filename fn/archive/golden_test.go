package archive

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/archive/internal/lists"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden compares every byte that a small run leaves on a volume with testdata/volume.txt. What depends on who
// runs the test, owners, inodes, and the digests that cover them, stands there as a word in angle brackets.
func TestGolden(t *testing.T) {
	f := newFixture(t)
	f.addSome()
	f.add("odd/a b\n#\\\xff", "odd")
	require.NoError(t, os.Symlink("../nowhere", filepath.Join(f.files, "odd/link")))
	require.NoError(t, os.Mkdir(filepath.Join(f.files, "none"), 0o700))
	require.NoError(t, syscall.Chmod(filepath.Join(f.files, "tenant-002/.htaccess"), 0o4600))
	require.NoError(t, syscall.Chmod(f.files, 0o2775))
	touchAll(f)
	result := f.write("20260305t050607z-1a2b3c4d")
	d := result.Manifest.Digests
	words := strings.NewReplacer(
		result.Manifest.Tree, "<tree>", d.MTREE, "<sha256 of MTREE>", d.Files, "<sha256 of the tree's SHA256SUMS>",
		fmt.Sprintf(" uid=%d gid=%d ", os.Getuid(), os.Getgid()), " uid=<uid> gid=<gid> ",
	)
	got := regexp.MustCompile(`(?m)^    [0-9a-f]{16}$`).ReplaceAllString(words.Replace(dump(t, f.root)), "    <stamp>")
	const golden = "testdata/volume.txt"
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

// TestGoldenDatabases is TestGolden for a run with dumps of databases, and without a file storage.
func TestGoldenDatabases(t *testing.T) {
	f := newFixture(t)
	f.opts.Files = ""
	f.dumpSome("monday")
	f.write("20260305t050607z-1a2b3c4d")
	const golden = "testdata/databases.txt"
	got := dump(t, f.root)
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

// touchAll sets the mtimes of all entries of the file storage to the epoch.
func touchAll(f *fixture) {
	f.t.Helper()
	var paths []string
	require.NoError(f.t, filepath.WalkDir(f.files, func(path string, _ fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(f.files, path)
		paths = append(paths, rel)
		require.NoError(f.t, relErr)
		return err
	}))
	for _, path := range slices.Backward(paths) {
		f.touch(path)
	}
}

// dump writes down all that a volume holds: a line an entry, and the content of files indented below it.
func dump(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		rel, err := filepath.Rel(root, path)
		require.NoError(t, err)
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			require.NoError(t, err)
			fmt.Fprintf(&b, "%s -> %s\n", lists.Escape(rel), target)
		case info.IsDir():
			fmt.Fprintf(&b, "%s/%s\n", lists.Escape(rel), stamp(rel, info))
		default:
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			fmt.Fprintf(&b, "%s%s\n", lists.Escape(rel), stamp(rel, info))
			for line := range strings.Lines(string(data)) {
				b.WriteString("    " + strings.TrimSuffix(line, "\n") + "\n")
			}
		}
		return nil
	}))
	return b.String()
}

// stamp tells mode and time of what is stored of the file storage; those of the rest depend on the umask and the day.
func stamp(path string, info fs.FileInfo) string {
	if !strings.Contains(path, "/files") {
		return ""
	}
	return " " + info.Mode().String() + " " + info.ModTime().UTC().Format("2006-01-02T15:04:05.999999999Z")
}

// TestManifestGolden reads and writes back a manifest with all its fields.
func TestManifestGolden(t *testing.T) {
	for _, name := range []string{"manifest.json", "manifest-databases.json"} {
		data, err := os.ReadFile("testdata/" + name)
		require.NoError(t, err)
		m, err := decodeManifest(data)
		require.NoError(t, err)
		again, err := encodeManifest(m)
		require.NoError(t, err)
		assert.Equal(t, string(data), string(again))
	}
}

func TestDecodeManifestWithDatabases(t *testing.T) {
	data, err := os.ReadFile("testdata/manifest-databases.json")
	require.NoError(t, err)
	replace := func(old, with string) string {
		require.Contains(t, string(data), old)
		return strings.Replace(string(data), old, with, 1)
	}
	m, err := decodeManifest(data)
	require.NoError(t, err)
	without := *m
	without.Databases = nil
	bare, err := encodeManifest(&without)
	require.NoError(t, err)
	cases := map[string]struct{ reason, data string }{
		"OfOlder":    {"An older version would overlook the dumps", replace(`"formatVersion": 3`, `"formatVersion": 2`)},
		"None":       {"A run without dumps is of an older format", string(bare)},
		"NoSequence": {"Runs are ordered by it", replace(`"sequence": 1`, `"sequence": 0`)},
		"Twice":      {"A name is one dump's", replace(`"system-database"`, `"backend-redis"`)},
		"Dots":       {"A name is a directory's", replace(`"system-database"`, `".."`)},
		"Slash":      {"Likewise", replace(`"system-database"`, `"a/b"`)},
		"NoName":     {"Likewise", replace(`"system-database"`, `""`)},
		"NoKind":     {"Without it nothing can be loaded", replace(`"Redis"`, `""`)},
		"LongText":   {"A manifest is small", replace(`"pg_dump 15.18"`, `"`+strings.Repeat("x", 257)+`"`)},
		"LineEnd":    {"A text is a line", replace(`"pg_dump 15.18"`, `"pg_dump\n15.18"`)},
		"Negative":   {"Figures count", replace(`"keys": 2`, `"keys": -2`)},
		"NotUTC":     {"Times are in UTC", replace(`"2026-03-05T05:06:07.890123456Z"`, `"2026-03-05T05:06:07.890123456+01:00"`)},
		"Misnamed":   {"A tree is named by its lists", replace(`"mtree": "`+m.Databases.Digests.MTREE[:4], `"mtree": "0000`)},
		"Symlinks": {"A dump has none", replace(`"symlinks": 0,
      "linkedFiles"`, `"symlinks": 1,
      "linkedFiles"`)},
		"UnknownField": {"What this version does not know, a newer one must declare", replace(`"dumps"`, `"dumped"`)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := decodeManifest([]byte(tc.data))
			assert.Error(t, err, tc.reason)
		})
	}
}

func TestDecodeManifest(t *testing.T) {
	data, err := os.ReadFile("testdata/manifest.json")
	require.NoError(t, err)
	replace := func(old, with string) string {
		require.Contains(t, string(data), old)
		return strings.Replace(string(data), old, with, 1)
	}
	cases := map[string]struct{ reason, data string }{
		"Empty":          {"A run without a manifest is not complete", ""},
		"Torn":           {"A torn manifest is none", string(data[:len(data)/2])},
		"Twice":          {"There is one manifest", string(data) + string(data)},
		"NoVersion":      {"A version says how to read the rest", replace(`"formatVersion": 2`, `"formatVersion": 0`)},
		"NoSequence":     {"Runs are ordered by it", replace(`"sequence": 12`, `"sequence": 0`)},
		"BelowNone":      {"A sequence counts", replace(`"sequence": 12`, `"sequence": -1`)},
		"Beyond":         {"Other readers of JSON could not hold it", replace(`"sequence": 12`, `"sequence": 9007199254740992`)},
		"OfNewer":        {"Format 1 had no sequence", replace(`"formatVersion": 2`, `"formatVersion": 1`)},
		"UnknownField":   {"What this version does not know, a newer one must declare", replace(`"run"`, `"walk"`)},
		"BadRun":         {"A run ID is a file name", replace(`"20260305t050607z-1a2b3c4d"`, `"../x"`)},
		"NoFileStorage":  {"It is stored or skipped", replace(`"Stored"`, `"Perhaps"`)},
		"TreeIfSkipped":  {"A skipped file storage has no tree", replace(`"Stored"`, `"Skipped"`)},
		"TreeMisnamed":   {"A tree is named by its lists", replace(`"mtree": "5`, `"mtree": "6`)},
		"BadDigest":      {"A digest is 64 hex digits", replace(`"objects": "e`, `"objects": "E`)},
		"BadRecipient":   {"Recipients can be parsed", replace(`"age1`, `"age2`)},
		"RecipientsNone": {"An encrypted run has recipients", replace(`"age1l84l9t6mc4erw8pxjyajqm7t0gamyvp4al8wzu3veklaqh9luvlsnnzhh2"`, ``)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := decodeManifest([]byte(tc.data))
			assert.Error(t, err, tc.reason)
		})
	}
	_, err = decodeManifest([]byte(replace(`"formatVersion": 2`, `"formatVersion": 4, "field": "of the future"`)))
	var newer *VersionError
	require.ErrorAs(t, err, &newer, "what is newer is told as such, not as damaged")
	assert.Equal(t, 4, newer.Version)
}
