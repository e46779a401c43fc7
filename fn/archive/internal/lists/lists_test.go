package lists

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestComparePaths(t *testing.T) {
	sorted := []string{".", "\x01", "a", "a/b", "a/b/c", "a/b\x01", "a/b.c", "a/c", "a\x01", "a b", "a-b/c", "a.b", "aa", "b", "\xff"}
	for i, a := range sorted {
		for j, b := range sorted {
			got := ComparePaths(a, b)
			assert.Equal(t, i < j, got < 0, "%q %q", a, b)
			assert.Equal(t, i == j, got == 0, "%q %q", a, b)
		}
	}
}

func TestMerge(t *testing.T) {
	source := func(paths ...string) Source {
		s := &SliceSource{}
		for _, path := range paths {
			s.Entries = append(s.Entries, Entry{Path: path})
		}
		return s
	}
	cases := map[string]struct {
		reason      string
		want, found []string
		merged      string
	}{
		"Empty":   {"Two empty sources have no pairs", nil, nil, ""},
		"Same":    {"Entries of one path are a pair", []string{".", "a"}, []string{".", "a"}, ".=. a=a"},
		"Missing": {"An entry of the first source only comes alone", []string{".", "a", "b"}, []string{".", "b"}, ".=. a= b=b"},
		"More":    {"So does one of the second", []string{"."}, []string{".", "a/b", "a.b"}, ".=. =a/b =a.b"},
		"Order":   {"The slash comes first", []string{"a.b"}, []string{"a/b"}, "=a/b a.b="},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var merged []string
			for p, err := range Merge(source(tc.want...), source(tc.found...)) {
				require.NoError(t, err)
				text := "="
				if p.Want != nil {
					text = p.Want.Path + text
				}
				if p.Got != nil {
					text += p.Got.Path
				}
				merged = append(merged, text)
			}
			assert.Equal(t, tc.merged, strings.Join(merged, " "), tc.reason)
		})
	}
	broken, err := NewMTREEReader(strings.NewReader(MTREEHeader + "broken\n"))
	require.NoError(t, err)
	for _, err := range Merge(source("."), broken) {
		assert.Error(t, err, "an error of a source ends the sequence")
	}
}

func TestParseMTREE(t *testing.T) {
	const good = "./a\\040b type=file mode=0644 uid=1 gid=2 size=3 time=4.000000005"
	e, err := ParseMTREE([]byte(good))
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
			_, err := ParseMTREE([]byte(tc.line))
			assert.Error(t, err, tc.reason)
		})
	}
}

func TestReadMTREE(t *testing.T) {
	line := func(path, kind string) string {
		e := Entry{Path: path, Kind: Kind(kind), ModTime: time.Unix(1, 2).UTC()}
		return string(AppendMTREE(nil, &e)) + "\n"
	}
	root := MTREEHeader + line(".", "dir")
	cases := map[string]struct {
		reason string
		data   string
		ok     bool
	}{
		"Good":          {"A sorted walk is what we write", root + line("a", "dir") + line("a/b", "file") + line("a.b", "file"), true},
		"NoHeader":      {"The header tells the format", line(".", "dir"), false},
		"NoRoot":        {"The root comes first", MTREEHeader + line("a", "file"), false},
		"OnlyHeader":    {"There is a root", MTREEHeader, false},
		"RootIsFile":    {"The root is a directory", MTREEHeader + line(".", "file"), false},
		"OutOfOrder":    {"Merging relies on the order", root + line("b", "file") + line("a", "file"), false},
		"Twice":         {"A path comes once", root + line("a", "file") + line("a", "file"), false},
		"BelowFile":     {"Nothing is below a file", root + line("a", "file") + line("a/b", "file"), false},
		"BelowLink":     {"Nothing is below a symlink, or a restore would follow it", root + line("a", "link") + line("a/b", "file"), false},
		"NoParent":      {"Directories come before what is in them", root + line("a/b", "file"), false},
		"TornLastLine":  {"A line ends", strings.TrimSuffix(root+line("a", "file"), "\n"), false},
		"LineTooLong":   {"A line is bounded", root + line(strings.Repeat("x", MaxLine), "file"), false},
		"CarriageAfter": {"A line ends in a line feed alone", strings.ReplaceAll(root, "\n", "\r\n"), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := NewMTREEReader(strings.NewReader(tc.data))
			for err == nil {
				_, err = r.Next()
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
			r := NewSumsReader(strings.NewReader(tc.data))
			var err error
			for err == nil {
				_, err = r.Next()
			}
			assert.Equal(t, tc.ok, errors.Is(err, io.EOF), "%s: %v", tc.reason, err)
		})
	}
}
